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
    DemoUSDC public usdc;
    House public theHouse;
    MarginVault[4] public vaults;
    /// @notice Into the vault from outside and from the house; out of it to the house.
    uint256[4] public deposited;
    uint256[4] public credited;
    uint256[4] public taken;
    uint256[4] public movements;
    uint256[4] public claimSeized;
    uint256[4] public claimAmount;
    uint64 public batches;
    bytes32 public head;

    constructor() {
        usdc = newUSDC();
        buildHouse(usdc);
        theHouse = house;
        usdc.mint(address(house), 1e15);
        for (uint256 i; i < 4; ++i) {
            deposited[i] = 1_000e6;
            usdc.mint(factory.predict(termsOf(i)), 1_000e6);
            vaults[i] = openVault(i);
        }
    }

    /// @dev An act on one vault leaves the others byte for byte as they were, and their clients' money too.
    modifier only(uint256 i) {
        bytes32 before = others(i);
        uint256 houseBefore = usdc.balanceOf(address(house));
        uint256 vaultBefore = usdc.balanceOf(address(vaults[i]));
        uint256 paidBefore = usdc.balanceOf(payoutOf(i));
        _;
        assertTrue(others(i) == before, "an act on one vault touched another");
        uint256 houseAfter = usdc.balanceOf(address(house));
        if (houseAfter >= houseBefore) taken[i] += houseAfter - houseBefore;
        else credited[i] += houseBefore - houseAfter;
        uint256 sum = usdc.balanceOf(address(vaults[i])) + usdc.balanceOf(payoutOf(i)) + houseAfter;
        assertTrue(sum >= vaultBefore + paidBefore + houseBefore, "cash left to a third party");
    }

    function others(uint256 i) private view returns (bytes32) {
        return keccak256(abi.encode(picture((i + 1) & 3), picture((i + 2) & 3), picture((i + 3) & 3)));
    }

    function picture(uint256 i) private view returns (bytes32) {
        (bytes memory state) = abi.encode(usdc.balanceOf(address(vaults[i])), usdc.balanceOf(payoutOf(i)));
        (MarginVault.Hot memory hot, MarginVault.Cold memory cold, MarginVault.Claim memory claim) = vaults[i].state();
        return keccak256(abi.encode(state, hot, cold, claim, vaults[i].payout(), vaults[i].termsHash()));
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
            if (one[0].kind == Kind.DEBIT) assertTrue(one[0].amount <= DEBIT_CAP, "debit cap");
            if (one[0].kind == Kind.CREDIT) assertTrue(one[0].amount <= CREDIT_LIMIT, "credit limit");
        } else {
            assertTrue(usdc.balanceOf(address(house)) == houseBefore, "a failed movement moved cash");
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
        } else if (act % 6 == 3) {
            try vault.cancelExit() {} catch {}
        } else if (act % 6 == 4) {
            try vault.cure() {} catch {}
        } else {
            vault.proposePayout(address(0));
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
                (claimAmount[i], claimSeized[i]) = (amount, 0);
            } catch {}
        } else if (act % 6 == 2) {
            try house.raiseClaim(vault, amount, evidence, approver(), approval) {
                claimAmount[i] = amount;
            } catch {}
        } else if (act % 6 == 3) {
            try house.withdrawNotice(vault) {} catch {}
        } else if (act % 6 == 4) {
            try house.determine(vault) {} catch {}
        } else {
            try house.seize(vault) returns (uint256 got) {
                claimSeized[i] += got;
            } catch {}
        }
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
    }

    function paid(uint256 i) private pure returns (address) {
        return address(uint160(0x9A400000 + i));
    }

    function every_vault_conserves_its_cash() private view {
        for (uint256 i; i < 4; ++i) {
            uint256 inside = handler.usdc().balanceOf(address(handler.vaults(i)));
            uint256 out = handler.usdc().balanceOf(paid(i)) + handler.taken(i);
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
            assertTrue(handler.claimSeized(i) <= handler.claimAmount(i), "claim");
        }
    }
}
