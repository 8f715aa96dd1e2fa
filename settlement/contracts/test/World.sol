// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {House} from "../src/House.sol";
import {Movement} from "../src/Movement.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Kind, Terms} from "../src/Terms.sol";
import {VaultFactory} from "../src/VaultFactory.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {Roles} from "./Roles.sol";
import {Test} from "./Test.sol";

/// @title World: a house with its vaults, deployed and wired as a live one is
/// @notice The test itself holds every role but the approver's, without delay; the approver is a key of its own.
abstract contract World is Test {
    uint256 internal constant APPROVER_KEY = 0xA11CE;
    uint96 internal constant DEBIT_CAP = 1_000e6;
    uint96 internal constant MAX_REQUIRED = 10_000e6;
    uint96 internal constant CREDIT_LIMIT = 5_000e6;
    uint32 internal constant ANSWER = 1 days;
    uint32 internal constant EXIT = 10 days;
    uint32 internal constant CURE = 2 days;

    /// @param role who may call
    /// @param selectors what
    struct Row {
        uint64 role;
        bytes4[] selectors;
    }

    AccessManager internal manager;
    IERC20 internal token;
    House internal house;
    VaultFactory internal factory;

    /// @notice Deploy a committed artefact: the tests run against the very bytecode that is used.
    function deploy(string memory name, bytes memory arguments) internal returns (address) {
        return vm.deployCode(string.concat("artifacts/", name, ".json"), arguments);
    }

    function newHouse(IERC20 token_, uint256 rulebookNotice) internal returns (House) {
        return House(deploy("House", abi.encode(token_, manager, rulebookNotice)));
    }

    function newFactory(House house_) internal returns (VaultFactory) {
        return VaultFactory(deploy("VaultFactory", abi.encode(house_.token(), house_)));
    }

    function newUSDC() internal virtual returns (DemoUSDC) {
        return DemoUSDC(deploy("DemoUSDC", abi.encode(this)));
    }

    function buildHouse(IERC20 token_) internal {
        vm.warp(1_760_000_000);
        token = token_;
        manager = AccessManager(deploy("AccessManager", abi.encode(this)));
        house = newHouse(token_, 30 days);
        factory = newFactory(house);
        wire(address(house), "House");
        for (uint64 role = Roles.POSTER; role <= Roles.REGISTRAR; ++role) {
            if (role != Roles.APPROVER) manager.grantRole(role, address(this), 0);
        }
        manager.grantRole(Roles.APPROVER, approver(), 0);
        house.setOutflowCap(type(uint96).max);
    }

    /// @notice Give the restricted functions of `target` to their roles as roles.json says, which a deployment reads too.
    function wire(address target, string memory name) internal {
        Row[] memory rows = roleRows(name);
        for (uint256 i; i < rows.length; ++i) {
            manager.setTargetFunctionRole(target, rows[i].selectors, rows[i].role);
        }
    }

    function roleRows(string memory name) internal view returns (Row[] memory rows) {
        string memory json = vm.readFile("roles.json");
        string memory place = string.concat(".functions.", name);
        string[] memory labels = vm.parseJsonKeys(json, place);
        rows = new Row[](labels.length);
        for (uint256 i; i < labels.length; ++i) {
            string[] memory signatures = vm.parseJsonStringArray(json, string.concat(place, ".", labels[i]));
            rows[i] = Row(idOf(json, labels[i]), new bytes4[](signatures.length));
            for (uint256 j; j < signatures.length; ++j) {
                rows[i].selectors[j] = bytes4(keccak256(bytes(signatures[j])));
            }
        }
    }

    /// @notice The table lists the roles in order of their ids, from 1.
    function roleField(uint64 id, string memory field) internal pure returns (string memory) {
        return string.concat(".roles[", decimal(id - 1), "].", field);
    }

    function idOf(string memory json, string memory label) private pure returns (uint64 id) {
        bytes32 wanted = keccak256(bytes(label));
        while (keccak256(bytes(vm.parseJsonString(json, roleField(++id, "label")))) != wanted) {}
    }

    function decimal(uint256 value) private pure returns (string memory) {
        if (value < 10) return string(abi.encodePacked(bytes1(uint8(48 + value))));
        return string.concat(decimal(value / 10), decimal(value % 10));
    }

    function approver() internal pure returns (address) {
        return vm.addr(APPROVER_KEY);
    }

    function client(uint256 i) internal pure returns (address) {
        return address(uint160(0xC11E0000 + i));
    }

    function payoutOf(uint256 i) internal pure returns (address) {
        return address(uint160(0x9A400000 + i));
    }

    function termsOf(uint256 i) internal pure returns (Terms memory) {
        return Terms(
            bytes32(i + 1), keccak256("agreement"), client(i), payoutOf(i), DEBIT_CAP, MAX_REQUIRED, ANSWER, EXIT, CURE
        );
    }

    function openVault(uint256 i) internal returns (MarginVault vault) {
        vault = MarginVault(factory.open(termsOf(i)));
        house.setCreditLimit(vault, CREDIT_LIMIT);
    }

    function movement(MarginVault vault, Kind kind, uint96 amount, uint96 required)
        internal
        view
        returns (Movement memory)
    {
        return Movement(vault, kind, vault.seq() + 1, amount, required, keccak256("entry"));
    }

    function approve(uint64 id, Movement[] memory movements) internal view returns (bytes memory) {
        return signature(APPROVER_KEY, house.batchDigest(id, 0, movements));
    }

    function postAll(Movement[] memory movements) internal {
        uint64 id = house.batchId() + 1;
        house.postBatch(id, 0, movements, approver(), approve(id, movements));
    }

    /// @return settled whether the movement took effect (the batch itself never fails for it)
    function post(MarginVault vault, Kind kind, uint96 amount, uint96 required) internal returns (bool settled) {
        Movement[] memory one = new Movement[](1);
        one[0] = movement(vault, kind, amount, required);
        postAll(one);
        return vault.seq() == one[0].seq;
    }

    function notice(MarginVault vault, uint96 amount, bytes32 evidence) internal {
        bytes32 digest = house.claimDigest(vault, amount, evidence);
        house.noticeDefault(vault, amount, evidence, approver(), signature(APPROVER_KEY, digest));
    }

    function raise(MarginVault vault, uint96 amount, bytes32 evidence) internal {
        bytes32 digest = house.claimDigest(vault, amount, evidence);
        house.raiseClaim(vault, amount, evidence, approver(), signature(APPROVER_KEY, digest));
    }
}
