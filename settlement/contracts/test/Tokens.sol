// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token with the bad habits of real ones, each switched on by a test.
contract NastyToken is ERC20("Nasty", "NSTY") {
    mapping(address account => bool) public blocked;
    bool public paused;
    uint256 public feeBps;
    uint256 public bomb;
    bytes public reentry;
    address public reentryTarget;
    bool public reentered;

    error Blocked();
    error Paused();

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice A rebase downwards.
    function burn(address from, uint256 amount) external {
        _burn(from, amount);
    }

    function setBlocked(address account, bool value) external {
        blocked[account] = value;
    }

    function setPaused(bool value) external {
        paused = value;
    }

    function setFee(uint256 bps) external {
        feeBps = bps;
    }

    /// @notice Revert with that many bytes.
    function setBomb(uint256 size) external {
        bomb = size;
    }

    /// @notice On the next transfer call `target` with `data` and remember whether it worked.
    function setReentry(address target, bytes calldata data) external {
        (reentryTarget, reentry) = (target, data);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (bomb != 0) {
            uint256 size = bomb;
            assembly {
                revert(0, size)
            }
        }
        if (paused) revert Paused();
        if (blocked[from] || blocked[to]) revert Blocked();
        if (reentryTarget != address(0)) {
            address target = reentryTarget;
            reentryTarget = address(0);
            (reentered,) = target.call(reentry);
        }
        uint256 fee = from == address(0) || to == address(0) ? 0 : (amount * feeBps) / 10_000;
        if (fee != 0) super._update(from, address(0), fee);
        super._update(from, to, amount - fee);
    }
}

/// @notice A token of the old kind: its transfer functions return nothing.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}
