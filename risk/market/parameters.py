"""Calibrated parameters of the market: figures computed from recorded history, committed with their date.

They let everything run where no history is recorded, and they are the floors and averages where it is. The file
`data/parameters.json` and `data/surfaces.json` are written by `manage.py calibrate` and read here. Pure standard
library: the feed and the web read depth and turnover without loading any array code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from risk.market.surface import VolSurface

COINS = ("ADA", "AVAX", "BNB", "BTC", "DOGE", "ETH", "HYPE", "LINK", "SOL", "XRP")
MAJORS = ("BTC", "ETH")
PARAMETERS_FILE = Path(__file__).parent / "data" / "parameters.json"
SURFACES_FILE = Path(__file__).parent / "data" / "surfaces.json"


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto tail of standardised daily returns: P(Z > z) = share (1 + xi (z - u) / beta)^(-1/xi)."""

    u: float
    xi: float
    beta: float
    share: float


@dataclass(frozen=True)
class CoinParameters:
    """One coin. Volatilities are daily standard deviations of log returns; `vol_now` is the EWMA on the calibration
    date, `vol_floor` the full-history one; `adv_usd` average daily turnover in USD; `depth_usd` notional that moves
    the price by 1% in ordinary times; `atm_vol` annual; `body` the 5%..95% quantiles of standardised returns in steps
    of 5%; `upper` and `lower` their tails (lower: of minus the return)."""

    vol_now: float
    vol_floor: float
    adv_usd: Decimal
    depth_usd: Decimal
    atm_vol: Decimal
    body: tuple[float, ...]
    upper: Tail
    lower: Tail


@dataclass(frozen=True)
class VolResponse:
    """Log change of implied volatility for a move of z daily standard deviations: down * max(-z, 0) + up * max(z, 0)
    plus a rest of mean zero. `residual` is the standard deviation of that, `rest` its quantiles from 0 to 1 in steps of
    0.005."""

    down: float
    up: float
    residual: float
    rest: tuple[float, ...]


@dataclass(frozen=True)
class RateDeviations:
    """Daily standard deviations of the dollar curve's moves, as fractions a year: `level` of the one-year yield,
    `slope` of the one-year yield less the three-month one; `correlation` of the two."""

    level: float
    slope: float
    correlation: float


@dataclass(frozen=True)
class Parameters:
    """All calibrated figures. `version` is the hash of the content; `correlation` is of the copula, rows and columns in
    COINS order; `dof` its degrees of freedom; `rates` (days, continuously compounded annual rate);
    `turnover_profile` the 168 hours' shares of an ordinary hour's turnover, from Monday 00:00 UTC on, mean one."""

    version: str
    calibrated_to: date
    coins: Mapping[str, CoinParameters]
    correlation: tuple[tuple[float, ...], ...]
    dof: float
    vol_response: VolResponse
    rates: tuple[tuple[int, Decimal], ...]
    rate_moves: RateDeviations
    turnover_profile: tuple[float, ...]


@dataclass(frozen=True)
class Anchor:
    """A surface at one tenor: at-the-money volatility and, in volatility too, `skew` its slope in ln(K/F) there,
    25-delta risk reversal (call less put) and butterfly; `extrapolated` beyond the expiries that were quoted."""

    days: int
    atm_vol: float
    skew: float
    risk_reversal_25: float
    butterfly_25: float
    extrapolated: bool


@dataclass(frozen=True)
class CalibratedSurface:
    """A fitted surface and its anchors, ascending in tenor."""

    surface: VolSurface
    anchors: tuple[Anchor, ...]


@cache
def load_parameters() -> Parameters:
    """The committed parameters."""
    return parameters_from(json.loads(PARAMETERS_FILE.read_text()))


@cache
def load_surfaces() -> Mapping[str, CalibratedSurface]:
    """The committed surfaces by underlying."""
    body = json.loads(SURFACES_FILE.read_text())
    return MappingProxyType(
        {
            coin: CalibratedSurface(
                VolSurface.from_body(item["surface"]), tuple(Anchor(**anchor) for anchor in item["anchors"])
            )
            for coin, item in body["underlyings"].items()
        }
    )


def parameters_from(body: Mapping[str, Any]) -> Parameters:
    """Parameters of a decoded JSON body; raises KeyError or ValueError when a figure is missing or malformed."""
    return Parameters(
        version=version_of(body),
        calibrated_to=date.fromisoformat(body["calibrated_to"]),
        coins=MappingProxyType({coin: _coin(body["coins"][coin]) for coin in COINS}),
        correlation=tuple(tuple(row) for row in body["correlation"]),
        dof=float(body["dof"]),
        vol_response=VolResponse(**body["vol_response"] | {"rest": tuple(body["vol_response"]["rest"])}),
        rates=tuple((int(days), Decimal(rate)) for days, rate in body["rates"]),
        rate_moves=RateDeviations(**body["rate_moves"]),
        turnover_profile=tuple(body["turnover_profile"]),
    )


def version_of(body: Mapping[str, Any]) -> str:
    """SHA-256 of calibrated content as JSON with sorted keys, its own version left out: 64 hex digits."""
    content = {name: value for name, value in body.items() if name != "version"}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _coin(body: Mapping[str, Any]) -> CoinParameters:
    return CoinParameters(
        vol_now=float(body["vol_now"]),
        vol_floor=float(body["vol_floor"]),
        adv_usd=Decimal(body["adv_usd"]),
        depth_usd=Decimal(body["depth_usd"]),
        atm_vol=Decimal(body["atm_vol"]),
        body=tuple(body["body"]),
        upper=Tail(**body["upper"]),
        lower=Tail(**body["lower"]),
    )
