// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {MarginVault} from "./MarginVault.sol";
import {Terms} from "./Terms.sol";

/// @title VaultFactory: the address of a vault is a function of its terms
/// @notice Opening is open to anyone because it grants nothing: the house must still accept the vault, and nobody but
/// the parties named in the terms can act on it. A vault may be funded before it is opened.
contract VaultFactory {
    /// @notice Longer periods than a year are a trap, and would overflow the vault's 32-bit clocks.
    uint256 public constant MAX_PERIOD = 365 days;

    /// @notice The code every vault of this token and house runs.
    address public immutable implementation;

    /// @notice The vault with these terms stands.
    event VaultOpened(address indexed vault, bytes32 indexed relationship, address indexed client, Terms terms);

    /// @notice A party is missing, a cap does not fit its slot, or a period is longer than a year.
    error BadTerms();

    /// @param token token of every vault opened here
    /// @param house settlement account of that token
    constructor(IERC20 token, address house) {
        implementation = address(new MarginVault(token, house));
    }

    /// @notice Address of the vault with these terms, opened or not. Refuses terms that could not be opened, so that
    /// nobody funds an address without a future.
    function predict(Terms calldata t) public view returns (address) {
        (bytes memory args, bytes32 salt) = _commitment(t);
        return Clones.predictDeterministicAddressWithImmutableArgs(implementation, args, salt);
    }

    /// @notice Open the vault with these terms; anyone may, once.
    function open(Terms calldata t) external returns (address vault) {
        (bytes memory args, bytes32 salt) = _commitment(t);
        vault = Clones.cloneDeterministicWithImmutableArgs(implementation, args, salt);
        emit VaultOpened(vault, t.relationship, t.client, t);
    }

    function _commitment(Terms calldata t) private pure returns (bytes memory args, bytes32 salt) {
        if (
            t.client == address(0) || t.payout == address(0) || t.debitCap > type(uint80).max
                || t.maxRequired > type(uint80).max || t.answerPeriod > MAX_PERIOD || t.exitPeriod > MAX_PERIOD
                || t.curePeriod > MAX_PERIOD
        ) revert BadTerms();
        args = abi.encode(t);
        salt = keccak256(args);
    }
}
