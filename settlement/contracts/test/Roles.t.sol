// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Eligibility} from "../src/Eligibility.sol";
import {House} from "../src/House.sol";
import {Retention} from "../src/Retention.sol";
import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {Roles} from "./Roles.sol";
import {World} from "./World.sol";

/// @notice The table of roles, written out a second time by hand, and what a wired manager makes of it.
contract RolesTest is World {
    uint256 private rowsSeen;

    function setUp() public {
        buildHouse(newUSDC());
    }

    function expect(Row[] memory rows, bytes4 selector, uint64 role) private {
        for (uint256 i; i < rows.length; ++i) {
            for (uint256 j; j < rows[i].selectors.length; ++j) {
                if (rows[i].selectors[j] == selector) {
                    assertEq(rows[i].role, role, "role of a function");
                    ++rowsSeen;
                    return;
                }
            }
        }
        assertTrue(false, "a restricted function stands in no row");
    }

    function count(Row[] memory rows) private pure returns (uint256 total) {
        for (uint256 i; i < rows.length; ++i) {
            for (uint256 j; j < rows[i].selectors.length; ++j) {
                assertTrue(rows[i].selectors[j] != bytes4(0), "an empty selector");
                ++total;
            }
        }
    }

    function test_every_restricted_function_of_the_house_has_its_role() public {
        Row[] memory rows = roleRows("House");
        expect(rows, House.postBatch.selector, 1);
        expect(rows, House.beat.selector, 1);
        expect(rows, House.noticeDefault.selector, 3);
        expect(rows, House.raiseClaim.selector, 3);
        expect(rows, House.withdrawNotice.selector, 3);
        expect(rows, House.seize.selector, 3);
        expect(rows, House.determine.selector, 3);
        expect(rows, House.setCreditLimit.selector, 4);
        expect(rows, House.setStructure.selector, 4);
        expect(rows, House.payTreasury.selector, 5);
        expect(rows, House.setOutflowCap.selector, 5);
        expect(rows, House.setDisposalDesk.selector, 5);
        expect(rows, House.dispose.selector, 6);
        expect(rows, House.publishRulebook.selector, 7);
        expect(rows, House.setOutflowCapNow.selector, 8);
        expect(rows, House.fundRetention.selector, 9);
        expect(rows, House.restore.selector, 9);
        expect(rows, House.writeUp.selector, 9);
        expect(rows, House.payCoupon.selector, 9);
        expect(rows, House.amend.selector, 7);
        assertEq(rowsSeen, count(rows), "no other function");
    }

    function test_every_restricted_function_of_bonds_and_retentions_has_its_role() public {
        expect(roleRows("Retention"), Retention.applyLoss.selector, 9);
        expect(roleRows("Retention"), Retention.note.selector, 9);
        expect(roleRows("Retention"), Retention.release.selector, 5);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.setNotes.selector, 10);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.addSlice.selector, 10);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.openOffering.selector, 10);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.allot.selector, 10);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.closeOffering.selector, 10);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.pull.selector, 10);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.noticeLoss.selector, 9);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.cancelLoss.selector, 9);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.applyLoss.selector, 9);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.repay.selector, 9);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.challenge.selector, 11);
        expect(roleRows("SeriesEscrow"), SeriesEscrow.rule.selector, 12);
        expect(roleRows("TrancheNote"), TrancheNote.forcedTransfer.selector, 13);
        expect(roleRows("TrancheNote"), TrancheNote.setFrozenTokens.selector, 13);
        expect(roleRows("TrancheNote"), TrancheNote.suspendTransfers.selector, 13);
        expect(roleRows("Eligibility"), Eligibility.set.selector, 14);
        uint256 all = count(roleRows("Retention")) + count(roleRows("SeriesEscrow")) + count(roleRows("TrancheNote"))
            + count(roleRows("Eligibility"));
        assertEq(rowsSeen, all, "no other function");
    }

    function test_delays_of_a_live_deployment() public view {
        string memory json = vm.readFile("roles.json");
        for (uint64 id = Roles.POSTER; id <= Roles.REGISTRAR; ++id) {
            uint256 delay = 0;
            if (id == Roles.TREASURER) delay = 2 days;
            if (id == Roles.ONBOARDER || id == Roles.ENFORCER) delay = 1 days;
            assertEq(vm.parseJsonUint(json, roleField(id, "id")), id, "ids run from 1");
            assertEq(vm.parseJsonUint(json, roleField(id, "delay_seconds")), delay, "delay");
        }
        assertEq(house.APPROVER_ROLE(), Roles.APPROVER, "the one role the house names itself");
    }

    function test_the_manager_is_wired_as_the_table_says_and_a_stranger_may_nothing() public view {
        Row[] memory rows = roleRows("House");
        for (uint256 i; i < rows.length; ++i) {
            for (uint256 j; j < rows[i].selectors.length; ++j) {
                bytes4 selector = rows[i].selectors[j];
                assertEq(manager.getTargetFunctionRole(address(house), selector), rows[i].role, "wired");
                (bool allowed, uint32 delay) = manager.canCall(address(0xBAD), address(house), selector);
                assertTrue(!allowed && delay == 0, "a stranger");
            }
        }
    }
}
