// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @notice The bilateral terms a vault's address commits to: they are its code's arguments and their hash its salt.
/// @param relationship hash of the off-chain relationship id
/// @param agreement hash of the master agreement both sides signed
/// @param client authority over everything the client may do (key, Safe or other ERC-1271 account)
/// @param payout first destination of the client's money
/// @param debitCap most that variation margin may take within a day, base units (see RollingLimit)
/// @param maxRequired highest requirement the operator can post, base units
/// @param answerPeriod seconds the operator has to answer a withdrawal request
/// @param exitPeriod seconds the operator has to close out after an exit request
/// @param curePeriod seconds the client has to cure after a default notice
struct Terms {
    bytes32 relationship;
    bytes32 agreement;
    address client;
    address payout;
    uint96 debitCap;
    uint96 maxRequired;
    uint32 answerPeriod;
    uint32 exitPeriod;
    uint32 curePeriod;
}

/// @notice What a movement does. REQUIRE moves no cash; CREDIT house to vault (the house sends the cash in the same
/// call); DEBIT vault to house (variation margin); RETURN vault to the client's payout address.
enum Kind {
    REQUIRE,
    CREDIT,
    DEBIT,
    RETURN
}
