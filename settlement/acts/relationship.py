"""A relationship's contracts as steps: a vault a token, the client's own signature in each, and the retention.

Opening a vault grants nothing. The house accepts it, and the retention, under the onboarder's delay; the client's
signature records the terms' hash in its vault, and may come later (`amendments`).
"""

from collections.abc import Mapping, Sequence

from django.db import transaction

from intermediary.models import Asset, Cell, ChainTarget
from intermediary.terms import Terms
from settlement.acts.amendments import Signatures, amendment_steps
from settlement.acts.steps import Made, Step, Steps, says, wiring
from settlement.deployment import address_of
from settlement.vault_terms import creation_of, relationship_hash, vault_terms


def steps(
    terms: Terms,
    assets: Sequence[Asset],
    vaults: Mapping[str, str],
    credit_limits: Mapping[str, int],
    signatures: Signatures,
    made: Made,
) -> Steps:
    """What opens a relationship on this chain. `credit_limits` is the largest single credit an asset; `signatures` are
    the client's under the first amendment of each vault, or none."""
    for asset in assets:
        factory, house, vault = (
            address_of("VaultFactory", asset.code),
            address_of("House", asset.code),
            vaults[asset.code],
        )
        yield Step(
            f"open the {asset.code} vault",
            "onboarder",
            "VaultFactory",
            factory,
            "open",
            (vault_terms(terms, asset),),
            (says("MarginVault", vault, "house", wanted=house),),
        )
    for asset in assets:
        house, vault, limit = address_of("House", asset.code), vaults[asset.code], credit_limits[asset.code]
        yield Step(
            f"accept the {asset.code} vault",
            "onboarder",
            "House",
            house,
            "setCreditLimit",
            (vault, limit),
            (says("House", house, "creditLimit", vault, wanted=limit),),
        )
    yield from amendment_steps(terms, vaults, {code: (1, signed) for code, signed in signatures.items()})
    for asset in assets:
        if asset.is_settlement:
            yield from _retention(terms, asset, made)


def _retention(terms: Terms, asset: Asset, made: Made) -> Steps:
    house, manager = address_of("House", asset.code), address_of("AccessManager")
    label = _retention_label(asset)
    arguments = (asset.token_address, house, relationship_hash(terms.relationship), manager)
    yield Step(label, "admin", "Retention", "", "", arguments)
    retention = made[label]
    yield from wiring(manager, retention, "Retention", "the retention")
    yield Step(
        "accept the retention",
        "onboarder",
        "House",
        house,
        "setStructure",
        (retention, True),
        (says("House", house, "accepted", retention, wanted=True),),
    )


def _retention_label(asset: Asset) -> str:
    return f"make the {asset.code} retention"


def record(
    cell: Cell, terms: Terms, assets: Sequence[Asset], vaults: Mapping[str, str], made: Made
) -> dict[str, ChainTarget]:
    """The contracts as targets: vaults by asset code, the retention under "RETENTION". Harmless when repeated."""
    with transaction.atomic():
        targets = {
            asset.code: _target(ChainTarget.Kind.VAULT, cell, asset, vaults[asset.code], creation_of(terms, asset))
            for asset in assets
        }
        for asset in assets:
            if asset.is_settlement:
                retention = made[_retention_label(asset)]
                targets["RETENTION"] = _target(ChainTarget.Kind.RETENTION, cell, asset, retention, {})
    return targets


def _target(kind: ChainTarget.Kind, cell: Cell, asset: Asset, address: str, creation: dict[str, object]) -> ChainTarget:
    found, _ = ChainTarget.objects.get_or_create(
        kind=kind, cell=cell, asset=asset, address=address, defaults={"opened": True, "creation": creation}
    )
    return found
