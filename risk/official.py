"""The last official market as a trade's check sees it: its tick, every instrument with its mark, the margin tokens.

None of it changes once the tick is open. Marks are written with their valuation, for good, and what is listed later has
no price in it. So a process keeps the last one, and asking for the market is asking which tick is the last.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from intermediary import books
from intermediary.errors import Refusal
from intermediary.models import Asset, Mark
from intermediary.money import from_base_units
from risk.book import Universe
from risk.figures import Rows, load_snapshot, matrices_for, universe_of
from risk.margin.requirement import RiskMatrices
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick


@dataclass(frozen=True, eq=False)
class OfficialMarket:
    """One tick's market. `marks` are dollars by instrument, exact; `assets` are all tokens by code."""

    tick: Tick
    snapshot: MarketSnapshot
    universe: Universe
    marks: Mapping[UUID, Decimal]
    assets: Mapping[str, Asset]

    @cached_property
    def listed(self) -> Mapping[str, UUID]:
        """Instruments by code."""
        return {self.universe.instruments[row].id: key for key, row in self.universe.row_of_instrument.items()}

    def matrices(self, ruleset_name: str) -> RiskMatrices:
        """Every instrument priced under every shock of a ruleset."""
        if ruleset_name not in self._matrices:
            found = matrices_for(self.tick.snapshot_id, ruleset_name, self.universe.instruments)
            self._matrices[ruleset_name] = found
        return self._matrices[ruleset_name]

    @property
    def rulesets(self) -> Collection[str]:
        """Those whose matrices were asked for."""
        return self._matrices.keys()

    @cached_property
    def _matrices(self) -> dict[str, RiskMatrices]:
        """Kept here too: to find them by the terms of some hundred instruments takes longer than to use them."""
        return {}

    @cached_property
    def _row_of(self) -> Mapping[int, int]:
        """Rows of the matrices by the numbers that this process gives to instruments."""
        return {books.number_of(key): row for key, row in self.universe.row_of_instrument.items()}

    def knows(self, book: books.HeldBook, margin: Iterable[str]) -> bool:
        """Whether all that is held was listed when the market was read."""
        unvalued = {books.number_of(key) for key in self.universe.unvalued if isinstance(key, UUID)}
        read = all(number in self._row_of or number in unvalued for number in book.instruments)
        return read and self.assets.keys() >= set(margin)

    def row_of(self, book: books.HeldBook) -> list[int]:
        """Where the instruments of a book stand in the matrices. Refuses `instrument_not_valued` with what this market
        cannot value, and why."""
        found = [row for number in book.instruments if (row := self._row_of.get(number)) is not None]
        if len(found) < len(book.instruments):
            held = set(book.instruments)
            unvalued = self.universe.unvalued
            _refuse(why for key, why in unvalued.items() if isinstance(key, UUID) and books.number_of(key) in held)
        return found

    def margin_rows(self, held: Mapping[str, int]) -> Rows:
        """Margin in base units as rows of the matrices and tokens held. Refuses as `row_of`."""
        if unvalued := held.keys() & self.universe.unvalued.keys():
            _refuse(self.universe.unvalued[key] for key in unvalued)
        rows = [self.universe.row_of_asset[code] for code in held]
        return rows, [float(from_base_units(amount, self.assets[code].decimals)) for code, amount in held.items()]


def _refuse(reasons: Iterable[str]) -> None:
    named = sorted(reasons)
    raise Refusal("instrument_not_valued", "; ".join(named) + ".", reasons=named)


def latest_tick() -> Tick:
    """The last official valuation. Refuses new risk when there is none (M6)."""
    tick = Tick.objects.select_related("valuation").first()
    if tick is None:
        raise Refusal("no_official_valuation", "There is no official valuation yet: no new risk can be judged.")
    return tick


def market_of_tick(tick_id: UUID | None) -> OfficialMarket:
    """The market of the tick that has just been found to be the last (`NEWEST_TICK`). Refuses
    `no_official_valuation`."""
    kept = _kept.get(tick_id) if tick_id is not None else None
    return kept or _keep(latest_tick())


def keep_up() -> None:
    """Have the last official market at hand, with the matrices that were used of the one before, before somebody asks:
    who has just computed a tick holds most of it already."""
    newest = Tick.objects.values_list("id", flat=True).first()
    if newest is None or newest in _kept:
        return
    used = [name for market in _kept.values() for name in market.rulesets]
    market = market_of_tick(newest)
    books.owed(books.NOTHING, market.tick.valuation_id)  # reads the marks that books are valued at
    for name in used:
        market.matrices(name)


def read_again(market: OfficialMarket) -> OfficialMarket:
    """The same with what was listed since this process read it."""
    return _keep(market.tick)


NEWEST_TICK = "SELECT id FROM risk_tick ORDER BY id DESC LIMIT 1"
_kept: dict[UUID, OfficialMarket] = {}  # the last one, by its tick


def _keep(tick: Tick) -> OfficialMarket:
    marks = Mark.objects.filter(valuation_id=tick.valuation_id).values_list("instrument_id", "price")
    market = OfficialMarket(
        tick=tick,
        snapshot=load_snapshot(tick.snapshot_id),
        universe=universe_of(tick),
        marks=dict(marks),
        assets={asset.code: asset for asset in Asset.objects.all()},
    )
    _kept.clear()
    _kept[tick.id] = market
    return market
