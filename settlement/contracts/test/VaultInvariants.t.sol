// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {House} from "../src/House.sol";
import {Movement} from "../src/Movement.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Kind} from "../src/Terms.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {Test} from "./Test.sol";
import {World} from "./World.sol";

/// @notice Four clients, the operator's keys, depositors and strangers act in any order on one house. What an act may
/// not do is checked in the act; what must hold after every act is asked by the invariants below.
contract VaultHandler is World {
    uint256 public constant ADDRESSES = 3;
    DemoUSDC public usdc;
    House public theHouse;
    MarginVault[4] public vaults;
    /// @notice Into the vault from outside and from the house; out of it to the house.
    uint256[4] public deposited;
    uint256[4] public credited;
    uint256[4] public taken;
    uint256[4] public movements;
    uint64 public batches;
    bytes32 public head;

    /// @notice A default notice as its rules say it must be, the seconds one had left when it was withdrawn included.
    struct Notice {
        uint256 amount;
        uint256 seized;
        uint256 cureBy;
        uint256 lapsesAt;
        uint256 withdrawnAt;
        uint256 left;
    }

    /// @notice Variation margin taken at a moment.
    struct Debit {
        uint256 at;
        uint256 amount;
    }

    Notice[4] public notices;
    Debit[][4] private _debits;
    /// @notice Where a client's money goes now, and what was proposed instead; see `address_`.
    address[4] public destination;
    address[4] private _proposed;
    uint256[4] private _proposedAt;

    constructor() {
        usdc = newUSDC();
        buildHouse(usdc);
        theHouse = house;
        usdc.mint(address(house), 1e15);
        for (uint256 i; i < 4; ++i) {
            deposited[i] = 1_000e6;
            usdc.mint(factory.predict(termsOf(i)), 1_000e6);
            vaults[i] = openVault(i);
            destination[i] = payoutOf(i);
        }
    }

    /// @notice The addresses client `i` is paid at in the course of a run; the first is that of its terms.
    function address_(uint256 i, uint256 k) public pure returns (address) {
        return payoutOf(i + 4 * (k % ADDRESSES));
    }

    /// @dev An act on one vault leaves the others byte for byte as they were, and their clients' money too. Cash moves
    /// between the vault, the house and the client's address of that moment, and nowhere else.
    modifier only(uint256 i) {
        bytes32 before = others(i);
        uint256 houseBefore = usdc.balanceOf(address(house));
        address to = destination[i];
        uint256 elsewhereBefore = elsewhere(i, to);
        _;
        assertTrue(others(i) == before, "an act on one vault touched another");
        uint256 houseAfter = usdc.balanceOf(address(house));
        if (houseAfter >= houseBefore) taken[i] += houseAfter - houseBefore;
        else credited[i] += houseBefore - houseAfter;
        assertEq(elsewhere(i, to), elsewhereBefore, "cash left to a third party");
    }

    function elsewhere(uint256 i, address to) private view returns (uint256) {
        uint256 within = usdc.balanceOf(address(vaults[i])) + usdc.balanceOf(address(house)) + usdc.balanceOf(to);
        return usdc.totalSupply() - within;
    }

    function others(uint256 i) private view returns (bytes32) {
        return keccak256(abi.encode(picture((i + 1) & 3), picture((i + 2) & 3), picture((i + 3) & 3)));
    }

    function picture(uint256 i) private view returns (bytes32) {
        (bytes memory state) = abi.encode(usdc.balanceOf(address(vaults[i])), paid(i));
        (MarginVault.Hot memory hot, MarginVault.Cold memory cold, MarginVault.Claim memory claim) = vaults[i].state();
        return keccak256(abi.encode(state, hot, cold, claim, vaults[i].payout(), vaults[i].termsHash()));
    }

    /// @notice What client `i` got, at any of its addresses.
    function paid(uint256 i) public view returns (uint256 sum) {
        for (uint256 k; k < ADDRESSES; ++k) {
            sum += usdc.balanceOf(address_(i, k));
        }
    }

    function deposit(uint256 i, uint256 amount) external only(i & 3) {
        amount = bound(amount, 0, 5_000e6);
        deposited[i & 3] += amount;
        usdc.mint(address(vaults[i & 3]), amount);
    }

    function move(uint256 i, uint8 kind, uint96 amount, uint96 required, uint32 wrongSeq) external only(i & 3) {
        i &= 3;
        Movement[] memory one = new Movement[](1);
        one[0] = movement(
            vaults[i], Kind(kind % 4), uint96(bound(amount, 0, 6_000e6)), uint96(bound(required, 0, 11_000e6))
        );
        if (wrongSeq % 5 == 0) one[0].seq = wrongSeq;
        uint32 want = vaults[i].seq() + 1;
        uint256 houseBefore = usdc.balanceOf(address(house));
        fold(one);
        bool settled = vaults[i].seq() == want;
        if (settled) {
            ++movements[i];
            assertTrue(one[0].seq == want && one[0].required <= MAX_REQUIRED, "a number or a cap was passed over");
            if (one[0].kind == Kind.DEBIT) recordDebit(i, one[0].amount);
            if (one[0].kind == Kind.CREDIT) assertTrue(one[0].amount <= CREDIT_LIMIT, "credit limit");
        } else {
            assertTrue(usdc.balanceOf(address(house)) == houseBefore, "a failed movement moved cash");
        }
    }

    /// @dev In every span of t seconds that ends now at most cap * (1 + t / day) was taken, see RollingLimit.
    function recordDebit(uint256 i, uint256 amount) private {
        _debits[i].push(Debit(time(), amount));
        uint256 sum;
        for (uint256 j = _debits[i].length; j != 0;) {
            Debit memory first = _debits[i][--j];
            sum += first.amount;
            uint256 most = DEBIT_CAP + (uint256(DEBIT_CAP) * (time() - first.at)) / 1 days;
            assertTrue(sum <= most, "debits above the rolling cap");
        }
    }

    /// @dev Two debits some hours apart, often of the whole cap, out of a vault that can pay them: a midnight in
    /// between must change nothing.
    function debitTwice(uint256 i, uint96[2] memory amounts, uint32 wait) external only(i & 3) {
        i &= 3;
        deposited[i] += 2 * DEBIT_CAP;
        usdc.mint(address(vaults[i]), 2 * DEBIT_CAP);
        Movement[] memory one = new Movement[](1);
        for (uint256 k; k < 2; ++k) {
            uint256 amount = amounts[k] % 2 == 0 ? DEBIT_CAP : bound(amounts[k], 0, DEBIT_CAP);
            one[0] = movement(vaults[i], Kind.DEBIT, uint96(amount), 100e6);
            fold(one);
            if (vaults[i].seq() == one[0].seq) {
                ++movements[i];
                recordDebit(i, amount);
            }
            if (k == 0) skip(wait % 9 hours);
        }
    }

    /// @dev One loses, its neighbour wins, in one batch.
    function moveBoth(uint256 i, uint96 debit, uint96 credit) external {
        (uint256 loser, uint256 winner) = (i & 3, ((i & 3) + 1) & 3);
        Movement[] memory two = new Movement[](2);
        two[0] = movement(vaults[loser], Kind.DEBIT, uint96(bound(debit, 0, 2_000e6)), 100e6);
        two[1] = movement(vaults[winner], Kind.CREDIT, uint96(bound(credit, 0, 6_000e6)), 100e6);
        fold(two);
        if (vaults[loser].seq() == two[0].seq) {
            (taken[loser], movements[loser]) = (taken[loser] + two[0].amount, movements[loser] + 1);
            recordDebit(loser, two[0].amount);
        }
        if (vaults[winner].seq() == two[1].seq) {
            (credited[winner], movements[winner]) = (credited[winner] + two[1].amount, movements[winner] + 1);
        }
    }

    function fold(Movement[] memory list) private {
        head = keccak256(abi.encode(head, house.batchDigest(++batches, 0, list)));
        postAll(list);
    }

    function clientActs(uint256 i, uint8 act, uint96 amount) external only(i & 3) {
        i &= 3;
        MarginVault vault = vaults[i];
        vm.startPrank(client(i));
        if (act % 6 < 2) {
            vault.requestWithdraw(amount);
        } else if (act % 6 == 2) {
            try vault.requestExit() {} catch {}
        } else if (act % 6 < 5) {
            try vault.cancelExit() {} catch {}
        } else {
            try vault.cure() {
                notices[i].lapsesAt = time();
            } catch {}
        }
        vm.stopPrank();
    }

    /// @dev Another address holds five days after it was proposed, and surely then. What was proposed is mostly waited
    /// for, or hardly any would ever be applied.
    function changePayout(uint256 i, uint8 act, uint256 k) external only(i & 3) {
        i &= 3;
        vm.startPrank(client(i));
        if (act % 8 == 0 || (_proposed[i] == address(0) && act % 8 != 1)) {
            _proposed[i] = act % 32 == 0 ? address(0) : address_(i, k);
            _proposedAt[i] = time();
            vaults[i].proposePayout(_proposed[i]);
        } else {
            bool ripe = _proposed[i] != address(0) && time() >= _proposedAt[i] + 5 days;
            try vaults[i].applyPayout() {
                assertTrue(ripe, "another payout address too soon");
                (destination[i], _proposed[i]) = (_proposed[i], address(0));
            } catch {
                assertTrue(!ripe, "a ripe payout address was refused");
            }
        }
        vm.stopPrank();
    }

    /// @dev A ripe withdrawal never fails, whoever calls it.
    function anyoneWithdraws(uint256 i) external only(i & 3) {
        MarginVault vault = vaults[i & 3];
        (, MarginVault.Cold memory cold,) = vault.state();
        bool ripe = cold.request != 0 && time() >= cold.requestReady && time() < uint256(cold.requestReady) + 7 days;
        if ((vault.exitMatured() || ripe) && vault.free() != 0) {
            vm.prank(address(0x57A));
            vault.withdraw();
        }
    }

    function officerActs(uint256 i, uint8 act, uint96 amount, bytes32 evidence) external only(i & 3) {
        i &= 3;
        MarginVault vault = vaults[i];
        amount = uint96(bound(amount, 1, 8_000e6));
        bytes memory approval = signature(APPROVER_KEY, house.claimDigest(vault, amount, evidence));
        if (act % 6 < 2) {
            try house.noticeDefault(vault, amount, evidence, approver(), approval) {
                recordNotice(notices[i], amount);
            } catch {}
        } else if (act % 6 == 2) {
            try house.raiseClaim(vault, amount, evidence, approver(), approval) {
                assertTrue(time() < notices[i].lapsesAt, "a dead notice was raised");
                notices[i].amount = amount;
            } catch {}
        } else if (act % 6 == 3) {
            try house.withdrawNotice(vault) {
                (notices[i].left, notices[i].withdrawnAt) = (notices[i].lapsesAt - time(), time());
                notices[i].lapsesAt = time();
            } catch {}
        } else if (act % 6 == 4) {
            try house.determine(vault) {
                notices[i].lapsesAt = time();
            } catch {}
        } else {
            seize(i);
        }
    }

    function recordNotice(Notice storage n, uint256 amount) private {
        assertTrue(time() >= n.lapsesAt, "a notice beside a live one");
        bool renewed = n.withdrawnAt != 0 && time() < n.withdrawnAt + 30 days;
        (n.amount, n.seized) = (amount, 0);
        (n.cureBy, n.lapsesAt) = (time() + CURE, time() + (renewed ? n.left : CURE + 5 days));
        (n.withdrawnAt, n.left) = (0, 0);
    }

    /// @dev Between cure and lapse, and of the claim at most.
    function seize(uint256 i) private {
        Notice storage n = notices[i];
        uint256 before = usdc.balanceOf(address(vaults[i]));
        try house.seize(vaults[i]) {
            assertTrue(time() >= n.cureBy, "seized before the cure period ended");
            assertTrue(time() < n.lapsesAt, "seized after the notice lapsed");
            n.seized += before - usdc.balanceOf(address(vaults[i]));
            assertTrue(n.seized <= n.amount, "seized above the claim");
        } catch {}
    }

    /// @dev Default, notice and time until a seizure may be tried, in one act: rare when each is left to chance.
    function noticeAndSeize(uint256 i, uint96 amount, uint32 wait) external only(i & 3) {
        i &= 3;
        amount = uint96(bound(amount, 1, 8_000e6));
        bytes32 evidence = keccak256(abi.encode(amount, time()));
        bytes memory approval = signature(APPROVER_KEY, house.claimDigest(vaults[i], amount, evidence));
        try house.noticeDefault(vaults[i], amount, evidence, approver(), approval) {
            recordNotice(notices[i], amount);
        } catch {}
        skip(wait % 8 days);
        seize(i);
    }

    function strangerActs(uint256 i, uint8 act) external only(i & 3) {
        i &= 3;
        vm.startPrank(address(0xBAD));
        bytes memory data;
        if (act % 6 == 0) data = abi.encodeCall(MarginVault.post, (Kind.RETURN, vaults[i].seq() + 1, 1, 0, 0));
        else if (act % 6 == 1) data = abi.encodeCall(MarginVault.seize, ());
        else if (act % 6 == 2) data = abi.encodeCall(MarginVault.requestWithdraw, (1));
        else if (act % 6 == 3) data = abi.encodeCall(MarginVault.proposePayout, (address(0xBAD)));
        else if (act % 6 == 4) data = abi.encodeCall(MarginVault.noticeDefault, (1, 0));
        else data = abi.encodeCall(MarginVault.cure, ());
        (bool ok,) = address(vaults[i]).call(data);
        assertTrue(!ok, "a stranger acted on a vault");
        (ok,) = address(house).call(abi.encodeCall(House.payTreasury, (address(0xBAD), 1, 0)));
        assertTrue(!ok, "a stranger acted on the house");
        vm.stopPrank();
    }

    function pass(uint32 duration, bool alive) external {
        skip(duration % 4 days);
        if (alive) house.beat();
    }
}

