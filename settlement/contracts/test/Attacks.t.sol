// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {House} from "../src/House.sol";
import {Movement} from "../src/Movement.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Kind} from "../src/Terms.sol";
import {HouseLog} from "../src/HouseLog.sol";
import {VaultLog} from "../src/VaultLog.sol";
import {Roles} from "./Roles.sol";
import {NastyToken, SilentToken} from "./Tokens.sol";
import {World} from "./World.sol";

/// @notice Tokens that misbehave, senders that starve, keys that are stolen.
contract AttacksTest is World {
    NastyToken private nasty;
    MarginVault[2] private vaults;

    function setUp() public {
        nasty = new NastyToken();
        buildHouse(nasty);
        nasty.mint(address(house), 100_000e6);
        for (uint256 i; i < 2; ++i) {
            vaults[i] = openVault(i);
            nasty.mint(address(vaults[i]), 2_000e6);
        }
    }

    function both(Kind kind) private view returns (Movement[] memory movements) {
        movements = new Movement[](2);
        movements[0] = movement(vaults[0], kind, 100e6, 0);
        movements[1] = movement(vaults[1], kind, 100e6, 0);
    }

    function test_a_blocked_client_stops_nobody_else() public {
        nasty.setBlocked(payoutOf(0), true);
        postAll(both(Kind.RETURN));
        assertEq(vaults[0].seq(), 0, "blocked");
        assertEq(nasty.balanceOf(payoutOf(1)), 100e6, "the other is paid");
        nasty.setBlocked(payoutOf(0), false);
        nasty.setBlocked(address(vaults[0]), true);
        postAll(both(Kind.CREDIT));
        assertEq(vaults[0].seq(), 0, "blocked");
        assertEq(nasty.balanceOf(address(vaults[1])), 2_000e6, "the other is credited");
    }

    function test_a_paused_token_fails_movements_without_using_up_numbers() public {
        nasty.setPaused(true);
        postAll(both(Kind.DEBIT));
        assertEq(vaults[0].seq() + vaults[1].seq(), 0, "none");
        assertTrue(post(vaults[0], Kind.REQUIRE, 0, 5), "a requirement needs no cash");
        nasty.setPaused(false);
        postAll(both(Kind.DEBIT));
        assertEq(nasty.balanceOf(address(house)), 100_200e6, "again, and settled");
    }

    function test_a_fee_or_a_rebase_of_one_vault_is_no_other_vaults() public {
        nasty.setFee(100);
        assertTrue(post(vaults[0], Kind.DEBIT, 100e6, 0), "settled");
        assertEq(nasty.balanceOf(address(house)), 100_099e6, "the fee is missing and reconciliation sees it");
        assertEq(nasty.balanceOf(address(vaults[1])), 2_000e6, "the other vault");
        nasty.setFee(0);
        nasty.burn(address(vaults[0]), 1_850e6);
        assertTrue(!post(vaults[0], Kind.DEBIT, 100e6, 0), "more than is left");
        assertEq(nasty.balanceOf(address(vaults[1])), 2_000e6, "the other vault");
    }

    function test_seizing_a_token_with_a_fee_counts_what_arrived() public {
        nasty.setFee(100);
        notice(vaults[0], 100e6, "evidence");
        skip(CURE);
        assertEq(house.seize(vaults[0]), 99e6, "arrived");
        assertEq(house.disposable(), 99e6, "disposable");
    }

    function test_a_token_that_returns_nothing_settles() public {
        SilentToken silent = new SilentToken();
        buildHouse(IERC20(address(silent)));
        MarginVault vault = openVault(0);
        silent.mint(address(vault), 10);
        silent.mint(address(house), 10);
        assertTrue(post(vault, Kind.DEBIT, 4, 0) && post(vault, Kind.CREDIT, 1, 0), "settled");
        assertEq(silent.balanceOf(address(vault)), 7, "balance");
    }

    function test_a_reentrant_token_cannot_post_or_take_twice() public {
        Movement[] memory movements = both(Kind.CREDIT);
        bytes memory inner = abi.encodeCall(House.postBatch, (2, 0, movements, approver(), approve(2, movements)));
        manager.grantRole(Roles.POSTER, address(nasty), 0);
        nasty.setReentry(address(house), inner);
        postAll(movements);
        assertTrue(!nasty.reentered(), "a batch inside a batch");
        assertEq(house.batchId(), 1, "one batch");
        vm.prank(client(0));
        vaults[0].requestWithdraw(50e6);
        skip(ANSWER);
        nasty.setReentry(address(vaults[0]), abi.encodeCall(MarginVault.withdraw, ()));
        vaults[0].withdraw();
        assertTrue(!nasty.reentered(), "a withdrawal inside a withdrawal");
        assertEq(nasty.balanceOf(payoutOf(0)), 50e6, "paid once");
    }

    function test_a_return_bomb_costs_the_batch_little() public {
        nasty.setBomb(1_000_000);
        Movement[] memory movements = both(Kind.DEBIT);
        bytes memory approval = approve(1, movements);
        uint256 before = gasleft();
        house.postBatch(1, 0, movements, approver(), approval);
        assertTrue(before - gasleft() < 700_000, "gas");
        assertEq(house.batchId(), 1, "the batch stands");
    }

    function test_a_batch_that_cannot_give_every_movement_its_gas_is_refused_whole() public {
        Movement[] memory movements = both(Kind.DEBIT);
        bytes memory approval = approve(1, movements);
        vm.expectRevert(HouseLog.NotEnoughGas.selector);
        house.postBatch{gas: 250_000}(1, 0, movements, approver(), approval);
        house.postBatch{gas: 450_000}(1, 0, movements, approver(), approval);
        assertEq(vaults[0].seq() + vaults[1].seq(), 2, "settled");
    }

    function test_a_sender_cannot_starve_a_movement_into_looking_failed() public {
        Movement[] memory movements = both(Kind.DEBIT);
        bytes memory approval = approve(1, movements);
        for (uint256 gas_ = 60_000; gas_ < 600_000; gas_ += 10_000) {
            try house.postBatch{gas: gas_}(1, 0, movements, approver(), approval) {
                assertEq(vaults[0].seq() + vaults[1].seq(), 2, "all or nothing");
                return;
            } catch {}
        }
        assertTrue(false, "never settled");
    }

    // --------------------------------------------------------------------- what a stolen key can do, at the most

    function test_the_posters_key_alone_moves_nothing() public {
        vm.startPrank(address(0x9057));
        vm.expectRevert();
        house.beat();
        vm.stopPrank();
        manager.grantRole(Roles.POSTER, address(0x9057), 0);
        Movement[] memory movements = both(Kind.DEBIT);
        bytes memory own = signature(0xBAD, house.batchDigest(1, 0, movements));
        vm.startPrank(address(0x9057));
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, 0, movements, vm.addr(0xBAD), own);
        vm.expectRevert();
        house.payTreasury(address(0x9057), 1, 0);
    }

    /// Poster and approver together: per vault the debit cap to the house, from the house the outflow cap to accepted
    /// vaults. Nothing reaches an address of the thief's.
    function test_both_settlement_keys_together_are_bounded_by_the_caps() public {
        house.setOutflowCap(150e6);
        for (uint256 i; i < 5; ++i) {
            post(vaults[0], Kind.DEBIT, 400e6, 0);
            post(vaults[1], Kind.CREDIT, 100e6, 0);
        }
        assertEq(nasty.balanceOf(address(vaults[0])), 2_000e6 - 800e6, "two of 400 fit in the debit cap of 1,000");
        assertEq(nasty.balanceOf(address(vaults[1])), 2_100e6, "one of 100 fits in the outflow cap of 150");
    }

    /// Every role at once: a vault's cash goes to its house or its client, and a high requirement or notice only
    /// delays the client by the exit period or the notice's life.
    function test_all_roles_together_delay_a_client_but_cannot_trap_it() public {
        post(vaults[0], Kind.REQUIRE, 0, MAX_REQUIRED);
        vm.prank(client(0));
        vaults[0].requestExit();
        skip(EXIT - 1);
        notice(vaults[0], type(uint96).max, "false");
        house.withdrawNotice(vaults[0]);
        skip(1);
        house.beat();
        vm.expectRevert(VaultLog.ExitMatured.selector);
        vm.prank(address(house));
        vaults[0].noticeDefault(type(uint96).max, "renewed");
        assertEq(vaults[0].withdraw(), 2_000e6, "out");
    }
}
