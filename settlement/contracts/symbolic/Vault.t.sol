// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Kind, Terms} from "../src/Terms.sol";

interface Hevm {
    function assume(bool condition) external pure;
    function prank(address sender) external;
    function warp(uint256 timestamp) external;
    function store(address account, bytes32 slot, bytes32 value) external;
}

interface Symbolic {
    function createUint256(string memory name) external pure returns (uint256);
    function createBytes32(string memory name) external pure returns (bytes32);
    function createAddress(string memory name) external pure returns (address);
    function createCalldata(string memory contractName) external pure returns (bytes memory);
}

/// @notice A token that only adds up, so that the solver spends its time on the vault.
contract PlainToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @title What holds for every state of a vault, every caller and every argument of one call
/// @notice Run by halmos. The vault's slots hold anything at all, the caller and the calldata are anything at all; one
/// call is made, and what it did is compared with what may be done. Since the state before is any, what holds for one
/// call holds for every sequence of them. Bounds: one set of terms, a signature of the lengths halmos tries, a balance
/// of 5,000 tokens that counts honestly, time between 1971 and 2103; claims are not more seized than claimed.
contract VaultSymbolic {
    Hevm private constant vm = Hevm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    Symbolic private constant svm = Symbolic(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
    address private constant CLIENT = address(0xC11E);
    address private constant PAYOUT = address(0x9A40);
    uint256 private constant BALANCE = 5_000e6;

    PlainToken private token;
    MarginVault private vault;
    /// @notice This contract is the vault's house.
    uint40 public lastBeat;

    function setUp() public {
        token = new PlainToken();
        MarginVault code = new MarginVault(IERC20(address(token)), address(this));
        Terms memory terms =
            Terms("relationship", "agreement", CLIENT, PAYOUT, 1_000e6, 10_000e6, 1 days, 10 days, 2 days);
        vault = MarginVault(Clones.cloneWithImmutableArgs(address(code), abi.encode(terms)));
        token.mint(address(vault), BALANCE);
    }

    /// @dev Slots 2 to 5 are the hot and cold records and the claim, 7 the proposed payout address; see `forge inspect`.
    function anyState() private {
        vm.warp(uint256(uint32(svm.createUint256("time"))));
        lastBeat = uint40(svm.createUint256("lastBeat"));
        for (uint256 slot = 2; slot < 8; ++slot) {
            if (slot == 6) continue; // the payout address in force, so that there is one to compare with
            vm.store(address(vault), bytes32(slot), svm.createBytes32("slot"));
        }
        vm.assume(block.timestamp > 400 days && block.timestamp < type(uint32).max - 800 days);
        vm.assume(lastBeat <= block.timestamp);
    }

    function anyCall() private returns (address caller, bool ok) {
        caller = svm.createAddress("caller");
        bytes memory data = svm.createCalldata("MarginVault");
        vm.prank(caller);
        (ok,) = address(vault).call(data);
    }

    /// Whoever calls whatever, cash goes to the house or to the client's payout address, none is made or lost.
    function check_two_exits() public {
        anyState();
        anyCall();
        uint256 left = token.balanceOf(address(vault));
        assert(left + token.balanceOf(address(this)) + token.balanceOf(PAYOUT) == BALANCE);
        assert(left <= BALANCE);
    }

    /// The number of movements stays or grows by one, and grows by the house's call alone.
    function check_seq() public {
        anyState();
        uint32 before = vault.seq();
        (address caller, bool ok) = anyCall();
        uint32 afterwards = vault.seq();
        assert(afterwards == before || (afterwards == before + 1 && caller == address(this) && ok));
    }

    /// A seizure happens after the cure period and while the notice lives, and takes the open claim at most.
    function check_seize() public {
        anyState();
        (, MarginVault.Cold memory cold, MarginVault.Claim memory claim) = vault.state();
        vm.assume(claim.seized <= claim.amount);
        uint256 taken = vault.seize();
        assert(block.timestamp >= cold.cureBy && block.timestamp < cold.lapsesAt);
        assert(taken != 0 && taken <= claim.amount - claim.seized && taken <= BALANCE);
        assert(token.balanceOf(address(this)) == taken);
        (,, MarginVault.Claim memory later) = vault.state();
        assert(later.seized == claim.seized + taken && later.seized <= later.amount);
        assert(vault.exitMatured());
    }

    /// Outside a live notice nothing is locked for a client that has left, or whose operator is silent.
    function check_freed() public {
        anyState();
        bool silent = block.timestamp > uint256(lastBeat) + 7 days;
        if (!vault.noticeLive() && (silent || vault.exitMatured())) assert(vault.locked() == 0);
    }

    /// A debit after a matured exit fails, whatever else the vault's state is.
    function check_no_debit_after_exit(uint32 seq, uint96 amount, uint96 required) public {
        anyState();
        vm.assume(vault.exitMatured());
        (bool ok,) = address(vault).call(abi.encodeCall(MarginVault.post, (Kind.DEBIT, seq, amount, required, 0)));
        assert(!ok);
    }
}
