// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Movement} from "../src/Movement.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Kind} from "../src/Terms.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {World} from "./World.sol";

/// @title Gas of settlement, measured on whole transactions (each outer call is one, with its calldata)
/// @notice The figures are the committed snapshot's to the last unit (snapshots/Settlement.json), and under their gates.
/// forge-config: default.isolate = true
contract GasTest is World {
    /// @dev An isolated vault cannot cost less: its account, its slot, its token balance, one event (settlement's floor).
    uint256 private constant FLOOR = 19_700;
    uint256 private constant BATCH = 200;

    MarginVault[] private vaults;

    function setUp() public {
        DemoUSDC usdc = newUSDC();
        buildHouse(usdc);
        usdc.mint(address(house), 1_000_000e6);
        for (uint256 i; i < BATCH; ++i) {
            vaults.push(openVault(i));
            usdc.mint(address(vaults[i]), 1_000e6);
            require(post(vaults[i], Kind.CREDIT, 1e6, 5e6), "warm up");
        }
    }

    function batchGas(Kind kind, uint256 size) private returns (uint256) {
        Movement[] memory movements = new Movement[](size);
        for (uint256 i; i < size; ++i) {
            movements[i] = Movement(
                vaults[i],
                kind,
                vaults[i].seq() + 1,
                kind == Kind.REQUIRE ? 0 : 1_234_567,
                7_654_321,
                keccak256(abi.encode(i))
            );
        }
        uint64 id = house.batchId() + 1;
        bytes memory approval = approve(id, movements);
        house.postBatch(id, 0, movements, approver(), approval);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        for (uint256 i; i < size; ++i) {
            assertEq(vaults[i].seq(), movements[i].seq, "settled");
        }
        return used;
    }

    function marginal(Kind kind) private returns (uint256) {
        batchGas(kind, 1);
        return (batchGas(kind, 101) - batchGas(kind, 1)) / 100;
    }

    function test_a_movement_costs_at_most_1_4_times_the_floor() public {
        (uint256 debit, uint256 credit, uint256 require_) =
            (marginal(Kind.DEBIT), marginal(Kind.CREDIT), marginal(Kind.REQUIRE));
        vm.snapshotValue("Settlement", "debit_gas_marginal", debit);
        vm.snapshotValue("Settlement", "credit_gas_marginal", credit);
        vm.snapshotValue("Settlement", "require_gas_marginal", require_);
        assertTrue(debit * 10 <= FLOOR * 14 && credit * 10 <= FLOOR * 14, "over 1.40 times the floor");
    }

    function test_200_movements_fit_in_5_6_million_gas() public {
        Movement[] memory movements = new Movement[](BATCH);
        for (uint256 i; i < BATCH; ++i) {
            Kind kind = i % 2 == 0 ? Kind.DEBIT : Kind.CREDIT;
            movements[i] =
                Movement(vaults[i], kind, vaults[i].seq() + 1, 1_234_567, 7_654_321, keccak256(abi.encode(i)));
        }
        uint64 id = house.batchId() + 1;
        bytes memory approval = approve(id, movements);
        house.postBatch(id, 0, movements, approver(), approval);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("Settlement", "batch_200_gas", used); // 100 DEBIT, 100 CREDIT
        assertTrue(used <= 5_600_000, "over 5.6 million");
    }
}
