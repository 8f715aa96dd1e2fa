"""Revaluation: instruments x shocks -> profit matrix D in USD per unit held. Every unique instrument is priced once.

Linear and inverse contracts are closed forms of numpy; options run through the compiled Black-76. Collateral assets
are rows like any other. Sign: D > 0 is a gain of the holder of one unit, so the loss of positions Q is -Q D.

Where a shock takes its hours, futures and options are worth at their end what they are with so much less time, each
option at its own volatility, moved by the shock; coins drift nowhere. What expires on the way is settled at the end's
price: a scenario is one price, and knows of none before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from intermediary.errors import Refusal
from risk.margin.instruments import Instrument
from risk.margin.kernels import option_gains
from risk.margin.shocks import ShockSet, slope_share
from risk.market.snapshot import MarketSnapshot

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Expiry = tuple[int, float]  # of options: the column of their coin, years

USUAL_YEARS = 30 / 365  # the expiry whose volatility an index of implied volatility quotes, and the shocks of one
LEAST_YEARS, MOST_YEARS = 1 / 365, 1.0  # between which the term structure bends
# A slope of half keeps total variance from falling with the expiry wherever volatility does not: no calendar arbitrage.
STEEPEST_TERM = 0.5
STEEPEST_SKEW, FARTHEST_STRIKE = 0.25, 2.0  # together at most half of a volatility; wings beyond do not steepen
LEAST_VOL = 0.05  # annual: a seventh of the least that the index of bitcoin has shown (32%, 2022 to 2025)
SECONDS_A_YEAR = 365.0 * 86_400.0  # ACT/365 fixed, the convention of crypto options
HOURS_A_YEAR = 365.0 * 24.0
DAYS_A_YEAR = 365.0


@dataclass(frozen=True)
class InstrumentTable:
    """Instruments resolved against one snapshot, I rows.

    `column` (I,) index of the underlying in `coins`, -1 for cash; `years` (I,) to expiry (0 for none); `forward` (I,)
    USD price of the underlying for delivery at expiry; `discount` (I,); `notional_usd` and `delta_usd` (I,) face value
    and dollar delta (USD gained per unit of relative price rise) of one unit.
    """

    instruments: tuple[Instrument, ...]
    coins: tuple[str, ...]
    column: Integers
    years: Floats
    mark: Floats
    vol: Floats
    basis_annual: Floats
    forward: Floats
    discount: Floats
    notional_usd: Floats
    delta_usd: Floats


def resolve(instruments: Sequence[Instrument], snapshot: MarketSnapshot) -> InstrumentTable:
    """The table of `instruments` in the market of `snapshot`.

    Refuses an instrument whose underlying has no mark, and one that has expired: its value is settled, not modelled.
    """
    coins = snapshot.coins
    columns, years, marks, vols, bases = [], [], [], [], []
    for item in instruments:
        years.append(_years(item, snapshot))
        if item.kind == "cash":
            columns.append(-1)
            marks.append(float(snapshot.usdc_peg))
            vols.append(1.0)
            bases.append(0.0)
            continue
        mark, basis = float(snapshot.mark(item.underlying)), float(snapshot.underlyings[item.underlying].basis_annual)
        columns.append(coins.index(item.underlying))
        marks.append(mark)
        bases.append(basis)
        vols.append(_vol(item, snapshot, mark * exp(basis * years[-1])))
    time, level, vol, carry = (np.array(values, dtype=np.float64) for values in (years, marks, vols, bases))
    forward = level * np.exp(carry * time)
    discount = np.exp([-snapshot.rate(value * DAYS_A_YEAR) * value for value in years])
    inverse = np.array([item.inverse for item in instruments], dtype=bool)
    notional = np.where(inverse, 1.0, forward)
    return InstrumentTable(
        instruments=tuple(instruments),
        coins=coins,
        column=np.array(columns, dtype=np.int64),
        years=time,
        mark=level,
        vol=vol,
        basis_annual=carry,
        forward=forward,
        discount=np.asarray(discount, dtype=np.float64),
        notional_usd=notional,
        delta_usd=notional * _delta_share(instruments, forward, vol, time, discount),
    )


def profit_matrix(table: InstrumentTable, shocks: ShockSet) -> Floats:
    """D (I, S) float64, USD gained per unit held at the end of the shock's hours. Columns of `shocks` must be the
    table's coins; raises ValueError otherwise."""
    if shocks.coins != table.coins:
        raise ValueError(f"shocks are for {shocks.coins}, the market has {table.coins}")
    out = np.empty((len(table.instruments), shocks.size))
    options: dict[Expiry, list[int]] = {}
    for row, item in enumerate(table.instruments):
        if item.kind == "cash":
            # A level of the peg takes nothing more from what is already below it; a token above its dollar is one.
            left = np.minimum(shocks.peg, table.mark[row]) * (1.0 + np.minimum(shocks.peg_move, 0.0))
            out[row] = left - table.mark[row]
        elif item.kind == "option":
            options.setdefault((int(table.column[row]), float(table.years[row])), []).append(row)
        else:
            out[row] = _linear_row(table, row, shocks)
    _option_rows(out, table, options, shocks)
    return out


def _years(item: Instrument, snapshot: MarketSnapshot) -> float:
    if item.expiry is None:
        return 0.0
    seconds = (item.expiry - snapshot.as_of).total_seconds()
    if seconds <= 0:
        raise Refusal("instrument.expired", f"{item.id} expired at {item.expiry.isoformat()}", instrument=item.id)
    return seconds / SECONDS_A_YEAR


