// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {House} from "../src/House.sol";
import {HouseLog} from "../src/HouseLog.sol";
import {MarginVault} from "../src/MarginVault.sol";
import {Terms} from "../src/Terms.sol";
import {VaultLog} from "../src/VaultLog.sol";
import {DemoUSDC} from "../src/demo/DemoTokens.sol";
import {Roles} from "./Roles.sol";
import {World} from "./World.sol";

/// @notice A contract account that signs digests one by one and takes its signatures back.
contract SigningAccount is IERC1271 {
    mapping(bytes32 digest => bool) public signed;

    function sign(bytes32 digest, bool holds) external {
        signed[digest] = holds;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return signed[digest] ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @title A signature holds for one act: one chain, house, vault, number and content, and of the one who gave it
/// @notice Claims and emergency caps, which an approver signs, and amendments, which the client signs. A signature
/// that is refused elsewhere is used in its own place afterwards, so that nothing else was the reason.
contract SignaturesTest is World {
    enum Act {
        NOTICE,
        RAISE,
        CAP
    }

    uint256 private constant CLIENT_KEY = 0xC11E47;
    uint256 private constant SECOND_KEY = 0x5EC07D;
    House private other;
    MarginVault private vault;
    MarginVault private sibling; // of the same client and house, another relationship
    MarginVault private twin; // the same terms at the other house

    function setUp() public {
        DemoUSDC usdc = newUSDC();
        buildHouse(usdc);
        other = newHouse(usdc, 0);
        wire(address(other), "House");
        vault = MarginVault(factory.open(signedTerms(0)));
        sibling = MarginVault(factory.open(signedTerms(1)));
        twin = MarginVault(newFactory(other).open(signedTerms(0)));
        manager.grantRole(Roles.APPROVER, vm.addr(SECOND_KEY), 0);
        house.publishRulebook("rules", "rulebook/1", uint40(time() + 30 days));
        other.publishRulebook("rules", "rulebook/1", uint40(time()));
    }

    function signedTerms(uint256 i) private pure returns (Terms memory terms) {
        terms = termsOf(i);
        terms.client = vm.addr(CLIENT_KEY);
    }

    // -------------------------------------------------------------------------------------- what is signed and sent

    function digest(Act act) private view returns (bytes32) {
        if (act == Act.CAP) return house.outflowCapDigest(7e6, house.outflowCapNonce() + 1);
        return house.claimDigest(vault, amount(act), evidence(act));
    }

    function amount(Act act) private pure returns (uint96) {
        return act == Act.NOTICE ? 100e6 : 200e6;
    }

    function evidence(Act act) private pure returns (bytes32) {
        return act == Act.NOTICE ? bytes32("evidence") : bytes32("more");
    }

    function callOf(Act act, House at, MarginVault of_, address by, bytes memory approval)
        private
        view
        returns (bytes memory)
    {
        if (act == Act.CAP) {
            return abi.encodeCall(House.setOutflowCapNow, (7e6, at.outflowCapNonce() + 1, by, approval));
        }
        if (act == Act.NOTICE) {
            return abi.encodeCall(House.noticeDefault, (of_, amount(act), evidence(act), by, approval));
        }
        return abi.encodeCall(House.raiseClaim, (of_, amount(act), evidence(act), by, approval));
    }

    function refused(address target, bytes memory act, bytes4 selector, string memory what) private {
        (bool ok, bytes memory answer) = target.call(act);
        assertTrue(!ok && bytes4(answer) == selector, what);
    }

    function notApproved(Act act, House at, MarginVault of_, address by, bytes memory approval, string memory what)
        private
    {
        refused(address(at), callOf(act, at, of_, by, approval), HouseLog.BadApproval.selector, what);
    }

    function approved(Act act, address by, bytes memory approval) private {
        (bool ok,) = address(house).call(callOf(act, house, vault, by, approval));
        assertTrue(ok, "the same signature in its own place");
    }

    // ------------------------------------------------------------------------- claims and emergency caps: approver

    function test_an_approval_of_a_claim_or_cap_holds_on_one_chain() public {
        for (uint8 i; i < 3; ++i) {
            bytes memory approval = signature(APPROVER_KEY, digest(Act(i)));
            uint256 home = block.chainid;
            vm.chainId(4242);
            notApproved(Act(i), house, vault, approver(), approval, "another chain");
            vm.chainId(home);
            approved(Act(i), approver(), approval);
        }
    }

    function test_an_approval_of_a_claim_or_cap_holds_at_one_house() public {
        for (uint8 i; i < 3; ++i) {
            bytes memory approval = signature(APPROVER_KEY, digest(Act(i)));
            notApproved(Act(i), other, vault, approver(), approval, "another house");
            notApproved(Act(i), other, twin, approver(), approval, "a vault of another house");
            approved(Act(i), approver(), approval);
            if (Act(i) != Act.NOTICE) continue;
            // The twin's numbers are then those of the vault.
            bytes memory there = signature(APPROVER_KEY, other.claimDigest(twin, 100e6, "evidence"));
            other.noticeDefault(twin, 100e6, "evidence", approver(), there);
        }
    }

    function test_an_approval_of_a_claim_holds_for_one_vault_and_number() public {
        bytes memory approval = signature(APPROVER_KEY, digest(Act.NOTICE));
        notApproved(Act.NOTICE, house, sibling, approver(), approval, "another vault of the client");
        approved(Act.NOTICE, approver(), approval);
        notice(sibling, 100e6, "evidence");
        bytes memory raised = signature(APPROVER_KEY, digest(Act.RAISE));
        notApproved(Act.RAISE, house, sibling, approver(), raised, "another vault of the client");
        approved(Act.RAISE, approver(), raised);
        house.withdrawNotice(vault);
        notApproved(Act.NOTICE, house, vault, approver(), approval, "the notice's number is used");
        notice(vault, 100e6, "evidence");
        notApproved(Act.RAISE, house, vault, approver(), raised, "the raise's number is used");
    }

    function test_an_approval_of_a_cap_holds_for_one_number() public {
        bytes memory approval = signature(APPROVER_KEY, digest(Act.CAP));
        approved(Act.CAP, approver(), approval);
        notApproved(Act.CAP, house, vault, approver(), approval, "the next number");
    }

    function test_an_approval_of_a_claim_or_cap_is_the_named_approvers_who_is_not_the_sender() public {
        manager.grantRole(Roles.DEFAULTS, approver(), 0);
        manager.grantRole(Roles.CAP_KEEPER, approver(), 0);
        for (uint8 i; i < 3; ++i) {
            Act act = Act(i);
            bytes memory approval = signature(APPROVER_KEY, digest(act));
            notApproved(act, house, vault, vm.addr(SECOND_KEY), approval, "another approver's name");
            bytes memory stranger = signature(0xBAD, digest(act));
            notApproved(act, house, vault, vm.addr(0xBAD), stranger, "no approver");
            vm.startPrank(approver());
            notApproved(act, house, vault, approver(), approval, "the sender's own");
            vm.stopPrank();
            manager.revokeRole(Roles.APPROVER, approver());
            notApproved(act, house, vault, approver(), approval, "an approver no more");
            manager.grantRole(Roles.APPROVER, approver(), 0);
            approved(act, approver(), approval);
        }
    }

    function test_a_contracts_approval_of_a_claim_or_cap_holds_until_it_is_revoked() public {
        SigningAccount account = new SigningAccount();
        manager.grantRole(Roles.APPROVER, address(account), 0);
        for (uint8 i; i < 3; ++i) {
            bytes32 signed = digest(Act(i));
            notApproved(Act(i), house, vault, address(account), "", "not signed");
            account.sign(signed, true);
            account.sign(signed, false);
            notApproved(Act(i), house, vault, address(account), "", "revoked");
            account.sign(signed, true);
            approved(Act(i), address(account), "");
        }
    }

    // ------------------------------------------------------------------------------------------ amendments: client

    function amendment(MarginVault of_, uint32 nonce, bytes memory consent) private pure returns (bytes memory) {
        return abi.encodeCall(House.amend, (of_, "terms", "rules", nonce, consent));
    }

    function notAmended(House at, MarginVault of_, uint32 nonce, bytes memory consent, string memory what) private {
        refused(address(at), amendment(of_, nonce, consent), VaultLog.BadSignature.selector, what);
    }

    function test_a_consent_to_an_amendment_holds_for_one_chain_vault_house_and_number() public {
        bytes memory consent = signature(CLIENT_KEY, vault.amendmentDigest("terms", "rules", 1));
        uint256 home = block.chainid;
        vm.chainId(4242);
        notAmended(house, vault, 1, consent, "another chain");
        vm.chainId(home);
        notAmended(house, sibling, 1, consent, "another vault of the client");
        notAmended(other, twin, 1, consent, "the same terms at another house");
        house.amend(vault, "terms", "rules", 1, consent);
        notAmended(house, vault, 2, consent, "the next number");
    }

    function test_a_consent_to_an_amendment_is_the_clients() public {
        bytes32 asked = vault.amendmentDigest("terms", "rules", 1);
        notAmended(house, vault, 1, signature(APPROVER_KEY, asked), "the approver's");
        notAmended(house, vault, 1, signature(SECOND_KEY, asked), "somebody else's");
        house.amend(vault, "terms", "rules", 1, signature(CLIENT_KEY, asked));
    }

    function test_a_contract_clients_consent_holds_until_it_is_revoked() public {
        SigningAccount account = new SigningAccount();
        Terms memory terms = termsOf(2);
        terms.client = address(account);
        MarginVault held = MarginVault(factory.open(terms));
        bytes32 asked = held.amendmentDigest("terms", "rules", 1);
        notAmended(house, held, 1, "", "not signed");
        account.sign(asked, true);
        account.sign(asked, false);
        notAmended(house, held, 1, "", "revoked");
        account.sign(asked, true);
        house.amend(held, "terms", "rules", 1, "");
        assertTrue(held.termsHash() == "terms", "recorded");
    }
}
