// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

/// @title HouseBound: a contract that holds one token and knows one house
abstract contract HouseBound {
    /// @notice The one token held here.
    IERC20 public immutable token;
    /// @notice The settlement account this contract belongs to.
    address public immutable house;

    /// @notice The caller is not the house.
    error NotHouse();

    modifier onlyHouse() {
        if (msg.sender != house) revert NotHouse();
        _;
    }

    /// @param token_ the one token
    /// @param house_ the one house
    constructor(IERC20 token_, address house_) {
        (token, house) = (token_, house_);
    }
}

/// @title Structure: a HouseBound whose servicing acts are numbered, so that each is done once and a missed one shows
abstract contract Structure is HouseBound, AccessManaged {
    /// @notice Number of the last servicing act; the next must be one higher.
    uint64 public seq;

    /// @notice The act does not carry the next number, which is `want`.
    error BadSeq(uint64 want);
    /// @notice The cash that must have arrived before this call is not here.
    error CashMissing();

    function _next(uint64 seq_) internal {
        if (seq_ != seq + 1) revert BadSeq(seq + 1);
        seq = seq_;
    }

    /// @param owed what must be held at least, base units
    function _requireCash(uint256 owed) internal view {
        if (token.balanceOf(address(this)) < owed) revert CashMissing();
    }
}
