// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Eligibility} from "./Eligibility.sol";

/// @notice ERC-7943, the standard's interface of a fungible token that only eligible accounts hold.
interface IERC7943Fungible is IERC165 {
    /// @notice Units were moved against the holder's will.
    event ForcedTransfer(address indexed from, address indexed to, uint256 amount);
    /// @notice So many units of the account are frozen now.
    event Frozen(address indexed account, uint256 amount);

    /// @notice The account may not send.
    error ERC7943CannotSend(address account);
    /// @notice The account may not receive.
    error ERC7943CannotReceive(address account);
    /// @notice Transfers rest.
    error ERC7943CannotTransfer(address from, address to, uint256 amount);
    /// @notice More than the account has free of freezing.
    error ERC7943InsufficientUnfrozenBalance(address account, uint256 amount, uint256 unfrozen);

    /// @notice Move units against the holder's will.
    function forcedTransfer(address from, address to, uint256 amount) external returns (bool result);
    /// @notice Freeze so many units in all.
    function setFrozenTokens(address account, uint256 amount) external returns (bool result);
    /// @notice Whether the account may send.
    function canSend(address account) external view returns (bool allowed);
    /// @notice Whether the account may receive.
    function canReceive(address account) external view returns (bool allowed);
    /// @notice Frozen units of the account.
    function getFrozenTokens(address account) external view returns (uint256 amount);
    /// @notice Whether this transfer would pass.
    function canTransfer(address from, address to, uint256 amount) external view returns (bool allowed);
}

