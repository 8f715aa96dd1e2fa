// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {House} from "../src/House.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Movement} from "../src/Movement.sol";
import {Kind} from "../src/Terms.sol";
import {World} from "./World.sol";

/// @notice Notes the least gas it was ever given.
contract GasProbe {
    address public immutable house;
    address public immutable token;
    uint256 public least = type(uint256).max;

    constructor(House house_) {
        (house, token) = (address(house_), address(house_.token()));
    }

    function post(Kind, uint32, uint96, uint96, bytes32) external {
        uint256 left = gasleft();
        if (left < least) least = left;
    }
}

/// @title What gas a movement is given, each batch a transaction of its own, in which nothing was touched before
/// forge-config: default.isolate = true
contract StarvationTest is World {
    function setUp() public {
        buildHouse(newUSDC());
    }

    /// However little gas the sender gives, a movement in a batch that stands had all of its share.
    function test_every_movement_is_given_its_gas() public {
        GasProbe probe = new GasProbe(house);
        probe.post{gas: house.MOVEMENT_GAS()}(Kind.REQUIRE, 1, 0, 0, 0);
        uint256 share = probe.least(); // what is left of exactly the promised gas when the probe looks
        house.setCreditLimit(MarginVault(address(probe)), 1);
        Movement[] memory movements = new Movement[](1);
        // Only the last movement can run short, and only one whose vault was not touched before costs a look-up.
        movements[0] = Movement(MarginVault(address(probe)), Kind.REQUIRE, 1, 0, 0, 0);
        uint256 stood;
        for (uint256 gas_ = 200_000; gas_ < 300_000; gas_ += 500) {
            bytes memory approval = approve(house.batchId() + 1, movements);
            try house.postBatch{gas: gas_}(house.batchId() + 1, 0, movements, approver(), approval) {
                ++stood;
            } catch {}
        }
        assertTrue(stood > 10 && stood < 190, "some stood and some were refused");
        assertEq(probe.least(), share, "less than its share");
    }
}
