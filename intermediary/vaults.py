"""The requirement as the vaults on chain know it: one number a token, locked until the next movement changes it.

Every movement of a vault carries the number in force after it. The settlement token is locked first, then the other
tokens up to what lies there; what is still missing is locked in the settlement token, so that the next deposit counts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform

from intermediary.collateral import asset_for_value, price_of, value_after_haircut
from intermediary.models import Asset, ChainInstruction, ChainTarget, Valuation
from intermediary.models.bulk import TIMES
from intermediary.terms import Terms

Kind = ChainInstruction.Kind
_MOST, _DEBIT_CAP = (KeyTextTransform(name, "creation") for name in ("max_required", "debit_cap"))
MOVEMENTS = (Kind.REQUIRE, Kind.CREDIT, Kind.DEBIT, Kind.RETURN)


@dataclass(frozen=True)
class Vault:
    """One token's vault with the number that it locks once everything instructed has happened, and what its address
    commits it to: the most that it locks, and that it lets go to the house a day."""

    target: ChainTarget
    asset: Asset
    required_in_force: int
    most: int | None = None
    debit_cap: int | None = None


def vaults_of(cell_id: UUID) -> dict[str, ChainTarget]:
    """The vaults of a relationship by token; empty before they are registered."""
    return {target.asset_id: target for target in ChainTarget.objects.filter(cell_id=cell_id, kind="VAULT")}


def read(cell_ids: Iterable[UUID]) -> dict[UUID, list[Vault]]:
    """The vaults of several relationships in the order of their tokens, two queries."""
    last = _movements().filter(target=OuterRef("pk")).values("required_base_units")[:1]
    targets = ChainTarget.objects.filter(cell_id__among=list(cell_ids), kind=ChainTarget.Kind.VAULT)
    found: dict[UUID, list[Vault]] = {}
    assets = Asset.objects.in_bulk()
    rows = targets.defer(*TIMES, "creation").annotate(in_force=Subquery(last), most=_MOST, debit_cap=_DEBIT_CAP)
    for row in rows.order_by("asset_id"):
        caps = (int(said) if said else None for said in (row.most, row.debit_cap))  # text of JSON
        found.setdefault(row.cell_id, []).append(Vault(row, assets[row.asset_id], int(row.in_force or 0), *caps))
    return found


def within(agreed: int, committed: int | None) -> int:
    """What the terms in force say, held to what the vault's address commits to, where that is known."""
    return agreed if committed is None else min(agreed, committed)


def caps_of(present: Iterable[Vault]) -> dict[str, int]:
    """The most that each of these can lock by what its address commits to, base units by token. Terms that were amended
    since may say more: the chain refuses such a number."""
    return {vault.asset.code: vault.most for vault in present if vault.most is not None}


def caps(targets: Mapping[str, ChainTarget]) -> dict[str, int]:
    """The same of `vaults_of`."""
    return {code: int(one.creation["max_required"]) for code, one in targets.items() if "max_required" in one.creation}


def required_in_force(vault: ChainTarget) -> int:
    """What the vault locks once everything instructed so far has happened, base units of its token."""
    last = _movements().filter(target=vault).first()
    return last.required_base_units if last else 0


def _movements() -> QuerySet[ChainInstruction]:
    done = ChainInstruction.objects.filter(kind__in=MOVEMENTS).exclude(state=ChainInstruction.State.FAILED)
    return done.order_by("-seq")


def required_by_token(
    required: int,
    holdings: Mapping[str, int],
    terms: Terms,
    valuation: Valuation | None,
    most: Mapping[str, int],
    assets: Iterable[Asset] | None = None,
) -> dict[str, int]:
    """The requirement (settlement base units) as amounts to lock of each token held, and of the settlement token.

    Source: sum(required_token x price x (1 - haircut)) covers the requirement, settlement token first. Each amount is
    limited by the terms and by `most`, the caps that the vaults' addresses commit to. `assets`, all of them, spare a
    query.
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
    return {code: min(amount, terms.most_required(code), most.get(code, amount)) for code, amount in locked.items()}


def requirements(
    present: Iterable[Vault],
    required: int,
    holdings: Mapping[str, int],
    terms: Terms,
    valuation: Valuation,
    assets: Collection[Asset],
) -> list[ChainInstruction]:
    """A new requirement, not queued yet, for each of a relationship's vaults whose number is off by more than the
    rounding unit's worth: less is not worth a transaction. `assets` are all of them."""
    present = list(present)
    wanted = required_by_token(required, holdings, terms, valuation, caps_of(present), assets)
    settlement = next(asset for asset in assets if asset.is_settlement)
    made = []
    for vault in present:
        asset, number = vault.asset, wanted[vault.asset.code]
        difference = abs(number - vault.required_in_force)
        if not difference:
            continue  # also of a token without a price today, of which there is none
        worth = value_after_haircut(difference, asset, price_of(asset, valuation), 0, settlement)
        if worth > terms.rounding_unit_base_units:
            target = vault.target
            made.append(
                ChainInstruction(target=target, cell_id=target.cell_id, kind=Kind.REQUIRE, required_base_units=number)
            )
    return made
