// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

/// @title Eligibility: who may hold notes, and until when
/// @notice One register for all notes. It knows addresses and dates, nothing of the persons behind them.
contract Eligibility is AccessManaged {
    /// @notice Unix seconds until which (inclusive) an account may hold notes; 0 is never.
    mapping(address account => uint40) public validUntil;

    /// @notice The account may hold notes until then.
    event EligibilitySet(address indexed account, uint40 validUntil);

    /// @param manager access manager
    constructor(address manager) AccessManaged(manager) {}

    /// @notice Set the same date for some accounts; a past date ends eligibility.
    function set(address[] calldata accounts, uint40 until) external restricted {
        for (uint256 i; i < accounts.length; ++i) {
            validUntil[accounts[i]] = until;
            emit EligibilitySet(accounts[i], until);
        }
    }

    /// @notice Whether the account may hold notes now.
    function eligible(address account) external view returns (bool) {
        return validUntil[account] >= block.timestamp;
    }
}
