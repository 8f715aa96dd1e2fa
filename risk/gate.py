"""The engine's answer at commit time: the admission test (D2) on a book that is only being considered.

Bound to `intermediary.ports.RiskGate` by the composition root. It runs the same code as the tick, on the last official
snapshot, so a trade that passes here is computed the same way a minute later.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from intermediary.errors import Refusal
from intermediary.models import Instrument
from intermediary.money import add_exactly, multiply_exactly
from intermediary.ports import AdmissionResult, LayerSizes, PlannedTrade
from intermediary.terms import Terms
from risk.doubt import refuse_doubtful, refuse_lost_smile, refuse_old_history, refuse_reliance
from risk.margin.admission import Resources
from risk.margin.ruleset import ruleset
from risk.official import OfficialMarket
from risk.official import latest_tick as latest_tick
from risk.own_coins import refuse_longer_own_coins
from risk.weighing import Asked, Standing, Weighed, coins_of, read, result_of, weigh

# How far from its mark an instrument may be traded, of the price of its underlying (rulebook 3.4): what a market moves
# while two sides agree. An option moves less than its underlying, but far more than this share of a small premium.
PRICE_BAND = Decimal("0.05")


class EngineGate:
    """`ports.RiskGate` by the margin engine. `under` judges by another ruleset than the signed one: what if."""

    def __init__(self, under: str | None = None) -> None:
        self._under = under

    def check_trades(self, changes: Mapping[UUID, Sequence[PlannedTrade]]) -> dict[UUID, AdmissionResult]:
        """Every cell's verdict with its trades booked: stressed loss inside its means, and margin for the new book.

        What a price off the mark costs is owed from the trade on, so it counts in both. Refuses `price_off_market`,
        `price_stale` and `own_coin_longer`.
        """
        standing = read(changes)
        market = standing.market()
        refuse_off_market([trade for trades in changes.values() for trade in trades], market)
        found = {one.relationship.cell_id: one for one in weighed(changes, standing, market, self._under)}
        for cell_id, one in found.items():
            refuse_longer_own_coins(one, changes[cell_id])
        return {cell_id: one.verdict() for cell_id, one in found.items()}

    def check_line(self, cell_id: UUID, threshold_base_units: int, layers: LayerSizes) -> AdmissionResult:
        """The verdict on the present book if these layers stood behind it.

        The threshold frees margin, so what the client may take out counts as gone: of its margin only what the new
        requirement would still hold is counted.
        """
        standing = read([cell_id])
        one = weighed({cell_id: ()}, standing, standing.market(), self._under)[0]
        resources = Resources(
            first_loss=layers.first_loss_base_units,
            tail=layers.tail_base_units,
            senior_retention=layers.senior_base_units,
            exposure=one.exposure,
        )
        return result_of(one.found.admission(resources))


def weighed(
    changes: Mapping[UUID, Sequence[PlannedTrade]],
    standing: Standing,
    market: OfficialMarket,
    under: str | None = None,
    *,
    and_before: bool = False,
) -> list[Weighed]:
    """Each relationship with its trades booked, in this order; `and_before`: then each as it stands, all at once.
    `market` is that of `standing`.

    Refuses `price_stale`: no figures in a market that is too old for what is held and traded; `mark_doubtful`;
    `smile_lost`; and `history_too_old`.
    """
    asked = [Asked(standing.relationships[cell_id], trades) for cell_id, trades in changes.items()]
    limits = [ruleset(under or one.relationship.terms.ruleset).doubt_limit_bps for one in asked]
    for one, limit_bps in zip(asked, limits, strict=True):
        _refuse_stale(market, one.relationship.terms, coins_of(one, market), standing.now)
        refuse_doubtful(one, market, limit_bps)
        refuse_lost_smile(one, market)
        refuse_old_history(one, market, under or one.relationship.terms.ruleset)
    before = [replace(one, trades=()) for one in asked] if and_before else []
    found = weigh([*asked, *before], market, under)
    for one, figures, limit_bps in zip(asked, found, limits, strict=False):
        refuse_reliance(one, figures, limit_bps, standing.now, under)
    return found


def refuse_off_market(trades: Iterable[PlannedTrade], market: OfficialMarket) -> None:
    """Refuse a price too far from its official mark, and an instrument without one."""
    for trade in trades:
        mark = market.marks.get(trade.instrument_id)
        if mark is None:
            code = Instrument.objects.get(id=trade.instrument_id).code
            raise Refusal("mark_missing", f"{code} has no official mark yet.", instrument=code)
        instrument = market.universe.instruments[market.universe.row_of_instrument[trade.instrument_id]]
        most = multiply_exactly(market.snapshot.mark(instrument.underlying), PRICE_BAND)
        if add_exactly(trade.price, mark.copy_negate()).copy_abs() > most:
            raise Refusal(
                "price_off_market",
                "The price is too far from the official mark.",
                instrument=instrument.id,
                price=f"{trade.price.normalize():f}",
                mark=f"{mark.normalize():f}",
                at_most_off=f"{most.normalize():f}",
            )


def _refuse_stale(market: OfficialMarket, terms: Terms, coins: set[str], now: datetime) -> None:
    """No new risk on an official market that is too old, nor on a coin that it had not seen for too long (M6)."""
    snapshot = market.snapshot
    unseen = coins.intersection(snapshot.stale_fields(now))
    if unseen or now - snapshot.as_of > terms.oldest_price:
        raise Refusal(
            "price_stale",
            "The last official prices are too old to take new risk on.",
            age_seconds=int((now - snapshot.as_of).total_seconds()),
            limit_seconds=int(terms.oldest_price.total_seconds()),
            unseen=sorted(unseen),
        )
