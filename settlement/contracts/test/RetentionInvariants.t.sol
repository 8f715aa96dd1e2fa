// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {House} from "../src/House.sol";
import {Layer, Retention} from "../src/Retention.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {Test} from "./Test.sol";
import {World} from "./World.sol";

/// @notice The servicer, the treasurer, depositors and four who have no right act in any order on the retentions of
/// two relationships. It keeps accounts of its own: which acts must succeed is asked of them, not of the contract.
contract RetentionHandler is World {
    /// @notice What a layer's money did so far, base units.
    struct Account {
        uint256 assigned;
        uint256 lost;
        uint256 restored;
        uint256 released;
    }

    DemoUSDC public usdc;
    Retention[2] public retentions;
    /// @notice Tokens that came into a retention.
    uint256[2] public arrived;
    mapping(uint256 which => mapping(Layer => Account)) private _accounts;

    constructor() {
        usdc = newUSDC();
        buildHouse(usdc);
        usdc.mint(address(house), 1e15);
        for (uint256 i; i < 2; ++i) {
            retentions[i] = Retention(deploy("Retention", abi.encode(usdc, house, bytes32(i + 1), manager)));
            wire(address(retentions[i]), "Retention");
            house.setStructure(address(retentions[i]), true);
        }
        for (uint256 i; i < 2; ++i) {
            fund(i, uint8(Layer.FIRST_LOSS), 15e6);
            fund(i, uint8(Layer.SENIOR), 30e6);
        }
    }

    function account(uint256 which, Layer layer) external view returns (Account memory) {
        return _accounts[which][layer];
    }

    function standing(uint256 which, Layer layer) public view returns (uint256) {
        Account memory a = _accounts[which][layer];
        return a.assigned + a.restored - a.lost - a.released;
    }

    function borne(uint256 which, Layer layer) public view returns (uint256) {
        return _accounts[which][layer].lost - _accounts[which][layer].restored;
    }

    /// @dev Cash moves between this retention and the house and nowhere else; the other relationship's is untouched.
    modifier only(uint256 which) {
        bytes32 other = picture(1 - which);
        uint256 outside = elsewhere(which);
        _;
        assertTrue(picture(1 - which) == other, "an act on one relationship touched the other");
        assertEq(elsewhere(which), outside, "somebody but the house was paid");
    }

    function elsewhere(uint256 which) private view returns (uint256) {
        return usdc.totalSupply() - usdc.balanceOf(address(house)) - usdc.balanceOf(address(retentions[which]));
    }

    function picture(uint256 which) private view returns (bytes32) {
        Retention r = retentions[which];
        uint256 cash = usdc.balanceOf(address(r));
        return keccak256(
            abi.encode(r.seq(), cash, r.held(Layer(0)), r.held(Layer(1)), r.applied(Layer(0)), r.applied(Layer(1)))
        );
    }

    /// @dev Often exactly all there is, at times one more: the order of the layers is tried there.
    function some(uint256 seed, uint256 most) private pure returns (uint96) {
        if (seed % 3 == 0) return uint96(most);
        if (seed % 16 == 1) return uint96(most + 1);
        return uint96(bound(seed, 0, most));
    }

    /// @dev The next number, at times another.
    function number(uint256 which, uint256 seed) private view returns (uint64) {
        uint64 next = retentions[which].seq() + 1;
        return seed % 8 == 0 ? uint64(seed) : next;
    }

    function fund(uint256 which, uint8 layerSeed, uint96 amount) public only(which & 1) {
        which &= 1;
        Layer layer = Layer(layerSeed & 1);
        amount = uint96(bound(amount, 0, 50e6));
        house.fundRetention(retentions[which], layer, amount, "equity");
        arrived[which] += amount;
        _accounts[which][layer].assigned += amount;
    }

    /// @dev Anybody may send tokens; they stand behind the relationship when they are noted, and once.
    function deposit(uint256 which, uint8 layerSeed, uint96 amount, uint256 noted) external only(which & 1) {
        which &= 1;
        Layer layer = Layer(layerSeed & 1);
        amount = uint96(bound(amount, 0, 10e6));
        usdc.mint(address(retentions[which]), amount);
        arrived[which] += amount;
        uint256 free = usdc.balanceOf(address(retentions[which])) - standing(which, Layer.FIRST_LOSS)
            - standing(which, Layer.SENIOR);
        uint96 sum = some(noted, free);
        try retentions[which].note(layer, sum) {
            assertTrue(sum <= free, "noted what had not arrived");
            _accounts[which][layer].assigned += sum;
        } catch {
            assertTrue(sum > free, "what had arrived could not be noted");
        }
    }

    function lose(uint256 which, uint256 first, uint256 senior, uint256 seed) external only(which & 1) {
        which &= 1;
        (uint256 heldFirst, uint256 heldSenior) = (standing(which, Layer.FIRST_LOSS), standing(which, Layer.SENIOR));
        (first, senior) = (some(first, heldFirst), seed % 2 == 0 ? 0 : some(senior, heldSenior));
        uint64 seq = number(which, seed);
        bool right = seq == retentions[which].seq() + 1 && first <= heldFirst && senior <= heldSenior
            && (senior == 0 || first == heldFirst);
        uint256 before = usdc.balanceOf(address(house));
        try retentions[which].applyLoss(seq, uint96(first), uint96(senior), "evidence") {
            assertTrue(right, "a loss out of number, order or measure");
            uint256 firstLeft = retentions[which].held(Layer.FIRST_LOSS);
            assertTrue(senior == 0 || firstLeft == 0, "senior before first loss");
            assertEq(usdc.balanceOf(address(house)) - before, first + senior, "the house's");
            _accounts[which][Layer.FIRST_LOSS].lost += first;
            _accounts[which][Layer.SENIOR].lost += senior;
        } catch {
            assertTrue(!right, "a loss in order was refused");
        }
    }

    function recover(uint256 which, uint256 first, uint256 senior, uint256 seed) external only(which & 1) {
        which &= 1;
        (uint256 lostFirst, uint256 lostSenior) = (borne(which, Layer.FIRST_LOSS), borne(which, Layer.SENIOR));
        (first, senior) = (seed % 2 == 0 ? 0 : some(first, lostFirst), some(senior, lostSenior));
        uint64 seq = number(which, seed);
        bool right = seq == retentions[which].seq() + 1 && first <= lostFirst && senior <= lostSenior
            && (first == 0 || senior == lostSenior);
        try house.restore(retentions[which], seq, uint96(first), uint96(senior), "recovery") {
            assertTrue(right, "a recovery out of number, order or measure");
            arrived[which] += first + senior;
            _accounts[which][Layer.FIRST_LOSS].restored += first;
            _accounts[which][Layer.SENIOR].restored += senior;
        } catch {
            assertTrue(!right, "a recovery in order was refused");
        }
    }

    function release(uint256 which, uint256 first, uint256 senior, uint256 seed) external only(which & 1) {
        which &= 1;
        (uint256 heldFirst, uint256 heldSenior) = (standing(which, Layer.FIRST_LOSS), standing(which, Layer.SENIOR));
        // Seldom all of it, or nothing would be left for losses.
        (first, senior) = (some(first, heldFirst) / (1 + seed % 5), some(senior, heldSenior) / (1 + seed % 5));
        uint64 seq = number(which, seed);
        bool right = seq == retentions[which].seq() + 1 && first <= heldFirst && senior <= heldSenior;
        try retentions[which].release(seq, uint96(first), uint96(senior), "freed") {
            assertTrue(right, "a release out of number or measure");
            _accounts[which][Layer.FIRST_LOSS].released += first;
            _accounts[which][Layer.SENIOR].released += senior;
        } catch {
            assertTrue(!right, "a release was refused");
        }
    }

    /// @dev The client, the approver, another retention and a stranger have no right; the house's own acts neither
    /// but through the house.
    function othersAct(uint256 which, uint8 who, uint8 act) external only(which & 1) {
        which &= 1;
        Retention r = retentions[which];
        uint64 next = r.seq() + 1;
        address[5] memory without =
            [client(0), approver(), address(retentions[1 - which]), address(0xBAD), address(this)];
        bytes memory data;
        if (act % 5 == 0) data = abi.encodeCall(Retention.restore, (next, 0, 0, 0));
        else if (act % 5 == 1) data = abi.encodeCall(Retention.noteFromHouse, (Layer.SENIOR, 0));
        else if (act % 5 == 2) data = abi.encodeCall(Retention.applyLoss, (next, 1, 0, 0));
        else if (act % 5 == 3) data = abi.encodeCall(Retention.release, (next, 0, 1, 0));
        else data = abi.encodeCall(Retention.note, (Layer.FIRST_LOSS, 0));
        vm.prank(without[who % (act % 5 < 2 ? 5 : 4)]);
        (bool ok,) = address(r).call(data);
        assertTrue(!ok, "one without a right acted on a retention");
        vm.prank(without[who % 4]);
        (ok,) = address(house).call(abi.encodeCall(House.restore, (r, next, 0, 0, 0)));
        assertTrue(!ok, "one without a right acted through the house");
    }
}

