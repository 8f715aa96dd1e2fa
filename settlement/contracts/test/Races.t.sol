// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {SeriesLog} from "../src/SeriesLog.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {BondWorld} from "./BondWorld.sol";
import {NastyToken} from "./Tokens.sol";

/// @title Acts on notes that meet: write-down with transfer, claim and maturity; rounding at 0, 1 and the largest sums
contract RacesTest is BondWorld {
    NastyToken private nasty;

    function newUSDC() internal override returns (DemoUSDC) {
        return DemoUSDC(address(nasty = new NastyToken()));
    }

    function setUp() public {
        buildSeries();
        sell();
    }

    function test_a_write_down_falls_on_whoever_holds_the_units_in_either_order() public {
        vm.prank(investor(0));
        notes[0].transfer(investor(3), 30e6);
        lose(0, 20e6);
        uint256 before = notes[0].principalOf(investor(3));
        vm.prank(investor(0));
        notes[0].transfer(investor(3), 30e6);
        assertEq(before, 22_500_000, "30 of 80 units carry 30/80 of the 60 left");
        assertEq(notes[0].principalOf(investor(3)), 45e6, "units bought after the loss carry it too");
        assertEq(notes[0].principalOf(investor(0)), 0, "the seller has none");
    }

    function test_a_write_down_leaves_what_was_earned_before_it() public {
        house.payCoupon(escrow, next(), 0, 8e6, "coupon");
        uint256 earned = notes[0].claimable(investor(0));
        lose(0, JUNIOR);
        lose(1, JUNIOR);
        assertEq(notes[0].principal(), 0, "the class is gone");
        assertEq(notes[0].claimable(investor(0)), earned, "its coupon is not");
        assertEq(escrow.claim(0, investor(0)), 6e6, "paid");
        assertEq(escrow.claim(0, investor(0)), 0, "once");
    }

    function test_a_loss_noticed_on_the_last_day_is_decided_before_anyone_can_mature() public {
        vm.warp(escrow.finalMaturity());
        escrow.noticeLoss(1, 0, 30e6, "evidence");
        skip(CHALLENGE - 1);
        escrow.challenge(1);
        skip(EXPERT + 1);
        vm.expectRevert(SeriesLog.NotReady.selector);
        escrow.mature();
        escrow.applyLoss(2, 1);
        vm.warp(uint256(escrow.finalMaturity()) + GRACE);
        vm.prank(address(0xBAD));
        escrow.mature();
        assertEq(notes[0].claimable(investor(0)), 37_500_000, "three quarters of what the loss left of 80");
        vm.expectRevert(abi.encodeWithSelector(SeriesLog.WrongPhase.selector, SeriesLog.Phase.MATURED));
        escrow.noticeLoss(4, 0, 1, "too late");
    }

    function test_a_notice_that_was_not_applied_lapses_with_maturity() public {
        vm.warp(escrow.finalMaturity());
        escrow.noticeLoss(1, 0, 30e6, "evidence");
        skip(GRACE);
        escrow.mature();
        vm.expectRevert(abi.encodeWithSelector(SeriesLog.WrongPhase.selector, SeriesLog.Phase.MATURED));
        escrow.applyLoss(3, 1);
        assertEq(escrow.owedTotal(), 200e6, "all of it is the holders'");
    }

    function test_a_recovery_after_maturity_reaches_holders_and_what_is_transferred_before_stays_earned() public {
        lose(0, 30e6);
        vm.warp(uint256(escrow.finalMaturity()) + GRACE);
        escrow.mature();
        vm.prank(investor(0));
        notes[0].transfer(investor(3), 60e6);
        house.writeUp(escrow, next(), 0, 20e6, "recovery");
        assertEq(escrow.claim(0, investor(0)), 37_500_000, "maturity is the seller's");
        assertEq(escrow.claim(0, investor(3)), 15e6, "the recovery is the buyer's");
    }

    function test_a_reentrant_token_cannot_claim_subscribe_or_be_refunded_twice() public {
        house.payCoupon(escrow, next(), 0, 8e6, "coupon");
        nasty.setReentry(address(escrow), abi.encodeCall(SeriesEscrow.claim, (0, investor(0))));
        escrow.claim(0, investor(0));
        assertEq(nasty.balanceOf(investor(0)), 140e6 + 6e6, "once");
        assertEq(escrow.owedTotal(), 2e6, "what the other holder is owed");
        uint64 seq = next();
        escrow.noticeLoss(seq, 0, 30e6, "evidence");
        skip(CHALLENGE);
        nasty.setReentry(address(escrow), abi.encodeCall(SeriesEscrow.claim, (0, investor(1))));
        escrow.applyLoss(seq + 1, seq);
        assertTrue(nasty.balanceOf(address(escrow)) >= escrow.liabilities(), "covered");
    }

    function test_a_token_with_a_fee_cannot_be_subscribed_or_written_up_short() public {
        lose(0, 30e6);
        nasty.setFee(100);
        uint64 seq = next();
        vm.expectRevert();
        house.writeUp(escrow, seq, 0, 20e6, "recovery");
        vm.expectRevert();
        house.payCoupon(escrow, seq, 0, 8e6, "coupon");
        nasty.setFee(0);
        house.writeUp(escrow, seq, 0, 20e6, "recovery");
    }

    /// Nobody is paid more than was shared out, and at most one base unit a holder stays behind.
    function testFuzz_rounding(uint96 supply, uint96 held, uint96[4] memory amounts) public {
        supply = supply < 4 ? 4 : supply;
        held = uint96(bound(held, 1, supply - 1));
        TrancheNote note = newNote(address(this));
        note.mint(investor(0), held);
        note.mint(investor(1), supply - held);
        uint256 shared;
        for (uint256 i; i < 4; ++i) {
            note.distribute(amounts[i], false, 0);
            shared += amounts[i];
        }
        uint256 paid = note.take(investor(0)) + note.take(investor(1));
        assertTrue(paid <= shared && paid + 2 >= shared, "cash");
        uint256 loss = amounts[0] % (uint256(supply) + 1);
        note.writeDown(loss);
        uint256 shares = note.principalOf(investor(0)) + note.principalOf(investor(1));
        assertTrue(shares <= supply - loss && shares + 2 > supply - loss, "principal");
    }

    function test_one_unit_and_the_largest_sum_are_shared_out_exactly() public {
        TrancheNote note = newNote(address(this));
        note.mint(investor(0), 1);
        note.distribute(0, false, 0);
        assertEq(note.take(investor(0)), 0, "nothing of nothing");
        note.distribute(type(uint96).max, false, 0);
        assertEq(note.take(investor(0)), type(uint96).max, "all of it");
        note.mint(investor(1), type(uint96).max);
        for (uint256 i; i < 3; ++i) {
            note.distribute(1, false, 0);
        }
        assertTrue(note.take(investor(1)) <= 3, "no more than was shared");
    }
}
