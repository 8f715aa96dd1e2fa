// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @notice A token that keeps a hundredth of every transfer and says so in its own logs. It lies over a plain ERC-20
/// in a test: balances are in the first slot there too.
contract FeeToken {
    mapping(address account => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function transfer(address to, uint256 amount) external returns (bool) {
        uint256 fee = amount / 100;
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount - fee;
        emit Transfer(msg.sender, address(0), fee);
        emit Transfer(msg.sender, to, amount - fee);
        return true;
    }
}
