// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MarginVault} from "../src/MarginVault.sol";
import {Kind, Terms} from "../src/Terms.sol";
import {VaultFactory} from "../src/VaultFactory.sol";
import {DemoUSDC, DemoWBTC} from "../src/demo/DemoTokens.sol";
import {VaultLog} from "../src/VaultLog.sol";
import {HouseBound} from "../src/HouseBound.sol";
import {World} from "./World.sol";

contract VaultTest is World {
    DemoUSDC private usdc;
    MarginVault private vault;

    function setUp() public {
        usdc = newUSDC();
        buildHouse(usdc);
        usdc.mint(address(house), 1_000_000e6);
        vault = openVault(0);
        usdc.mint(address(vault), 5_000e6);
    }

    // ------------------------------------------------------------------------------------------------ address

    function test_the_address_commits_to_the_terms_and_can_be_funded_before_it_opens() public {
        Terms memory terms = termsOf(7);
        address predicted = factory.predict(terms);
        usdc.mint(predicted, 1e6);
        vm.prank(address(0xBAD));
        assertTrue(factory.open(terms) == predicted, "address");
        terms.debitCap += 1;
        assertTrue(factory.predict(terms) != predicted, "another term, another address");
        vm.expectRevert();
        factory.open(termsOf(7));
        assertTrue(keccak256(abi.encode(MarginVault(predicted).terms())) == keccak256(abi.encode(termsOf(7))), "terms");
    }

    function test_terms_that_would_overflow_are_refused_before_anybody_funds_them() public {
        Terms memory terms = termsOf(7);
        terms.maxRequired = uint96(type(uint80).max) + 1;
        vm.expectRevert(VaultFactory.BadTerms.selector);
        factory.predict(terms);
        terms = termsOf(7);
        terms.exitPeriod = 366 days;
        vm.expectRevert(VaultFactory.BadTerms.selector);
        factory.open(terms);
        terms = termsOf(7);
        terms.payout = address(0);
        vm.expectRevert(VaultFactory.BadTerms.selector);
        factory.open(terms);
    }

    function test_a_cure_period_of_fifteen_minutes_is_allowed() public {
        Terms memory terms = termsOf(7);
        terms.curePeriod = 900;
        MarginVault short = MarginVault(factory.open(terms));
        usdc.mint(address(short), 100e6);
        notice(short, 60e6, "evidence");
        skip(900);
        assertEq(house.seize(short), 60e6, "seized");
    }

    // ---------------------------------------------------------------------------------------------- movements

    function test_only_the_house_writes_and_only_the_client_asks() public {
        vm.expectRevert(HouseBound.NotHouse.selector);
        vault.post(Kind.DEBIT, 1, 1, 0, 0);
        vm.expectRevert(HouseBound.NotHouse.selector);
        vault.seize();
        vm.expectRevert(HouseBound.NotHouse.selector);
        vault.noticeDefault(1, 0);
        vm.expectRevert(VaultLog.NotClient.selector);
        vault.requestWithdraw(1);
        vm.expectRevert(VaultLog.NotClient.selector);
        vault.requestExit();
        vm.expectRevert(VaultLog.NotClient.selector);
        vault.cure();
        vm.expectRevert(VaultLog.NotClient.selector);
        vault.proposePayout(address(this));
    }

    function test_a_movement_is_taken_exactly_once() public {
        vm.startPrank(address(house));
        vault.post(Kind.REQUIRE, 1, 0, 5, 0);
        vm.expectRevert(abi.encodeWithSelector(VaultLog.BadSeq.selector, 2, 1));
        vault.post(Kind.REQUIRE, 1, 0, 5, 0);
        vm.expectRevert(abi.encodeWithSelector(VaultLog.BadSeq.selector, 2, 3));
        vault.post(Kind.REQUIRE, 3, 0, 5, 0);
    }

    function test_a_return_goes_to_the_payout_address() public {
        assertTrue(post(vault, Kind.RETURN, 40e6, 0), "settled");
        assertEq(usdc.balanceOf(payoutOf(0)), 40e6, "payout");
    }

    function test_the_requirement_is_capped() public {
        assertTrue(!post(vault, Kind.REQUIRE, 0, MAX_REQUIRED + 1), "above the cap");
        assertTrue(post(vault, Kind.REQUIRE, 0, MAX_REQUIRED), "at the cap");
        assertEq(vault.locked(), MAX_REQUIRED, "locked");
    }

    function test_the_debit_cap_has_no_midnight() public {
        assertTrue(post(vault, Kind.DEBIT, DEBIT_CAP, 0), "the whole cap at once");
        assertTrue(!post(vault, Kind.DEBIT, 1, 0), "no more at once");
        skip(12 hours);
        assertTrue(!post(vault, Kind.DEBIT, DEBIT_CAP / 2 + 1, 0), "half is worn off, not more");
        assertTrue(post(vault, Kind.DEBIT, DEBIT_CAP / 2, 0), "half is worn off");
        skip(1 days);
        assertTrue(post(vault, Kind.DEBIT, DEBIT_CAP, 0), "a day later all of it");
    }

    /// Over any span of t seconds at most cap * (1 + t / day) passes, whatever the pattern.
    function testFuzz_debits_stay_within_the_rolling_bound(uint96[8] memory amounts, uint32[8] memory waits) public {
        uint256 start = time();
        uint256 passed;
        for (uint256 i; i < 8; ++i) {
            skip(waits[i] % 9 hours);
            uint96 amount = uint96(bound(amounts[i], 0, DEBIT_CAP));
            if (post(vault, Kind.DEBIT, amount, 0)) passed += amount;
            assertTrue(passed <= DEBIT_CAP + (uint256(DEBIT_CAP) * (time() - start)) / 1 days, "bound");
        }
    }

    // ------------------------------------------------------------------------------------------------ freedom

    function test_what_is_free_leaves_after_the_answer_period_whoever_calls() public {
        post(vault, Kind.REQUIRE, 0, 4_000e6);
        vm.prank(client(0));
        vault.requestWithdraw(3_000e6);
        vm.expectRevert(VaultLog.NotReady.selector);
        vault.withdraw();
        skip(ANSWER);
        vm.prank(address(0xBAD));
        assertEq(vault.withdraw(), 1_000e6, "what is free");
        assertEq(usdc.balanceOf(payoutOf(0)), 1_000e6, "to the payout address");
        vm.expectRevert(VaultLog.NothingToPay.selector);
        vault.withdraw();
        usdc.mint(address(vault), 500e6);
        assertEq(vault.withdraw(), 500e6, "the rest of the request is still alive");
    }

    function test_an_old_request_does_not_let_the_client_drain_before_a_debit() public {
        vm.prank(client(0));
        vault.requestWithdraw(type(uint96).max);
        skip(ANSWER + 7 days);
        house.beat();
        vm.expectRevert(VaultLog.NotReady.selector);
        vault.withdraw();
    }

    function test_a_silent_operator_locks_nothing() public {
        post(vault, Kind.REQUIRE, 0, MAX_REQUIRED);
        skip(6 days);
        vm.prank(client(0));
        vault.requestWithdraw(type(uint96).max);
        skip(1 days);
        assertEq(vault.free(), 0, "not yet silent");
        skip(1);
        assertEq(vault.withdraw(), 5_000e6, "all of it");
    }

    function test_closing_the_house_is_the_same_as_silence() public {
        post(vault, Kind.REQUIRE, 0, MAX_REQUIRED);
        manager.setTargetClosed(address(house), true);
        vm.expectRevert();
        house.beat();
        skip(7 days + 1);
        vm.prank(client(0));
        vault.requestWithdraw(type(uint96).max);
        skip(ANSWER);
        assertEq(vault.withdraw(), 5_000e6, "all of it");
    }

    function test_an_exit_frees_all_and_ends_debits() public {
        post(vault, Kind.REQUIRE, 0, MAX_REQUIRED);
        vm.prank(client(0));
        vault.requestExit();
        skip(EXIT - 1);
        house.beat();
        assertTrue(post(vault, Kind.DEBIT, 1e6, MAX_REQUIRED), "before it matures");
        assertEq(vault.free(), 0, "before it matures");
        skip(1);
        assertTrue(!post(vault, Kind.DEBIT, 1e6, MAX_REQUIRED), "a debit after a matured exit");
        vm.expectRevert(VaultLog.ExitMatured.selector);
        vm.prank(address(house));
        vault.noticeDefault(1, 0);
        assertEq(vault.withdraw(), 4_999e6, "all of it, without a request");
    }

    function test_an_exit_can_be_taken_back() public {
        post(vault, Kind.REQUIRE, 0, 5_000e6);
        vm.startPrank(client(0));
        vault.requestExit();
        vm.expectRevert(VaultLog.NotReady.selector);
        vault.requestExit();
        vault.cancelExit();
        vm.stopPrank();
        skip(EXIT);
        house.beat();
        assertEq(vault.locked(), 5_000e6, "locked again");
    }

    function test_the_payout_address_changes_after_five_days_only() public {
        vm.prank(client(0));
        vault.proposePayout(address(0xABC));
        skip(5 days - 1);
        vm.prank(client(0));
        vm.expectRevert(VaultLog.NotReady.selector);
        vault.applyPayout();
        assertTrue(vault.payout() == payoutOf(0), "unchanged");
        skip(1);
        vm.prank(client(0));
        vault.applyPayout();
        assertTrue(vault.payout() == address(0xABC), "changed");
    }

    function test_foreign_tokens_go_to_the_client_and_the_own_token_does_not() public {
        DemoWBTC wbtc = DemoWBTC(deploy("DemoWBTC", abi.encode(this)));
        wbtc.mint(address(vault), 3);
        vault.returnForeignToken(wbtc);
        assertEq(wbtc.balanceOf(payoutOf(0)), 3, "returned");
        vm.expectRevert(VaultLog.OwnToken.selector);
        vault.returnForeignToken(usdc);
    }

    // ------------------------------------------------------------------------------------------------ default

    function test_a_notice_locks_the_claim_and_the_client_may_cure() public {
        post(vault, Kind.REQUIRE, 0, 100e6);
        notice(vault, 300e6, "evidence");
        assertEq(vault.locked(), 300e6, "locked");
        uint256 before = usdc.balanceOf(address(house));
        vm.prank(client(0));
        vault.cure();
        assertEq(usdc.balanceOf(address(house)) - before, 300e6, "paid");
        assertEq(vault.locked(), 100e6, "locked after the cure");
        notice(vault, 50e6, "another"); // a cured notice may be followed at once
        assertTrue(vault.noticeLive(), "live");
    }

    function test_a_seizure_waits_for_the_cure_period_and_takes_the_claim_at_most() public {
        post(vault, Kind.REQUIRE, 0, 1_000e6);
        notice(vault, 300e6, "evidence");
        skip(CURE - 1);
        vm.expectRevert(VaultLog.NotReady.selector);
        house.seize(vault);
        skip(1);
        assertEq(house.seize(vault), 300e6, "the claim");
        assertEq(house.disposable(), 300e6, "may be disposed of");
        assertEq(vault.locked(), 1_000e6, "the requirement stays locked until determination");
        vm.expectRevert(VaultLog.NothingToPay.selector);
        house.seize(vault);
        raise(vault, 450e6, "close-out cost more");
        assertEq(house.seize(vault), 150e6, "the raise");
        house.determine(vault);
        assertEq(vault.locked(), 0, "the rest is free");
        assertEq(vault.withdraw(), 4_550e6, "the rest is the client's");
        skip(60 days);
        vm.expectRevert(VaultLog.ExitMatured.selector);
        vm.prank(address(house));
        vault.noticeDefault(1, 0);
    }

    function test_the_rest_is_free_at_the_hard_time_limit_without_a_determination() public {
        post(vault, Kind.REQUIRE, 0, 1_000e6);
        notice(vault, 300e6, "evidence");
        skip(CURE);
        house.seize(vault);
        skip(5 days);
        house.beat();
        assertEq(vault.locked(), 0, "free");
        vm.expectRevert(VaultLog.NoNotice.selector);
        house.seize(vault);
    }

    function test_a_lapsed_notice_cannot_be_renewed_for_thirty_days() public {
        notice(vault, 300e6, "evidence");
        skip(CURE + 5 days);
        house.beat();
        assertEq(vault.locked(), 0, "lapsed");
        bytes32 digest = house.claimDigest(vault, 1, 0);
        bytes memory approval = signature(APPROVER_KEY, digest);
        vm.expectRevert(VaultLog.NotReady.selector);
        house.noticeDefault(vault, 1, 0, approver(), approval);
        skip(30 days - 1);
        vm.expectRevert(VaultLog.NotReady.selector);
        house.noticeDefault(vault, 1, 0, approver(), approval);
        skip(1);
        house.noticeDefault(vault, 1, 0, approver(), approval);
    }

    function test_a_withdrawn_notice_can_be_renewed_at_once_for_what_was_left_of_it() public {
        notice(vault, 300e6, "evidence");
        skip(1 days);
        house.withdrawNotice(vault);
        vm.expectRevert(VaultLog.NoNotice.selector);
        house.withdrawNotice(vault);
        vm.prank(client(0));
        vault.requestExit();
        skip(EXIT - 1);
        house.beat();
        notice(vault, 400e6, "the next, before the exit");
        (, MarginVault.Cold memory cold,) = vault.state();
        assertEq(cold.cureBy, time() + CURE, "the cure period is whole");
        assertEq(cold.lapsesAt, time() + CURE + 4 days, "one day of the first notice is spent");
        skip(CURE);
        assertEq(house.seize(vault), 400e6, "seized");
    }

    function test_notices_withdrawn_and_renewed_lock_no_longer_than_one() public {
        uint256 lockedFor;
        notice(vault, 300e6, "evidence");
        for (uint256 i; i < 3; ++i) {
            skip(2 days);
            lockedFor += 2 days;
            house.withdrawNotice(vault);
            skip(1 days);
            if (i < 2) notice(vault, 300e6, bytes32(i));
        }
        assertTrue(lockedFor < CURE + 5 days, "less than one notice is spent");
        bytes memory approval = signature(APPROVER_KEY, house.claimDigest(vault, 1, 0));
        vm.expectRevert(VaultLog.NotReady.selector); // one day is left, which is less than the cure period
        house.noticeDefault(vault, 1, 0, approver(), approval);
        skip(29 days);
        house.noticeDefault(vault, 1, 0, approver(), approval);
        (, MarginVault.Cold memory cold,) = vault.state();
        assertEq(cold.lapsesAt, time() + CURE + 5 days, "thirty days later it is whole again");
    }

    function test_a_claim_seized_in_full_cannot_be_cured_by_nothing() public {
        notice(vault, 300e6, "evidence");
        skip(CURE);
        house.seize(vault);
        vm.expectRevert(VaultLog.NothingToPay.selector);
        vm.prank(client(0));
        vault.cure();
        assertTrue(vault.noticeLive(), "the claim may still be raised");
    }

    function test_a_claim_is_raised_only_upwards_on_new_evidence_while_the_notice_lives() public {
        notice(vault, 300e6, "evidence");
        vm.startPrank(address(house));
        vm.expectRevert(VaultLog.ClaimNotRaised.selector);
        vault.raiseClaim(300e6, "other");
        vm.expectRevert(VaultLog.ClaimNotRaised.selector);
        vault.raiseClaim(301e6, "evidence");
        skip(CURE + 5 days);
        vm.expectRevert(VaultLog.NoNotice.selector);
        vault.raiseClaim(301e6, "other");
        vm.expectRevert(VaultLog.NoNotice.selector);
        vault.determine();
    }

    function test_a_withdrawal_needs_a_seizure_free_notice_and_a_determination_a_seizure() public {
        notice(vault, 300e6, "evidence");
        vm.expectRevert(VaultLog.NothingSeized.selector);
        house.determine(vault);
        skip(CURE);
        house.seize(vault);
        vm.expectRevert(VaultLog.AlreadySeized.selector);
        house.withdrawNotice(vault);
    }

    function test_the_client_may_cure_what_is_left_after_a_partial_seizure() public {
        notice(vault, 6_000e6, "evidence");
        skip(CURE);
        assertEq(house.seize(vault), 5_000e6, "all there was");
        usdc.mint(address(vault), 1_500e6);
        vm.prank(client(0));
        vault.cure();
        assertEq(vault.withdraw(), 500e6, "the rest is the client's");
    }

    // --------------------------------------------------------------------------------------------- amendments

    function test_an_amendment_needs_the_clients_signature_over_this_vault_and_number() public {
        uint256 key = 0xC0FFEE;
        Terms memory terms = termsOf(3);
        terms.client = vm.addr(key);
        MarginVault signed = MarginVault(factory.open(terms));
        house.publishRulebook("rules", "rulebook/1", uint40(time() + 30 days));
        bytes memory consent = signature(key, signed.amendmentDigest("terms", "rules", 1));
        vm.expectRevert(abi.encodeWithSelector(VaultLog.BadNonce.selector, 1));
        house.amend(signed, "terms", "rules", 2, consent);
        vm.expectRevert(VaultLog.BadSignature.selector);
        house.amend(signed, "other", "rules", 1, consent);
        vm.expectRevert(VaultLog.BadSignature.selector);
        house.amend(vault, "terms", "rules", 1, consent);
        house.amend(signed, "terms", "rules", 1, consent);
        assertTrue(signed.termsHash() == "terms" && signed.rulebookHash() == "rules", "recorded");
        vm.expectRevert(abi.encodeWithSelector(VaultLog.BadNonce.selector, 2));
        house.amend(signed, "terms", "rules", 1, consent);
    }
}
