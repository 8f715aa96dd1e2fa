// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Roles: ids of the roles in the access manager (0 is its administrator)
library Roles {
    /// @notice Sends batches and beats; a hot key. Can do nothing without an approver's signature but beat.
    uint64 internal constant POSTER = 1;
    /// @notice Signs batches, claims and emergency caps; sends nothing.
    uint64 internal constant APPROVER = 2;
    /// @notice Notices defaults, seizes, determines.
    uint64 internal constant DEFAULTS = 3;
    /// @notice Accepts vaults, retentions and escrows, under a delay.
    uint64 internal constant ONBOARDER = 4;
    /// @notice Moves the intermediary's own money out, under a delay.
    uint64 internal constant TREASURER = 5;
    /// @notice Sends seized tokens to the disposal desk, and nowhere else.
    uint64 internal constant DISPOSER = 6;
    /// @notice Publishes rulebooks, and records the amendments that clients signed.
    uint64 internal constant RULEMAKER = 7;
    /// @notice Changes the outflow cap at once, with an approver's signature.
    uint64 internal constant CAP_KEEPER = 8;
    /// @notice Services retentions and bond series: losses, coupons, repayments, write-ups.
    uint64 internal constant SERVICER = 9;
    /// @notice Sets up a bond series and allots its notes.
    uint64 internal constant STRUCTURER = 10;
    /// @notice Challenges a loss notice on behalf of investors.
    uint64 internal constant TRUSTEE = 11;
    /// @notice Rules on a challenged notice, within a bounded time.
    uint64 internal constant EXPERT = 12;
    /// @notice Freezes and enforces transfers of notes by court order, suspends transfers before a notice.
    uint64 internal constant ENFORCER = 13;
    /// @notice Keeps the register of eligible holders.
    uint64 internal constant REGISTRAR = 14;
}
