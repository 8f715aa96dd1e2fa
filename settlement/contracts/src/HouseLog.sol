// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title HouseLog: what a house reports and refuses
/// @notice Every act of the operator leaves one of these events, which is what a watcher reads.
abstract contract HouseLog {
    /// @notice Batch `id` was posted; `failed` of its movements took no effect.
    event BatchPosted(uint64 indexed id, bytes32 indexed head, bytes32 statement, uint256 failed);
    /// @notice This movement took no effect: `reason` is the error's selector, 0xffffffff when there was none.
    event MovementFailed(uint64 indexed batchId, address indexed vault, uint32 indexed seq, bytes4 reason);
    /// @notice The operator lives.
    event Beat(uint40 at);
    /// @notice The vault may be credited up to `limit` at once; zero ends that.
    event CreditLimitSet(address indexed vault, uint256 limit);
    /// @notice The retention or escrow may be sent cash, or no longer.
    event StructureAccepted(address indexed structure, bool accepted);
    /// @notice The daily outflow cap is `cap` now, base units.
    event OutflowCapSet(uint96 cap);
    /// @notice A rulebook was published; it may hold from `effective` on.
    event RulebookPublished(bytes32 indexed hash, string uri, uint40 effective);
    /// @notice The intermediary's own money was paid out.
    event TreasuryPaid(address indexed to, uint256 amount, bytes32 indexed ref);
    /// @notice Seized tokens go to this desk from now on.
    event DisposalDeskSet(address indexed desk);
    /// @notice Seized tokens went to the disposal desk.
    event Disposed(address indexed desk, uint256 amount, bytes32 indexed ref);
    /// @notice Cash went to a retention or escrow.
    event StructureFunded(address indexed structure, uint256 amount, bytes32 indexed ref);

    /// @notice The batch does not carry the next number, which is `want`.
    error BadBatchId(uint64 want);
    /// @notice No approver other than the sender signed this.
    error BadApproval();
    /// @notice The change does not carry the next number, which is `want`.
    error BadNonce(uint64 want);
    /// @notice The vault or structure is not accepted as a destination.
    error NotAccepted();
    /// @notice More than may be credited to this vault at once.
    error OverCreditLimit();
    /// @notice More than may leave within a day.
    error OverOutflowCap();
    /// @notice More than was seized and not yet disposed of, or no desk is named.
    error OverDisposable();
    /// @notice The transaction's gas could not give every movement its share.
    error NotEnoughGas();
    /// @notice Only the house itself may call this.
    error OnlySelf();
    /// @notice The contract belongs to another house or token.
    error WrongHouse();
    /// @notice The rulebook may take effect at `earliest`, no sooner.
    error TooSoon(uint256 earliest);
    /// @notice No such rulebook was published.
    error UnknownRulebook();
}
