"""The market of the last official valuation as officers read it. Loads no numeric library.

Every figure is of the stored snapshot, which is what requirements follow from, or of the calibration that stands beside
it; nothing is asked of an exchange and nothing is fitted here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import exp
from typing import Any

from risk.market.parameters import load_parameters, load_surfaces
from risk.market.quality import MarkQuality, MarkState
from risk.market.recording import LIVE
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot, Underlying
from risk.market.surface import AGE_LIMIT_S, Smile, VolSurface
from risk.models import ScenarioSource, Tick
from risk.surface_fits import fits_of

YEAR_DAYS = 365.0
FORWARD_DAYS = 30
REACH, POINTS = 2.5, 41  # at-the-money deviations on either side of the forward that a smile is drawn over, and points
ROUNDING = -1e-12  # of the conditions: as `risk.market.arbitrage` judges them


@dataclass(frozen=True)
class CoinMarket:
    """One underlying. `daily_vol` is what its scenarios are scaled with, None before the first tick that said so;
    `at_floor`: it is the least that a calm market may have; `is_stale`: older than new risk may rest on."""

    coin: str
    of: Underlying
    quality: MarkQuality | None
    is_stale: bool
    daily_vol: float | None
    at_floor: bool

    @property
    def forward(self) -> Decimal:
        """For delivery in thirty days."""
        return self.of.mark * Decimal(exp(float(self.of.basis_annual) * FORWARD_DAYS / YEAR_DAYS))

    @property
    def funding_bps(self) -> Decimal:
        """Of the perpetual, for 8 hours."""
        return self.of.funding_8h * 10_000

    @property
    def depth_millions(self) -> Decimal:
        """Dollars that move the price by 1%."""
        return self.of.depth_usd / 1_000_000

    @property
    def turnover_millions(self) -> Decimal:
        """Dollars traded on an average day."""
        return self.of.adv_usd / 1_000_000

    @property
    def state(self) -> str:
        """The state of the mark as a word of its own."""
        return self.quality.state.value.capitalize() if self.quality else ""

    @property
    def is_good(self) -> bool:
        """Whether nothing is known against the mark."""
        return not self.is_stale and (self.quality is None or self.quality.state is MarkState.GOOD)


@dataclass(frozen=True)
class RatePoint:
    """A node of the curve: zero rate, discount factor, and the forward rate from the node before it (from today)."""

    days: int
    day: date
    zero: Decimal
    factor: float
    forward: float


@dataclass(frozen=True)
class Slice:
    """One expiry of a surface: days left, the forward, volatility at the money, and its fit where it is kept."""

    expiry: datetime
    days: float
    forward: float
    atm_vol: float
    points: Sequence[tuple[float, float]]  # strike, volatility
    fit: Mapping[str, Any] | None

    @property
    def is_free(self) -> bool | None:
        """Whether both conditions held where they were looked at; None where the fit is not kept."""
        if self.fit is None:
            return None
        found = [one["value"] for one in (self.fit["butterfly"], self.fit["calendar"]) if one]
        return all(value >= ROUNDING for value in found)


@dataclass(frozen=True)
class SurfaceView:
    """A surface with its slices. One not `in_use` is the calibrated one of another day, shown to be compared."""

    coin: str
    as_of: datetime
    id: str
    in_use: bool
    limit_s: int
    slices: Sequence[Slice]
    fit: Mapping[str, Any] | None

    @property
    def limit_minutes(self) -> int:
        """How old its quotes may be."""
        return self.limit_s // 60


@dataclass(frozen=True)
class Market:
    """A snapshot as a page shows it."""

    snapshot_id: str
    as_of: datetime
    source: str
    usdc_peg: Decimal
    usdc_quality: MarkQuality | None
    mark_limit_s: int
    coins: Sequence[CoinMarket]
    curve: Sequence[RatePoint]
    calibrated_to: date
    rates_are_calibrated: bool
    rates_are_old: bool
    surfaces: Sequence[SurfaceView]
    lost_smiles: Sequence[str]

    @property
    def is_live(self) -> bool:
        """Whether it is the market of the present, and no recording."""
        return self.source == LIVE

    @property
    def stale(self) -> Sequence[str]:
        """Coins too old to take new risk on."""
        return [one.coin for one in self.coins if one.is_stale]

    @property
    def mark_limit_minutes(self) -> int:
        """How old a mark may be."""
        return self.mark_limit_s // 60

    @property
    def doubtful(self) -> int:
        """Marks with something against them."""
        return sum(not one.is_good for one in self.coins)

    @property
    def without_surface(self) -> Sequence[str]:
        """Coins of which every option has one volatility."""
        return [one.coin for one in self.coins if one.of.surface is None]


def official_market(now: datetime) -> Market | None:
    """The last official market with its ages at `now`; None before the first. Refuses a stored market that cannot be
    read (`market.malformed_snapshot` and what a snapshot refuses)."""
    newest = Tick.objects.values_list("snapshot_id", "snapshot__body").first()
    if newest is None:
        return None
    snapshot_id, body = newest
    snapshot = MarketSnapshot.from_json(body)
    parameters = load_parameters()
    oldest = timedelta(seconds=DEFAULT_AGE_LIMITS_S["rates"])
    return Market(
        snapshot_id=snapshot_id,
        as_of=snapshot.as_of,
        source=snapshot.source,
        usdc_peg=snapshot.usdc_peg,
        usdc_quality=snapshot.peg_quality,
        mark_limit_s=snapshot.age_limits_s.get("mark", DEFAULT_AGE_LIMITS_S["mark"]),
        coins=_coins(snapshot, now),
        curve=curve_points(snapshot.as_of.date(), snapshot.rates),
        calibrated_to=parameters.calibrated_to,
        rates_are_calibrated=snapshot.rates == parameters.rates,
        rates_are_old=snapshot.as_of.date() - parameters.calibrated_to > oldest,
        surfaces=_surfaces(snapshot),
        lost_smiles=snapshot.lost_smiles,
    )


def _coins(snapshot: MarketSnapshot, now: datetime) -> list[CoinMarket]:
    stale, parameters = set(snapshot.stale_fields(now)), load_parameters()
    vols = ScenarioSource.objects.values_list("daily_vols", flat=True).first() or {}
    floors = {coin: one.vol_floor for coin, one in parameters.coins.items()}
    return [
        CoinMarket(
            coin=coin,
            of=item,
            quality=snapshot.qualities.get(coin),
            is_stale=coin in stale,
            daily_vol=vols.get(coin),
            at_floor=coin in vols and vols[coin] <= round(floors[coin], 6),
        )
        for coin, item in snapshot.underlyings.items()
    ]


def curve_points(as_of: date, rates: Sequence[tuple[int, Decimal]]) -> list[RatePoint]:
    """The nodes of a curve whose zero rates are continuously compounded, ACT/365; between them rates are linear."""
    before, found = [(0, 0.0), *((days, float(rate) * days / YEAR_DAYS) for days, rate in rates)], []
    for (days, rate), ((early, start), (_, end)) in zip(rates, pairwise(before), strict=True):
        forward = (end - start) * YEAR_DAYS / (days - early)
        found.append(RatePoint(days, as_of + timedelta(days=days), rate, exp(-end), forward))
    return found


def _surfaces(snapshot: MarketSnapshot) -> list[SurfaceView]:
    """Those in use; where there are none, the calibrated ones as they were on their own day."""
    used = {coin: one.surface for coin, one in snapshot.underlyings.items() if one.surface is not None}
    shown = used or {coin: one.surface for coin, one in load_surfaces().items()}
    fits = fits_of(list(shown.values()))
    limit_s = snapshot.age_limits_s.get("surface", AGE_LIMIT_S)
    views = []
    for coin, surface in shown.items():
        now, basis = (snapshot.as_of, snapshot.underlyings[coin]) if used else (surface.as_of, None)
        fit = fits.get(surface.id)
        views.append(
            SurfaceView(coin, surface.as_of, surface.id, bool(used), limit_s, slices(surface, now, basis, fit), fit)
        )
    return views


def slices(surface: VolSurface, now: datetime, item: Underlying | None, fit: Mapping[str, Any] | None) -> list[Slice]:
    """Each smile that has not expired at `now`, over strikes of the forward of `item`, or of its own without one."""
    of_expiry = {datetime.fromisoformat(one["expiry"]): one for one in fit["expiries"]} if fit else {}
    return [
        _slice(surface, smile, years, now, item, of_expiry.get(smile.expiry)) for years, smile, _ in surface.live(now)
    ]


def _slice(surface: VolSurface, smile: Smile, years: float, now: datetime, item: Underlying | None, fit: Any) -> Slice:
    forward = smile.forward if item is None else float(item.mark) * exp(float(item.basis_annual) * years)
    atm_vol = surface.vol_at(0.0, smile.expiry, now)
    wide = REACH * atm_vol * years**0.5
    places = [wide * (2 * step / (POINTS - 1) - 1) for step in range(POINTS)]
    points = [(forward * exp(k), surface.vol_at(k, smile.expiry, now)) for k in places]
    return Slice(smile.expiry, years * YEAR_DAYS, forward, atm_vol, points, fit)
