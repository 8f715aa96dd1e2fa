// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {SeriesLog} from "../src/SeriesLog.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {BondWorld} from "./BondWorld.sol";
import {Test} from "./Test.sol";

/// @notice Four investors, the servicer, the trustee, the expert and strangers act in any order on one series.
contract BondHandler is BondWorld {
    SeriesEscrow public theEscrow;
    /// @notice Cash that losses of a slice took to the house, and that write-ups of it brought back.
    uint256[2] public lost;
    uint256[2] public recovered;

    constructor() {
        buildSeries();
        sell();
        theEscrow = escrow;
    }

    function note(uint256 t) external view returns (TrancheNote) {
        return notes[t];
    }

    /// @dev An act on one slice leaves every position of the other as it was.
    modifier only(uint256 slice) {
        bytes32 before = picture(1 - slice);
        _;
        assertTrue(picture(1 - slice) == before, "an act on one slice touched the other");
    }

    function picture(uint256 slice) private view returns (bytes32) {
        (uint256 a, uint256 b) = escrow.position(slice, 0);
        (uint256 c, uint256 d) = escrow.position(slice, 1);
        return keccak256(abi.encode(a, b, c, d));
    }

    function notice(uint256 slice, uint96 amount) external only(slice & 1) {
        (, uint128 pending) = escrow.slices(slice & 1);
        uint256 open = escrow.slicePrincipal(slice & 1) - pending;
        if (escrow.phase() != SeriesLog.Phase.ON_RISK || open == 0 || time() > escrow.finalMaturity()) return;
        escrow.noticeLoss(next(), slice & 1, uint96(bound(amount, 1, open)), "evidence");
    }

    function decide(uint64 id, uint8 act, uint96 amount) external {
        id = uint64(bound(id, 1, next()));
        (uint32 slice, uint96 noticed,,) = escrow.notices(id);
        uint256 juniorBefore = outstanding(slice, 0);
        uint256 seniorBefore = outstanding(slice, 1);
        bytes32 other = picture(1 - slice);
        uint256 houseBefore = usdc.balanceOf(address(house));
        if (act % 4 == 0) {
            try escrow.challenge(id) {} catch {}
        } else if (act % 4 == 1) {
            try escrow.rule(id, uint96(bound(amount, 0, noticed))) {} catch {}
        } else if (act % 4 == 2) {
            try escrow.cancelLoss(next(), id) {} catch {}
        } else {
            try escrow.applyLoss(next(), id) {} catch {}
        }
        lost[slice] += usdc.balanceOf(address(house)) - houseBefore;
        assertTrue(picture(1 - slice) == other, "a loss of one slice touched the other");
        if (outstanding(slice, 1) != seniorBefore) assertEq(outstanding(slice, 0), 0, "senior before junior");
        assertTrue(juniorBefore - outstanding(slice, 0) <= noticed, "more than was noticed");
    }

    /// @dev Half of the attempts are above what was written down in the slice, whatever stands in the other.
    function recover(uint256 slice, uint96 amount) external only(slice & 1) {
        slice &= 1;
        uint256 room = lost[slice] - recovered[slice];
        amount = uint96(bound(amount, 0, 2 * room + 1e6));
        try house.writeUp(escrow, next(), slice, amount, "recovery") {
            assertTrue(amount != 0, "a write-up of nothing");
            recovered[slice] += amount;
        } catch (bytes memory reason) {
            assertTrue(amount == 0 || amount > room, "a recovery of what was written down was refused");
            assertTrue(bytes4(reason) == SeriesLog.ExceedsWrittenDown.selector, "refused for another reason");
        }
    }

    function repay(uint256 slice, uint256 tranche, uint96 amount) external only(slice & 1) {
        amount = uint96(bound(amount, 0, outstanding(slice & 1, tranche & 1)));
        try escrow.repay(next(), slice & 1, tranche & 1, amount, "repayment") {} catch {}
    }

    function coupon(uint256 tranche, uint96 amount) external {
        house.payCoupon(escrow, next(), tranche & 1, uint96(bound(amount, 0, 100e6)), "coupon");
    }

    function transfer(uint256 tranche, uint256 from, uint256 to, uint256 amount) external {
        TrancheNote units = notes[tranche & 1];
        amount = bound(amount, 0, units.balanceOf(investor(from % 4)));
        vm.prank(investor(from % 4));
        units.transfer(investor(to % 4), amount);
    }

    /// @dev Claiming never fails, whoever calls it.
    function claim(uint256 tranche, uint256 who) external {
        vm.prank(address(0x57A));
        escrow.claim(tranche & 1, investor(who % 4));
    }

    function strangerActs(uint8 act) external {
        bytes memory data;
        if (act % 3 == 0) data = abi.encodeCall(SeriesEscrow.noticeLoss, (next(), 0, 1, 0));
        else if (act % 3 == 1) data = abi.encodeCall(SeriesEscrow.repay, (next(), 0, 0, 1, 0));
        else data = abi.encodeCall(SeriesEscrow.writeUp, (next(), 0, 1, 0));
        vm.prank(address(0xBAD));
        (bool ok,) = address(escrow).call(data);
        assertTrue(!ok, "a stranger acted on the escrow");
    }

    function pass(uint32 duration) external {
        skip(duration % 20 days);
        bool due = time() >= uint256(escrow.finalMaturity()) + GRACE;
        if (due && escrow.phase() == SeriesLog.Phase.ON_RISK) escrow.mature();
    }
}

