// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {House} from "../src/House.sol";
import {Movement} from "../src/Movement.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Kind} from "../src/Terms.sol";
import {VaultFactory} from "../src/VaultFactory.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {HouseLog} from "../src/HouseLog.sol";
import {Roles} from "./Roles.sol";
import {World} from "./World.sol";

/// @notice A contract account whose signatures its owner can revoke.
contract ContractApprover is IERC1271 {
    bool public revoked;

    function revoke() external {
        revoked = true;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return revoked ? bytes4(0) : IERC1271.isValidSignature.selector;
    }
}

contract HouseTest is World {
    DemoUSDC private usdc;
    MarginVault[2] private vaults;

    function setUp() public {
        usdc = newUSDC();
        buildHouse(usdc);
        usdc.mint(address(house), 100_000e6);
        for (uint256 i; i < 2; ++i) {
            vaults[i] = openVault(i);
            usdc.mint(address(vaults[i]), 2_000e6);
        }
    }

    function pair(uint96 debit, uint96 credit) private view returns (Movement[] memory movements) {
        movements = new Movement[](2);
        movements[0] = movement(vaults[0], Kind.DEBIT, debit, 10e6);
        movements[1] = movement(vaults[1], Kind.CREDIT, credit, 20e6);
    }

    function test_a_batch_settles_losers_to_winners_and_extends_the_chain_of_heads() public {
        Movement[] memory movements = pair(300e6, 300e6);
        bytes32 digest = house.batchDigest(1, 0, movements);
        postAll(movements);
        assertEq(usdc.balanceOf(address(vaults[0])), 1_700e6, "loser");
        assertEq(usdc.balanceOf(address(vaults[1])), 2_300e6, "winner");
        assertTrue(house.head() == keccak256(abi.encode(bytes32(0), digest)), "head");
        bytes32 first = house.head();
        movements = pair(1, 1);
        digest = house.batchDigest(2, 0, movements);
        postAll(movements);
        assertTrue(house.head() == keccak256(abi.encode(first, digest)), "head is a fold");
    }

    function test_a_failing_movement_leaves_the_others_alone_and_keeps_its_number() public {
        postAll(pair(DEBIT_CAP + 1, 300e6));
        assertEq(vaults[0].seq(), 0, "number not used up");
        assertEq(usdc.balanceOf(address(vaults[0])), 2_000e6, "nothing moved");
        assertEq(usdc.balanceOf(address(vaults[1])), 2_300e6, "the other settled");
        assertTrue(post(vaults[0], Kind.DEBIT, 1, 0), "the same number again");
    }

    function test_a_tripped_outflow_cap_fails_one_movement_not_the_batch() public {
        house.setOutflowCap(500e6);
        Movement[] memory movements = new Movement[](3);
        movements[0] = movement(vaults[1], Kind.CREDIT, 400e6, 0);
        movements[1] = movement(vaults[0], Kind.CREDIT, 101e6, 0);
        movements[2] = movement(vaults[0], Kind.CREDIT, 100e6, 0);
        postAll(movements);
        assertEq(usdc.balanceOf(address(vaults[1])), 2_400e6, "under the cap");
        assertEq(usdc.balanceOf(address(vaults[0])), 2_100e6, "what passes the cap fails, what fits settles");
        assertEq(house.outflow(), 500e6, "in use");
        assertTrue(!post(vaults[0], Kind.CREDIT, 1, 0), "used up");
        skip(12 hours);
        assertTrue(post(vaults[0], Kind.CREDIT, 250e6, 0), "worn off by half");
        assertTrue(!post(vaults[0], Kind.CREDIT, 1, 0), "used up again");
    }

    function test_a_credit_is_limited_and_unknown_vaults_get_nothing() public {
        assertTrue(!post(vaults[0], Kind.CREDIT, CREDIT_LIMIT + 1, 0), "over the limit");
        MarginVault unknown = MarginVault(factory.open(termsOf(5)));
        assertTrue(!post(unknown, Kind.CREDIT, 1, 0), "not accepted");
        assertTrue(!post(unknown, Kind.REQUIRE, 0, 1), "not accepted");
        House other = newHouse(usdc, 0);
        MarginVault stranger = MarginVault(newFactory(other).open(termsOf(5)));
        vm.expectRevert(HouseLog.WrongHouse.selector);
        house.setCreditLimit(stranger, 1);
        vm.expectRevert(HouseLog.OnlySelf.selector);
        house.credit(vaults[0], 1, 1, 0, 0);
    }

    // ---------------------------------------------------------------------------------------------- signatures

    function test_a_batch_is_posted_once_in_order() public {
        Movement[] memory movements = pair(1, 1);
        bytes memory approval = approve(2, movements);
        vm.expectRevert(abi.encodeWithSelector(HouseLog.BadBatchId.selector, 1));
        house.postBatch(2, 0, movements, approver(), approval);
        postAll(movements);
        approval = approve(1, movements);
        vm.expectRevert(abi.encodeWithSelector(HouseLog.BadBatchId.selector, 2));
        house.postBatch(1, 0, movements, approver(), approval);
    }

    function test_an_approval_holds_for_one_house_chain_batch_and_content() public {
        Movement[] memory movements = pair(1, 1);
        bytes memory approval = approve(1, movements);
        House other = newHouse(usdc, 0);
        wire(address(other), "House");
        vm.expectRevert(HouseLog.BadApproval.selector);
        other.postBatch(1, 0, movements, approver(), approval);
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, "another statement", movements, approver(), approval);
        movements[0].amount += 1;
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, 0, movements, approver(), approval);
        movements[0].amount -= 1;
        vm.chainId(4242);
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, 0, movements, approver(), approval);
    }

    function test_the_approver_is_another_key_and_holds_the_role() public {
        Movement[] memory movements = pair(1, 1);
        manager.grantRole(Roles.POSTER, approver(), 0);
        bytes memory approval = approve(1, movements);
        vm.prank(approver());
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, 0, movements, approver(), approval);
        bytes memory stranger = signature(0xBAD, house.batchDigest(1, 0, movements));
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, 0, movements, vm.addr(0xBAD), stranger);
        manager.revokeRole(Roles.APPROVER, approver());
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(1, 0, movements, approver(), approval);
    }

    function test_a_contract_may_approve_until_it_revokes() public {
        ContractApprover account = new ContractApprover();
        manager.grantRole(Roles.APPROVER, address(account), 0);
        house.postBatch(1, 0, pair(1, 1), address(account), "");
        account.revoke();
        Movement[] memory movements = pair(1, 1);
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.postBatch(2, 0, movements, address(account), "");
    }

    function test_a_notice_and_a_raise_need_a_second_key_each_time() public {
        bytes memory approval = signature(APPROVER_KEY, house.claimDigest(vaults[0], 100e6, "evidence"));
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.noticeDefault(vaults[0], 101e6, "evidence", approver(), approval);
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.noticeDefault(vaults[1], 100e6, "evidence", approver(), approval);
        house.noticeDefault(vaults[0], 100e6, "evidence", approver(), approval);
        bytes memory more = signature(APPROVER_KEY, house.claimDigest(vaults[0], 200e6, "more"));
        house.raiseClaim(vaults[0], 200e6, "more", approver(), more);
        vm.prank(client(0));
        vaults[0].cure();
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.noticeDefault(vaults[0], 100e6, "evidence", approver(), approval);
    }

    function test_the_outflow_cap_changes_at_once_with_two_keys_only() public {
        bytes memory approval = signature(APPROVER_KEY, house.outflowCapDigest(7e6, 1));
        vm.expectRevert(HouseLog.BadApproval.selector);
        house.setOutflowCapNow(8e6, 1, approver(), approval);
        house.setOutflowCapNow(7e6, 1, approver(), approval);
        assertEq(house.outflowCap(), 7e6, "changed");
        vm.expectRevert(abi.encodeWithSelector(HouseLog.BadNonce.selector, 2));
        house.setOutflowCapNow(7e6, 1, approver(), approval);
    }

    // ------------------------------------------------------------------------------------------- rest of the house

    function test_a_rulebook_is_published_thirty_days_ahead() public {
        uint40 early = uint40(time() + 30 days - 1);
        vm.expectRevert(abi.encodeWithSelector(HouseLog.TooSoon.selector, time() + 30 days));
        house.publishRulebook("rules", "rulebook/1", early);
        house.publishRulebook("rules", "rulebook/1", early + 1);
        assertEq(house.rulebookEffective("rules"), early + 1, "effective");
        vm.expectRevert(HouseLog.UnknownRulebook.selector);
        house.amend(vaults[0], "terms", "unpublished", 1, "");
        House young = newHouse(usdc, 0);
        wire(address(young), "House");
        young.publishRulebook("rules", "rulebook/1", uint40(time()));
        assertEq(young.rulebookEffective("rules"), time(), "at once where no notice was promised");
    }

    function test_only_what_was_seized_is_disposed_of_and_to_the_desk_only() public {
        house.setDisposalDesk(address(0xDE5C));
        vm.expectRevert(HouseLog.OverDisposable.selector);
        house.dispose(1, 0);
        notice(vaults[0], 100e6, "evidence");
        skip(CURE);
        house.seize(vaults[0]);
        house.dispose(60e6, "sale");
        assertEq(usdc.balanceOf(address(0xDE5C)), 60e6, "desk");
        vm.expectRevert(HouseLog.OverDisposable.selector);
        house.dispose(40e6 + 1, 0);
    }

    function test_the_treasury_is_paid_after_the_managers_delay_only() public {
        address treasurer = address(0x7EA5);
        manager.grantRole(Roles.TREASURER, treasurer, 2 days);
        bytes memory act = abi.encodeCall(House.payTreasury, (address(0x7E), 5e6, "dividend"));
        vm.prank(treasurer);
        vm.expectRevert();
        house.payTreasury(address(0x7E), 5e6, "dividend");
        vm.prank(treasurer);
        manager.schedule(address(house), act, 0);
        skip(2 days - 1);
        vm.prank(treasurer);
        vm.expectRevert();
        house.payTreasury(address(0x7E), 5e6, "dividend");
        skip(1);
        vm.prank(treasurer);
        house.payTreasury(address(0x7E), 5e6, "dividend");
        assertEq(usdc.balanceOf(address(0x7E)), 5e6, "paid");
    }
}
