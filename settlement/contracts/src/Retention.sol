// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {HouseBound, Structure} from "./HouseBound.sol";

/// @notice The two retentions of a relationship: the first loss, and the layer above the tail bond.
enum Layer {
    FIRST_LOSS,
    SENIOR
}

/// @title Retention: the intermediary's own money that stands behind one relationship
/// @notice Set aside in advance and apart from the house's float, so that no other relationship's default can use it
/// up. Cash leaves to the house only. First loss is used up before the senior layer is touched, and recoveries refill
/// the senior layer first.
contract Retention is Structure {
    using SafeERC20 for IERC20;

    /// @dev held: tokens set aside. applied: used for losses and not restored, the most recoveries can refill.
    struct Held {
        uint128 held;
        uint128 applied;
    }

    /// @notice Hash of the relationship id whose losses this money bears.
    bytes32 public immutable relationship;
    mapping(Layer layer => Held) private _layers;

    /// @notice `by` assigned this much to the layer, base units.
    event Funded(Layer indexed layer, address indexed by, uint256 amount);
    /// @notice This much of each layer went to the house for a determined loss.
    event Applied(uint64 indexed seq, uint256 firstLoss, uint256 senior, bytes32 indexed evidence);
    /// @notice A recovery refilled the layers by this much.
    event Restored(uint64 indexed seq, uint256 firstLoss, uint256 senior, bytes32 indexed evidence);
    /// @notice This much of each layer stands behind the relationship no more and went to the house.
    event Released(uint64 indexed seq, uint256 firstLoss, uint256 senior, bytes32 indexed ref);

    /// @notice More than the layer holds, or than it has borne.
    error Insufficient(Layer layer);
    /// @notice First loss is used up before the senior layer, and the senior layer refilled before first loss.
    error OutOfOrder();

    /// @param token_ settlement token
    /// @param house_ only destination
    /// @param relationship_ hash of the relationship id
    /// @param manager access manager
    constructor(IERC20 token_, address house_, bytes32 relationship_, address manager)
        HouseBound(token_, house_)
        AccessManaged(manager)
    {
        relationship = relationship_;
    }

    /// @notice Tokens set aside as first loss, base units.
    function firstLoss() public view returns (uint256) {
        return _layers[Layer.FIRST_LOSS].held;
    }

    /// @notice Tokens set aside as senior retention, base units.
    function senior() public view returns (uint256) {
        return _layers[Layer.SENIOR].held;
    }

    /// @notice Net loss a layer has borne, base units.
    function applied(Layer layer) external view returns (uint256) {
        return _layers[layer].applied;
    }

    /// @notice Assign tokens that arrived by plain transfer to a layer.
    function note(Layer layer, uint96 amount) external restricted {
        _note(layer, amount);
    }

    /// @notice Assign tokens the house has just sent to a layer.
    function noteFromHouse(Layer layer, uint96 amount) external onlyHouse {
        _note(layer, amount);
    }

    /// @notice Use the retentions for a determined loss: cash to the house. Senior only once first loss is used up.
    function applyLoss(uint64 seq_, uint96 firstLoss_, uint96 senior_, bytes32 evidence) external restricted {
        _next(seq_);
        _lose(Layer.FIRST_LOSS, firstLoss_);
        _lose(Layer.SENIOR, senior_);
        if (senior_ != 0 && firstLoss() != 0) revert OutOfOrder();
        emit Applied(seq_, firstLoss_, senior_, evidence);
        token.safeTransfer(house, uint256(firstLoss_) + senior_);
    }

    /// @notice Refill after a recovery with cash the house has just sent: at most what was used, senior first.
    function restore(uint64 seq_, uint96 firstLoss_, uint96 senior_, bytes32 evidence) external onlyHouse {
        _next(seq_);
        _refill(Layer.SENIOR, senior_);
        _refill(Layer.FIRST_LOSS, firstLoss_);
        if (firstLoss_ != 0 && _layers[Layer.SENIOR].applied != 0) revert OutOfOrder();
        _requireCash(firstLoss() + senior());
        emit Restored(seq_, firstLoss_, senior_, evidence);
    }

    /// @notice Free retention that no longer stands behind the relationship: to the house, under the manager's delay.
    function release(uint64 seq_, uint96 firstLoss_, uint96 senior_, bytes32 ref) external restricted {
        _next(seq_);
        _take(Layer.FIRST_LOSS, firstLoss_);
        _take(Layer.SENIOR, senior_);
        emit Released(seq_, firstLoss_, senior_, ref);
        token.safeTransfer(house, uint256(firstLoss_) + senior_);
    }

    function _note(Layer layer, uint96 amount) private {
        _layers[layer].held += amount;
        _requireCash(firstLoss() + senior());
        emit Funded(layer, msg.sender, amount);
    }

    function _take(Layer layer, uint96 amount) private {
        if (amount > _layers[layer].held) revert Insufficient(layer);
        _layers[layer].held -= amount;
    }

    function _lose(Layer layer, uint96 amount) private {
        _take(layer, amount);
        _layers[layer].applied += amount;
    }

    function _refill(Layer layer, uint96 amount) private {
        if (amount > _layers[layer].applied) revert Insufficient(layer);
        _layers[layer].applied -= amount;
        _layers[layer].held += amount;
    }
}
