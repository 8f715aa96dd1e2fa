// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Eligibility} from "./Eligibility.sol";
import {House} from "./House.sol";
import {Retention} from "./Retention.sol";
import {Roles} from "./Roles.sol";
import {SeriesEscrow} from "./SeriesEscrow.sol";
import {TrancheNote} from "./TrancheNote.sol";

/// @title RoleTable: which role may call which function, as data
/// @notice A deployment reads it and sets the access manager accordingly, and a check of a live deployment compares
/// the manager with it. A restricted function that stands in no row belongs to the administrator.
contract RoleTable {
    /// @param role who may call
    /// @param selectors what
    struct Row {
        uint64 role;
        bytes4[] selectors;
    }

    /// @param id the role
    /// @param label its name in the manager's log
    /// @param executionDelay seconds between scheduling and acting that a live deployment gives its members
    struct RoleInfo {
        uint64 id;
        string label;
        uint32 executionDelay;
    }

    /// @notice Every role, with the delay its members act under.
    function roles() external pure returns (RoleInfo[] memory list) {
        list = new RoleInfo[](14);
        list[0] = RoleInfo(Roles.POSTER, "POSTER", 0);
        list[1] = RoleInfo(Roles.APPROVER, "APPROVER", 0);
        list[2] = RoleInfo(Roles.DEFAULTS, "DEFAULTS", 0);
        list[3] = RoleInfo(Roles.ONBOARDER, "ONBOARDER", 1 days);
        list[4] = RoleInfo(Roles.TREASURER, "TREASURER", 2 days);
        list[5] = RoleInfo(Roles.DISPOSER, "DISPOSER", 0);
        list[6] = RoleInfo(Roles.RULEMAKER, "RULEMAKER", 0);
        list[7] = RoleInfo(Roles.CAP_KEEPER, "CAP_KEEPER", 0);
        list[8] = RoleInfo(Roles.SERVICER, "SERVICER", 0);
        list[9] = RoleInfo(Roles.STRUCTURER, "STRUCTURER", 0);
        list[10] = RoleInfo(Roles.TRUSTEE, "TRUSTEE", 0);
        list[11] = RoleInfo(Roles.EXPERT, "EXPERT", 0);
        list[12] = RoleInfo(Roles.ENFORCER, "ENFORCER", 1 days);
        list[13] = RoleInfo(Roles.REGISTRAR, "REGISTRAR", 0);
    }

    function house() external pure returns (Row[] memory rows) {
        rows = new Row[](8);
        rows[0] = _row(Roles.POSTER, House.postBatch.selector, House.beat.selector);
        rows[1] = Row(Roles.DEFAULTS, new bytes4[](5));
        rows[1].selectors[0] = House.noticeDefault.selector;
        rows[1].selectors[1] = House.raiseClaim.selector;
        rows[1].selectors[2] = House.withdrawNotice.selector;
        rows[1].selectors[3] = House.seize.selector;
        rows[1].selectors[4] = House.determine.selector;
        rows[2] = _row(Roles.ONBOARDER, House.setCreditLimit.selector, House.setStructure.selector);
        rows[3] = Row(Roles.TREASURER, new bytes4[](3));
        rows[3].selectors[0] = House.payTreasury.selector;
        rows[3].selectors[1] = House.setOutflowCap.selector;
        rows[3].selectors[2] = House.setDisposalDesk.selector;
        rows[4] = _row(Roles.DISPOSER, House.dispose.selector);
        rows[5] = _row(Roles.RULEMAKER, House.publishRulebook.selector);
        rows[6] = _row(Roles.CAP_KEEPER, House.setOutflowCapNow.selector);
        rows[7] = Row(Roles.SERVICER, new bytes4[](5));
        rows[7].selectors[0] = House.fundRetention.selector;
        rows[7].selectors[1] = House.restore.selector;
        rows[7].selectors[2] = House.writeUp.selector;
        rows[7].selectors[3] = House.payCoupon.selector;
        rows[7].selectors[4] = House.amend.selector;
    }

    function retention() external pure returns (Row[] memory rows) {
        rows = new Row[](2);
        rows[0] = _row(Roles.SERVICER, Retention.applyLoss.selector, Retention.note.selector);
        rows[1] = _row(Roles.TREASURER, Retention.release.selector);
    }

    function seriesEscrow() external pure returns (Row[] memory rows) {
        rows = new Row[](4);
        rows[0] = Row(Roles.STRUCTURER, new bytes4[](6));
        rows[0].selectors[0] = SeriesEscrow.setNotes.selector;
        rows[0].selectors[1] = SeriesEscrow.addSlice.selector;
        rows[0].selectors[2] = SeriesEscrow.openOffering.selector;
        rows[0].selectors[3] = SeriesEscrow.allot.selector;
        rows[0].selectors[4] = SeriesEscrow.closeOffering.selector;
        rows[0].selectors[5] = SeriesEscrow.pull.selector;
        rows[1] = Row(Roles.SERVICER, new bytes4[](4));
        rows[1].selectors[0] = SeriesEscrow.noticeLoss.selector;
        rows[1].selectors[1] = SeriesEscrow.cancelLoss.selector;
        rows[1].selectors[2] = SeriesEscrow.applyLoss.selector;
        rows[1].selectors[3] = SeriesEscrow.repay.selector;
        rows[2] = _row(Roles.TRUSTEE, SeriesEscrow.challenge.selector);
        rows[3] = _row(Roles.EXPERT, SeriesEscrow.rule.selector);
    }

    function trancheNote() external pure returns (Row[] memory rows) {
        rows = new Row[](1);
        rows[0] = Row(Roles.ENFORCER, new bytes4[](3));
        rows[0].selectors[0] = TrancheNote.forcedTransfer.selector;
        rows[0].selectors[1] = TrancheNote.setFrozenTokens.selector;
        rows[0].selectors[2] = TrancheNote.suspendTransfers.selector;
    }

    function eligibility() external pure returns (Row[] memory rows) {
        rows = new Row[](1);
        rows[0] = _row(Roles.REGISTRAR, Eligibility.set.selector);
    }

    function _row(uint64 role, bytes4 one) private pure returns (Row memory row) {
        row = Row(role, new bytes4[](1));
        row.selectors[0] = one;
    }

    function _row(uint64 role, bytes4 one, bytes4 two) private pure returns (Row memory row) {
        row = Row(role, new bytes4[](2));
        (row.selectors[0], row.selectors[1]) = (one, two);
    }
}
