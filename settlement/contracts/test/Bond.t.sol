// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {House} from "../src/House.sol";
import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {Schedule, SeriesLog} from "../src/SeriesLog.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {HouseBound, Structure} from "../src/HouseBound.sol";
import {BondWorld} from "./BondWorld.sol";

contract BondTest is BondWorld {
    function setUp() public {
        buildSeries();
    }

    // ----------------------------------------------------------------------------------------------- offering

    function test_an_investor_pays_and_is_delivered_in_one_act_within_its_allotment() public {
        allot(0, 0, 10e6);
        vm.prank(investor(0));
        vm.expectRevert(SeriesLog.ExceedsAllotment.selector);
        escrow.subscribe(0, 10e6 + 1);
        vm.prank(investor(0));
        escrow.subscribe(0, 4e6);
        assertEq(usdc.balanceOf(address(escrow)), 4e6, "paid");
        assertEq(notes[0].balanceOf(investor(0)), 4e6, "delivered");
        allot(0, 1, 200e6);
        vm.prank(investor(1));
        vm.expectRevert(SeriesLog.ExceedsPrincipal.selector);
        escrow.subscribe(0, 2 * JUNIOR - 4e6 + 1);
        vm.expectRevert(SeriesLog.NotCovered.selector);
        escrow.closeOffering();
    }

    function test_a_pulled_or_expired_offering_pays_everyone_back() public {
        subscribe(0, 0, 60e6);
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.expire();
        skip(7 days);
        vm.prank(address(0xBAD));
        escrow.expire();
        address[] memory who = new address[](1);
        who[0] = investor(0);
        register.set(who, 0); // no longer eligible, still paid back
        escrow.refund(0, investor(0));
        assertEq(usdc.balanceOf(investor(0)), 200e6, "paid back");
        assertEq(escrow.liabilities(), 0, "nothing owed");
        vm.expectRevert(abi.encodeWithSelector(SeriesLog.WrongPhase.selector, SeriesLog.Phase.PULLED));
        escrow.closeOffering();
    }

    // -------------------------------------------------------------------------------------------------- losses

    function test_a_loss_writes_its_own_slice_down_junior_first_and_pays_the_house() public {
        sell();
        uint256 before = usdc.balanceOf(address(house));
        lose(0, 50e6);
        assertEq(usdc.balanceOf(address(house)) - before, 50e6, "house");
        assertEq(outstanding(0, 0), 0, "junior of A is used up");
        assertEq(outstanding(0, 1), SENIOR - 10e6, "senior of A bears the rest");
        assertEq(outstanding(1, 0), JUNIOR, "B is untouched");
        assertEq(outstanding(1, 1), SENIOR, "B is untouched");
        assertEq(notes[0].principal(), JUNIOR, "class");
        assertEq(notes[0].factor(), 0.5e18, "factor");
        assertEq(notes[0].principalOf(investor(0)), 30e6, "three quarters of the class");
    }

    function test_notices_run_side_by_side_and_wait_for_the_challenge_period() public {
        sell();
        escrow.noticeLoss(1, 0, 30e6, "first");
        escrow.noticeLoss(2, 0, 70e6, "second");
        escrow.noticeLoss(3, 1, 5e6, "other slice");
        vm.expectRevert(SeriesLog.ExceedsPrincipal.selector);
        escrow.noticeLoss(4, 0, 1, "beyond the slice");
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.applyLoss(4, 1);
        skip(CHALLENGE);
        escrow.applyLoss(4, 2);
        escrow.cancelLoss(5, 3);
        escrow.applyLoss(6, 1);
        assertEq(escrow.slicePrincipal(0), 0, "A is used up");
        assertEq(escrow.slicePrincipal(1), JUNIOR + SENIOR, "B is untouched");
        vm.expectRevert(SeriesLog.NoNotice.selector);
        escrow.applyLoss(7, 1);
    }

    function test_a_challenge_is_heard_once_and_cannot_veto_for_ever() public {
        sell();
        escrow.noticeLoss(1, 0, 30e6, "evidence");
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.rule(1, 0);
        skip(CHALLENGE - 1);
        escrow.challenge(1);
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.challenge(1);
        skip(EXPERT);
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.applyLoss(2, 1);
        skip(1);
        escrow.applyLoss(2, 1);
        assertEq(outstanding(0, 0), 10e6, "no answer: the notice stands");
        escrow.noticeLoss(3, 0, 30e6, "evidence");
        escrow.challenge(3);
        vm.expectRevert(SeriesLog.ExceedsPrincipal.selector);
        escrow.rule(3, 30e6 + 1);
        escrow.rule(3, 4e6);
        escrow.applyLoss(4, 3);
        assertEq(outstanding(0, 0), 6e6, "the expert's answer binds");
        escrow.noticeLoss(5, 0, 6e6, "evidence");
        escrow.challenge(5);
        escrow.rule(5, 0);
        vm.expectRevert(SeriesLog.NoNotice.selector);
        escrow.applyLoss(6, 5);
    }

    function test_a_recovery_writes_up_senior_first_and_at_most_what_was_lost() public {
        sell();
        lose(0, 50e6);
        house.writeUp(escrow, next(), 0, 15e6, "recovery");
        assertEq(outstanding(0, 1), SENIOR, "senior first");
        assertEq(outstanding(0, 0), 5e6, "then junior");
        uint64 seq = next();
        vm.expectRevert(SeriesLog.ExceedsWrittenDown.selector);
        house.writeUp(escrow, seq, 0, 35e6 + 1, "recovery");
        vm.expectRevert(SeriesLog.ExceedsWrittenDown.selector);
        house.writeUp(escrow, seq, 1, 1, "slice B lost nothing");
        house.writeUp(escrow, seq, 0, 35e6, "recovery");
        assertEq(escrow.principal(), 200e6, "whole again");
        vm.expectRevert(HouseBound.NotHouse.selector);
        escrow.writeUp(seq + 1, 0, 1, "recovery");
    }

    function test_the_worked_example_of_a_six_million_tail() public {
        sell();
        lose(0, 40e6);
        assertEq(notes[0].principalOf(investor(1)), 10e6, "a quarter of what is left");
        house.writeUp(escrow, next(), 0, 16e6, "recovery");
        assertEq(outstanding(0, 0), 16e6, "40% of the junior slice");
    }

    // ------------------------------------------------------------------------------------------------ payments

    function test_coupons_go_to_the_units_held_when_paid_and_anyone_may_deliver() public {
        sell();
        house.payCoupon(escrow, 1, 0, 8e6, "first");
        vm.prank(investor(0));
        notes[0].transfer(investor(2), 60e6);
        house.payCoupon(escrow, 2, 0, 8e6, "second");
        vm.startPrank(address(0xBAD));
        assertEq(escrow.claim(0, investor(0)), 6e6, "the first coupon");
        assertEq(escrow.claim(0, investor(2)), 6e6, "the second");
        assertEq(escrow.claim(0, investor(1)), 4e6, "both");
        assertEq(escrow.claim(0, investor(1)), 0, "once");
        vm.stopPrank();
        assertEq(escrow.owedTotal(), 0, "all paid");
        assertEq(usdc.balanceOf(address(escrow)), 200e6, "principal untouched");
    }

    function test_a_repayment_names_its_slice_and_leaves_what_notices_need() public {
        sell();
        escrow.noticeLoss(1, 0, 50e6, "evidence");
        vm.expectRevert(SeriesLog.Reserved.selector);
        escrow.repay(2, 0, 0, 1, "junior is reserved");
        vm.expectRevert(SeriesLog.Reserved.selector);
        escrow.repay(2, 0, 1, SENIOR - 10e6 + 1, "ten of senior are reserved");
        escrow.repay(2, 0, 1, SENIOR - 10e6, "free");
        escrow.repay(3, 1, 0, JUNIOR, "another slice");
        skip(CHALLENGE);
        escrow.applyLoss(4, 1);
        assertEq(escrow.slicePrincipal(0), 0, "A");
        assertEq(outstanding(1, 1), SENIOR, "B senior");
        assertEq(escrow.claim(0, investor(0)), 30e6, "three quarters of the junior repayment");
    }

    function test_servicing_is_numbered_without_gap() public {
        sell();
        vm.expectRevert(abi.encodeWithSelector(Structure.BadSeq.selector, 1));
        escrow.noticeLoss(2, 0, 1, "evidence");
        escrow.noticeLoss(1, 0, 1, "evidence");
        vm.expectRevert(abi.encodeWithSelector(Structure.BadSeq.selector, 2));
        house.payCoupon(escrow, 1, 0, 1, "again");
    }

    function test_after_maturity_and_grace_anyone_releases_everything() public {
        sell();
        lose(0, 40e6);
        vm.warp(escrow.finalMaturity());
        escrow.noticeLoss(next(), 1, 10e6, "on the last day");
        skip(GRACE - 1);
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.mature();
        skip(1);
        vm.prank(address(0xBAD));
        escrow.mature();
        uint64 seq = next();
        vm.expectRevert(abi.encodeWithSelector(SeriesLog.WrongPhase.selector, SeriesLog.Phase.MATURED));
        escrow.applyLoss(seq, 3);
        assertEq(escrow.claim(0, investor(0)) + escrow.claim(0, investor(1)), 40e6, "junior");
        assertEq(escrow.claim(1, investor(1)) + escrow.claim(1, investor(2)), 120e6, "senior");
        house.writeUp(escrow, seq, 0, 8e6, "a late recovery");
        assertEq(escrow.claim(0, investor(0)), 6e6, "reaches those who bore the loss");
        assertEq(notes[0].redeemed() + notes[0].writtenDown() + notes[0].principal(), 80e6, "sum");
        vm.expectRevert(abi.encodeWithSelector(SeriesLog.WrongPhase.selector, SeriesLog.Phase.MATURED));
        escrow.noticeLoss(seq + 1, 1, 1, "too late");
    }

    function test_no_loss_is_noticed_after_final_maturity() public {
        sell();
        vm.warp(uint256(escrow.finalMaturity()) + 1);
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.noticeLoss(1, 0, 1, "late");
    }

    function test_a_schedule_that_cannot_be_decided_in_time_is_refused() public {
        Schedule memory s = Schedule(uint40(time() + 1), uint40(time() + 2), 10, 10, 20);
        vm.expectRevert(SeriesLog.BadSchedule.selector);
        new SeriesEscrow(usdc, address(house), s, address(manager)); // deployCode would hide the reason
        assertTrue(!deploys(s), "the artefact refuses it too");
        s.maturityGrace = 21;
        assertTrue(deploys(s), "one second more is enough");
    }

    function deploys(Schedule memory s) private returns (bool ok) {
        (ok,) = address(this).call(abi.encodeCall(this.put, (s)));
    }

    function put(Schedule calldata s) external {
        deploy("SeriesEscrow", abi.encode(usdc, house, s, manager));
    }

    // ---------------------------------------------------------------------------------------------------- fuzz

    /// Any loss, recovery, coupon and repayment: juniors first, cash covers what is owed, holders' shares add up.
    function testFuzz_life_of_a_series(uint96 loss, uint96 gain, uint96 coupon, uint96 repaid, uint96 moved) public {
        sell();
        uint96 whole = JUNIOR + SENIOR;
        lose(0, uint96(bound(loss, 1, whole)));
        check();
        house.payCoupon(escrow, next(), 0, uint96(bound(coupon, 0, 1_000e6)), "coupon");
        vm.prank(investor(0));
        notes[0].transfer(investor(2), bound(moved, 0, 60e6));
        check();
        uint256 lost = whole - escrow.slicePrincipal(0);
        house.writeUp(escrow, next(), 0, uint96(bound(gain, 1, lost)), "recovery");
        check();
        escrow.repay(next(), 1, 1, uint96(bound(repaid, 0, SENIOR)), "repayment");
        check();
        vm.warp(uint256(escrow.finalMaturity()) + GRACE);
        escrow.mature();
        for (uint256 i; i < 3; ++i) {
            escrow.claim(0, investor(i));
            escrow.claim(1, investor(i));
        }
        check();
        assertEq(escrow.principal(), 0, "all released");
        assertTrue(escrow.owedTotal() <= 6, "dust: less than one unit a holder and class");
    }

    function check() private view {
        assertTrue(usdc.balanceOf(address(escrow)) >= escrow.liabilities(), "covered");
        for (uint256 s; s < 2; ++s) {
            assertTrue(outstanding(s, 0) == 0 || outstanding(s, 1) <= SENIOR, "bounds");
            (, uint256 seniorLost) = escrow.position(s, 1);
            assertTrue(seniorLost == 0 || outstanding(s, 0) == 0, "senior untouched while junior is left");
        }
        for (uint256 t; t < 2; ++t) {
            uint256 shares;
            for (uint256 i; i < 3; ++i) {
                shares += notes[t].principalOf(investor(i));
            }
            assertTrue(shares <= notes[t].principal() && shares + 3 > notes[t].principal(), "shares");
            assertEq(outstanding(0, t) + outstanding(1, t), notes[t].principal(), "slices add up to the class");
            assertEq(
                notes[t].principal() + notes[t].writtenDown() + notes[t].redeemed(),
                notes[t].totalSupply(),
                "one number"
            );
        }
    }
}
