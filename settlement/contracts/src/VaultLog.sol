// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kind} from "./Terms.sol";

/// @title VaultLog: what a margin vault reports and refuses
/// @notice `Moved` alone rebuilds a vault's history: its numbers run without a gap.
abstract contract VaultLog {
    /// @notice Movement `seq` took effect; `required` holds from now on. Base units.
    event Moved(uint32 indexed seq, Kind indexed kind, uint96 amount, uint96 required, bytes32 indexed ref);
    /// @notice The client accepted this pair of terms and rulebook.
    event Amended(uint32 indexed nonce, bytes32 termsHash, bytes32 rulebookHash);
    /// @notice The client asked for `amount`, which may be taken from `ready` on; zero took a request back.
    event WithdrawRequested(uint96 amount, uint40 ready);
    /// @notice The client leaves; from `ready` on nothing is locked.
    event ExitRequested(uint40 ready);
    /// @notice The client stays after all.
    event ExitCancelled();
    /// @notice Free cash was paid out.
    event Withdrawn(address indexed to, uint256 amount);
    /// @notice Another payout address was proposed; it may be applied from `at` on.
    event PayoutProposed(address indexed payout, uint40 at);
    /// @notice The payout address is another now.
    event PayoutChanged(address indexed payout);
    /// @notice A default was noticed and `claim` claimed; seizure is possible from `cureBy` until `lapsesAt`.
    event DefaultNoticed(uint32 indexed nonce, uint96 claim, bytes32 evidence, uint40 cureBy, uint40 lapsesAt);
    /// @notice The claim of the live notice is higher now.
    event ClaimRaised(uint32 indexed nonce, uint96 claim, bytes32 evidence);
    /// @notice The notice was taken back.
    event NoticeWithdrawn(uint32 indexed nonce);
    /// @notice The client paid the open claim.
    event Cured(uint32 indexed nonce, uint256 amount);
    /// @notice `amount` was taken for the claim, `seizedTotal` in all.
    event Seized(uint32 indexed nonce, uint256 amount, uint256 seizedTotal);
    /// @notice The loss is determined; what is left is the client's.
    event Determined(uint32 indexed nonce, uint256 seizedTotal);
    /// @notice Tokens that did not belong here went to the client.
    event ForeignTokenReturned(address indexed token, uint256 amount);

    /// @notice The caller is not the client.
    error NotClient();
    /// @notice The movement does not carry the next number, which is `want`.
    error BadSeq(uint32 want, uint32 got);
    /// @notice The amendment does not carry the next number, which is `want`.
    error BadNonce(uint32 want);
    /// @notice The client did not sign this.
    error BadSignature();
    /// @notice The debit cap or the highest requirement of the terms would be passed.
    error CapExceeded();
    /// @notice The client has left.
    error ExitMatured();
    /// @notice Too early, too late, or not while something else runs.
    error NotReady();
    /// @notice No default notice lives.
    error NoNotice();
    /// @notice Something was seized, so the notice must be determined.
    error AlreadySeized();
    /// @notice Nothing was seized, so there is nothing to determine.
    error NothingSeized();
    /// @notice A raise needs a higher amount and other evidence.
    error ClaimNotRaised();
    /// @notice The amount is zero.
    error NothingToPay();
    /// @notice The vault's own token leaves by its two exits only.
    error OwnToken();
}
