"""What if: a relationship's margin with trades that are only being considered, at the official marks.

The figures before and after come out of one computation by the tick's own code, and the verdict is the gate's own: a
trade at the mark that passes here passes when it is novated, as long as book and market are the same. Nothing is
written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from intermediary import trading
from intermediary.call_forecast import moving_value
from intermediary.errors import BadInput, Refusal
from intermediary.models import Instrument
from intermediary.money import EXACT, multiply_exactly
from intermediary.ports import PlannedTrade
from risk.gate import weighed
from risk.margin.ruleset import ruleset
from risk.official import OfficialMarket
from risk.own_coins import refuse_longer_own_coins
from risk.weighing import Weighed, read

TRADES_MAX = 20  # what a person can weigh on one page; a book is moved by files, not by a form


@dataclass(frozen=True)
class Considered:
    """One trade: signed quantity of an instrument by its code."""

    instrument: str
    quantity: Decimal


@dataclass(frozen=True)
class WhatIf:
    """A relationship as it stands and with the trades booked at their marks, in one market. `further`: the rows of what
    the caller asked to be read along."""

    considered: Sequence[Considered]
    planned: Sequence[PlannedTrade]
    before: Weighed
    after: Weighed
    further: Sequence[list[Any]] = ()

    def as_data(self) -> dict[str, Any]:
        """A JSON value: `before` and `after` as margin states are stored, `verdict` of the gate on what is after,
        `refusal` what a trade would be refused with whatever the verdict (code, message, data), or None,
        `trades` with the marks they are taken at, `coins_base_units` what of the margin moves with the market. Amounts
        are settlement base units, lines of a breakdown dollars."""
        tick = self.after.market.tick
        return {
            "as_of": tick.valuation.as_of.isoformat(),
            "snapshot_id": tick.snapshot_id,
            "ruleset_hash": ruleset(self.after.relationship.terms.ruleset).hash,
            "trades": [
                {"instrument": item.instrument, "quantity": f"{item.quantity:f}", "price": f"{one.price.normalize():f}"}
                for item, one in zip(self.considered, self.planned, strict=True)
            ],
            "coins_base_units": self._coins_base_units(),
            "before": self.before.as_state(),
            "after": self.after.as_state(),
            "verdict": self.after.verdict().numbers(),
            "refusal": self._refusal(),
        }

    def _refusal(self) -> dict[str, Any] | None:
        try:
            refuse_longer_own_coins(self.after, self.planned)
        except Refusal as refusal:
            return {"code": refusal.code, "message": refusal.message, "data": refusal.data}
        return None

    def _coins_base_units(self) -> int:
        one, market = self.after.relationship, self.after.market
        return moving_value(one.margin, market.tick.valuation, one.terms, market.assets)


def what_if(cell_id: UUID, trades: Sequence[Considered]) -> dict[str, Any]:
    """`WhatIf.as_data` of `weigh_up`."""
    return weigh_up(cell_id, trades).as_data()


def weigh_up(cell_id: UUID, trades: Sequence[Considered], further: Sequence[str] = ()) -> WhatIf:
    """The relationship before and after the trades, and `further` readings about it.

    Refuses `what_if_empty`, `what_if_too_many`, `instrument_unknown`, `mark_missing`, `trade_quantity`,
    `trade_too_large`, and what the gate refuses.
    """
    standing = read([cell_id], further)
    market = standing.market()
    planned = _planned(trades, market)
    after, before = weighed({cell_id: planned}, standing, market, and_before=True)
    return WhatIf(trades, planned, before, after, standing.further)


def _planned(trades: Sequence[Considered], market: OfficialMarket) -> list[PlannedTrade]:
    """The trades at their official marks."""
    if not trades:
        raise BadInput("what_if_empty", "Name at least one trade.")
    if len(trades) > TRADES_MAX:
        message = "There are too many trades for one look."
        raise BadInput("what_if_too_many", message, most=TRADES_MAX, asked=len(trades))
    return [_at_its_mark(one, market) for one in trades]


def _at_its_mark(one: Considered, market: OfficialMarket) -> PlannedTrade:
    key = market.listed.get(one.instrument)
    mark = market.marks.get(key) if key is not None else None
    if key is None or mark is None:
        if not Instrument.objects.filter(code=one.instrument).exists():
            raise BadInput("instrument_unknown", "There is no such instrument.", instrument=one.instrument)
        raise Refusal("mark_missing", f"{one.instrument} has no official mark yet.", instrument=one.instrument)
    if not one.quantity.is_finite() or one.quantity != one.quantity.quantize(trading.QUANTITY_PLACES, context=EXACT):
        message = f"A quantity is a multiple of {trading.QUANTITY_PLACES:f}."
        raise BadInput("trade_quantity", message, quantity=str(one.quantity))
    if multiply_exactly(one.quantity.copy_abs(), mark) >= trading.VALUE_LIMIT:
        raise BadInput("trade_too_large", f"One trade is below {trading.VALUE_LIMIT:,.0f} dollars.")
    return PlannedTrade(key, one.quantity, mark)
