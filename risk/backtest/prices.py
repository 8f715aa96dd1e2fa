"""Hourly prices of any Parquet file of the recorded schema, checked before a single figure is computed from them.

Columns ts_utc (open of the bar, UTC), symbol, open, high, low, close, volume. Each symbol is one unbroken run of whole
hours. What is wrong is refused by name, with the symbol, the hour and the count, because a silent repair (a filled gap,
a dropped row) would be a statement about the market that nobody made.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from intermediary.errors import BadInput
from risk.market.recording import HOURLY_MOVE_MAX

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PRICES = ("open", "high", "low", "close")
COLUMNS = ("ts_utc", "symbol", *PRICES, "volume")
HOUR_NS = 3_600_000_000_000
HOURS_A_WINDOW = 24
STALE_CLOSES = 24  # a day without one trade at another price: in eight years of recording the most are four hours
SYMBOLS_MAX = 40  # pairs grow with the square: 40 symbols make 1,600 series, minutes of work


@dataclass(frozen=True)
class HourlyPrices:
    """`log_close` (H, C): row h is the log price at `first_close` + h hours, NaN before and after a symbol's run.
    `first_close` is a UTC midnight, in hours since 1970, so that every 24th row ends a day."""

    symbols: tuple[str, ...]
    first_close: int
    log_close: Floats

    def time_of(self, row: int) -> datetime:
        """UTC time of a row."""
        return _hour(self.first_close + row)


def read_prices(path: Path) -> HourlyPrices:
    """The prices of `path`. Raises BadInput `backtest.*` with numbers on anything that is not the schema above."""
    table = _read(path)
    for name in COLUMNS:
        if name not in table.column_names:
            raise BadInput("backtest.missing_column", f"the file has no column {name}", column=name)
    if table.num_rows == 0:
        raise BadInput("backtest.empty", "the file has no rows", rows=0)
    hours = _open_hours(table["ts_utc"])
    symbols = _symbols(table["symbol"])
    prices = {name: _numbers(table[name], name, symbols, hours) for name in (*PRICES, "volume")}
    _check_bars(prices, symbols, hours)
    names = sorted(set(symbols.tolist()))
    if len(names) > SYMBOLS_MAX:
        raise BadInput("backtest.too_many_symbols", f"{len(names)} symbols", symbols=len(names), limit=SYMBOLS_MAX)
    runs = {name: np.flatnonzero(symbols == name) for name in names}
    for name, rows in runs.items():
        _check_run(name, hours[rows], prices["close"][rows])
    first = (int(hours.min()) + 1) // HOURS_A_WINDOW * HOURS_A_WINDOW
    log_close = np.full((int(hours.max()) + 2 - first, len(names)), np.nan)
    for column, rows in enumerate(runs.values()):
        log_close[hours[rows] + 1 - first, column] = np.log(prices["close"][rows])
    return HourlyPrices(symbols=tuple(names), first_close=first, log_close=log_close)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError as error:
        raise BadInput("backtest.no_file", f"there is no file {path}", path=str(path)) from error
    except (pa.ArrowException, OSError) as error:
        raise BadInput("backtest.not_parquet", f"{path} cannot be read as Parquet", path=str(path)) from error


def _open_hours(column: pa.ChunkedArray) -> Integers:
    if not pa.types.is_timestamp(column.type) or column.null_count:
        raise BadInput(
            "backtest.bad_time",
            "ts_utc must be timestamps without nulls",
            type=str(column.type),
            nulls=column.null_count,
        )
    stamps = column.cast(pa.timestamp("ns", tz=column.type.tz)).cast(pa.int64()).to_numpy()
    odd = np.flatnonzero(stamps % HOUR_NS)
    if odd.size:
        at = datetime.fromtimestamp(int(stamps[odd[0]]) / 1e9, UTC).isoformat()
        message = f"{odd.size} bars do not open on an hour, first {at}"
        raise BadInput("backtest.not_hourly", message, rows=int(odd.size), first=at)
    hours: Integers = stamps // HOUR_NS
    return hours


def _symbols(column: pa.ChunkedArray) -> NDArray[np.object_]:
    if column.null_count or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise BadInput(
            "backtest.bad_symbol", "symbol must be text without nulls", type=str(column.type), nulls=column.null_count
        )
    names: NDArray[np.object_] = column.to_numpy()
    return names


def _numbers(column: pa.ChunkedArray, name: str, symbols: NDArray[np.object_], hours: Integers) -> Floats:
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise BadInput("backtest.not_numeric", f"{name} holds {column.type}", column=name, type=str(column.type))
    values: Floats = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    _refuse_rows(~np.isfinite(values), "not_finite", f"{name} is missing or not finite", symbols, hours)
    wrong = values < 0.0 if name == "volume" else values <= 0.0
    _refuse_rows(wrong, "not_positive", f"{name} is not positive", symbols, hours)
    return values


def _check_bars(prices: dict[str, Floats], symbols: NDArray[np.object_], hours: Integers) -> None:
    high, low = prices["high"], prices["low"]
    _refuse_rows(high < low, "crossed", "the high is below the low", symbols, hours)
    for name in ("open", "close"):
        outside = (prices[name] < low) | (prices[name] > high)
        _refuse_rows(outside, "outside_bar", f"the {name} is not between low and high", symbols, hours)


def _refuse_rows(wrong: NDArray[np.bool_], code: str, what: str, symbols: NDArray[np.object_], hours: Integers) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        symbol, at = str(symbols[rows[0]]), _hour(int(hours[rows[0]])).isoformat()
        message = f"{what} in {rows.size} rows, first {symbol} at {at}"
        raise BadInput(f"backtest.{code}", message, rows=int(rows.size), symbol=symbol, first=at)


def _check_run(symbol: str, hours: Integers, close: Floats) -> None:
    """One symbol's rows: ascending, once each, none missing, no move that only an error makes, no standstill."""
    steps = np.diff(hours)
    moves = np.abs(np.diff(np.log(close)))
    found: tuple[tuple[str, str, NDArray[np.intp]], ...] = (
        ("unsorted", "goes back in time", np.flatnonzero(steps < 0)),
        ("duplicate", "has the same hour twice", np.flatnonzero(steps == 0)),
        ("gap", "has missing hours", np.flatnonzero(steps > 1)),
        ("implausible_move", "moves tenfold in an hour", np.flatnonzero(moves > np.log(HOURLY_MOVE_MAX))),
    )
    for code, what, rows in found:
        if rows.size:
            at = _hour(int(hours[rows[0] + 1])).isoformat()
            hours_missing = int(np.sum(steps[rows] - 1)) if code == "gap" else 0
            message = f"{symbol} {what}, {rows.size} times, first before {at}"
            numbers = {"times": int(rows.size), "first": at} | ({"hours": hours_missing} if code == "gap" else {})
            raise BadInput(f"backtest.{code}", message, symbol=symbol, **numbers)
    _refuse_stale(symbol, hours, close)


def _refuse_stale(symbol: str, hours: Integers, close: Floats) -> None:
    """A price that nobody renewed is calm that no market had: volatility would be too low and every verdict hold."""
    ends = np.append(np.flatnonzero(np.diff(close)), close.size - 1)
    lengths = np.diff(ends, prepend=-1)
    frozen = np.flatnonzero(lengths >= STALE_CLOSES)
    if frozen.size:
        at = _hour(int(hours[ends[frozen[0]] - lengths[frozen[0]] + 1])).isoformat()
        longest = int(lengths.max())
        message = f"{symbol} has the same close for {longest} hours, {frozen.size} times a day or more, first from {at}"
        raise BadInput("backtest.stale", message, symbol=symbol, times=int(frozen.size), hours=longest, first=at)


def _hour(hours: int) -> datetime:
    return datetime.fromtimestamp(hours * 3600, UTC)
