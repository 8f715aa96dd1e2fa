// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {HouseBound} from "./HouseBound.sol";
import {HouseLog} from "./HouseLog.sol";
import {MarginVault} from "./MarginVault.sol";
import {Movement} from "./Movement.sol";
import {Layer, Retention} from "./Retention.sol";
import {RollingLimit} from "./RollingLimit.sol";
import {SeriesEscrow} from "./SeriesEscrow.sol";
import {Kind} from "./Terms.sol";

/// @title House: the intermediary's settlement account in one token, and the only writer of vault movements
/// @notice Cash leaves to an accepted vault, retention or escrow, within a daily cap; to the disposal desk, as much as
/// was seized; or to the treasury, under the access manager's delay. What moves money on one key's word alone is
/// bounded by those caps; a batch, a claim and an emergency cap need a second key's signature. Shutting this contract
/// down is the same as falling silent, which frees the clients.
contract House is HouseLog, AccessManaged, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice Role of the keys that sign batches, claims and emergency caps; see roles.json.
    uint64 public constant APPROVER_ROLE = 2;
    /// @notice EIP-712 type of one movement.
    bytes32 public constant MOVEMENT_TYPEHASH =
        keccak256("Movement(address vault,uint8 kind,uint32 seq,uint96 amount,uint96 required,bytes32 ref)");
    /// @notice EIP-712 type of a batch.
    bytes32 public constant BATCH_TYPEHASH = keccak256(
        "Batch(uint64 id,bytes32 statement,Movement[] movements)Movement(address vault,uint8 kind,uint32 seq,uint96 amount,uint96 required,bytes32 ref)"
    );
    /// @notice EIP-712 type of a claim, noticed or raised.
    bytes32 public constant CLAIM_TYPEHASH =
        keccak256("Claim(address vault,uint32 nonce,uint96 amount,bytes32 evidence)");
    /// @notice EIP-712 type of an emergency change of the outflow cap.
    bytes32 public constant OUTFLOW_CAP_TYPEHASH = keccak256("OutflowCap(uint96 cap,uint64 nonce)");
    /// @notice Gas every movement is given, no less and no more. One needs under 100,000 even through a proxied token.
    /// With less a sender could starve a movement into looking failed, with more a token could burn the batch's.
    uint256 public constant MOVEMENT_GAS = 200_000;
    /// @dev Gas that must be left for a call to get MOVEMENT_GAS: a call takes at most 63/64 of what there is, and
    /// some 6,000 go into looking the vault up and preparing the call.
    uint256 private constant GAS_BEFORE_MOVEMENT = MOVEMENT_GAS + MOVEMENT_GAS / 16;

    /// @notice The one token this house settles in.
    IERC20 public immutable token;
    /// @notice Seconds between a rulebook's publication and the earliest moment it may take effect.
    uint256 public immutable rulebookNotice;

    /// @notice Number of the last batch; the next must be one higher.
    uint64 public batchId;
    /// @notice Unix seconds of the operator's last sign of life.
    uint40 public lastBeat;
    /// @notice Number of the last emergency change of the cap; the next must be one higher.
    uint64 public outflowCapNonce;
    /// @notice Hash chain over the digests of all batches.
    bytes32 public head;
    /// @notice Most cash that may leave within a day, base units; see RollingLimit.
    uint96 public outflowCap;
    uint96 private _outflow;
    uint64 private _outflowAt;
    /// @notice Seized and not yet disposed of, base units.
    uint256 public disposable;
    /// @notice Where seized tokens go to be sold.
    address public disposalDesk;
    /// @notice Hash of the rulebook published last.
    bytes32 public rulebook;
    /// @notice Unix seconds from which a published rulebook holds; 0 is never published.
    mapping(bytes32 hash => uint40) public rulebookEffective;
    /// @notice Largest single credit to an accepted vault, base units; 0 is not accepted.
    mapping(address vault => uint256) public creditLimit;
    /// @notice Retentions and escrows this house may send cash to.
    mapping(address structure => bool) public accepted;

    /// @param token_ the one token of this house
    /// @param manager access manager
    /// @param rulebookNotice_ seconds of notice of a new rulebook (30 days; none where everyone starts together)
    constructor(IERC20 token_, address manager, uint256 rulebookNotice_) AccessManaged(manager) EIP712("House", "1") {
        (token, rulebookNotice, lastBeat) = (token_, rulebookNotice_, uint40(block.timestamp));
    }

    // ------------------------------------------------------------------------------------------------- batches

    /// @notice Digest the approver signs for a batch.
    /// @param id the batch's number
    /// @param statement Merkle root over (vault, exposure, independent amount, required, held, as of) of its vaults
    function batchDigest(uint64 id, bytes32 statement, Movement[] calldata movements) public view returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](movements.length);
        for (uint256 i; i < movements.length; ++i) {
            hashes[i] = keccak256(abi.encode(MOVEMENT_TYPEHASH, movements[i]));
        }
        bytes32 list = keccak256(abi.encodePacked(hashes));
        return _hashTypedDataV4(keccak256(abi.encode(BATCH_TYPEHASH, id, statement, list)));
    }

    /// @notice Post a batch exactly once. A movement that fails, or would pass a cap, is reported and leaves no trace
    /// in its vault; the others settle.
    /// @param id the last batch's plus one
    /// @param statement see `batchDigest`; it goes into the event, for clients to check
    /// @param movements at most as many as a block's gas holds
    /// @param approver holder of the approver role other than the sender
    /// @param signature the approver's, over `batchDigest` (EIP-712, or ERC-1271 of a contract)
    function postBatch(
        uint64 id,
        bytes32 statement,
        Movement[] calldata movements,
        address approver,
        bytes calldata signature
    ) external restricted nonReentrant {
        if (id != batchId + 1) revert BadBatchId(batchId + 1);
        bytes32 digest = batchDigest(id, statement, movements);
        _requireApproval(digest, approver, signature);
        (batchId, lastBeat) = (id, uint40(block.timestamp));
        bytes32 newHead = keccak256(abi.encode(head, digest));
        head = newHead;
        emit BatchPosted(id, newHead, statement, _settleAll(id, movements));
    }

    /// @notice Both halves of a credit, so that they fail together. Called by the house itself; see MarginVault.post.
    function credit(MarginVault vault, uint32 seq, uint96 amount, uint96 required, bytes32 ref) external {
        if (msg.sender != address(this)) revert OnlySelf();
        vault.post(Kind.CREDIT, seq, amount, required, ref);
        token.safeTransfer(address(vault), amount);
    }

    /// @notice Show that the operator lives when there is nothing to post.
    function beat() external restricted {
        lastBeat = uint40(block.timestamp);
        emit Beat(uint40(block.timestamp));
    }

    function _settleAll(uint64 id, Movement[] calldata movements) private returns (uint256 failed) {
        uint256 cap = outflowCap;
        uint256 before = outflow();
        uint256 used = before;
        for (uint256 i; i < movements.length; ++i) {
            if (gasleft() < GAS_BEFORE_MOVEMENT) revert NotEnoughGas();
            Movement calldata m = movements[i];
            bytes4 reason = _settle(m, cap > used ? cap - used : 0);
            if (reason != bytes4(0)) {
                ++failed;
                emit MovementFailed(id, address(m.vault), m.seq, reason);
            } else if (m.kind == Kind.CREDIT) {
                used += m.amount;
            }
        }
        if (used != before) (_outflow, _outflowAt) = (uint96(used), uint64(block.timestamp));
    }

    /// @return reason zero when the movement settled, else the selector of the error, 0xffffffff when it had none
    function _settle(Movement calldata m, uint256 outflowLeft) private returns (bytes4 reason) {
        uint256 limit = creditLimit[address(m.vault)];
        if (limit == 0) return NotAccepted.selector;
        bytes memory call_;
        address target;
        if (m.kind == Kind.CREDIT) {
            if (m.amount > limit) return OverCreditLimit.selector;
            if (m.amount > outflowLeft) return OverOutflowCap.selector;
            target = address(this);
            call_ = abi.encodeCall(this.credit, (m.vault, m.seq, m.amount, m.required, m.ref));
        } else {
            target = address(m.vault);
            call_ = abi.encodeCall(MarginVault.post, (m.kind, m.seq, m.amount, m.required, m.ref));
        }
        uint256 gas_ = MOVEMENT_GAS;
        // At most four bytes of the answer are copied: a long one would cost the batch its gas.
        assembly ("memory-safe") {
            mstore(0x00, 0)
            if iszero(call(gas_, target, 0, add(call_, 0x20), mload(call_), 0x00, 0x04)) {
                reason := mload(0x00)
                if iszero(reason) { reason := shl(224, 0xffffffff) }
            }
        }
    }

    // ------------------------------------------------------------------------------------------- vaults: the rest

    /// @notice Accept a vault of this house and token for credits of at most `limit`; zero ends acceptance.
    function setCreditLimit(MarginVault vault, uint256 limit) external restricted {
        if (limit != 0 && (vault.house() != address(this) || vault.token() != token)) revert WrongHouse();
        creditLimit[address(vault)] = limit;
        emit CreditLimitSet(address(vault), limit);
    }

    /// @notice Record in the vault the terms and published rulebook its client signed.
    function amend(
        MarginVault vault,
        bytes32 termsHash,
        bytes32 rulebookHash,
        uint32 nonce,
        bytes calldata clientSignature
    ) external restricted {
        if (rulebookEffective[rulebookHash] == 0) revert UnknownRulebook();
        vault.amend(termsHash, rulebookHash, nonce, clientSignature);
    }

    /// @notice Digest an approver signs for the vault's next notice or raise.
    function claimDigest(MarginVault vault, uint96 amount, bytes32 evidence) public view returns (bytes32) {
        uint32 nonce = vault.claimNonce() + 1;
        return _hashTypedDataV4(keccak256(abi.encode(CLAIM_TYPEHASH, vault, nonce, amount, evidence)));
    }

    /// @notice Declare a default of a vault's client, with a second key's approval.
    function noticeDefault(
        MarginVault vault,
        uint96 amount,
        bytes32 evidence,
        address approver,
        bytes calldata signature
    ) external restricted {
        _requireApproval(claimDigest(vault, amount, evidence), approver, signature);
        vault.noticeDefault(amount, evidence);
    }

    /// @notice Raise the claim of a live notice on new evidence, with a second key's approval.
    function raiseClaim(MarginVault vault, uint96 amount, bytes32 evidence, address approver, bytes calldata signature)
        external
        restricted
    {
        _requireApproval(claimDigest(vault, amount, evidence), approver, signature);
        vault.raiseClaim(amount, evidence);
    }

    /// @notice Take a notice back.
    function withdrawNotice(MarginVault vault) external restricted {
        vault.withdrawNotice();
    }

    /// @notice Take the open claim after the cure period. What arrives may be disposed of.
    /// @return received base units
    function seize(MarginVault vault) external restricted nonReentrant returns (uint256 received) {
        uint256 before = token.balanceOf(address(this));
        vault.seize();
        received = token.balanceOf(address(this)) - before;
        disposable += received;
    }

    /// @notice End a notice after the loss was determined; what is left in the vault is the client's.
    function determine(MarginVault vault) external restricted {
        vault.determine();
    }

    // ------------------------------------------------------------------------------- retentions and bond escrows

    /// @notice Accept a retention or escrow of this house as a destination, or end that.
    function setStructure(address structure, bool accept) external restricted {
        if (accept && HouseBound(structure).house() != address(this)) revert WrongHouse();
        accepted[structure] = accept;
        emit StructureAccepted(structure, accept);
    }

    /// @notice Set money of the house aside in a relationship's retention; base units.
    function fundRetention(Retention retention, Layer layer, uint96 amount, bytes32 ref)
        external
        restricted
        nonReentrant
    {
        _fund(address(retention), amount, ref);
        retention.noteFromHouse(layer, amount);
    }

    /// @notice Refill a retention after a recovery; see Retention.restore.
    function restore(Retention retention, uint64 seq, uint96 firstLoss, uint96 senior, bytes32 evidence)
        external
        restricted
        nonReentrant
    {
        _fund(address(retention), uint256(firstLoss) + senior, evidence);
        retention.restore(seq, firstLoss, senior, evidence);
    }

    /// @notice Write a slice of a series up after a recovery; see SeriesEscrow.writeUp.
    function writeUp(SeriesEscrow escrow, uint64 seq, uint256 slice, uint96 amount, bytes32 evidence)
        external
        restricted
        nonReentrant
    {
        _fund(address(escrow), amount, evidence);
        escrow.writeUp(seq, slice, amount, evidence);
    }

    /// @notice Pay a coupon of a class; see SeriesEscrow.payCoupon.
    function payCoupon(SeriesEscrow escrow, uint64 seq, uint256 tranche, uint96 amount, bytes32 ref)
        external
        restricted
        nonReentrant
    {
        _fund(address(escrow), amount, ref);
        escrow.payCoupon(seq, tranche, amount, ref);
    }

    function _fund(address structure, uint256 amount, bytes32 ref) private {
        if (!accepted[structure]) revert NotAccepted();
        _spend(amount);
        emit StructureFunded(structure, amount, ref);
        token.safeTransfer(structure, amount);
    }

    // ------------------------------------------------------------------------------------- caps, treasury, rules

    /// @notice Cash that counts against the cap now, base units.
    function outflow() public view returns (uint256) {
        return RollingLimit.usedNow(_outflow, _outflowAt, outflowCap);
    }

    /// @notice Change the outflow cap, under the manager's delay.
    function setOutflowCap(uint96 cap) external restricted {
        _setOutflowCap(cap);
    }

    /// @notice Digest an approver signs for an emergency change of the outflow cap.
    function outflowCapDigest(uint96 cap, uint64 nonce) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(OUTFLOW_CAP_TYPEHASH, cap, nonce)));
    }

    /// @notice Change the outflow cap at once, with a second key's approval.
    function setOutflowCapNow(uint96 cap, uint64 nonce, address approver, bytes calldata signature)
        external
        restricted
    {
        if (nonce != outflowCapNonce + 1) revert BadNonce(outflowCapNonce + 1);
        _requireApproval(outflowCapDigest(cap, nonce), approver, signature);
        outflowCapNonce = nonce;
        _setOutflowCap(cap);
    }

    /// @notice Publish a rulebook, by hash and place, some time before it holds.
    function publishRulebook(bytes32 hash, string calldata uri, uint40 effective) external restricted {
        uint256 earliest = block.timestamp + rulebookNotice;
        if (effective < earliest) revert TooSoon(earliest);
        (rulebook, rulebookEffective[hash]) = (hash, effective);
        emit RulebookPublished(hash, uri, effective);
    }

    /// @notice Pay the intermediary's own money out, under the manager's delay. `ref` is the journal entry's hash.
    function payTreasury(address to, uint256 amount, bytes32 ref) external restricted {
        emit TreasuryPaid(to, amount, ref);
        token.safeTransfer(to, amount);
    }

    /// @notice Name the desk that sells seized tokens, under the manager's delay.
    function setDisposalDesk(address desk) external restricted {
        disposalDesk = desk;
        emit DisposalDeskSet(desk);
    }

    /// @notice Send seized tokens to the disposal desk.
    function dispose(uint256 amount, bytes32 ref) external restricted {
        if (amount > disposable || disposalDesk == address(0)) revert OverDisposable();
        disposable -= amount;
        emit Disposed(disposalDesk, amount, ref);
        token.safeTransfer(disposalDesk, amount);
    }

    function _setOutflowCap(uint96 cap) private {
        // What is in use is fixed at the old cap's pace before the pace changes.
        (_outflow, _outflowAt) = (uint96(outflow()), uint64(block.timestamp));
        outflowCap = cap;
        emit OutflowCapSet(cap);
    }

    function _spend(uint256 amount) private {
        uint256 used = outflow() + amount;
        if (used > outflowCap) revert OverOutflowCap();
        (_outflow, _outflowAt) = (uint96(used), uint64(block.timestamp));
    }

    function _requireApproval(bytes32 digest, address approver, bytes calldata signature) private view {
        (bool holdsRole,) = IAccessManager(authority()).hasRole(APPROVER_ROLE, approver);
        if (
            !holdsRole || approver == msg.sender
                || !SignatureChecker.isValidSignatureNowCalldata(approver, digest, signature)
        ) revert BadApproval();
    }
}
