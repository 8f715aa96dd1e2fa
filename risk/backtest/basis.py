"""Cash and carry: a coin against its own perpetual, on the months for which both are recorded.

The hourly file is spot for some coins and the perpetual itself for others; only those whose two prices differ say
anything. A window is 24 hours from 00:00 UTC, a loss the change of the premium between perpetual and spot; funding is
left out. Margin is base margin of the two legs under the engine's own scenarios (`build_scenarios`, premium and all),
made from the past and renewed every 60 days. Half a year holds fewer windows than a verdict on coverage needs (250):
zones are shown, one-sided, and beside them what a day's close hides, the worst hour.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from risk.backtest.coverage import traffic_light
from risk.backtest.prices import HourlyPrices
from risk.backtest.walk import QUANTILES, base_margin
from risk.margin.ruleset import Ruleset
from risk.margin.scenarios import build_scenarios
from risk.market.history import load_history
from risk.market.realised import WINDOW_HOURS

Floats = NDArray[np.float64]

RENEWED_DAYS = 60  # scenarios take a second, and of a premium they know the day only by the coin's volatility
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Premiums:
    """Perpetual over spot less one, hour by hour: `values` (H, C), row h at `first` + h hours, NaN where either is
    missing. Only coins whose two prices differ."""

    coins: tuple[str, ...]
    first: datetime
    values: Floats


class Margin(NamedTuple):
    """Per dollar of one leg: base margin of both sides, and the deviation of the premium in the scenarios."""

    carry_long: float
    carry_short: float
    deviation: float


Margins = dict[date, dict[str, Margin]]


def premiums(prices: HourlyPrices, perpetuals: Path) -> Premiums | None:
    """Of the five-minute file of perpetuals beside the hourly prices; None where no coin has two prices."""
    table = pq.read_table(perpetuals, columns=["ts_utc", "symbol", "close"])
    table = table.filter(pc.is_in(table["symbol"], pa.array(prices.symbols, table.schema.field("symbol").type)))
    closes = table["ts_utc"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() + HOUR_US // 12
    whole = closes % HOUR_US == 0
    row = closes // HOUR_US - prices.first_close
    whole &= (row >= 0) & (row < prices.log_close.shape[0])
    if not whole.any():
        return None
    column = pc.index_in(table["symbol"], pa.array(prices.symbols, table.schema.field("symbol").type)).to_numpy()
    traded = np.full(prices.log_close.shape, np.nan)
    traded[row[whole], column[whole]] = np.log(table["close"].to_numpy()[whole])
    first = int(row[whole].min())
    first += -first % WINDOW_HOURS  # rows are counted from a midnight
    premium = np.expm1(traded - prices.log_close)[first:]
    two = [index for index in range(len(prices.symbols)) if np.nanmax(np.abs(premium[:, index]), initial=0.0) > 0.0]
    if not two:
        return None
    return Premiums(tuple(prices.symbols[index] for index in two), prices.time_of(first), premium[:, two])


def basis_margins(days: Iterable[date], coins: tuple[str, ...], history_dir: Path, rules: Ruleset) -> Margins:
    """By day and coin, of the days whose scenarios are recorded ones."""
    found: Margins = {}
    for day in days:
        made = build_scenarios(rules, day, load_history(history_dir, day))
        if made.source != "history":
            continue
        of_day = found.setdefault(day, {})
        for coin in coins:
            column = made.shocks.coins.index(coin)
            premium = made.shocks.premium[:, column]
            losses = made.shocks.price_ratio[:, column] * premium
            base, _ = base_margin(np.stack([losses, -losses]), rules)
            of_day[coin] = Margin(float(base[0]), float(base[1]), float(premium.std()))
    return found


def renewals(found: Premiums) -> list[date]:
    """The days on which margins are renewed."""
    return [_day(found, start) for start in _starts(found)][::RENEWED_DAYS]


def basis_figures(found: Premiums, margins: Margins) -> list[dict[str, Any]]:
    """A row for each coin and side, losses and margins per dollar of one leg, of the windows that have a margin of
    at most 60 days before. `carry long` buys the coin and sells the perpetual: it loses when the premium rises."""
    rows = []
    for coin, values in zip(found.coins, found.values.T, strict=True):
        days, moves, held = [], [], []
        for start in _starts(found):
            day, hours = _day(found, start), values[start : start + WINDOW_HOURS + 1]
            known = [renewed for renewed in margins if renewed <= day]
            if known and (day - max(known)).days < RENEWED_DAYS and np.isfinite(hours).all():
                days.append(day)
                moves.append(hours[1:] - hours[0])
                held.append(margins[max(known)][coin])
        for side, sign in ((0, 1.0), (1, -1.0)):
            if days:
                of_side = np.array([margin[side] for margin in held])
                changes = sign * np.array(moves)
                row = _row(changes[:, -1], of_side, changes.max(axis=1))
                name = f"{coin} carry {'short' if side else 'long'}"
                ends = {"first": days[0].isoformat(), "last": days[-1].isoformat()}
                rows.append({"book": name} | ends | row | {"deviation_modelled": held[-1].deviation})
    return rows


def _starts(found: Premiums) -> range:
    return range(0, found.values.shape[0] - WINDOW_HOURS, WINDOW_HOURS)


def _day(found: Premiums, start: int) -> date:
    return (found.first + timedelta(hours=start)).astimezone(UTC).date()


def _row(losses: Floats, margin: Floats, worst_hour: Floats) -> dict[str, Any]:
    probability = 1.0 - QUANTILES[1]
    light = traffic_light(int((losses > margin).sum()), int(losses.size), probability)
    return {
        "windows": int(losses.size),
        "exceptions": light.exceptions,
        "expected": losses.size * probability,
        "yellow_from": light.yellow_from,
        "zone": light.zone,
        "mean_margin": float(margin.mean()),
        "deviation": float(losses.std()),
        "worst_loss_over_margin": float(np.max(losses / margin)),
        "worst_hour_over_margin": float(np.max(worst_hour / margin)),
    }
