"""The client's tokens: what lies in its vaults, what it is worth as margin, what moves, and the statement of it all."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from intermediary import own_tokens, ports, queries
from intermediary.collateral import asset_for_value
from intermediary.models import (
    Account,
    AccountKind,
    Asset,
    Cell,
    ChainInstruction,
    ChainTarget,
    JournalEntry,
    MarginState,
    Posting,
    Withdrawal,
)
from intermediary.money import multiply_exactly, round_down
from intermediary.terms import Terms

BPS = 10_000
MOVEMENTS_SHOWN = 200  # newest first; all of them are in the statements
OWN_ACCOUNTS = (AccountKind.CLIENT_MARGIN, AccountKind.SUSPENSE)  # the tokens in the client's own vault
KIND_WORDS = {
    "deposit": "Deposit",
    "debit": "Variation margin paid",
    "credit": "Variation margin received",
    "return": "Withdrawal",
    "seize": "Margin seized after default",
}


@dataclass(frozen=True)
class Holding:
    """One asset in its vault. Amounts in the asset's base units; `value` is margin value in settlement base units."""

    asset: Asset
    vault: ChainTarget | None
    held_base_units: int
    suspense_base_units: int
    on_its_way_base_units: int
    price: Decimal | None
    haircut_bps: int
    model: ports.ModelHaircut | None
    value_base_units: int | None

    @property
    def is_thin(self) -> bool:
        """Whether the engine would take off more than the terms do."""
        return self.model is not None and self.model.haircut_bps > self.haircut_bps

    @property
    def model_words(self) -> str:
        """How the model's haircut comes about."""
        if self.model is None:
            return ""
        floor, shortfall, selling = (
            f"{bps / 100:.1f}%"
            for bps in (self.model.floor_bps, self.model.shortfall_bps, self.model.concentration_bps)
        )
        return (
            f"The larger of a floor of {floor} and what the worst 1% of scenarios cost, {shortfall}, plus {selling} for"
            " selling all that clients hold. What your terms say binds."
        )


def holdings(cell: Cell, terms: Terms | None) -> list[Holding]:
    """Every asset the relationship may hold, settlement token first."""
    balances = {
        (account.kind, account.asset_id): account.balance_base_units for account in Account.objects.filter(cell=cell)
    }
    vaults = {target.asset_id: target for target in ChainTarget.objects.filter(cell=cell, kind=ChainTarget.Kind.VAULT)}
    strangers = own_tokens.strangers_on_the_way([cell.id])
    prices, models = _prices(), ports.model_haircuts()
    found = []
    for asset in Asset.objects.order_by("-is_settlement", "code"):
        held = balances.get((AccountKind.CLIENT_MARGIN, asset.code), 0)
        on_its_way = balances.get((AccountKind.IN_TRANSIT, asset.code), 0) - strangers.get((cell.id, asset.code), 0)
        haircut = terms.haircut_of(asset.code) if terms else BPS
        price = Decimal(1) if not asset.priced_as else prices.get(asset.priced_as)
        found.append(
            Holding(
                asset=asset,
                vault=vaults.get(asset.code),
                held_base_units=held,
                suspense_base_units=balances.get((AccountKind.SUSPENSE, asset.code), 0),
                on_its_way_base_units=on_its_way,
                price=price,
                haircut_bps=haircut,
                model=models.get(asset.code),
                value_base_units=None if price is None else margin_value(asset, held, price, haircut),
            )
        )
    return found


def margin_value(asset: Asset, amount_base_units: int, price: Decimal, haircut_bps: int) -> int:
    """Settlement base units of an amount after haircut, rounded down."""
    scale = Decimal(6 - asset.decimals)
    worth = multiply_exactly(amount_base_units, price, BPS - haircut_bps).scaleb(int(scale))
    return round_down(worth / BPS)


def to_deliver(due_base_units: int, holding: Holding) -> int | None:
    """Tokens that are worth what is due after haircut, rounded up; None when nothing is, or there is no vault."""
    if due_base_units <= 0 or holding.vault is None or holding.price is None or holding.haircut_bps >= BPS:
        return None
    return asset_for_value(due_base_units, holding.asset, holding.price, holding.haircut_bps)


def _prices() -> dict[str, Decimal]:
    latest = queries.latest_valuation()
    return {coin: Decimal(text) for coin, text in latest.prices.items()} if latest else {}


def free_base_units(state: MarginState | None) -> int:
    """Held less required, never below zero; zero while nothing was valued."""
    return max(0, state.headroom_base_units) if state else 0


@dataclass(frozen=True)
class Movement:
    """One change of the client's own tokens; positive came in."""

    entry: JournalEntry
    asset: Asset
    amount_base_units: int
    balance_after_base_units: int
    instruction: ChainInstruction | None

    @property
    def words(self) -> str:
        """What it was."""
        return KIND_WORDS.get(self.entry.kind.split("_")[0], self.entry.memo.capitalize())


def movements(cell: Cell, since: datetime | None = None, until: datetime | None = None) -> Iterator[Movement]:
    """Changes of the vault's accounts, newest first, with the chain's view of those that were instructed."""
    rows = Posting.objects.filter(cell=cell, account__kind__in=OWN_ACCOUNTS)
    if since:
        rows = rows.filter(entry__at__gte=since)
    if until:
        rows = rows.filter(entry__at__lt=until)
    rows = rows.select_related("entry", "asset").order_by("-entry__at", "-entry__recorded_at", "account_id", "-version")
    shown = list(rows if since else rows[:MOVEMENTS_SHOWN])
    instructions = {
        one.entry_id: one for one in ChainInstruction.objects.filter(entry_id__in=[row.entry_id for row in shown])
    }
    for row in shown:
        yield Movement(
            row.entry, row.asset, row.amount_base_units, row.balance_after_base_units, instructions.get(row.entry_id)
        )


def withdrawals(cell: Cell) -> list[Withdrawal]:
    """Requests for free margin, newest first."""
    return list(Withdrawal.objects.filter(cell=cell).select_related("asset").order_by("-id")[:100])


def balance_before(cell: Cell, asset: Asset, moment: datetime) -> int:
    """Tokens in the client's vault accounts just before `moment`, base units."""
    earlier = Posting.objects.filter(cell=cell, asset=asset, account__kind__in=OWN_ACCOUNTS, entry__at__lt=moment)
    total: Any = earlier.aggregate(total=Sum("amount_base_units"))["total"]
    return int(total or 0)
