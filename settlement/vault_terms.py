"""The arguments that a vault's address commits to, from a relationship's signed terms."""

import hashlib
from collections.abc import Iterable
from typing import Any

from intermediary.errors import Refusal
from intermediary.models import Asset
from intermediary.terms import Terms
from settlement.bindings import read
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.models import Deployment

VaultTerms = tuple[bytes, bytes, str, str, int, int, int, int, int]
MINUTE = 60


def vault_terms(terms: Terms, asset: Asset) -> VaultTerms:
    """The immutable arguments of a vault, amounts in base units of its token. Variation margin is paid in the
    settlement token only, so a vault of any other token has no debit cap at all."""
    return (
        relationship_hash(terms.relationship),
        bytes.fromhex(terms.agreement),
        terms.client,
        terms.payout,
        terms.debit_cap_base_units if asset.is_settlement else 0,
        terms.most_required(asset.code),
        terms.answer_minutes * MINUTE,
        terms.exit_minutes * MINUTE,
        terms.cure_minutes * MINUTE,
    )


def refuse_without_caps(terms: Terms, assets: Iterable[Asset]) -> None:
    """Refuses `no_cap_of_token` where a token counts as margin and the terms have no highest requirement of it: the
    settlement token's is an amount of something else. Of a token that counts for nothing, nothing is ever required."""
    caps = dict(terms.max_required_by_token)
    for asset in assets:
        if not asset.is_settlement and terms.haircut_of(asset.code) < 10_000 and asset.code not in caps:
            raise Refusal(
                "no_cap_of_token",
                f"The terms of {terms.relationship} do not say how much {asset.code} may be required at the most.",
                relationship=terms.relationship,
                asset=asset.code,
            )


def relationship_hash(relationship: str) -> bytes:
    """SHA-256 of the relationship's public code: what the chain calls it."""
    return hashlib.sha256(relationship.encode()).digest()


def predict_vaults(*, chain: Chain, terms: Terms) -> dict[str, str]:
    """Asset code -> address of the vault with these terms, opened or not; of this chain's tokens."""
    return {
        asset.code: read(
            chain, address_of("VaultFactory", asset.code), "VaultFactory", "predict", vault_terms(terms, asset)
        )
        for asset in deployed_assets()
    }


def creation_of(terms: Terms, asset: Asset) -> dict[str, Any]:
    """The same arguments by name, as JSON."""
    names = ("relationship", "agreement", "client", "payout", "debit_cap", "max_required", "answer", "exit", "cure")
    values = (f"0x{value.hex()}" if isinstance(value, bytes) else value for value in vault_terms(terms, asset))
    return dict(zip(names, values, strict=True))


def deployed_assets() -> list[Asset]:
    """The tokens that have a house on this chain, the settlement token first."""
    codes = Deployment.objects.filter(name="House").values_list("asset_id", flat=True)
    return list(Asset.objects.filter(code__in=codes).order_by("-is_settlement", "code"))