/// @title TrancheNote: one class of notes of a series
/// @notice A unit is one base unit of original face and never rebases. What is outstanding is one exact number,
/// `principal`, for all holders: a write-down subtracts from it, whatever the number of holders, and a write-up adds
/// back at most what was written down. Units outlive redemption and maturity as rights to later recoveries. Coupons
/// and repayments run over a cumulative index of cash per unit, so the units held at payment decide who is paid.
contract TrancheNote is ERC20, ERC20Permit, AccessManaged, IERC7943Fungible {
    /// @notice Longest suspension of transfers from now: a potential event must be noticed or dropped within it.
    uint256 public constant MAX_SUSPENSION = 14 days;
    /// @dev Precision of the index: with it one base unit spread over 2^96 units is still counted.
    uint256 private constant SCALE = 1e36;

    /// @notice The escrow of the series, alone in changing principal and units.
    address public immutable escrow;
    /// @notice Register of the accounts that may hold units.
    Eligibility public immutable eligibility;
    uint8 private immutable _decimals;
    /// @notice International securities identification number, or the series' own name for the class.
    string public isin;
    /// @notice Outstanding principal, base units of the settlement token; exact.
    uint256 public principal;
    /// @notice Written down and not written up again, base units.
    uint256 public writtenDown;
    /// @notice Principal repaid so far, base units. principal + writtenDown + redeemed = total supply.
    uint256 public redeemed;
    /// @notice Cash distributed so far per unit, times 1e36.
    uint256 public cashPerUnit;
    /// @notice Unix seconds before which transfers are suspended.
    uint40 public suspendedUntil;
    uint256 private _undistributed;
    mapping(address account => uint256) private _indexPaid;
    mapping(address account => uint256) private _owed;
    mapping(address account => uint256) private _frozen;

    /// @notice Principal fell by `loss` to `principal`.
    event WrittenDown(uint256 loss, uint256 principal);
    /// @notice Principal rose by `gain` to `principal`.
    event WrittenUp(uint256 gain, uint256 principal);
    /// @notice `amount` was shared among the units, `principalRepaid` of it principal.
    event Distributed(uint256 amount, uint256 principalRepaid, uint256 cashPerUnit, bytes32 indexed ref);
    /// @notice Transfers rest until then.
    event TransfersSuspended(uint40 until);

    /// @notice The caller is not the escrow.
    error NotEscrow();
    /// @notice There are no units to share among.
    error NoSupply();
    /// @notice More than was written down.
    error ExceedsWrittenDown();
    /// @notice Longer than a suspension may last.
    error TooLong();

    modifier onlyEscrow() {
        if (msg.sender != escrow) revert NotEscrow();
        _;
    }

    /// @param name_ name of the class
    /// @param symbol_ its symbol
    /// @param isin_ its ISIN or other identifier
    /// @param decimals_ decimals of the settlement token
    /// @param eligibility_ register of holders
    /// @param escrow_ escrow of the series
    /// @param manager access manager
    constructor(
        string memory name_,
        string memory symbol_,
        string memory isin_,
        uint8 decimals_,
        Eligibility eligibility_,
        address escrow_,
        address manager
    ) ERC20(name_, symbol_) ERC20Permit(name_) AccessManaged(manager) {
        (isin, _decimals, eligibility, escrow) = (isin_, decimals_, eligibility_, escrow_);
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @notice Decimals of the settlement token.
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice ERC-7092: outstanding principal of a holder, base units, rounded down, so that the sum never exceeds
    /// `principal`.
    function principalOf(address account) external view returns (uint256) {
        uint256 supply = totalSupply();
        return supply == 0 ? 0 : Math.mulDiv(balanceOf(account), principal, supply);
    }

    /// @notice Outstanding share of original face, 1e18 = all of it, rounded down.
    function factor() external view returns (uint256) {
        uint256 supply = totalSupply();
        return supply == 0 ? 0 : Math.mulDiv(principal, 1e18, supply);
    }

    /// @notice Cash a holder can claim now, base units, rounded down.
    function claimable(address account) public view returns (uint256) {
        return _owed[account] + Math.mulDiv(balanceOf(account), cashPerUnit - _indexPaid[account], SCALE);
    }

    // ------------------------------------------------------------------------------------------------ escrow

    /// @notice Issue units against cash the escrow has taken.
    function mint(address to, uint256 units) external onlyEscrow {
        principal += units;
        _mint(to, units);
    }

    /// @notice Undo the subscription of a pulled series, whatever the holder's eligibility is by now.
    /// @return units all the holder had
    function refund(address holder) external onlyEscrow returns (uint256 units) {
        units = balanceOf(holder);
        principal -= units;
        _accrue(holder);
        super._update(holder, address(0), units);
    }

    /// @notice Principal falls without payment.
    function writeDown(uint256 loss) external onlyEscrow {
        principal -= loss;
        writtenDown += loss;
        emit WrittenDown(loss, principal);
    }

    /// @notice Principal rises by a recovery, at most to what it was before losses.
    function writeUp(uint256 gain) external onlyEscrow {
        if (gain > writtenDown) revert ExceedsWrittenDown();
        writtenDown -= gain;
        principal += gain;
        emit WrittenUp(gain, principal);
    }

    /// @notice Share `amount` among today's units.
    /// @param amount base units the escrow owes from now on
    /// @param repays whether the cash is principal (a repayment) or not (a coupon)
    function distribute(uint256 amount, bool repays, bytes32 ref) external onlyEscrow {
        uint256 supply = totalSupply();
        if (supply == 0) revert NoSupply();
        if (repays) {
            principal -= amount;
            redeemed += amount;
        }
        uint256 scaled = amount * SCALE + _undistributed;
        cashPerUnit += scaled / supply;
        _undistributed = scaled % supply;
        emit Distributed(amount, repays ? amount : 0, cashPerUnit, ref);
    }

    /// @notice Settle what a holder is owed; the escrow pays it.
    function take(address account) external onlyEscrow returns (uint256 amount) {
        _accrue(account);
        (amount, _owed[account]) = (_owed[account], 0);
    }

    // ----------------------------------------------------------------------------------------------- ERC-7943

    /// @notice ERC-7943: move units against the holder's will, to an eligible account; frozen units may move.
    function forcedTransfer(address from, address to, uint256 amount) external restricted returns (bool) {
        if (!canReceive(to)) revert ERC7943CannotReceive(to);
        uint256 balance = balanceOf(from);
        if (amount > balance) revert ERC20InsufficientBalance(from, balance, amount);
        if (_frozen[from] > balance - amount) {
            _frozen[from] = balance - amount;
            emit Frozen(from, balance - amount);
        }
        _accrue(from);
        _accrue(to);
        super._update(from, to, amount);
        emit ForcedTransfer(from, to, amount);
        return true;
    }

    /// @notice ERC-7943: freeze `amount` units of an account in all; coupons and repayments go on.
    function setFrozenTokens(address account, uint256 amount) external restricted returns (bool) {
        _frozen[account] = amount;
        emit Frozen(account, amount);
        return true;
    }

    /// @notice Suspend transfers until then (bounded), from a potential event to its notice. A past date lifts it.
    function suspendTransfers(uint40 until) external restricted {
        if (until > block.timestamp + MAX_SUSPENSION) revert TooLong();
        suspendedUntil = until;
        emit TransfersSuspended(until);
    }

    /// @notice ERC-7943: whether the account may send units now.
    function canSend(address account) public view returns (bool) {
        return eligibility.eligible(account);
    }

    /// @notice ERC-7943: whether the account may receive units now.
    function canReceive(address account) public view returns (bool) {
        return eligibility.eligible(account);
    }

    /// @notice ERC-7943: units of the account that are frozen; they may be more than it has.
    function getFrozenTokens(address account) external view returns (uint256) {
        return _frozen[account];
    }

    /// @notice ERC-7943: whether this transfer would pass, but for the balance.
    function canTransfer(address from, address to, uint256 amount) external view returns (bool) {
        return block.timestamp >= suspendedUntil && canSend(from) && canReceive(to) && amount <= _unfrozen(from);
    }

    /// @notice ERC-165: this and ERC-7943.
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId
            // The standard's id covers its own six functions, without those inherited from ERC-165.
            || interfaceId == type(IERC7943Fungible).interfaceId;
    }

    /// @dev Rules of a transfer by the holder; minting needs an eligible receiver only.
    function _update(address from, address to, uint256 amount) internal override {
        if (from != address(0)) {
            if (block.timestamp < suspendedUntil) revert ERC7943CannotTransfer(from, to, amount);
            if (!canSend(from)) revert ERC7943CannotSend(from);
            uint256 unfrozen = _unfrozen(from);
            if (amount <= balanceOf(from) && amount > unfrozen) {
                revert ERC7943InsufficientUnfrozenBalance(from, amount, unfrozen);
            }
            _accrue(from);
        }
        if (!canReceive(to)) revert ERC7943CannotReceive(to);
        _accrue(to);
        super._update(from, to, amount);
    }

    function _unfrozen(address account) private view returns (uint256) {
        return Math.saturatingSub(balanceOf(account), _frozen[account]);
    }

    function _accrue(address account) private {
        _owed[account] = claimable(account);
        _indexPaid[account] = cashPerUnit;
    }
}
