"""What a client signs so that its vault records the terms and the rulebook in force: the message, and the steps.

The vault checks the signature against the client that its address commits to, a plain key or a contract (ERC-1271).
Its number makes each amendment one of its own: a signature records one pair once.
"""

from collections.abc import Mapping
from typing import Any

from intermediary.terms import Terms
from settlement.acts.steps import Step, Steps, at_least, says
from settlement.deployment import address_of
from settlement.signing.policy import DOMAIN

Signatures = Mapping[str, bytes]  # by asset code
AMENDMENT = [
    {"name": "termsHash", "type": "bytes32"},
    {"name": "rulebookHash", "type": "bytes32"},
    {"name": "nonce", "type": "uint32"},
]


def message(*, chain_id: int, vault: str, terms_hash: str, rulebook_hash: str, nonce: int) -> dict[str, Any]:
    """The EIP-712 message that the client signs for this vault. The vault need not be open yet."""
    return {
        "types": {"EIP712Domain": DOMAIN, "Amendment": AMENDMENT},
        "primaryType": "Amendment",
        "domain": {"name": "MarginVault", "version": "1", "chainId": chain_id, "verifyingContract": vault},
        "message": {"termsHash": f"0x{terms_hash}", "rulebookHash": f"0x{rulebook_hash}", "nonce": nonce},
    }


def amendment_steps(terms: Terms, vaults: Mapping[str, str], signed: Mapping[str, tuple[int, bytes]]) -> Steps:
    """One step a vault: `signed` is (number of the amendment, the client's signature) by asset code."""
    hashes = bytes.fromhex(terms.hash), bytes.fromhex(terms.rulebook_hash)
    for code, (nonce, signature) in sorted(signed.items()):
        vault = vaults[code]
        yield Step(
            f"record the terms in the {code} vault",
            "onboarder",
            "House",
            address_of("House", code),
            "amend",
            (vault, *hashes, nonce, signature),
            (
                at_least("MarginVault", vault, "amendmentNonce", wanted=nonce),
                says("MarginVault", vault, "termsHash", wanted=hashes[0]),
                says("MarginVault", vault, "rulebookHash", wanted=hashes[1]),
            ),
        )
