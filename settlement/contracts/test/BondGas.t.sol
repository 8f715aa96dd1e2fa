// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {Schedule} from "../src/SeriesLog.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {BondWorld} from "./BondWorld.sol";

/// @title Gas of servicing a series, measured on whole transactions
/// @notice A loss and a coupon touch a few numbers whatever the number of holders; maturity of the largest series fits.
/// forge-config: default.isolate = true
contract BondGasTest is BondWorld {
    uint256 private constant HOLDERS = 1_000;
    /// @dev Half of a block of 60 million, so that the last act of a series can always be included.
    uint256 private constant HALF_A_BLOCK = 30_000_000;

    /// @return writeDown gas of applying a loss to both classes
    /// @return coupon gas of paying one
    function servicing(uint256 holders) private returns (uint256 writeDown, uint256 coupon) {
        buildSeries();
        usdc.mint(investor(0), 1_000e6);
        address[] memory list = new address[](holders);
        for (uint256 i; i < holders; ++i) {
            list[i] = address(uint160(0x500000 + i));
        }
        register.set(list, type(uint40).max);
        sell();
        for (uint256 i = 1; i < holders; ++i) {
            vm.prank(investor(0));
            notes[0].transfer(list[i], 1_000);
        }
        lose(0, 1e6);
        uint64 id = next();
        escrow.noticeLoss(id, 0, 50e6, "evidence");
        skip(CHALLENGE);
        uint64 seq = next();
        escrow.applyLoss(seq, id);
        writeDown = vm.lastCallGas().gasTotalUsed;
        house.payCoupon(escrow, seq + 1, 0, 10e6, "first"); // the first writes slots that were empty
        house.payCoupon(escrow, seq + 2, 0, 10e6, "coupon");
        coupon = vm.lastCallGas().gasTotalUsed;
    }

    function test_a_loss_and_a_coupon_cost_the_same_for_one_and_a_thousand_holders() public {
        (uint256 lossOfOne, uint256 couponOfOne) = servicing(1);
        (uint256 lossOfMany, uint256 couponOfMany) = servicing(HOLDERS);
        vm.snapshotValue("Settlement", "write_down_gas_1_holder", lossOfOne);
        vm.snapshotValue("Settlement", "write_down_gas_1000_holders", lossOfMany);
        vm.snapshotValue("Settlement", "coupon_gas_1_holder", couponOfOne);
        vm.snapshotValue("Settlement", "coupon_gas_1000_holders", couponOfMany);
        assertEq(lossOfMany, lossOfOne, "a loss");
        assertEq(couponOfMany, couponOfOne, "a coupon");
    }

    function test_the_largest_series_matures_within_half_a_block() public {
        buildSeries();
        Schedule memory schedule =
            Schedule(uint40(time() + 7 days), uint40(time() + 365 days), CHALLENGE, EXPERT, GRACE);
        SeriesEscrow large = SeriesEscrow(deploy("SeriesEscrow", abi.encode(usdc, house, schedule, manager)));
        wire(address(large), "SeriesEscrow");
        (uint256 classes, uint256 count) = (large.MAX_TRANCHES(), large.MAX_SLICES());
        TrancheNote[] memory list = new TrancheNote[](classes);
        uint96[] memory principal = new uint96[](classes);
        for (uint256 t; t < classes; ++t) {
            (list[t], principal[t]) = (newNote(address(large)), 1_000);
        }
        large.setNotes(list);
        for (uint256 s; s < count; ++s) {
            large.addSlice(bytes32(s), principal);
        }
        large.openOffering();
        vm.prank(investor(0));
        usdc.approve(address(large), type(uint256).max);
        (address[] memory who, uint256[] memory units) = (new address[](1), new uint256[](1));
        (who[0], units[0]) = (investor(0), 1_000 * count);
        for (uint256 t; t < classes; ++t) {
            large.allot(t, who, units);
            vm.prank(investor(0));
            large.subscribe(t, units[0]);
        }
        large.closeOffering();
        skip(365 days + GRACE + 7 days);
        vm.prank(address(0xBAD));
        large.mature();
        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("Settlement", "mature_gas_largest_series", used);
        assertTrue(used <= HALF_A_BLOCK, "over half a block");
    }
}
