// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title RollingLimit: how much of a daily allowance is still used up
/// @notice A used amount wears off in a straight line over one day, so there is no midnight at which a full allowance
/// may be spent twice. At no instant is more than `cap` in use; over any span of t seconds at most
/// cap * (1 + t / 1 day) can pass, so at most twice the cap in any 24 hours. Size caps with that in mind.
library RollingLimit {
    uint256 internal constant WINDOW = 1 days;

    /// @param used amount in use at time `since`, base units
    /// @param since unix seconds of the last change of `used`
    /// @param cap allowance of one day, base units
    /// @return amount in use now, base units, rounded up (against whoever spends)
    function usedNow(uint256 used, uint256 since, uint256 cap) internal view returns (uint256) {
        uint256 elapsed = block.timestamp - since;
        if (elapsed >= WINDOW) return 0;
        uint256 worn = (cap * elapsed) / WINDOW;
        return used > worn ? used - worn : 0;
    }
}
