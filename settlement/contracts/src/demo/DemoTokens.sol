// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title DemoToken: a token of a demonstration chain, worth nothing
/// @notice The minter makes any amount for anyone; nothing else differs from a plain ERC-20 token.
abstract contract DemoToken is ERC20 {
    /// @notice Who may make tokens.
    address public immutable minter;
    uint8 private immutable _decimals;

    /// @notice The caller is not the minter.
    error NotMinter();

    constructor(string memory name_, string memory symbol_, uint8 decimals_, address minter_) ERC20(name_, symbol_) {
        (_decimals, minter) = (decimals_, minter_);
    }

    /// @notice Decimals of the token it stands for.
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice Make `amount` base units for `to`.
    function mint(address to, uint256 amount) external {
        if (msg.sender != minter) revert NotMinter();
        _mint(to, amount);
    }
}

/// @title DemoUSDC: the demonstration's settlement token, 6 decimals
contract DemoUSDC is DemoToken {
    constructor(address minter_) DemoToken("Demo USD Coin", "USDC", 6, minter_) {}
}

/// @title DemoWBTC: the demonstration's bitcoin token, 8 decimals
contract DemoWBTC is DemoToken {
    constructor(address minter_) DemoToken("Demo Wrapped BTC", "WBTC", 8, minter_) {}
}
