// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Eligibility} from "../src/Eligibility.sol";
import {SeriesEscrow} from "../src/SeriesEscrow.sol";
import {Schedule} from "../src/SeriesLog.sol";
import {TrancheNote} from "../src/TrancheNote.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {World} from "./World.sol";

/// @notice A house and one series: two slices, a junior and a senior class, four investors.
abstract contract BondWorld is World {
    uint96 internal constant JUNIOR = 40e6;
    uint96 internal constant SENIOR = 60e6;
    uint32 internal constant CHALLENGE = 3 days;
    uint32 internal constant EXPERT = 10 days;
    uint32 internal constant GRACE = 30 days;

    DemoUSDC internal usdc;
    Eligibility internal register;
    SeriesEscrow internal escrow;
    TrancheNote[2] internal notes;

    function buildSeries() internal {
        usdc = newUSDC();
        buildHouse(usdc);
        usdc.mint(address(house), 1_000_000e6);
        register = Eligibility(deploy("Eligibility", abi.encode(manager)));
        wire(address(register), "Eligibility");
        Schedule memory schedule =
            Schedule(uint40(time() + 7 days), uint40(time() + 365 days), CHALLENGE, EXPERT, GRACE);
        escrow = SeriesEscrow(deploy("SeriesEscrow", abi.encode(usdc, house, schedule, manager)));
        wire(address(escrow), "SeriesEscrow");
        house.setStructure(address(escrow), true);
        TrancheNote[] memory list = new TrancheNote[](2);
        for (uint256 t; t < 2; ++t) {
            list[t] = notes[t] = newNote(address(escrow));
            wire(address(notes[t]), "TrancheNote");
        }
        escrow.setNotes(list);
        uint96[] memory principal = new uint96[](2);
        (principal[0], principal[1]) = (JUNIOR, SENIOR);
        escrow.addSlice("A", principal);
        escrow.addSlice("B", principal);
        escrow.openOffering();
        admit();
    }

    function newNote(address escrow_) internal returns (TrancheNote) {
        return TrancheNote(deploy("TrancheNote", abi.encode("Class", "C", "XS", 6, register, escrow_, manager)));
    }

    function investor(uint256 i) internal pure returns (address) {
        return address(uint160(0x1A0000 + i));
    }

    function admit() private {
        address[] memory investors = new address[](4);
        for (uint256 i; i < 4; ++i) {
            investors[i] = investor(i);
            usdc.mint(investor(i), 200e6);
            vm.prank(investor(i));
            usdc.approve(address(escrow), type(uint256).max);
        }
        register.set(investors, type(uint40).max);
    }

    function allot(uint256 tranche, uint256 i, uint256 units) internal {
        (address[] memory who, uint256[] memory what) = (new address[](1), new uint256[](1));
        (who[0], what[0]) = (investor(i), units);
        escrow.allot(tranche, who, what);
    }

    function subscribe(uint256 tranche, uint256 i, uint256 units) internal {
        allot(tranche, i, units);
        vm.prank(investor(i));
        escrow.subscribe(tranche, units);
    }

    /// @dev Investor 0 and 1 share the junior class 3 : 1, investor 1 and 2 the senior class 1 : 2.
    function sell() internal {
        subscribe(0, 0, 60e6);
        subscribe(0, 1, 20e6);
        subscribe(1, 1, 40e6);
        subscribe(1, 2, 80e6);
        escrow.closeOffering();
    }

    function next() internal view returns (uint64) {
        return escrow.seq() + 1;
    }

    function lose(uint256 slice, uint96 amount) internal {
        uint64 id = next();
        escrow.noticeLoss(id, slice, amount, "evidence");
        skip(CHALLENGE);
        escrow.applyLoss(next(), id);
    }

    function outstanding(uint256 slice, uint256 tranche) internal view returns (uint256 amount) {
        (amount,) = escrow.position(slice, tranche);
    }
}
