// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {HouseBound} from "./HouseBound.sol";
import {RollingLimit} from "./RollingLimit.sol";
import {Kind, Terms} from "./Terms.sol";
import {VaultLog} from "./VaultLog.sol";

/// @notice What a vault needs to know of its house.
interface IHouse {
    /// @notice Unix seconds of the operator's last sign of life.
    function lastBeat() external view returns (uint40);
}

/// @title MarginVault: the margin of one relationship in one token
/// @notice Cash leaves through `_pay` only, and `_pay` is only ever told `house` or `payout()`. A deposit is a plain
/// token transfer to this address, so no code exists that could suspend it. There is no path to another vault, no
/// approval, no delegatecall out, no upgrade. If the operator falls silent or the client's exit matures, nothing is
/// locked. Deployed as a clone whose immutable arguments are the Terms.
contract MarginVault is HouseBound, VaultLog, EIP712 {
    using SafeERC20 for IERC20;

    /// @notice An operator without a beat for this long has abandoned its claim to hold margin.
    uint256 public constant SILENCE = 7 days;
    /// @notice After the cure period a claim must be taken within this time, or the notice lapses.
    uint256 public constant SEIZE_WINDOW = 5 days;
    /// @notice A lapsed notice cannot be renewed earlier, or notices could lock margin for ever. One that was withdrawn
    /// can, for as much of its time as was left: together such notices lock margin no longer than one.
    uint256 public constant NOTICE_GAP = 30 days;
    /// @notice Time for a client to notice that somebody with its key changed the payout address.
    uint256 public constant PAYOUT_DELAY = 5 days;
    /// @notice A ripe request dies after this time, or one old request would let a client drain just before a debit.
    uint256 public constant REQUEST_LIFE = 7 days;
    /// @notice EIP-712 type of the client's consent to a new pair of terms and rulebook.
    bytes32 public constant AMENDMENT_TYPEHASH =
        keccak256("Amendment(bytes32 termsHash,bytes32 rulebookHash,uint32 nonce)");

    /// @dev One slot, written once a movement: 80 bits hold 1.2 million tokens of 18 decimals.
    struct Hot {
        uint80 required;
        uint80 spent;
        uint32 spentAt;
        uint32 exitReady;
        uint32 seq;
    }

    /// @dev One slot: the client's request, and the life of the latest default notice.
    struct Cold {
        uint96 request;
        uint32 requestReady;
        uint32 cureBy;
        uint32 lapsesAt;
        uint32 renewableAt;
        uint32 claimNonce;
    }

    /// @dev Two slots: what is claimed, what of it was taken, and the evidence it rests on; and the seconds that a
    /// withdrawn notice had left.
    struct Claim {
        uint96 amount;
        uint96 seized;
        uint32 amendmentNonce;
        uint32 unspent;
        bytes32 evidence;
    }

    Hot private _hot;
    Cold private _cold;
    Claim private _claim;
    address private _payout;
    /// @notice Proposed next payout address; zero when none is.
    address public pendingPayout;
    /// @notice Unix seconds from which the proposed payout address may be applied.
    uint40 public pendingPayoutAt;
    /// @notice Hash of the terms in force; zero until the first amendment.
    bytes32 public termsHash;
    /// @notice Hash of the rulebook in force; zero until the first amendment.
    bytes32 public rulebookHash;

    modifier onlyClient() {
        if (msg.sender != terms().client) revert NotClient();
        _;
    }

    modifier whileNoticed() {
        if (!noticeLive()) revert NoNotice();
        _;
    }

    /// @param token_ the one token this vault and all its clones hold
    /// @param house_ the only other party
    constructor(IERC20 token_, address house_) HouseBound(token_, house_) EIP712("MarginVault", "1") {}

    // ------------------------------------------------------------------------------------------------- views

    /// @notice The immutable terms of this clone.
    function terms() public view returns (Terms memory) {
        return abi.decode(Clones.fetchCloneArgs(address(this)), (Terms));
    }

    /// @notice Everything that changes, in three records.
    function state() external view returns (Hot memory hot, Cold memory cold, Claim memory claim) {
        return (_hot, _cold, _claim);
    }

    /// @notice Number of the last movement; the next must be one higher.
    function seq() external view returns (uint32) {
        return _hot.seq;
    }

    /// @notice Number of the last notice or raise; the next approval is signed over one higher.
    function claimNonce() external view returns (uint32) {
        return _cold.claimNonce;
    }

    /// @notice Number of the last amendment; the client signs over one higher.
    function amendmentNonce() external view returns (uint32) {
        return _claim.amendmentNonce;
    }

    /// @notice The only client-side destination.
    function payout() public view returns (address) {
        return _payout == address(0) ? terms().payout : _payout;
    }

    /// @notice Whether a default notice is in force: neither cured, withdrawn, determined nor lapsed.
    function noticeLive() public view returns (bool) {
        return block.timestamp < _cold.lapsesAt;
    }

    /// @notice Whether the client's exit has matured, by its own request or by a seizure.
    function exitMatured() public view returns (bool) {
        uint32 ready = _hot.exitReady;
        return ready != 0 && block.timestamp >= ready;
    }

    /// @notice What the client cannot take out now, base units. A live notice locks the open claim or the requirement,
    /// whichever is more; after it a matured exit frees all, as does a silent operator; else the requirement holds.
    function locked() public view returns (uint256) {
        uint256 held = _hot.required;
        if (noticeLive()) {
            uint256 open = _claim.amount - _claim.seized;
            return open > held ? open : held;
        }
        if (exitMatured() || block.timestamp > IHouse(house).lastBeat() + SILENCE) return 0;
        return held;
    }

    /// @notice What the client could take out now, base units.
    function free() public view returns (uint256) {
        (uint256 balance, uint256 held) = (token.balanceOf(address(this)), locked());
        return balance > held ? balance - held : 0;
    }

    /// @notice Digest the client signs to accept a pair of terms and rulebook.
    function amendmentDigest(bytes32 termsHash_, bytes32 rulebookHash_, uint32 nonce) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(AMENDMENT_TYPEHASH, termsHash_, rulebookHash_, nonce)));
    }

    // -------------------------------------------------------------------------------------------- house: movements

    /// @notice Record movement `seq_` and move its cash. Exactly once: `seq_` is strictly the last one plus one.
    /// @param kind what moves; see Kind
    /// @param amount base units that move
    /// @param required_ requirement in force from now on, base units
    /// @param ref hash of the journal entry this movement settles
    function post(Kind kind, uint32 seq_, uint96 amount, uint96 required_, bytes32 ref) external onlyHouse {
        Hot memory hot = _hot;
        if (seq_ != hot.seq + 1) revert BadSeq(hot.seq + 1, seq_);
        (uint256 debitCap, uint256 maxRequired) = _caps();
        if (required_ > maxRequired) revert CapExceeded();
        if (kind == Kind.DEBIT) {
            if (hot.exitReady != 0 && block.timestamp >= hot.exitReady) revert ExitMatured();
            uint256 spent = RollingLimit.usedNow(hot.spent, hot.spentAt, debitCap) + amount;
            if (spent > debitCap) revert CapExceeded();
            (hot.spent, hot.spentAt) = (SafeCast.toUint80(spent), uint32(block.timestamp));
        }
        (hot.seq, hot.required) = (seq_, SafeCast.toUint80(required_));
        _hot = hot;
        emit Moved(seq_, kind, amount, required_, ref);
        if (kind == Kind.DEBIT) _pay(house, amount);
        else if (kind == Kind.RETURN) _pay(payout(), amount);
    }

    /// @notice Record a new pair of terms and rulebook that the client signed; the vault does not move.
    /// @param nonce the last amendment's plus one
    /// @param clientSignature EIP-712 (or ERC-1271) signature of Terms.client over `amendmentDigest`
    function amend(bytes32 termsHash_, bytes32 rulebookHash_, uint32 nonce, bytes calldata clientSignature)
        external
        onlyHouse
    {
        uint32 want = _claim.amendmentNonce + 1;
        if (nonce != want) revert BadNonce(want);
        bytes32 digest = amendmentDigest(termsHash_, rulebookHash_, nonce);
        if (!SignatureChecker.isValidSignatureNow(terms().client, digest, clientSignature)) revert BadSignature();
        (_claim.amendmentNonce, termsHash, rulebookHash) = (nonce, termsHash_, rulebookHash_);
        emit Amended(nonce, termsHash_, rulebookHash_);
    }

    // ---------------------------------------------------------------------------------------------- house: default

    /// @notice Declare a default and claim `amount` (base units; `evidence` is the hash of what it rests on). Refused
    /// once the client's exit has matured, while another notice lives, and for 30 days after one lapsed. One that was
    /// withdrawn may be followed at once by one that lives no longer than it had left, a cured one by one of full
    /// length.
    function noticeDefault(uint96 amount, bytes32 evidence) external onlyHouse {
        if (noticeLive()) revert NotReady();
        if (exitMatured()) revert ExitMatured();
        if (amount == 0) revert NothingToPay();
        uint256 cureBy = block.timestamp + terms().curePeriod;
        uint256 lapsesAt = cureBy + SEIZE_WINDOW;
        if (block.timestamp < _cold.renewableAt) {
            lapsesAt = block.timestamp + _claim.unspent;
            if (lapsesAt <= cureBy) revert NotReady(); // nothing could be seized in what is left
        }
        uint32 nonce = ++_cold.claimNonce;
        (_cold.cureBy, _cold.lapsesAt) = (uint32(cureBy), uint32(lapsesAt));
        _cold.renewableAt = uint32(lapsesAt + NOTICE_GAP);
        (_claim.amount, _claim.seized, _claim.unspent, _claim.evidence) = (amount, 0, 0, evidence);
        emit DefaultNoticed(nonce, amount, evidence, uint40(cureBy), uint40(lapsesAt));
    }

    /// @notice Raise the claim of a live notice, on new evidence; neither cure time nor lapse moves.
    function raiseClaim(uint96 amount, bytes32 evidence) external onlyHouse whileNoticed {
        if (amount <= _claim.amount || evidence == _claim.evidence) revert ClaimNotRaised();
        uint32 nonce = ++_cold.claimNonce;
        (_claim.amount, _claim.evidence) = (amount, evidence);
        emit ClaimRaised(nonce, amount, evidence);
    }

    /// @notice Take a notice back before anything was seized; the relationship goes on.
    function withdrawNotice() external onlyHouse whileNoticed {
        if (_claim.seized != 0) revert AlreadySeized();
        _claim.unspent = _cold.lapsesAt - uint32(block.timestamp);
        (_cold.lapsesAt, _cold.renewableAt) = (uint32(block.timestamp), uint32(block.timestamp + NOTICE_GAP));
        emit NoticeWithdrawn(_cold.claimNonce);
    }

    /// @notice After the cure period and before the notice lapses, take the open claim or all there is, to the house.
    /// A first seizure ends the relationship: when the notice ends, the rest is the client's.
    /// @return amount base units taken
    function seize() external onlyHouse whileNoticed returns (uint256 amount) {
        if (block.timestamp < _cold.cureBy) revert NotReady();
        (uint256 open, uint256 balance) = (_claim.amount - _claim.seized, token.balanceOf(address(this)));
        amount = open < balance ? open : balance;
        if (amount == 0) revert NothingToPay();
        uint256 total = _claim.seized + amount;
        _claim.seized = uint96(total);
        if (!exitMatured()) _hot.exitReady = uint32(block.timestamp);
        emit Seized(_cold.claimNonce, amount, total);
        _pay(house, amount);
    }

    /// @notice The loss is determined: the notice ends and everything left is the client's at once.
    function determine() external onlyHouse whileNoticed {
        if (_claim.seized == 0) revert NothingSeized();
        _cold.lapsesAt = uint32(block.timestamp);
        emit Determined(_cold.claimNonce, _claim.seized);
    }

    // ------------------------------------------------- client: no role, flag or act of the operator is consulted

    /// @notice Ask for `amount`; replaces an earlier request. Zero takes a request back.
    function requestWithdraw(uint96 amount) external onlyClient {
        uint256 ready = block.timestamp + terms().answerPeriod;
        (_cold.request, _cold.requestReady) = (amount, uint32(ready));
        emit WithdrawRequested(amount, uint40(ready));
    }

    /// @notice Ask to leave: after the exit period nothing is locked, unless a default was noticed before.
    function requestExit() external onlyClient {
        if (_hot.exitReady != 0) revert NotReady();
        uint256 ready = block.timestamp + terms().exitPeriod;
        _hot.exitReady = uint32(ready);
        emit ExitRequested(uint40(ready));
    }

    /// @notice Stay after all. Not while a notice lives: a seizure's end must free the rest.
    function cancelExit() external onlyClient {
        if (_hot.exitReady == 0 || noticeLive()) revert NotReady();
        _hot.exitReady = 0;
        emit ExitCancelled();
    }

    /// @notice Pay out what is free: all of it after a matured exit, else up to a ripe request. Anyone may call it,
    /// since the destination is fixed. A request survives until it is filled, so a stranger cannot burn it.
    /// @return amount base units paid
    function withdraw() external returns (uint256 amount) {
        amount = free();
        if (!exitMatured()) {
            (uint256 request, uint256 ready) = (_cold.request, _cold.requestReady);
            if (block.timestamp < ready || block.timestamp >= ready + REQUEST_LIFE) revert NotReady();
            if (amount > request) amount = request;
            _cold.request = uint96(request - amount);
        }
        if (amount == 0) revert NothingToPay();
        address to = payout();
        emit Withdrawn(to, amount);
        _pay(to, amount);
    }

    /// @notice Pay the open claim of a live notice and end it, at any time. What was seized in full is not cured.
    function cure() external onlyClient whileNoticed {
        uint256 amount = _claim.amount - _claim.seized;
        if (amount == 0) revert NothingToPay();
        (_cold.lapsesAt, _cold.renewableAt) = (uint32(block.timestamp), 0);
        emit Cured(_cold.claimNonce, amount);
        _pay(house, amount);
    }

    /// @notice Propose another payout address; the zero address takes a proposal back.
    function proposePayout(address to) external onlyClient {
        (pendingPayout, pendingPayoutAt) = (to, uint40(block.timestamp + PAYOUT_DELAY));
        emit PayoutProposed(to, pendingPayoutAt);
    }

    /// @notice Make a proposed payout address the destination, five days after it was proposed.
    function applyPayout() external onlyClient {
        if (pendingPayout == address(0) || block.timestamp < pendingPayoutAt) revert NotReady();
        (_payout, pendingPayout) = (pendingPayout, address(0));
        emit PayoutChanged(_payout);
    }

    /// @notice Send a token that does not belong here to the client.
    /// @param other any token but the vault's own
    function returnForeignToken(IERC20 other) external {
        if (other == token) revert OwnToken();
        uint256 amount = other.balanceOf(address(this));
        emit ForeignTokenReturned(address(other), amount);
        other.safeTransfer(payout(), amount);
    }

    /// @dev debitCap and maxRequired alone: words 4 and 5 of the arguments, which follow 0x2d bytes of clone code.
    /// Decoding all the terms would cost every movement some 1,500 gas.
    function _caps() private view returns (uint256 debitCap, uint256 maxRequired) {
        assembly ("memory-safe") {
            extcodecopy(address(), 0x00, 0xad, 0x40)
            debitCap := mload(0x00)
            maxRequired := mload(0x20)
        }
    }

    /// @dev The only exit of cash.
    function _pay(address to, uint256 amount) private {
        token.safeTransfer(to, amount);
    }
}
