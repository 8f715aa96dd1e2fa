// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IERC7943Fungible, TrancheNote} from "../src/TrancheNote.sol";
import {BondWorld} from "./BondWorld.sol";

contract NoteTest is BondWorld {
    TrancheNote private note;

    function setUp() public {
        buildSeries();
        sell();
        note = notes[0];
    }

    function outsider(bool eligible) private returns (address who) {
        who = address(0x0075);
        address[] memory list = new address[](1);
        list[0] = who;
        register.set(list, eligible ? type(uint40).max : 0);
    }

    function test_the_interface_ids_are_the_standards() public view {
        assertTrue(note.supportsInterface(0x01ffc9a7) && note.supportsInterface(0x3edbb4c4), "supported");
        assertTrue(!note.supportsInterface(0xffffffff), "not everything");
        assertTrue(type(IERC7943Fungible).interfaceId == bytes4(0x3edbb4c4), "ERC-7943");
        assertTrue(type(IERC165).interfaceId == bytes4(0x01ffc9a7), "ERC-165");
    }

    function test_only_eligible_accounts_send_and_receive() public {
        address to = outsider(false);
        vm.startPrank(investor(0));
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotReceive.selector, to));
        note.transfer(to, 1);
        vm.stopPrank();
        outsider(true);
        vm.prank(investor(0));
        note.transfer(to, 5);
        outsider(false);
        assertTrue(!note.canTransfer(to, investor(0), 5), "may not");
        vm.prank(to);
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotSend.selector, to));
        note.transfer(investor(0), 5);
    }

    function test_eligibility_ends_with_its_last_second() public {
        address[] memory list = new address[](1);
        list[0] = address(0x0075);
        register.set(list, uint40(time() + 1 days));
        skip(1 days);
        assertTrue(note.canReceive(list[0]), "the last second");
        skip(1);
        assertTrue(!note.canReceive(list[0]) && !note.canSend(list[0]), "over");
    }

    function test_frozen_units_stay_but_earn_and_can_be_moved_by_order() public {
        note.setFrozenTokens(investor(0), 59e6);
        assertTrue(note.canTransfer(investor(0), investor(1), 1e6), "the rest moves");
        vm.prank(investor(0));
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC7943Fungible.ERC7943InsufficientUnfrozenBalance.selector, investor(0), 1e6 + 1, 1e6
            )
        );
        note.transfer(investor(1), 1e6 + 1);
        house.payCoupon(escrow, 1, 0, 8e6, "coupon");
        note.forcedTransfer(investor(0), investor(1), 60e6);
        assertEq(note.getFrozenTokens(investor(0)), 0, "nothing left to freeze");
        assertEq(escrow.claim(0, investor(0)), 6e6, "what was earned before stays earned");
        address to = outsider(false);
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotReceive.selector, to));
        note.forcedTransfer(investor(1), to, 1);
    }

    function test_transfers_are_suspended_for_a_bounded_time_and_claims_go_on() public {
        uint40 until = uint40(time() + 14 days);
        vm.expectRevert(TrancheNote.TooLong.selector);
        note.suspendTransfers(until + 1);
        note.suspendTransfers(until);
        assertTrue(!note.canTransfer(investor(0), investor(1), 1), "suspended");
        house.payCoupon(escrow, 1, 0, 8e6, "coupon");
        escrow.claim(0, investor(0));
        vm.prank(investor(0));
        vm.expectRevert(
            abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotTransfer.selector, investor(0), investor(1), 1)
        );
        note.transfer(investor(1), 1);
        skip(14 days);
        vm.prank(investor(0));
        note.transfer(investor(1), 1);
    }

    function test_only_the_escrow_changes_principal() public {
        bytes4 refused = TrancheNote.NotEscrow.selector;
        vm.expectRevert(refused);
        note.mint(address(this), 1);
        vm.expectRevert(refused);
        note.writeDown(1);
        vm.expectRevert(refused);
        note.writeUp(1);
        vm.expectRevert(refused);
        note.distribute(1, true, 0);
        vm.expectRevert(refused);
        note.take(investor(0));
        vm.expectRevert(refused);
        note.refund(investor(0));
    }

    function test_nothing_is_shared_out_among_no_units() public {
        TrancheNote empty = newNote(address(this));
        vm.expectRevert(TrancheNote.NoSupply.selector);
        empty.distribute(1, false, 0);
        assertEq(empty.principalOf(address(this)) + empty.factor(), 0, "no division by zero");
    }

    function test_a_permit_moves_units_by_signature() public {
        uint256 key = 0xB0B;
        address[] memory list = new address[](1);
        list[0] = vm.addr(key);
        register.set(list, type(uint40).max);
        vm.prank(investor(0));
        note.transfer(list[0], 7);
        bytes32 permit = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 content = keccak256(abi.encode(permit, list[0], address(this), 7, 0, time()));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", note.DOMAIN_SEPARATOR(), content));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        note.permit(list[0], address(this), 7, time(), v, r, s);
        note.transferFrom(list[0], investor(1), 7);
        assertEq(note.balanceOf(investor(1)), 20e6 + 7, "moved");
    }
}
