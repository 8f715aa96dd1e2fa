// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Eligibility} from "../src/Eligibility.sol";
import {House} from "../src/House.sol";
import {HouseLog} from "../src/HouseLog.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Movement} from "../src/Movement.sol";
import {Layer, Retention} from "../src/Retention.sol";
import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {Kind} from "../src/Terms.sol";
import {BondWorld} from "./BondWorld.sol";
import {Roles} from "./Roles.sol";

/// @notice What passes for a vault with an onboarder who does not look: it sends on what it is credited.
contract FalseVault {
    address public immutable house;
    address public immutable token;

    constructor(House house_) {
        (house, token) = (address(house_), address(house_.token()));
    }

    function post(Kind, uint32, uint96, uint96, bytes32) external {}
}

/// @notice What passes for a retention or an escrow likewise: it takes whatever the house sends and says.
contract FalseStructure {
    address public immutable house;

    constructor(House house_) {
        house = address(house_);
    }

    fallback() external {}
}

/// @title What each stolen key can do at the most, alone and with others
/// @notice Roles are granted without any delay of the manager but where the keys are those of a deployment.
contract KeysTest is BondWorld {
    address private constant THIEF = address(0x7417F);
    MarginVault[2] private vaults;
    Retention private retention;

    function setUp() public {
        buildSeries();
        sell();
        for (uint256 i; i < 2; ++i) {
            vaults[i] = openVault(i);
            usdc.mint(address(vaults[i]), 5_000e6);
        }
        retention = Retention(deploy("Retention", abi.encode(usdc, house, bytes32("A"), manager)));
        wire(address(retention), "Retention");
        house.setStructure(address(retention), true);
        house.fundRetention(retention, Layer.FIRST_LOSS, 10e6, "equity");
        house.fundRetention(retention, Layer.SENIOR, 10e6, "equity");
    }

    /// @dev At once, or after a delay that nobody uses to cancel.
    function attempt(address target, bytes memory act) private {
        (, uint32 delay) = manager.canCall(THIEF, target, bytes4(act));
        if (delay != 0) {
            vm.prank(THIEF);
            manager.schedule(target, act, 0);
            skip(delay);
        }
        vm.prank(THIEF);
        (bool ok,) = target.call(act);
        ok; // the manager refuses most of them; what counts is what has moved
    }

    /// @dev Every restricted function, with the arguments that would serve a thief best.
    function attemptEverything(bytes memory claimApproval, bytes memory batchApproval) private {
        Movement[] memory drain = new Movement[](1);
        drain[0] = movement(vaults[0], Kind.DEBIT, DEBIT_CAP, 0);
        address h = address(house);
        attempt(h, abi.encodeCall(House.postBatch, (house.batchId() + 1, 0, drain, approver(), batchApproval)));
        attempt(h, abi.encodeCall(House.beat, ()));
        attempt(h, abi.encodeCall(House.noticeDefault, (vaults[0], 300e6, "false", approver(), claimApproval)));
        attempt(h, abi.encodeCall(House.raiseClaim, (vaults[0], 400e6, "more", approver(), claimApproval)));
        skip(CURE);
        attempt(h, abi.encodeCall(House.seize, (vaults[0])));
        attempt(h, abi.encodeCall(House.determine, (vaults[0])));
        attempt(h, abi.encodeCall(House.setDisposalDesk, (THIEF)));
        attempt(h, abi.encodeCall(House.dispose, (1, 0)));
        attempt(h, abi.encodeCall(House.setCreditLimit, (MarginVault(THIEF), type(uint96).max)));
        attempt(h, abi.encodeCall(House.setStructure, (THIEF, true)));
        attempt(h, abi.encodeCall(House.setOutflowCapNow, (type(uint96).max, 1, approver(), claimApproval)));
        attempt(h, abi.encodeCall(House.publishRulebook, ("false", "", uint40(time()))));
        attempt(h, abi.encodeCall(House.payTreasury, (THIEF, 5e6, 0)));
        attempt(h, abi.encodeCall(House.fundRetention, (Retention(THIEF), Layer.SENIOR, 5e6, 0)));
        attempt(h, abi.encodeCall(House.writeUp, (SeriesEscrow(THIEF), 1, 0, 5e6, 0)));
        attempt(h, abi.encodeCall(House.amend, (vaults[0], "false", "false", 1, claimApproval)));
        attempt(address(retention), abi.encodeCall(Retention.applyLoss, (1, 10e6, 10e6, 0)));
        attempt(address(retention), abi.encodeCall(Retention.note, (Layer.SENIOR, 1)));
        attempt(address(retention), abi.encodeCall(Retention.release, (1, 10e6, 10e6, 0)));
        attempt(address(escrow), abi.encodeCall(SeriesEscrow.pull, ()));
        attempt(address(escrow), abi.encodeCall(SeriesEscrow.noticeLoss, (1, 0, 50e6, 0)));
        attempt(address(escrow), abi.encodeCall(SeriesEscrow.applyLoss, (2, 1)));
        attempt(address(escrow), abi.encodeCall(SeriesEscrow.rule, (1, 50e6)));
        attempt(address(escrow), abi.encodeCall(SeriesEscrow.repay, (2, 0, 0, 5e6, 0)));
        attempt(address(register), abi.encodeCall(Eligibility.set, (new address[](1), type(uint40).max)));
        attempt(address(notes[0]), abi.encodeCall(TrancheNote.forcedTransfer, (investor(0), THIEF, 1e6)));
        attempt(address(escrow), abi.encodeCall(SeriesEscrow.claim, (0, THIEF)));
    }

    function test_no_key_alone_moves_a_vaults_cash_or_pays_its_thief_but_the_treasurers() public {
        uint256 inHouse = usdc.balanceOf(address(house));
        for (uint64 role = Roles.POSTER; role <= Roles.REGISTRAR; ++role) {
            manager.grantRole(role, THIEF, 0);
            attemptEverything(signature(0xBAD, "nothing"), signature(0xBAD, "nothing"));
            manager.revokeRole(role, THIEF);
            assertEq(usdc.balanceOf(address(vaults[0])), 5_000e6, "a vault");
            assertEq(usdc.balanceOf(address(escrow)), 200e6, "the series' collateral, before a challenge period ends");
            assertEq(notes[0].balanceOf(THIEF), 0, "notes");
            assertEq(
                usdc.balanceOf(THIEF),
                role >= Roles.TREASURER ? 5e6 : 0,
                "only the treasurer pays itself, and from the house"
            );
        }
        assertEq(usdc.balanceOf(address(retention)), 0, "retentions, to the house alone");
        assertEq(usdc.balanceOf(address(house)), inHouse - 5e6 + 20e6, "the house");
    }

    function test_all_roles_and_the_approver_take_the_claim_and_the_cap_to_the_house_and_no_more() public {
        for (uint64 role = Roles.POSTER; role <= Roles.REGISTRAR; ++role) {
            if (role != Roles.APPROVER) manager.grantRole(role, THIEF, 0);
        }
        Movement[] memory drain = new Movement[](1);
        drain[0] = movement(vaults[0], Kind.DEBIT, DEBIT_CAP, 0);
        bytes memory claim = signature(APPROVER_KEY, house.claimDigest(vaults[0], 300e6, "false"));
        attemptEverything(claim, approve(1, drain));
        assertEq(usdc.balanceOf(address(vaults[0])), 5_000e6 - DEBIT_CAP - 300e6, "the debit cap and the claim");
        assertEq(vaults[0].free(), 5_000e6 - DEBIT_CAP - 300e6, "the rest is the client's at once");
        assertEq(usdc.balanceOf(address(vaults[1])), 5_000e6, "another relationship's vault");
        assertEq(usdc.balanceOf(THIEF), 5e6 + 1, "what the house had, and what was seized");
    }

    /// The one way to an outsider from a hot key: a false vault, accepted after the onboarder's delay of a day.
    function test_poster_approver_and_onboarder_take_the_outflow_cap_at_the_most() public {
        skip(1 days);
        house.setOutflowCap(150e6);
        FalseVault vault = new FalseVault(house);
        house.setCreditLimit(MarginVault(address(vault)), type(uint96).max);
        Movement[] memory list = new Movement[](3);
        for (uint32 i; i < 3; ++i) {
            list[i] = Movement(MarginVault(address(vault)), Kind.CREDIT, i, 100e6, 0, 0);
        }
        postAll(list);
        assertEq(usdc.balanceOf(address(vault)), 100e6, "one of 100 fits in the cap of 150");
    }

    function holders(uint64 role) private view returns (string[] memory) {
        return vm.parseJsonStringArray(vm.readFile("roles.json"), roleField(role, "holders"));
    }

    function isOneOf(string memory key, string[] memory some, uint256 count) private pure returns (bool) {
        for (uint256 i; i < count; ++i) {
            if (keccak256(bytes(some[i])) == keccak256(bytes(key))) return true;
        }
        return false;
    }

    function deployedKeys() private view returns (string[] memory keys) {
        string[] memory found = new string[](64);
        uint256 count;
        for (uint64 role = Roles.POSTER; role <= Roles.REGISTRAR; ++role) {
            string[] memory some = holders(role);
            for (uint256 i; i < some.length; ++i) {
                if (!isOneOf(some[i], found, count)) found[count++] = some[i];
            }
        }
        keys = new string[](count);
        for (uint256 i; i < count; ++i) {
            keys[i] = found[i];
        }
    }

    /// @dev All roles of the key as a deployment grants them, delays included.
    function steal(string memory key) private {
        for (uint64 role = Roles.POSTER; role <= Roles.REGISTRAR; ++role) {
            string[] memory some = holders(role);
            if (!isOneOf(key, some, some.length)) continue;
            uint256 delay = vm.parseJsonUint(vm.readFile("roles.json"), roleField(role, "delay_seconds"));
            manager.grantRole(role, THIEF, uint32(delay));
        }
    }

    function giveBack() private {
        for (uint64 role = Roles.POSTER; role <= Roles.REGISTRAR; ++role) {
            manager.revokeRole(role, THIEF);
        }
    }

    /// @return taken what a structure of the thief's gets within a day, whatever way the house funds one
    function fundFalseStructure(uint96 cap) private returns (uint256 taken) {
        address false_ = address(new FalseStructure(house));
        address h = address(house);
        attempt(h, abi.encodeCall(House.setStructure, (false_, true)));
        attempt(h, abi.encodeCall(House.fundRetention, (Retention(false_), Layer.SENIOR, cap, 0)));
        attempt(h, abi.encodeCall(House.restore, (Retention(false_), 1, cap, 0, 0)));
        attempt(h, abi.encodeCall(House.writeUp, (SeriesEscrow(false_), 1, 0, cap, 0)));
        attempt(h, abi.encodeCall(House.payCoupon, (SeriesEscrow(false_), 1, 0, cap, 0)));
        return usdc.balanceOf(false_);
    }

    function test_a_false_structure_takes_two_keys_of_a_deployment_and_gets_the_outflow_cap() public {
        uint96 cap = 150e6;
        house.setOutflowCap(cap);
        string[] memory keys = deployedKeys();
        uint256 pairs;
        for (uint256 i; i < keys.length; ++i) {
            for (uint256 j; j <= i; ++j) {
                steal(keys[i]);
                steal(keys[j]);
                skip(1 days); // what left before counts no more
                uint256 taken = fundFalseStructure(cap);
                giveBack();
                if (i == j) assertEq(taken, 0, keys[i]);
                assertTrue(taken == 0 || taken == cap, "the cap, or nothing");
                if (taken != 0) ++pairs;
            }
        }
        assertEq(pairs, 2, "the operator with whoever accepts structures, the onboarder and the structurer");
    }

    function test_of_the_keys_of_a_deployment_the_operators_alone_pays_an_outsider_after_two_days() public {
        string[] memory keys = deployedKeys();
        for (uint256 i; i < keys.length; ++i) {
            uint256 inHouse = usdc.balanceOf(address(house));
            uint256 began = time();
            steal(keys[i]);
            attempt(address(house), abi.encodeCall(House.payTreasury, (THIEF, inHouse, 0)));
            giveBack();
            bool paid = usdc.balanceOf(THIEF) != 0;
            assertTrue(paid == (keccak256(bytes(keys[i])) == keccak256("operator")), keys[i]);
            if (!paid) continue;
            assertEq(time() - began, 2 days, "the treasurer's delay");
            vm.prank(THIEF);
            usdc.transfer(address(house), inHouse);
        }
    }

    /// The client's key: its payout address stays for five days, and with it where the money goes.
    function test_a_stolen_client_key_pays_the_clients_own_address_for_five_days() public {
        vm.startPrank(client(0));
        vaults[0].requestExit();
        vaults[0].requestWithdraw(type(uint96).max);
        vaults[0].proposePayout(THIEF);
        vm.stopPrank();
        skip(5 days - 1);
        vaults[0].withdraw();
        assertEq(usdc.balanceOf(payoutOf(0)), 5_000e6, "the client's");
        assertEq(usdc.balanceOf(THIEF), 0, "the thief's");
    }

    function test_the_approver_sends_nothing() public {
        vm.startPrank(approver());
        vm.expectRevert();
        house.beat();
        Movement[] memory none = new Movement[](0);
        bytes memory own = approve(1, none);
        vm.expectRevert();
        house.postBatch(1, 0, none, approver(), own);
        vm.stopPrank();
        assertEq(house.batchId(), 0, "nothing");
    }

    function test_nothing_is_disposed_of_before_a_desk_is_named() public {
        notice(vaults[0], 100e6, "evidence");
        skip(CURE);
        house.seize(vaults[0]);
        vm.expectRevert(HouseLog.OverDisposable.selector);
        house.dispose(1, 0);
    }
}
