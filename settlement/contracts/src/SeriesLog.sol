// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

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

    event NotesSet(address[] notes);
    event SliceAdded(uint256 indexed slice, bytes32 indexed relationship, uint96[] principal);
    event PhaseChanged(Phase phase);
    event Allotted(uint256 indexed tranche, address indexed investor, uint256 units);
    event Subscribed(uint256 indexed tranche, address indexed investor, uint256 units);
    event Refunded(uint256 indexed tranche, address indexed investor, uint256 units);
    event LossNoticed(
        uint64 indexed id,
        uint256 indexed slice,
        bytes32 indexed relationship,
        uint256 amount,
        bytes32 evidence,
        uint40 ready
    );
    event NoticeChallenged(uint64 indexed id, uint40 ready);
    event NoticeRuled(uint64 indexed id, uint256 amount);
    event LossCancelled(uint64 indexed seq, uint64 indexed id);
    event LossApplied(
        uint64 indexed seq,
        uint64 indexed id,
        uint256 indexed slice,
        bytes32 relationship,
        uint256 amount,
        uint256[] byTranche
    );
    event WrittenUp(
        uint64 indexed seq, uint256 indexed slice, bytes32 indexed evidence, uint256 amount, uint256[] byTranche
    );
    event CouponPaid(uint64 indexed seq, uint256 indexed tranche, uint256 amount, bytes32 indexed ref);
    event Repaid(uint64 indexed seq, uint256 indexed slice, uint256 indexed tranche, uint256 amount, bytes32 ref);
    event Matured(uint64 indexed seq, uint256 amount);
    event Paid(uint256 indexed tranche, address indexed holder, uint256 amount);

    error WrongPhase(Phase phase);
    error BadSchedule();
    error BadStructure();
    error BadSeq(uint64 want);
    error NotHouse();
    error NotReady();
    error NoNotice();
    error ExceedsAllotment();
    error ExceedsPrincipal();
    error ExceedsWrittenDown();
    error Reserved();
    error NotCovered();
    error CashMissing();
}