contract RetentionInvariants is Test {
    RetentionHandler private handler;

    function setUp() public {
        handler = new RetentionHandler();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    /// All of them after every step of the same runs, for both relationships.
    function invariant_all_hold() public view {
        for (uint256 which; which < 2; ++which) {
            what_is_held_is_there_and_only_the_house_was_paid(which);
            layers_are_what_was_assigned_lost_restored_and_released(which);
        }
    }

    function what_is_held_is_there_and_only_the_house_was_paid(uint256 which) private view {
        Retention r = handler.retentions(which);
        uint256 cash = handler.usdc().balanceOf(address(r));
        assertTrue(cash >= r.held(Layer.FIRST_LOSS) + r.held(Layer.SENIOR), "held and not there");
        uint256 paid;
        for (uint8 l; l < 2; ++l) {
            RetentionHandler.Account memory a = handler.account(which, Layer(l));
            paid += a.lost + a.released;
        }
        assertEq(cash + paid, handler.arrived(which), "cash went elsewhere");
    }

    function layers_are_what_was_assigned_lost_restored_and_released(uint256 which) private view {
        Retention r = handler.retentions(which);
        for (uint8 l; l < 2; ++l) {
            RetentionHandler.Account memory a = handler.account(which, Layer(l));
            assertTrue(a.restored <= a.lost, "restored above what was lost");
            assertTrue(r.applied(Layer(l)) <= a.lost, "borne above what was lost");
            assertEq(r.applied(Layer(l)), a.lost - a.restored, "borne");
            assertEq(r.held(Layer(l)), a.assigned + a.restored - a.lost - a.released, "held");
        }
    }
}