contract VaultInvariants is Test {
    VaultHandler private handler;

    function setUp() public {
        handler = new VaultHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    /// All of them after every step of the same runs: a campaign of its own for each would show nothing more.
    function invariant_all_hold() public view {
        every_vault_conserves_its_cash();
        numbers_run_without_gap_and_the_head_folds_every_batch();
        silence_or_exit_frees_and_a_notice_dies();
        a_seizure_takes_the_claim_at_most();
        a_notice_lives_as_long_as_its_rules_say();
        the_payout_address_is_the_one_last_applied();
    }

    function every_vault_conserves_its_cash() private view {
        for (uint256 i; i < 4; ++i) {
            uint256 inside = handler.usdc().balanceOf(address(handler.vaults(i)));
            uint256 out = handler.paid(i) + handler.taken(i);
            assertEq(handler.deposited(i) + handler.credited(i), inside + out, "conservation");
        }
    }

    function numbers_run_without_gap_and_the_head_folds_every_batch() private view {
        for (uint256 i; i < 4; ++i) {
            assertEq(handler.vaults(i).seq(), handler.movements(i), "seq");
        }
        assertEq(handler.theHouse().batchId(), handler.batches(), "batch");
        assertTrue(handler.theHouse().head() == handler.head(), "head");
    }

    function silence_or_exit_frees_and_a_notice_dies() private view {
        for (uint256 i; i < 4; ++i) {
            MarginVault vault = handler.vaults(i);
            bool silent = time() > uint256(handler.theHouse().lastBeat()) + 7 days;
            if (!vault.noticeLive() && (silent || vault.exitMatured())) assertEq(vault.locked(), 0, "freed");
            (, MarginVault.Cold memory cold,) = vault.state();
            assertTrue(cold.lapsesAt <= time() + 7 days, "a notice outlives cure and seizure time");
        }
    }

    function a_seizure_takes_the_claim_at_most() private view {
        for (uint256 i; i < 4; ++i) {
            (uint256 amount, uint256 seized,,,,) = handler.notices(i);
            assertTrue(seized <= amount, "claim");
        }
    }

    function a_notice_lives_as_long_as_its_rules_say() private view {
        for (uint256 i; i < 4; ++i) {
            (,,, uint256 lapsesAt,,) = handler.notices(i);
            assertTrue(handler.vaults(i).noticeLive() == (time() < lapsesAt), "a notice lives too long or too short");
        }
    }

    function the_payout_address_is_the_one_last_applied() private view {
        for (uint256 i; i < 4; ++i) {
            assertTrue(handler.vaults(i).payout() == handler.destination(i), "payout");
        }
    }
}