contract BondInvariants is Test {
    BondHandler private handler;

    function setUp() public {
        handler = new BondHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    /// All of them after every step of the same runs: a campaign of its own for each would show nothing more.
    function invariant_all_hold() public view {
        cash_covers_principal_and_what_is_owed();
        slices_classes_and_holders_add_up();
        what_holders_can_claim_is_owed();
        pending_notices_are_covered_by_their_slice();
        a_slice_is_written_up_at_most_what_it_was_written_down();
    }

    function cash_covers_principal_and_what_is_owed() private view {
        SeriesEscrow escrow = handler.theEscrow();
        assertTrue(escrow.token().balanceOf(address(escrow)) >= escrow.liabilities(), "covered");
    }

    function slices_classes_and_holders_add_up() private view {
        SeriesEscrow escrow = handler.theEscrow();
        for (uint256 t; t < 2; ++t) {
            TrancheNote note = handler.note(t);
            (uint256 a, uint256 lostA) = escrow.position(0, t);
            (uint256 b, uint256 lostB) = escrow.position(1, t);
            assertEq(a + b, note.principal(), "slices make the class");
            assertEq(lostA + lostB, note.writtenDown(), "losses make the class's");
            assertEq(note.principal() + note.writtenDown() + note.redeemed(), note.totalSupply(), "one number");
            uint256 shares;
            for (uint256 i; i < 4; ++i) {
                shares += note.principalOf(address(uint160(0x1A0000 + i)));
            }
            assertTrue(shares <= note.principal() && shares + 4 > note.principal(), "holders");
        }
    }

    function what_holders_can_claim_is_owed() private view {
        uint256 claims;
        for (uint256 t; t < 2; ++t) {
            for (uint256 i; i < 4; ++i) {
                claims += handler.note(t).claimable(address(uint160(0x1A0000 + i)));
            }
        }
        assertTrue(claims <= handler.theEscrow().owedTotal(), "owed");
    }

    function pending_notices_are_covered_by_their_slice() private view {
        for (uint256 s; s < 2; ++s) {
            (, uint128 pending) = handler.theEscrow().slices(s);
            assertTrue(pending <= handler.theEscrow().slicePrincipal(s), "pending");
        }
    }

    function a_slice_is_written_up_at_most_what_it_was_written_down() private view {
        for (uint256 s; s < 2; ++s) {
            (, uint256 junior) = handler.theEscrow().position(s, 0);
            (, uint256 senior) = handler.theEscrow().position(s, 1);
            assertTrue(handler.recovered(s) <= handler.lost(s), "written up above what was written down");
            assertEq(handler.recovered(s) + junior + senior, handler.lost(s), "what is left to recover");
        }
    }
}
