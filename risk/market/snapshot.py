"""One view of the market at one moment: immutable, dated, and identified by the hash of its content.

Every figure that reaches a requirement comes from a snapshot, so that (snapshot, book, ruleset) reproduces it.
Prices are exact decimals and travel as strings; nothing here is an array, because the web and the feed read snapshots
too. This file does not decide where prices come from (`feeds`) nor what they imply (`risk.margin`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import BadInput, Refusal
from risk.market.quality import MarkQuality, MarkState
from risk.market.surface import AGE_LIMIT_S, VolSurface

# A mark older than two hourly bars has missed at least one; rates are published once a working day. Those of a snapshot
# are the calibration's, whose age pages show against the second limit; it stops nothing (decision 10).
DEFAULT_AGE_LIMITS_S: Mapping[str, int] = MappingProxyType({"mark": 7_200, "rates": 5 * 86_400})
AHEAD_LIMIT_S = 5.0  # clocks of exchanges run ahead by less than this; beyond it a time is wrong
RATE_LIMITS = (-0.05, 0.30)  # beyond them a dollar rate is a percentage taken for a fraction, or the reverse
# A stablecoin that breaks goes on being a price; a tenth, or two dollars for one, is a misplaced digit or another coin.
PEG_LIMITS = (Decimal("0.1"), Decimal(2))
# A year's volatility of 1% is no coin's, and beyond 1,000% or a carry of 200% a year a percentage was taken for a
# fraction: the wildest volatility that a feed derives from the calibrated ones is below 300%.
VOL_LIMITS = (Decimal("0.01"), Decimal(10))
BASIS_LIMITS = (Decimal(-2), Decimal(2))
# A day's turnover below $10,000 is no market, and above a trillion no coin's; nor do ten billion lie within 1% of
# any price. A live feed judges each order book more strictly (`feeds.books`).
TURNOVER_LIMITS = (Decimal(10_000), Decimal(10**12))
DEPTH_LIMITS = (Decimal(1), Decimal(10**10))
# From one rate to the next it is at most this many days, or this multiple of the earlier tenor: published tenors lie
# closer, and a rate drawn across a missing one is nobody's.
RATES_GAP_DAYS, RATES_GAP_SHARE = 31, 2.1
RATES_REACH_DAYS = (31, 365)  # outside its tenors a curve is flat: it begins within a month and covers a year


@dataclass(frozen=True, kw_only=True)
class Underlying:
    """The market of one coin, in USD.

    `mark` price of one coin; `basis_annual` continuously compounded forward basis; `funding_8h` perpetual funding for
    8 hours (positive: longs pay); `depth_usd` notional that moves the price by 1%; `adv_usd` average daily turnover,
    of the days to `turnover_to`, or of the calibration where that is None;
    `atm_vol` annual at-the-money implied volatility; `observed_at` UTC time of the mark; `surface` implied
    volatilities by strike and expiry, or None where one volatility serves all options.
    """

    mark: Decimal
    basis_annual: Decimal
    funding_8h: Decimal
    depth_usd: Decimal
    adv_usd: Decimal
    atm_vol: Decimal
    observed_at: datetime
    surface: VolSurface | None = None
    turnover_to: date | None = None

    def __post_init__(self) -> None:
        for name in ("mark", "adv_usd", "depth_usd", "atm_vol"):
            _require_positive(name, getattr(self, name))
        for name in ("basis_annual", "funding_8h"):
            _require_finite(name, getattr(self, name))
        _require_within("vol", "atm_vol", self.atm_vol, VOL_LIMITS)
        _require_within("basis", "basis_annual", self.basis_annual, BASIS_LIMITS)
        _require_within("turnover", "adv_usd", self.adv_usd, TURNOVER_LIMITS)
        _require_within("depth", "depth_usd", self.depth_usd, DEPTH_LIMITS)
        _require_utc(self.observed_at)


@dataclass(frozen=True, kw_only=True)
class MarketSnapshot:
    """All underlyings at `as_of`. `rates` are (days, continuously compounded annual rate) points, ascending;
    `usdc_peg` is USD per USDC; `source` says whether this is a recording, a reconstruction or live. `qualities` says of
    each mark that was made from several sources how sure it is, and by which; a coin that is absent has one source.
    `peg_quality` says the same of the price of USDC, seen at `peg_observed_at`: none where nobody judged it.
    `lost_smiles`: coins that had a surface in an earlier market of the feed and have none that is young enough now."""

    as_of: datetime
    source: str
    underlyings: Mapping[str, Underlying]
    rates: tuple[tuple[int, Decimal], ...]
    usdc_peg: Decimal
    age_limits_s: Mapping[str, int]
    qualities: Mapping[str, MarkQuality] = field(default_factory=dict)
    lost_smiles: tuple[str, ...] = ()
    peg_quality: MarkQuality | None = None
    peg_observed_at: datetime | None = None

    def __post_init__(self) -> None:
        _require_utc(self.as_of)
        ordered = {coin: self.underlyings[coin] for coin in sorted(self.underlyings)}
        object.__setattr__(self, "underlyings", MappingProxyType(ordered))
        object.__setattr__(self, "age_limits_s", MappingProxyType(dict(sorted(self.age_limits_s.items()))))
        object.__setattr__(self, "qualities", MappingProxyType(dict(sorted(self.qualities.items()))))
        if not self.qualities.keys() <= ordered.keys():
            raise BadInput("market.quality_of_nothing", "a quality belongs to a mark of the same snapshot")
        object.__setattr__(self, "lost_smiles", tuple(sorted(self.lost_smiles)))
        if any(coin not in ordered or ordered[coin].surface is not None for coin in self.lost_smiles):
            raise BadInput(
                "market.smile_not_lost", "a smile that is lost is of a coin of the same snapshot without one"
            )
        if not ordered or not self.rates:
            raise BadInput("market.empty", "a snapshot needs at least one underlying and one rate")
        _require_positive("usdc_peg", self.usdc_peg)
        _require_within("peg", "usdc_peg", self.usdc_peg, PEG_LIMITS)
        if (self.peg_quality is None) != (self.peg_observed_at is None):
            raise BadInput("market.peg_half_judged", "the quality of a peg and its time come together")
        if self.peg_observed_at is not None:
            _require_utc(self.peg_observed_at)
        _check_rates(self.rates)
        for coin, item in ordered.items():
            if (item.observed_at - self.as_of).total_seconds() > AHEAD_LIMIT_S:
                message = f"{coin} was observed at {item.observed_at.isoformat()}, after {self.as_of.isoformat()}"
                raise BadInput("market.observed_in_the_future", message, underlying=coin)
            if item.surface is not None:
                _check_surface(coin, item.surface, self.as_of, self.age_limits_s.get("surface", AGE_LIMIT_S))

    @property
    def coins(self) -> tuple[str, ...]:
        """The underlyings in alphabetical order: the column order of every array made from this snapshot."""
        return tuple(self.underlyings)

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical content, 64 hex digits: equal content, equal id."""
        return sha256_hex(canonical_json(self._body()))

    def mark(self, coin: str) -> Decimal:
        """USD price of one coin, exact. Refuses an underlying the snapshot does not carry."""
        return self._underlying(coin).mark

    def rate(self, days: float) -> float:
        """Continuously compounded annual rate for `days`, linear between points and flat outside them."""
        points = self.rates
        if days <= points[0][0]:
            return float(points[0][1])
        for (left_days, left), (right_days, right) in pairwise(points):
            if days <= right_days:
                weight = (days - left_days) / (right_days - left_days)
                return float(left) + weight * (float(right) - float(left))
        return float(points[-1][1])

    def vol(self, coin: str, strike: float, forward: float, expiry: datetime) -> float:
        """Annual implied volatility of an option on `coin`: of its surface where there is one, else at the money."""
        item = self._underlying(coin)
        if item.surface is None:
            return float(item.atm_vol)
        return item.surface.vol(strike, forward, expiry, self.as_of)

    def stale_fields(self, now: datetime) -> tuple[str, ...]:
        """Coins whose mark is older than its age limit at `now`: no new risk and no close-out on those."""
        limit = self.age_limits_s.get("mark", DEFAULT_AGE_LIMITS_S["mark"])
        return tuple(
            coin for coin, item in self.underlyings.items() if (now - item.observed_at).total_seconds() > limit
        )

    @property
    def doubtful(self) -> Mapping[str, MarkQuality]:
        """The coins whose mark is known to be less than good, with why and by how much."""
        return {coin: one for coin, one in self.qualities.items() if one.state is not MarkState.GOOD}

    def to_json(self) -> str:
        """The canonical text; `from_json` gives an equal snapshot with the same id."""
        return canonical_json(self._body())

    @classmethod
    def from_json(cls, text: str) -> MarketSnapshot:
        """The snapshot of a canonical text. Refuses text that lacks a field."""
        try:
            body = json.loads(text)
            return cls(
                as_of=datetime.fromisoformat(body["as_of"]),
                source=body["source"],
                underlyings={coin: _underlying_from(item) for coin, item in body["underlyings"].items()},
                rates=tuple((int(days), Decimal(rate)) for days, rate in body["rates"]),
                usdc_peg=Decimal(body["usdc_peg"]),
                age_limits_s=body["age_limits_s"],
                qualities={coin: MarkQuality.from_body(item) for coin, item in body.get("qualities", {}).items()},
                lost_smiles=tuple(body.get("lost_smiles", ())),
                **_peg_from(body["peg"]) if "peg" in body else {},
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise BadInput("market.malformed_snapshot", f"not a market snapshot: {error!r}") from error

    def _underlying(self, coin: str) -> Underlying:
        if coin not in self.underlyings:
            raise Refusal("market.unknown_underlying", f"the market has no mark for {coin}", underlying=coin)
        return self.underlyings[coin]

    def _body(self) -> dict[str, Any]:
        """What is absent is left out: a snapshot without qualities keeps the name it had before there were any."""
        body: dict[str, Any] = {
            "as_of": self.as_of.isoformat(),
            "source": self.source,
            "underlyings": {coin: _underlying_body(item) for coin, item in self.underlyings.items()},
            "rates": [[days, str(rate)] for days, rate in self.rates],
            "usdc_peg": str(self.usdc_peg),
            "age_limits_s": dict(self.age_limits_s),
        }
        if self.qualities:
            body["qualities"] = {coin: item.body() for coin, item in self.qualities.items()}
        if self.lost_smiles:
            body["lost_smiles"] = list(self.lost_smiles)
        if self.peg_quality is not None and self.peg_observed_at is not None:
            body["peg"] = {"quality": self.peg_quality.body(), "observed_at": self.peg_observed_at.isoformat()}
        return body


_DECIMAL_FIELDS = ("mark", "basis_annual", "funding_8h", "depth_usd", "adv_usd", "atm_vol")


def _underlying_body(item: Underlying) -> dict[str, Any]:
    """What is absent is left out: a snapshot without it keeps the name that it had before there was any."""
    body: dict[str, Any] = {field: str(getattr(item, field)) for field in _DECIMAL_FIELDS}
    body["observed_at"] = item.observed_at.isoformat()
    if item.surface is not None:
        body["surface"] = item.surface.body()
    if item.turnover_to is not None:
        body["turnover_to"] = item.turnover_to.isoformat()
    return body


def _underlying_from(body: Mapping[str, Any]) -> Underlying:
    numbers = {field: Decimal(body[field]) for field in _DECIMAL_FIELDS}
    surface = VolSurface.from_body(body["surface"]) if "surface" in body else None
    to = date.fromisoformat(body["turnover_to"]) if "turnover_to" in body else None
    observed_at = datetime.fromisoformat(body["observed_at"])
    return Underlying(observed_at=observed_at, surface=surface, turnover_to=to, **numbers)


def _peg_from(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "peg_quality": MarkQuality.from_body(body["quality"]),
        "peg_observed_at": datetime.fromisoformat(body["observed_at"]),
    }


def _check_surface(coin: str, surface: VolSurface, as_of: datetime, limit_s: int) -> None:
    """A stale smile is left out by whoever builds the snapshot, knowingly; it never prices in silence."""
    age = surface.age_s(as_of)
    if surface.underlying != coin or age > limit_s:
        raise BadInput(
            "market.stale_surface" if surface.underlying == coin else "market.wrong_surface",
            f"the surface of {surface.underlying} is {age:.0f} s old; {coin} takes its own, at most {limit_s} s old",
            underlying=coin,
            age_s=age,
            limit_s=limit_s,
        )


def _require_utc(moment: datetime) -> None:
    if moment.tzinfo is None or moment.utcoffset() != UTC.utcoffset(None):
        raise BadInput("market.time_not_utc", "market times are UTC and say so")


def _require_finite(name: str, value: Decimal) -> None:
    if not value.is_finite():
        raise BadInput("market.no_number", f"{name} is {value}, which is no number", field=name)


def _require_positive(name: str, value: Decimal) -> None:
    _require_finite(name, value)
    if value <= 0:
        raise BadInput("market.not_positive", f"{name} is {value} and must be positive", field=name)


def _require_within(kind: str, name: str, value: Decimal, limits: tuple[Decimal, Decimal]) -> None:
    """Refuses `market.absurd_<kind>` with the limits, both of which may still be true."""
    low, high = limits
    if not low <= value <= high:
        message = f"{name} is {value}, which is not within {low} and {high}"
        raise BadInput(f"market.absurd_{kind}", message, field=name, value=str(value), low=str(low), high=str(high))


def _check_rates(rates: Sequence[tuple[int, Decimal]]) -> None:
    """Rates are dollar rates of rising tenors without a hole between them."""
    low, high = RATE_LIMITS
    for days, rate in rates:
        _require_finite(f"the rate of {days} days", rate)
        if not low <= rate <= high:
            raise BadInput("market.absurd_rate", f"{rate} for {days} days is no dollar rate", days=days)
    for (left, _), (right, _) in pairwise(rates):
        if right <= left:
            raise BadInput("market.rates_not_rising", f"{right} days come after {left}", days=right)
        if right - left > max(RATES_GAP_DAYS, RATES_GAP_SHARE * left):
            message = f"there is no rate between {left} and {right} days"
            raise BadInput("market.rates_hole", message, after_days=left, before_days=right)
    (first, _), (last, _), (begins, reaches) = rates[0], rates[-1], RATES_REACH_DAYS
    if not 0 < first <= begins or last < reaches:
        message = f"rates of {first} to {last} days are no curve: it begins within {begins} and reaches {reaches} days"
        raise BadInput("market.rates_reach", message, first_days=first, last_days=last)
