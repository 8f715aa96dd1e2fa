"""The requirement as the vaults on chain know it: one number a token, locked until the next movement changes it.

Every movement of a vault carries the number in force after it. The settlement token is locked first, then the other
tokens up to what lies there; what is still missing is locked in the settlement token, so that the next deposit counts.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from uuid import UUID

from intermediary import outbox
from intermediary.collateral import asset_for_value, price_of, value_after_haircut
from intermediary.models import Asset, ChainInstruction, ChainTarget, Valuation
from intermediary.terms import Terms

Kind = ChainInstruction.Kind
MOVEMENTS = (Kind.REQUIRE, Kind.CREDIT, Kind.DEBIT, Kind.RETURN)


def vaults_of(cell_id: UUID) -> dict[str, ChainTarget]:
    """The vaults of a relationship by token; empty before they are registered."""
    return {target.asset_id: target for target in ChainTarget.objects.filter(cell_id=cell_id, kind="VAULT")}


def required_in_force(vault: ChainTarget) -> int:
    """What the vault locks once everything instructed so far has happened, base units of its token."""
    done = ChainInstruction.objects.filter(target=vault, kind__in=MOVEMENTS)
    last = done.exclude(state=ChainInstruction.State.FAILED).order_by("-seq").first()
    return last.required_base_units if last else 0


def required_by_token(
    required: int,
    holdings: Mapping[str, int],
    terms: Terms,
    valuation: Valuation | None,
    assets: Iterable[Asset] | None = None,
) -> dict[str, int]:
    """The requirement (settlement base units) as amounts to lock of each token held, and of the settlement token.

    Source: sum(required_token x price x (1 - haircut)) covers the requirement, settlement token first. Each amount is
    limited by the cap that the vault's address commits to. `assets`, all of them, spare a query.
    """
    tokens = Asset.objects.all() if assets is None else assets
    assets = sorted(tokens, key=lambda asset: (not asset.is_settlement, asset.code))
    settlement = assets[0]
    locked, missing = dict.fromkeys((asset.code for asset in assets), 0), required
    for asset in assets:
        held, haircut_bps = holdings.get(asset.code, 0), terms.haircut_of(asset.code)
        if held > 0 and missing > 0 and haircut_bps < 10_000:
            price = price_of(asset, valuation)
            locked[asset.code] = min(held, asset_for_value(missing, asset, price, haircut_bps, settlement))
            missing -= value_after_haircut(locked[asset.code], asset, price, haircut_bps, settlement)
    if missing > 0:
        haircut_bps = terms.haircut_of(settlement.code)
        locked[settlement.code] += asset_for_value(
            missing, settlement, price_of(settlement, None), haircut_bps, settlement
        )
    return {code: min(amount, terms.max_required_base_units) for code, amount in locked.items()}


def is_off(
    present: int, wanted: int, asset: Asset, price: Decimal, terms: Terms, settlement: Asset | None = None
) -> bool:
    """Whether a vault's number is off by more than the rounding unit's worth: less is not worth a transaction."""
    difference = abs(wanted - present)
    return value_after_haircut(difference, asset, price, 0, settlement) > terms.rounding_unit_base_units


def require(
    *, cell_id: UUID, required: int, holdings: Mapping[str, int], terms: Terms, valuation: Valuation
) -> list[ChainInstruction]:
    """Queue a new requirement for each vault whose number is off by more than the rounding unit's worth."""
    wanted = required_by_token(required, holdings, terms, valuation)
    made = []
    for code, vault in sorted(vaults_of(cell_id).items()):
        present, asset = required_in_force(vault), vault.asset
        if is_off(present, wanted[code], asset, price_of(asset, valuation), terms):
            kind, number = Kind.REQUIRE, wanted[code]
            made.append(outbox.instruct(target=vault, cell_id=cell_id, kind=kind, required_base_units=number))
    return made
