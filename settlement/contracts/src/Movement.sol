// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MarginVault} from "./MarginVault.sol";
import {Kind} from "./Terms.sol";

/// @notice One movement of one vault; see MarginVault.post.
struct Movement {
    MarginVault vault;
    Kind kind;
    uint32 seq;
    uint96 amount;
    uint96 required;
    bytes32 ref;
}
