"""A relationship's contracts: one vault a token, whose address commits to the signed terms, and its retention.

The vault's address is known before anything is on chain, so it can stand in the terms. Opening grants nothing; the
house accepts the vault by its credit limit, and the client's own signature records the terms' hash in it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from intermediary.models import Asset, Cell, ChainTarget
from intermediary.terms import Terms
from settlement.bindings import read
from settlement.chain import Chain
from settlement.deployment import address_of, known_addresses, wire
from settlement.models import Deployment
from settlement.signer import Signer, signer_for
from settlement.transactor import Mine, Transactor

VaultTerms = tuple[bytes, bytes, str, str, int, int, int, int, int]
MINUTE = 60


def vault_terms(terms: Terms, asset: Asset) -> VaultTerms:
    """The immutable arguments of a vault. Variation margin is paid in the settlement token only, so a vault of any
    other token has no debit cap at all."""
    return (
        relationship_hash(terms.relationship),
        bytes.fromhex(terms.agreement),
        terms.client,
        terms.payout,
        terms.debit_cap_base_units if asset.is_settlement else 0,
        terms.max_required_base_units,
        terms.answer_minutes * MINUTE,
        terms.exit_minutes * MINUTE,
        terms.cure_minutes * MINUTE,
    )


def relationship_hash(relationship: str) -> bytes:
    """SHA-256 of the relationship's public code: what the chain calls it."""
    return hashlib.sha256(relationship.encode()).digest()


def predict_vaults(*, chain: Chain, terms: Terms) -> dict[str, str]:
    """Asset code -> address of the vault with these terms, opened or not."""
    return {
        asset.code: read(
            chain, address_of("VaultFactory", asset.code), "VaultFactory", "predict", vault_terms(terms, asset)
        )
        for asset in _deployed_assets()
    }


def register_cell(
    *,
    chain: Chain,
    cell: Cell,
    terms: Terms,
    client: Signer | None,
    credit_limits: Mapping[str, int] | None = None,
    mine: Mine | None,
) -> dict[str, ChainTarget]:
    """Open the vaults and the retention of a relationship, have the houses accept them, record all as targets: those of
    this chain. The retention lies where the settlement token does.

    `client` (the holder of `terms.client`) signs the terms into each vault; None leaves that for later.
    `credit_limits` is the largest single credit an asset, default the terms' highest requirement. Returns the vaults
    by asset code and the retention under "RETENTION".
    """
    onboarder = Transactor(chain, signer_for("onboarder"), mine)
    vaults = predict_vaults(chain=chain, terms=terms)
    assets = {asset.code: asset for asset in _deployed_assets()}
    for code in vaults:
        onboarder.call(address_of("VaultFactory", code), "VaultFactory", "open", vault_terms(terms, assets[code]))
    onboarder.wait()
    limits = dict.fromkeys(vaults, terms.max_required_base_units) | dict(credit_limits or {})
    for code, vault in vaults.items():
        onboarder.call(address_of("House", code), "House", "setCreditLimit", vault, limits[code])
    onboarder.wait()
    if client is not None:
        _amend(onboarder, vaults, terms, client)
    retentions = {}
    for settlement in (asset for asset in assets.values() if asset.is_settlement):
        retentions[settlement.code] = _deploy_retention(chain, mine, settlement, terms)
        onboarder.call(address_of("House", settlement.code), "House", "setStructure", retentions[settlement.code], True)
    onboarder.wait()
    return _record(cell, terms, assets, vaults, retentions)


def _amend(onboarder: Transactor, vaults: Mapping[str, str], terms: Terms, client: Signer) -> None:
    terms_hash, rulebook_hash = bytes.fromhex(terms.hash), bytes.fromhex(terms.rulebook_hash)
    for code, vault in vaults.items():
        digest = read(onboarder.chain, vault, "MarginVault", "amendmentDigest", terms_hash, rulebook_hash, 1)
        arguments: tuple[Any, ...] = (vault, terms_hash, rulebook_hash, 1, client.sign_digest(digest))
        onboarder.call(address_of("House", code), "House", "amend", *arguments)
    onboarder.wait()


def _deploy_retention(chain: Chain, mine: Mine | None, asset: Asset, terms: Terms) -> str:
    admin = Transactor(chain, signer_for("admin"), mine)
    house, manager = address_of("House", asset.code), address_of("AccessManager")
    arguments = (asset.token_address, house, relationship_hash(terms.relationship), manager)
    retention = admin.deploy("Retention", *arguments)
    wire(admin, known_addresses(), retention, "Retention")
    return retention


def _record(
    cell: Cell,
    terms: Terms,
    assets: Mapping[str, Asset],
    vaults: Mapping[str, str],
    retentions: Mapping[str, str],
) -> dict[str, ChainTarget]:
    with transaction.atomic():
        targets = {
            code: ChainTarget.objects.create(
                kind=ChainTarget.Kind.VAULT,
                cell=cell,
                asset=assets[code],
                address=vault,
                opened=True,
                creation=_creation(terms, assets[code]),
            )
            for code, vault in vaults.items()
        }
        for code, retention in retentions.items():
            targets["RETENTION"] = ChainTarget.objects.create(
                kind=ChainTarget.Kind.RETENTION, cell=cell, asset=assets[code], address=retention, opened=True
            )
    return targets


def _creation(terms: Terms, asset: Asset) -> dict[str, Any]:
    names = ("relationship", "agreement", "client", "payout", "debit_cap", "max_required", "answer", "exit", "cure")
    values = (f"0x{value.hex()}" if isinstance(value, bytes) else value for value in vault_terms(terms, asset))
    return dict(zip(names, values, strict=True))


def _deployed_assets() -> list[Asset]:
    codes = Deployment.objects.filter(name="House").values_list("asset_id", flat=True)
    return list(Asset.objects.filter(code__in=codes).order_by("-is_settlement", "code"))
