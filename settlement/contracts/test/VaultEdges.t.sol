// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MarginVault} from "../src/MarginVault.sol";
import {Kind, Terms} from "../src/Terms.sol";
import {VaultLog} from "../src/VaultLog.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {World} from "./World.sol";

/// @title A vault at the edges: of amounts, of a notice's life, of what may happen to its house
contract VaultEdgesTest is World {
    DemoUSDC private usdc;
    MarginVault private vault;

    function setUp() public {
        usdc = newUSDC();
        buildHouse(usdc);
        usdc.mint(address(house), 1_000_000e6);
        vault = openVault(0);
        usdc.mint(address(vault), 5_000e6);
    }

    function leave() private {
        vm.prank(client(0));
        vault.requestExit();
        skip(EXIT);
    }

    function test_the_house_returns_a_surplus_and_the_client_takes_it_at_once() public {
        notice(vault, 300e6, "evidence");
        skip(CURE);
        house.seize(vault);
        house.determine(vault);
        vault.withdraw();
        assertTrue(post(vault, Kind.CREDIT, 40e6, 0), "the close-out cost less");
        assertEq(vault.withdraw(), 40e6, "the surplus is the client's");
    }

    function test_the_client_may_cure_before_the_cure_period_and_until_the_notice_lapses() public {
        for (uint256 i; i < 2; ++i) {
            notice(vault, 100e6, bytes32(i));
            skip(i == 0 ? 0 : CURE + 5 days - 1);
            vm.prank(client(0));
            vault.cure();
            assertTrue(!vault.noticeLive(), "ended");
        }
        notice(vault, 100e6, "third");
        skip(CURE + 5 days);
        vm.prank(client(0));
        vm.expectRevert(VaultLog.NoNotice.selector);
        vault.cure();
    }

    /// The amounts at the edges: nothing, one base unit, the largest that fits.
    function test_amounts_of_zero_one_and_the_largest() public {
        assertTrue(post(vault, Kind.DEBIT, 0, 0) && post(vault, Kind.DEBIT, 1, 0), "nothing, and one");
        assertTrue(!post(vault, Kind.DEBIT, type(uint96).max, 0), "the largest debit fails alone");
        assertTrue(!post(vault, Kind.REQUIRE, 0, type(uint96).max), "the largest requirement too");
        Terms memory terms = termsOf(9);
        (terms.debitCap, terms.maxRequired) = (type(uint80).max, type(uint80).max);
        MarginVault wide = MarginVault(factory.open(terms));
        house.setCreditLimit(wide, 1);
        usdc.mint(address(wide), type(uint80).max);
        assertTrue(post(wide, Kind.DEBIT, type(uint80).max, type(uint80).max), "1.2 million tokens of 18 decimals");
        assertEq(wide.locked(), type(uint80).max, "locked");
        skip(1 days - 1);
        assertTrue(!post(wide, Kind.DEBIT, type(uint80).max, 0), "worn off without overflow, not yet whole");
    }

    function test_a_deposit_arrives_in_every_state() public {
        uint256 arrived = 5_000e6;
        for (uint256 i; i < 5; ++i) {
            if (i == 1) notice(vault, 300e6, "evidence");
            else if (i == 2) skip(CURE + 5 days);
            else if (i == 3) manager.setTargetClosed(address(house), true);
            else if (i == 4) leave();
            usdc.mint(address(this), 1e6);
            usdc.transfer(address(vault), 1e6);
            arrived += 1e6;
            assertEq(usdc.balanceOf(address(vault)), arrived, "deposited");
        }
        assertEq(vault.withdraw(), arrived, "and out again");
    }
}
