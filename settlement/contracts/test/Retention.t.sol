// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {House} from "../src/House.sol";
import {Layer, Retention} from "../src/Retention.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {HouseLog} from "../src/HouseLog.sol";
import {HouseBound, Structure} from "../src/HouseBound.sol";
import {World} from "./World.sol";

contract RetentionTest is World {
    DemoUSDC private usdc;
    Retention private retention;

    function setUp() public {
        usdc = newUSDC();
        buildHouse(usdc);
        retention = newRetention(address(house));
        wire(address(retention), "Retention");
        house.setStructure(address(retention), true);
        usdc.mint(address(this), 100e6);
        usdc.mint(address(house), 145e6);
        house.fundRetention(retention, Layer.FIRST_LOSS, 15e6, "equity");
        house.fundRetention(retention, Layer.SENIOR, 30e6, "equity");
    }

    function newRetention(address house_) private returns (Retention) {
        return Retention(deploy("Retention", abi.encode(usdc, house_, bytes32("relationship"), manager)));
    }

    function held() private view returns (uint256) {
        uint256 both = retention.held(Layer.FIRST_LOSS) + retention.held(Layer.SENIOR);
        assertTrue(usdc.balanceOf(address(retention)) >= both, "backed");
        return both;
    }

    function test_money_is_set_aside_by_the_house_or_noted_once_it_has_arrived() public {
        house.fundRetention(retention, Layer.FIRST_LOSS, 5e6, "equity");
        usdc.transfer(address(retention), 2e6);
        retention.note(Layer.SENIOR, 2e6);
        assertEq(retention.held(Layer.FIRST_LOSS), 20e6, "first loss");
        assertEq(retention.held(Layer.SENIOR), 32e6, "senior");
        vm.expectRevert(Structure.CashMissing.selector);
        retention.note(Layer.SENIOR, 1);
        vm.expectRevert(HouseBound.NotHouse.selector);
        retention.noteFromHouse(Layer.SENIOR, 0);
    }

    function test_first_loss_is_used_up_before_the_senior_layer_and_goes_to_the_house() public {
        vm.expectRevert(Retention.OutOfOrder.selector);
        retention.applyLoss(1, 14e6, 1, "evidence");
        retention.applyLoss(1, 15e6, 10e6, "evidence");
        assertEq(usdc.balanceOf(address(house)), 125e6, "house");
        assertEq(held(), 20e6, "left");
        vm.expectRevert(abi.encodeWithSelector(Retention.Insufficient.selector, Layer.SENIOR));
        retention.applyLoss(2, 0, 20e6 + 1, "evidence");
    }

    function test_a_recovery_refills_the_senior_layer_first_and_no_more_than_was_lost() public {
        retention.applyLoss(1, 15e6, 10e6, "evidence");
        vm.expectRevert(Retention.OutOfOrder.selector);
        house.restore(retention, 2, 1e6, 9e6, "recovery");
        house.restore(retention, 2, 1e6, 10e6, "recovery");
        assertEq(retention.held(Layer.SENIOR), 30e6, "senior");
        assertEq(retention.held(Layer.FIRST_LOSS), 1e6, "first loss");
        vm.expectRevert(abi.encodeWithSelector(Retention.Insufficient.selector, Layer.FIRST_LOSS));
        house.restore(retention, 3, 14e6 + 1, 0, "recovery");
        assertEq(held(), 31e6, "held");
        vm.expectRevert(HouseBound.NotHouse.selector);
        retention.restore(3, 1, 0, "recovery");
    }

    function test_acts_are_numbered_without_gap() public {
        retention.applyLoss(1, 1, 0, "evidence");
        vm.expectRevert(abi.encodeWithSelector(Structure.BadSeq.selector, 2));
        retention.applyLoss(1, 1, 0, "evidence");
        vm.expectRevert(abi.encodeWithSelector(Structure.BadSeq.selector, 2));
        retention.release(3, 1, 0, "freed");
        retention.release(2, 1e6, 30e6, "freed");
        assertEq(held(), 14e6 - 1, "held");
    }

    function test_the_house_funds_accepted_structures_only() public {
        house.setStructure(address(retention), false);
        vm.expectRevert(HouseLog.NotAccepted.selector);
        house.fundRetention(retention, Layer.SENIOR, 1, "equity");
        Retention stranger = newRetention(address(this));
        vm.expectRevert(HouseLog.WrongHouse.selector);
        house.setStructure(address(stranger), true);
        house.setStructure(address(retention), true);
        skip(1 days);
        house.setOutflowCap(4e6);
        vm.expectRevert(HouseLog.OverOutflowCap.selector);
        house.fundRetention(retention, Layer.SENIOR, 4e6 + 1, "equity");
    }

    /// Whatever the order of losses and recoveries, the layers keep their order and the money is there.
    function testFuzz_layers_keep_their_order(uint96[10] memory amounts, bool[10] memory gains) public {
        for (uint256 i; i < 10; ++i) {
            uint96 amount = uint96(bound(amounts[i], 0, 20e6));
            uint64 seq = retention.seq() + 1;
            if (gains[i]) {
                uint96 senior = uint96(min(amount, retention.applied(Layer.SENIOR)));
                uint96 first = uint96(min(amount - senior, retention.applied(Layer.FIRST_LOSS)));
                house.restore(retention, seq, first, senior, "recovery");
            } else {
                uint96 first = uint96(min(amount, retention.held(Layer.FIRST_LOSS)));
                uint96 senior = uint96(min(amount - first, retention.held(Layer.SENIOR)));
                retention.applyLoss(seq, first, senior, "evidence");
            }
            assertTrue(retention.applied(Layer.SENIOR) == 0 || retention.held(Layer.FIRST_LOSS) == 0, "order");
            assertEq(held() + retention.applied(Layer.FIRST_LOSS) + retention.applied(Layer.SENIOR), 45e6, "sum");
        }
    }

    function min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
