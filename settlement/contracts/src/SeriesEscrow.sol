// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {HouseBound, Structure} from "./HouseBound.sol";
import {Schedule, SeriesLog} from "./SeriesLog.sol";
import {TrancheNote} from "./TrancheNote.sol";

/// @title SeriesEscrow: the collateral of one bond series, in ring-fenced slices
/// @notice A slice covers one relationship and a tranche is a class of notes, junior first; the escrow holds one
/// principal for each pair. A loss of a relationship writes down its own slice only, junior notes first, after a
/// public notice and a challenge period. Cash leaves to note holders or, for an applied loss, to the house. Anyone
/// can mature the series if the operator vanishes.
contract SeriesEscrow is Structure, SeriesLog {
    using SafeERC20 for IERC20;

    /// @dev pending: sum of the slice's noticed losses not yet applied or dropped.
    struct Slice {
        bytes32 relationship;
        uint128 pending;
    }

    struct Position {
        uint128 principal;
        uint128 writtenDown;
    }

    struct Notice {
        uint32 slice;
        uint96 amount;
        uint40 ready;
        bool challenged;
    }

    /// @notice With MAX_SLICES, keeps every loop of the contract far below a block's gas.
    uint256 public constant MAX_TRANCHES = 6;
    /// @notice See MAX_TRANCHES.
    uint256 public constant MAX_SLICES = 40;

    /// @notice See Schedule.
    uint40 public immutable subscribeBy;
    /// @notice See Schedule.
    uint40 public immutable finalMaturity;
    /// @notice See Schedule.
    uint32 public immutable challengePeriod;
    /// @notice See Schedule.
    uint32 public immutable expertPeriod;
    /// @notice See Schedule.
    uint32 public immutable maturityGrace;

    /// @notice Where the series stands in its life.
    Phase public phase;
    /// @notice Coupons and repayments shared out and not yet paid, base units.
    uint256 public owedTotal;
    /// @notice Classes of notes, junior first.
    TrancheNote[] public notes;
    /// @notice The relationships covered, and what notices against each are pending, base units.
    Slice[] public slices;
    /// @notice Losses noticed and neither applied nor dropped.
    mapping(uint64 id => Notice) public notices;
    /// @notice Units an investor may still subscribe.
    mapping(uint256 tranche => mapping(address investor => uint256)) public allotment;
    /// @notice Face of a tranche: the sum over its slices, base units.
    mapping(uint256 tranche => uint256) public face;
    /// @notice Principal and net written-down amount of one tranche's part of one slice, base units.
    mapping(uint256 slice => mapping(uint256 tranche => Position)) public position;

    modifier during(Phase wanted) {
        if (phase != wanted) revert WrongPhase(phase);
        _;
    }

    /// @param token_ settlement token the notes are paid in
    /// @param house_ only destination besides note holders
    /// @param s dates and periods; a notice on the last day must be decided before anyone may mature
    /// @param manager access manager
    constructor(IERC20 token_, address house_, Schedule memory s, address manager)
        HouseBound(token_, house_)
        AccessManaged(manager)
    {
        if (
            s.subscribeBy <= block.timestamp || s.finalMaturity <= s.subscribeBy
                || uint256(s.challengePeriod) + s.expertPeriod >= s.maturityGrace
        ) revert BadSchedule();
        (subscribeBy, finalMaturity) = (s.subscribeBy, s.finalMaturity);
        (challengePeriod, expertPeriod, maturityGrace) = (s.challengePeriod, s.expertPeriod, s.maturityGrace);
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @notice How many classes of notes there are.
    function trancheCount() external view returns (uint256) {
        return notes.length;
    }

    /// @notice How many slices there are.
    function sliceCount() external view returns (uint256) {
        return slices.length;
    }

    /// @notice Outstanding principal of a slice, base units.
    function slicePrincipal(uint256 slice) public view returns (uint256 total) {
        for (uint256 t; t < notes.length; ++t) {
            total += position[slice][t].principal;
        }
    }

    /// @notice Outstanding principal of the series, base units.
    function principal() public view returns (uint256 total) {
        for (uint256 t; t < notes.length; ++t) {
            total += notes[t].principal();
        }
    }

    /// @notice Cash the escrow must hold at least: principal, and what holders have not claimed yet.
    function liabilities() public view returns (uint256) {
        return principal() + owedTotal;
    }

    // ------------------------------------------------------------------------------------------- structuring

    /// @notice Name the classes, junior first; once, each bound to this escrow and without units.
    function setNotes(TrancheNote[] calldata notes_) external restricted during(Phase.STRUCTURING) {
        if (notes.length != 0 || notes_.length == 0 || notes_.length > MAX_TRANCHES) revert BadStructure();
        for (uint256 t; t < notes_.length; ++t) {
            if (notes_[t].escrow() != address(this) || notes_[t].totalSupply() != 0) revert BadStructure();
            for (uint256 other; other < t; ++other) {
                if (notes_[other] == notes_[t]) revert BadStructure();
            }
        }
        notes = notes_;
        emit NotesSet(notes_);
    }

    /// @notice Add a slice that covers one relationship, with the principal of each class, junior first.
    function addSlice(bytes32 relationship, uint96[] calldata byTranche) external restricted during(Phase.STRUCTURING) {
        if (notes.length == 0 || byTranche.length != notes.length || slices.length == MAX_SLICES) {
            revert BadStructure();
        }
        uint256 slice = slices.length;
        for (uint256 t; t < byTranche.length; ++t) {
            position[slice][t].principal = byTranche[t];
            face[t] += byTranche[t];
        }
        slices.push(Slice(relationship, 0));
        emit SliceAdded(slice, relationship, byTranche);
    }

    /// @notice Fix the structure and let investors subscribe.
    function openOffering() external restricted during(Phase.STRUCTURING) {
        if (slices.length == 0) revert BadStructure();
        for (uint256 t; t < notes.length; ++t) {
            if (face[t] == 0) revert BadStructure();
        }
        _enter(Phase.OFFERING);
    }

    /// @notice Allot units of a class to investors; replaces what they may still subscribe.
    function allot(uint256 tranche, address[] calldata investors, uint256[] calldata units)
        external
        restricted
        during(Phase.OFFERING)
    {
        if (tranche >= notes.length || investors.length != units.length) revert BadStructure();
        for (uint256 i; i < investors.length; ++i) {
            allotment[tranche][investors[i]] = units[i];
            emit Allotted(tranche, investors[i], units[i]);
        }
    }

    /// @notice Delivery against payment, called by the investor: cash in, the same number of units out.
    function subscribe(uint256 tranche, uint256 units) external during(Phase.OFFERING) {
        if (block.timestamp >= subscribeBy) revert NotReady();
        uint256 allotted = allotment[tranche][msg.sender];
        if (units == 0 || units > allotted) revert ExceedsAllotment();
        if (notes[tranche].totalSupply() + units > face[tranche]) revert ExceedsPrincipal();
        allotment[tranche][msg.sender] = allotted - units;
        notes[tranche].mint(msg.sender, units);
        emit Subscribed(tranche, msg.sender, units);
        token.safeTransferFrom(msg.sender, address(this), units);
        _requireCash(liabilities());
    }

    /// @notice Every class is subscribed in full: the series is on risk.
    function closeOffering() external restricted during(Phase.OFFERING) {
        for (uint256 t; t < notes.length; ++t) {
            if (notes[t].totalSupply() != face[t]) revert NotCovered();
        }
        _enter(Phase.ON_RISK);
    }

    /// @notice Give the offering up; after `subscribeBy` see `expire`.
    function pull() external restricted during(Phase.OFFERING) {
        _enter(Phase.PULLED);
    }

    /// @notice An offering not closed in time is pulled by anyone.
    function expire() external during(Phase.OFFERING) {
        if (block.timestamp < subscribeBy) revert NotReady();
        _enter(Phase.PULLED);
    }

    /// @notice Pay an investor of a pulled series back; anyone may call it, the cash goes to the holder.
    function refund(uint256 tranche, address holder) external during(Phase.PULLED) returns (uint256 units) {
        units = notes[tranche].refund(holder);
        emit Refunded(tranche, holder, units);
        token.safeTransfer(holder, units);
    }

    // ------------------------------------------------------------------------------------------------- losses

    /// @notice Announce a loss of a slice; several may be pending at once. The notice's id is `seq_`.
    /// @param amount base units, with the slice's other pending notices at most its outstanding principal
    /// @param evidence hash of the determination bundle
    function noticeLoss(uint64 seq_, uint256 slice, uint96 amount, bytes32 evidence)
        external
        restricted
        during(Phase.ON_RISK)
    {
        _next(seq_);
        if (slice >= slices.length) revert BadStructure();
        if (block.timestamp > finalMaturity) revert NotReady();
        uint256 pending = uint256(slices[slice].pending) + amount;
        if (amount == 0 || pending > slicePrincipal(slice)) revert ExceedsPrincipal();
        slices[slice].pending = uint128(pending);
        uint40 ready = uint40(block.timestamp + challengePeriod);
        notices[seq_] = Notice(uint32(slice), amount, ready, false);
        emit LossNoticed(seq_, slice, slices[slice].relationship, amount, evidence, ready);
    }

    /// @notice Refer a notice to the expert: once, inside the challenge period, for a bounded time.
    function challenge(uint64 id) external restricted during(Phase.ON_RISK) {
        Notice storage notice = notices[id];
        if (notice.amount == 0) revert NoNotice();
        if (notice.challenged || block.timestamp >= notice.ready) revert NotReady();
        (notice.challenged, notice.ready) = (true, notice.ready + expertPeriod);
        emit NoticeChallenged(id, notice.ready);
    }

    /// @notice The expert's binding answer: the amount noticed or less, zero drops the notice.
    function rule(uint64 id, uint96 amount) external restricted during(Phase.ON_RISK) {
        Notice storage notice = notices[id];
        if (notice.amount == 0) revert NoNotice();
        if (!notice.challenged || block.timestamp >= notice.ready) revert NotReady();
        if (amount > notice.amount) revert ExceedsPrincipal();
        slices[notice.slice].pending -= notice.amount - amount;
        emit NoticeRuled(id, amount);
        if (amount == 0) delete notices[id];
        else (notice.amount, notice.ready) = (amount, uint40(block.timestamp));
    }

    /// @notice Take a notice back, by its id.
    function cancelLoss(uint64 seq_, uint64 id) external restricted during(Phase.ON_RISK) {
        _next(seq_);
        _drop(id);
        emit LossCancelled(seq_, id);
    }

    /// @notice Write a noticed loss down, junior notes first within its slice, and send the cash to the house.
    function applyLoss(uint64 seq_, uint64 id) external restricted during(Phase.ON_RISK) {
        _next(seq_);
        if (block.timestamp < notices[id].ready) revert NotReady();
        (uint256 slice, uint256 amount) = _drop(id);
        uint256[] memory byTranche = new uint256[](notes.length);
        uint256 left = amount;
        for (uint256 t; left != 0; ++t) {
            Position storage p = position[slice][t];
            uint256 loss = p.principal < left ? p.principal : left;
            if (loss == 0) continue;
            (p.principal, p.writtenDown) = (p.principal - uint128(loss), p.writtenDown + uint128(loss));
            (byTranche[t], left) = (loss, left - loss);
            notes[t].writeDown(loss);
        }
        emit LossApplied(seq_, id, slice, slices[slice].relationship, amount, byTranche);
        token.safeTransfer(house, amount);
    }

    /// @notice Write a slice up, most senior notes first, with recovered cash the house has just sent; at most what
    /// was written down. After maturity the cash is shared out at once.
    function writeUp(uint64 seq_, uint256 slice, uint96 amount, bytes32 evidence) external onlyHouse {
        if (phase != Phase.ON_RISK && phase != Phase.MATURED) revert WrongPhase(phase);
        _next(seq_);
        uint256[] memory byTranche = new uint256[](notes.length);
        uint256 left = amount;
        for (uint256 t = notes.length; t != 0 && left != 0;) {
            --t;
            Position storage p = position[slice][t];
            uint256 gain = p.writtenDown < left ? p.writtenDown : left;
            if (gain == 0) continue;
            (p.principal, p.writtenDown) = (p.principal + uint128(gain), p.writtenDown - uint128(gain));
            (byTranche[t], left) = (gain, left - gain);
            notes[t].writeUp(gain);
            if (phase == Phase.MATURED) _repay(slice, t, gain, evidence);
        }
        if (amount == 0 || left != 0) revert ExceedsWrittenDown();
        _requireCash(liabilities());
        emit WrittenUp(seq_, slice, evidence, amount, byTranche);
    }

    // ----------------------------------------------------------------------------------------------- payments

    /// @notice Share a coupon of a class among its holders, with cash the house has just sent.
    function payCoupon(uint64 seq_, uint256 tranche, uint96 amount, bytes32 ref) external onlyHouse {
        if (phase != Phase.ON_RISK && phase != Phase.MATURED) revert WrongPhase(phase);
        _next(seq_);
        _requireCash(liabilities() + amount);
        owedTotal += amount;
        notes[tranche].distribute(amount, false, ref);
        emit CouponPaid(seq_, tranche, amount, ref);
    }

    /// @notice Repay principal of one class out of one slice. What pending notices would take stays.
    function repay(uint64 seq_, uint256 slice, uint256 tranche, uint96 amount, bytes32 ref)
        external
        restricted
        during(Phase.ON_RISK)
    {
        _next(seq_);
        if (slice >= slices.length || tranche >= notes.length) revert BadStructure();
        uint256 pending = slices[slice].pending;
        for (uint256 t; t < tranche; ++t) {
            uint256 junior = position[slice][t].principal;
            pending = pending > junior ? pending - junior : 0;
        }
        uint256 outstanding = position[slice][tranche].principal;
        if (amount > outstanding) revert ExceedsPrincipal();
        if (amount + pending > outstanding) revert Reserved();
        _repay(slice, tranche, amount, ref);
        emit Repaid(seq_, slice, tranche, amount, ref);
    }

    /// @notice After final maturity and its grace anyone releases all principal to the holders; a notice that was
    /// not applied by then has lapsed.
    function mature() external during(Phase.ON_RISK) {
        if (block.timestamp < uint256(finalMaturity) + maturityGrace) revert NotReady();
        uint256 amount = principal();
        ++seq;
        _enter(Phase.MATURED);
        for (uint256 s; s < slices.length; ++s) {
            slices[s].pending = 0;
            for (uint256 t; t < notes.length; ++t) {
                uint256 outstanding = position[s][t].principal;
                if (outstanding != 0) _repay(s, t, outstanding, "maturity");
            }
        }
        emit Matured(seq, amount);
    }

    /// @notice Pay a holder what its units have earned; anyone may call it, the cash goes to the holder.
    function claim(uint256 tranche, address holder) external returns (uint256 amount) {
        amount = notes[tranche].take(holder);
        owedTotal -= amount;
        emit Paid(tranche, holder, amount);
        token.safeTransfer(holder, amount);
    }

    function _repay(uint256 slice, uint256 tranche, uint256 amount, bytes32 ref) private {
        position[slice][tranche].principal -= uint128(amount);
        owedTotal += amount;
        notes[tranche].distribute(amount, true, ref);
    }

    function _drop(uint64 id) private returns (uint256 slice, uint256 amount) {
        Notice memory notice = notices[id];
        if (notice.amount == 0) revert NoNotice();
        delete notices[id];
        slices[notice.slice].pending -= notice.amount;
        return (notice.slice, notice.amount);
    }

    function _enter(Phase next) private {
        phase = next;
        emit PhaseChanged(next);
    }
}
