// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TrancheNote} from "./TrancheNote.sol";

/// @notice The dates and periods of a series.
/// @param subscribeBy unix seconds after which anyone may pull an offering that was not closed
/// @param finalMaturity unix seconds after which no loss can be noticed
/// @param challengePeriod seconds between a notice and its write-down
/// @param expertPeriod seconds an expert has once a notice is challenged; then the notice stands as it was
/// @param maturityGrace seconds after final maturity when anyone may release what is left
struct Schedule {
    uint40 subscribeBy;
    uint40 finalMaturity;
    uint32 challengePeriod;
    uint32 expertPeriod;
    uint32 maturityGrace;
}

/// @title SeriesLog: what a series escrow reports and refuses
/// @notice Acts of servicing carry the escrow's running number, so that a missed one is seen as a gap.
abstract contract SeriesLog {
    enum Phase {
        STRUCTURING,
        OFFERING,
        ON_RISK,
        MATURED,
        PULLED
    }

    /// @notice The classes of notes, junior first.
    event NotesSet(TrancheNote[] notes);
    /// @notice A slice covers this relationship, with so much principal of each class.
    event SliceAdded(uint256 indexed slice, bytes32 indexed relationship, uint96[] principal);
    /// @notice The series entered another phase of its life.
    event PhaseChanged(Phase phase);
    /// @notice The investor may subscribe so many units of the class from now on.
    event Allotted(uint256 indexed tranche, address indexed investor, uint256 units);
    /// @notice The investor paid for units and has them.
    event Subscribed(uint256 indexed tranche, address indexed investor, uint256 units);
    /// @notice The investor of a pulled series was paid back.
    event Refunded(uint256 indexed tranche, address indexed investor, uint256 units);
    /// @notice A loss was noticed; undisputed it may be applied from `ready` on.
    event LossNoticed(
        uint64 indexed id,
        uint256 indexed slice,
        bytes32 indexed relationship,
        uint256 amount,
        bytes32 evidence,
        uint40 ready
    );
    /// @notice The notice was referred to the expert, who has until `ready`.
    event NoticeChallenged(uint64 indexed id, uint40 ready);
    /// @notice The expert ruled: `amount` may be applied, zero dropped the notice.
    event NoticeRuled(uint64 indexed id, uint256 amount);
    /// @notice The notice was taken back.
    event LossCancelled(uint64 indexed seq, uint64 indexed id);
    /// @notice The loss was written down in its slice and its cash went to the house.
    event LossApplied(
        uint64 indexed seq,
        uint64 indexed id,
        uint256 indexed slice,
        bytes32 relationship,
        uint256 amount,
        uint256[] byTranche
    );
    /// @notice A recovery was written up in its slice.
    event WrittenUp(
        uint64 indexed seq, uint256 indexed slice, bytes32 indexed evidence, uint256 amount, uint256[] byTranche
    );
    /// @notice A coupon was shared out among the class's units.
    event CouponPaid(uint64 indexed seq, uint256 indexed tranche, uint256 amount, bytes32 indexed ref);
    /// @notice Principal of one class in one slice was shared out.
    event Repaid(uint64 indexed seq, uint256 indexed slice, uint256 indexed tranche, uint256 amount, bytes32 ref);
    /// @notice All principal was shared out.
    event Matured(uint64 indexed seq, uint256 amount);
    /// @notice A holder was paid what its units had earned.
    event Paid(uint256 indexed tranche, address indexed holder, uint256 amount);

    /// @notice Not in this phase of the series' life.
    error WrongPhase(Phase phase);
    /// @notice The dates do not follow each other, or leave a notice no time.
    error BadSchedule();
    /// @notice No such slice or class, or the structure is not whole.
    error BadStructure();
    /// @notice Too early, or too late.
    error NotReady();
    /// @notice No such notice is pending.
    error NoNotice();
    /// @notice More units than the investor may subscribe, or none.
    error ExceedsAllotment();
    /// @notice More than is outstanding there.
    error ExceedsPrincipal();
    /// @notice More than was written down, or nothing.
    error ExceedsWrittenDown();
    /// @notice Pending notices need this principal.
    error Reserved();
    /// @notice A class is not subscribed in full.
    error NotCovered();
}
