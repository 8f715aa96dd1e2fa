"""Revaluation: instruments x shocks -> profit matrix D in USD per unit held. Every unique instrument is priced once.

Linear and inverse contracts are closed forms of numpy; options run through the compiled Black-76. Collateral assets
are rows like any other. Sign: D > 0 is a gain of the holder of one unit, so the loss of positions Q is -Q D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from intermediary.errors import Refusal
from risk.margin.instruments import Instrument
from risk.margin.kernels import option_gains
from risk.margin.shocks import ShockSet
from risk.market.snapshot import MarketSnapshot

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SECONDS_A_YEAR = 365.0 * 86_400.0  # ACT/365 fixed, the convention of crypto options
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
    """D (I, S) float64, USD gained per unit held when the shock strikes. Columns of `shocks` must be the table's coins;
    raises ValueError otherwise."""
    if shocks.coins != table.coins:
        raise ValueError(f"shocks are for {shocks.coins}, the market has {table.coins}")
    out = np.empty((len(table.instruments), shocks.size))
    options: dict[tuple[int, float], list[int]] = {}
    for row, item in enumerate(table.instruments):
        if item.kind == "cash":
            # The shock is a level of the peg; what is already below it loses no more.
            out[row] = np.minimum(shocks.peg, table.mark[row]) - table.mark[row]
        elif item.kind == "option":
            options.setdefault((int(table.column[row]), float(table.years[row])), []).append(row)
        else:
            out[row] = _linear_row(table, row, shocks)
    for rows in options.values():
        _option_rows(out, table, rows, shocks)
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
        ratio = ratio * np.exp(shocks.basis_annual * table.years[row])
    gain: Floats = ratio - 1.0
    return gain if item.inverse else table.forward[row] * gain


def _option_rows(out: Floats, table: InstrumentTable, rows: list[int], shocks: ShockSet) -> None:
    """Options on one coin for one expiry: what they share is computed once."""
    first = rows[0]
    column, years = table.column[first], table.years[first]
    carry = np.exp((table.basis_annual[first] + shocks.basis_annual) * years)
    forward = table.mark[first] * shocks.price_ratio[:, column] * carry
    with np.errstate(divide="ignore"):  # a coin at zero: minus infinity is what the kernel expects
        log_forward = np.log(forward)
    items = [table.instruments[row] for row in rows]
    strikes = [float(item.strike or 0) for item in items]
    option_gains(
        out,
        np.array(rows, dtype=np.int64),
        table.forward[first],
        np.column_stack([table.vol[rows] * np.sqrt(years), strikes, table.discount[rows]]),
        np.array([item.is_call for item in items]),
        forward,
        log_forward,
        np.ascontiguousarray(shocks.vol_ratio[:, column]),
    )


def option_price(
    forward: Floats | float, strike: float, deviation: Floats | float, discount: float, is_call: bool
) -> Floats:
    """Black-76 in numpy, the reference of the compiled kernel: same arguments, any shape of `forward` and `deviation`.

    Positive deviations and forwards only.
    """
    sign = 1.0 if is_call else -1.0
    d1 = np.log(forward / np.float64(strike)) / deviation + 0.5 * deviation
    value: Floats = discount * sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - deviation)))
    return np.asarray(value)
