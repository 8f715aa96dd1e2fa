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

    /// @notice Hash of the relationship id whose losses this money bears.
    bytes32 public immutable relationship;
    /// @notice Tokens set aside in a layer, base units.
    mapping(Layer layer => uint256) public held;
    /// @notice Net loss a layer has borne, the most that recoveries can refill, base units.
    mapping(Layer layer => uint256) public applied;

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

    /// @notice Assign tokens that arrived by plain transfer to a layer.
    function note(Layer layer, uint96 amount) external restricted {
        _note(layer, amount);
    }

    /// @notice Assign tokens the house has just sent to a layer.
    function noteFromHouse(Layer layer, uint96 amount) external onlyHouse {
        _note(layer, amount);
    }

    /// @notice Use the retentions for a determined loss: cash to the house. Senior only once first loss is used up.
    function applyLoss(uint64 seq_, uint96 firstLoss, uint96 senior, bytes32 evidence) external restricted {
        _next(seq_);
        _lose(Layer.FIRST_LOSS, firstLoss);
        _lose(Layer.SENIOR, senior);
        if (senior != 0 && held[Layer.FIRST_LOSS] != 0) revert OutOfOrder();
        emit Applied(seq_, firstLoss, senior, evidence);
        token.safeTransfer(house, uint256(firstLoss) + senior);
    }

    /// @notice Refill after a recovery with cash the house has just sent: at most what was used, senior first.
    function restore(uint64 seq_, uint96 firstLoss, uint96 senior, bytes32 evidence) external onlyHouse {
        _next(seq_);
        _refill(Layer.SENIOR, senior);
        _refill(Layer.FIRST_LOSS, firstLoss);
        if (firstLoss != 0 && applied[Layer.SENIOR] != 0) revert OutOfOrder();
        _requireCash(held[Layer.FIRST_LOSS] + held[Layer.SENIOR]);
        emit Restored(seq_, firstLoss, senior, evidence);
    }

    /// @notice Free retention that no longer stands behind the relationship: to the house, under the manager's delay.
    function release(uint64 seq_, uint96 firstLoss, uint96 senior, bytes32 ref) external restricted {
        _next(seq_);
        _take(Layer.FIRST_LOSS, firstLoss);
        _take(Layer.SENIOR, senior);
        emit Released(seq_, firstLoss, senior, ref);
        token.safeTransfer(house, uint256(firstLoss) + senior);
    }

    function _note(Layer layer, uint96 amount) private {
        held[layer] += amount;
        _requireCash(held[Layer.FIRST_LOSS] + held[Layer.SENIOR]);
        emit Funded(layer, msg.sender, amount);
    }

    function _take(Layer layer, uint96 amount) private {
        if (amount > held[layer]) revert Insufficient(layer);
        held[layer] -= amount;
    }

    function _lose(Layer layer, uint96 amount) private {
        _take(layer, amount);
        applied[layer] += amount;
    }

    function _refill(Layer layer, uint96 amount) private {
        if (amount > applied[layer]) revert Insufficient(layer);
        applied[layer] -= amount;
        held[layer] += amount;
    }
}
