// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Vm: the cheatcodes these tests use, declared by hand
interface Vm {
    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }

    function warp(uint256 timestamp) external;
    function chainId(uint256 id) external;
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function assume(bool condition) external pure;
    function lastCallGas() external view returns (Gas memory);
    function deployCode(string calldata artifact, bytes calldata arguments) external returns (address);
    function getBlockTimestamp() external view returns (uint256);
    function snapshotValue(string calldata group, string calldata name, uint256 value) external;
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonKeys(string calldata json, string calldata key) external pure returns (string[] memory);
    function parseJsonStringArray(string calldata json, string calldata key) external pure returns (string[] memory);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
}

/// @title Test: what every test needs and no more
abstract contract Test {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    /// @notice forge looks for this.
    bool public constant IS_TEST = true;

    error NotEqual(uint256 got, uint256 want, string what);
    error NotTrue(string what);

    function assertEq(uint256 got, uint256 want, string memory what) internal pure {
        if (got != want) revert NotEqual(got, want, what);
    }

    function assertTrue(bool held, string memory what) internal pure {
        if (!held) revert NotTrue(what);
    }

    /// @notice `x` folded into [low, high], every value reachable.
    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        if (x >= low && x <= high) return x;
        return low + x % (high - low + 1);
    }

    /// @dev The optimiser takes block.timestamp for a constant of the call; the cheatcode is asked each time.
    function time() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function skip(uint256 duration) internal {
        vm.warp(time() + duration);
    }

    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