def _vol(item: Instrument, snapshot: MarketSnapshot, forward: float) -> float:
    """Implied volatility of an option; at the money for all else, which asks for none."""
    if item.strike is None or item.expiry is None:
        return float(snapshot.underlyings[item.underlying].atm_vol)
    return snapshot.vol(item.underlying, float(item.strike), forward, item.expiry)


def _delta_share(
    instruments: Sequence[Instrument], forward: Floats, vol: Floats, years: Floats, discount: Floats
) -> Floats:
    """Dollar delta over notional: 1 for linear contracts, discounted N(d1) or N(d1) - 1 for options, 0 for cash."""
    share = np.ones(len(instruments))
    for row, item in enumerate(instruments):
        if item.kind == "cash":
            share[row] = 0.0
        elif item.strike is not None:
            deviation = vol[row] * np.sqrt(years[row])
            d1 = np.log(forward[row] / float(item.strike)) / deviation + 0.5 * deviation
            share[row] = discount[row] * (ndtr(d1) - (0.0 if item.is_call else 1.0))
    return share


def _linear_row(table: InstrumentTable, row: int, shocks: ShockSet) -> Floats:
    """Spot, perpetual or future; an inverse contract gains (1/P0 - 1/P1) coins, worth P1/P0 - 1 USD a USD of face.

    A coin at zero leaves an inverse contract's coins worthless: the loss is the whole face, as the formula gives."""
    item = table.instruments[row]
    column = table.column[row]
    ratio = shocks.price_ratio[:, column]
    if item.kind == "perp":
        ratio = ratio * (1.0 + shocks.premium[:, column])
    elif item.kind == "future":
        years = float(_left(table, row, shocks))
        gone = float(table.basis_annual[row]) * (float(table.years[row]) - years)  # the basis that time has closed
        ratio = ratio * np.exp((shocks.basis_annual + shocks.rate_move(years)) * years - gone)
    gain: Floats = ratio - 1.0
    return gain if item.inverse else table.forward[row] * gain


def _left(table: InstrumentTable, rows: Integers | int, shocks: ShockSet) -> Floats:
    """Years to expiry at the end of the shocks, of one row or of several."""
    left: Floats = np.maximum(table.years[rows] - shocks.hours / HOURS_A_YEAR, 0.0)
    return left


def _option_terms(table: InstrumentTable, rows: Integers, shocks: ShockSet) -> tuple[Floats, NDArray[np.bool_]]:
    """(n, 7) what the kernel asks of each option and is the same in all shocks; (n,) whether it is a call."""
    items = [table.instruments[row] for row in rows]
    strikes = np.array([float(item.strike or 0) for item in items])
    years, vol, discount = table.years[rows], table.vol[rows], table.discount[rows]
    left = _left(table, rows, shocks)
    present, root = vol * np.sqrt(years), np.sqrt(left)
    away = np.clip(np.log(strikes / table.forward[rows]) / present, -FARTHEST_STRIKE, FARTHEST_STRIKE)
    least = np.minimum(LEAST_VOL, vol) * root
    terms = np.column_stack([vol * root, strikes, discount ** (left / years), away, least, present, discount])
    return terms, np.array([item.is_call for item in items], dtype=np.bool_)


def _option_rows(out: Floats, table: InstrumentTable, groups: Mapping[Expiry, list[int]], shocks: ShockSet) -> None:
    """Options by the coin's column and the expiry in years: what a group shares is computed once."""
    rows = np.array([row for group in groups.values() for row in group], dtype=np.int64)
    columns = list(dict.fromkeys(column for column, _ in groups))
    expiries = np.empty((len(groups), 7))
    for group, ((column, _), members) in enumerate(groups.items()):
        first = members[0]
        left = float(_left(table, first, shocks))
        nearer = log(USUAL_YEARS / min(max(left, LEAST_YEARS), MOST_YEARS))
        moved = (table.mark[first], table.basis_annual[first], left, nearer, slope_share(left))
        expiries[group] = (table.forward[first], columns.index(column), *moved)
    coins = np.empty((len(columns), 5, shocks.size))
    for place, column in enumerate(columns):
        coins[place] = _coin_shocks(shocks, column)
    terms, is_call = _option_terms(table, rows, shocks)
    ends = np.cumsum([len(members) for members in groups.values()], dtype=np.int64)
    rates = np.stack([shocks.basis_annual, shocks.rate_level, shocks.rate_slope])
    option_gains(out, rows, terms, is_call, ends, expiries, coins, rates)


def _coin_shocks(shocks: ShockSet, column: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """What all options on one coin share, (S,) each, slopes within their bounds: price ratio, its logarithm, ratio of
    volatility in 30 days, term, skew. For another expiry, ln ratio = that in 30 days + term x ln(30 days / expiry):
    parallel in logarithms where there is no slope."""
    price_ratio = shocks.price_ratio[:, column]
    with np.errstate(divide="ignore"):  # a coin at zero: minus infinity is what the kernel expects
        log_price_ratio = np.log(price_ratio)
    return (
        price_ratio,
        log_price_ratio,
        shocks.vol_ratio[:, column],
        np.clip(shocks.vol_term[:, column], -STEEPEST_TERM, STEEPEST_TERM),
        np.clip(shocks.vol_skew[:, column], -STEEPEST_SKEW, STEEPEST_SKEW),
    )


def option_price(
    forward: Floats | float, strike: Floats | float, deviation: Floats | float, discount: Floats | float, is_call: bool
) -> Floats:
    """Black-76 in numpy, the reference of the compiled kernel: same arguments, of any shape.

    Positive deviations and forwards only.
    """
    sign = 1.0 if is_call else -1.0
    d1 = np.log(forward / np.asarray(strike)) / deviation + 0.5 * deviation
    value: Floats = discount * sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - deviation)))
    return np.asarray(value)
