"""Recorded daily returns, as scenarios and calibration need them. Reads Parquet with pyarrow; knows no model.

A day is cut twice, at 00:00 and at 12:00 UTC, because half-day phases double the sample of the stressed windows with
little overlap. Only bars that closed before the asked date are read: a scenario can never see its own future. Bars that
cannot be true are left out and named (`LeftOut`). Needs numpy, so only risk workers import it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from risk.market.parameters import COINS
from risk.market.rate_moves import RateMoves, load_rate_moves
from risk.market.recording import HOURLY_MOVE_MAX, LeftOut, YieldsLeftOut

HOURLY_FILE = "px_1h_6coins_201805_202604.parquet"
FIVE_MINUTE_FILE = "px_5m_perp_10coins_202507_202512.parquet"
HOUR_NS = 3_600_000_000_000
FIRST_DAY = date(2018, 5, 16)  # the first whole day of the hourly file
HOURS_A_DAY = 24
BARS_AN_HOUR = 12  # of five minutes
# Who has no believed bar for this long is believed at its new level: a coin that was counted anew. No 24-hour return
# spans the gap, so the step is in none of them.
BELIEVED_AGAIN_HOURS = 25

Floats = NDArray[np.float64]
Marked = NDArray[np.bool_]


@dataclass(frozen=True)
class DailyHistory:
    """24-hour log returns. `days[t]` is the date the return ends in; `returns[p][t, c]` the return of coin `coins[c]`
    over the 24 hours ending at 00:00 (p = 0) or 12:00 (p = 1) UTC of that date, NaN where nothing is recorded.
    `log_close[h, c]` is the log price h hours after the first day's 00:00, the last row that of `days[-1]`'s 00:00.
    `turnover_usd[t, c]` is the five-minute file's perpetual turnover of the day that ends at 00:00. `digest`:
    SHA-256 of the recorded closes, 64 hex digits, whatever files they came in. `left_out` names the bars and the days
    of yields that cannot be true: they are in nothing here. `rates` are the dollar curve's moves, where recorded."""

    coins: tuple[str, ...]
    days: tuple[date, ...]
    log_close: Floats
    returns: tuple[Floats, Floats]
    turnover_usd: Floats
    digest: str
    left_out: tuple[LeftOut | YieldsLeftOut, ...]
    rates: RateMoves | None = None

    @property
    def recorded_to(self) -> date | None:
        """The last date at whose 00:00 a whole recorded day ends, of the coin for which that is earliest: what any
        forecast is renewed to. None where a coin has no whole day."""
        recorded = np.isfinite(self.log_close)
        hours = np.lib.stride_tricks.sliding_window_view(recorded, HOURS_A_DAY + 1, axis=0)[::HOURS_A_DAY]
        whole: Marked = np.all(hours, axis=2)
        if not whole.size or not whole.any(axis=0).all():
            return None
        last = whole.shape[0] - whole[::-1].argmax(axis=0)
        return self.days[int(last.min())]


def missing_files(history_dir: Path | None) -> tuple[str, ...]:
    """Which of the two files are not there: without either there is no history at all."""
    return tuple(
        name for name in (HOURLY_FILE, FIVE_MINUTE_FILE) if history_dir is None or not (history_dir / name).exists()
    )


def load_history(history_dir: Path | None, as_of: date) -> DailyHistory | None:
    """Daily history before `as_of` (exclusive: the last bar closes at its 00:00), or None when nothing is recorded."""
    if history_dir is None or missing_files(history_dir):
        return None
    count = (as_of - FIRST_DAY).days + 1
    if count < 2:
        return None
    days = tuple(FIRST_DAY + timedelta(days=offset) for offset in range(count))
    end = datetime.combine(as_of, time(0), UTC)
    hourly, untrue_hourly = _closes(history_dir / HOURLY_FILE, count, end, bar=timedelta(hours=1))
    fine, untrue_fine = _closes(history_dir / FIVE_MINUTE_FILE, count, end, bar=timedelta(minutes=5))
    close, moved = believed(np.where(np.isnan(fine), hourly, fine))
    log_close = np.log(close)
    noon = np.vstack([log_close[12::24], np.full((1, len(COINS)), np.nan)])  # of the last day: the future
    returns = (_differences(log_close[::24]), _differences(noon))
    turnover = _turnover(history_dir / FIVE_MINUTE_FILE, end, log_close)
    rates = load_rate_moves(history_dir, as_of)
    return DailyHistory(
        coins=COINS,
        days=days,
        log_close=log_close,
        returns=returns,
        turnover_usd=turnover,
        digest=prices_digest(close),
        left_out=(
            *_named(untrue_hourly, "of an hour without a price above zero"),
            *_named(untrue_fine, "of five minutes without a price above zero"),
            *_named(moved, f"more than {HOURLY_MOVE_MAX:g} times off the one before"),
            *(rates.left_out if rates is not None else ()),
        ),
        rates=rates,
    )


def prices_digest(close: Floats) -> str:
    """SHA-256 of prices (hours, coins) before their logarithms, which differ between machines in the last bit; a gap is
    a price of zero."""
    content = sha256(f"{FIRST_DAY} {','.join(COINS)}".encode())
    content.update(np.where(np.isnan(close), 0.0, close).astype("<f8").tobytes())
    return content.hexdigest()


def _differences(logs: Floats) -> Floats:
    result = np.full_like(logs, np.nan)
    result[1:] = logs[1:] - logs[:-1]
    return result


def _read(path: Path, columns: list[str], end: datetime, bar: timedelta) -> pa.Table:
    """Rows of the ten coins whose bar closes by `end`; `ts_utc` becomes nanoseconds of the close."""
    table = pq.read_table(path, columns=["ts_utc", "symbol", *columns])
    table = table.filter(pc.is_in(table["symbol"], pa.array(COINS, table.schema.field("symbol").type)))
    stamps = table["ts_utc"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())
    closes = pc.add(stamps, int(bar.total_seconds()) * 1_000_000_000)
    table = table.set_column(0, "close_ns", closes)
    return table.filter(pc.less_equal(closes, int(end.timestamp()) * 1_000_000_000))


def _cells(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    hours_since_first = (
        table["close_ns"].to_numpy() - int(datetime.combine(FIRST_DAY, time(0), UTC).timestamp()) * 1_000_000_000
    ) / HOUR_NS
    index = pc.index_in(table["symbol"], pa.array(COINS, table.schema.field("symbol").type)).to_numpy()
    return hours_since_first, index.astype(np.int64)


def _closes(path: Path, count: int, end: datetime, bar: timedelta) -> tuple[Floats, Marked]:
    """(24 (count - 1) + 1, coins): the last price at each hour from the first date's 00:00 on, NaN where absent; and
    where a bar is there, but holds no number above zero."""
    table = _read(path, ["close"], end, bar)
    hours, coin = _cells(table)
    price = table["close"].cast(pa.float64()).to_numpy()
    result = np.full(((count - 1) * HOURS_A_DAY + 1, len(COINS)), np.nan)
    keep = (hours % 1 == 0) & (hours >= 0) & (hours < result.shape[0])
    result[hours[keep].astype(np.int64), coin[keep]] = price[keep]
    untrue = np.zeros(result.shape, dtype=np.bool_)
    untrue[hours[keep].astype(np.int64), coin[keep]] = ~_is_price(price[keep])
    result[untrue] = np.nan
    return result, untrue


def _is_price(values: Floats) -> Marked:
    return np.isfinite(values) & (values > 0.0)


def believed(close: Floats) -> tuple[Floats, Marked]:
    """`close` (hours, coins) without the bars that are more than tenfold off the last believed one of their coin, and
    which those are. The first is held against the median of its first day; so is the first after a gap of 25 hours."""
    logs, moved = np.log(close), np.zeros(close.shape, dtype=np.bool_)
    limit = float(np.log(HOURLY_MOVE_MAX))
    for coin in range(close.shape[1]):
        rows = np.flatnonzero(np.isfinite(logs[:, coin]))
        values = logs[rows, coin]
        if not rows.size or (np.ptp(values[:HOURS_A_DAY]) <= limit and (np.abs(np.diff(values)) <= limit).all()):
            continue
        last, seen = float(np.median(values[:HOURS_A_DAY])), int(rows[0])
        for place, (row, value) in enumerate(zip(rows.tolist(), values.tolist(), strict=True)):
            if row - seen >= BELIEVED_AGAIN_HOURS:
                last = float(np.median(values[place : place + HOURS_A_DAY]))
            if abs(value - last) > limit:
                moved[row, coin] = True
            else:
                last, seen = value, row
    return np.where(moved, np.nan, close), moved


def _named(found: Marked, why: str) -> list[LeftOut]:
    """The marked bars (hours, coins), coin by coin."""
    start = datetime.combine(FIRST_DAY, time(0), UTC)
    return [
        LeftOut(coin, why, int(found[:, column].sum()), start + timedelta(hours=int(found[:, column].argmax())))
        for column, coin in enumerate(COINS)
        if found[:, column].any()
    ]


def _turnover(path: Path, end: datetime, log_close: Floats) -> Floats:
    """(days, coins): USD traded over the 24 hours that end at 00:00 of each date; NaN for incomplete days."""
    hours, coin, usd = _traded(path, end, log_close)
    count = (log_close.shape[0] - 1) // HOURS_A_DAY + 1
    return _summed(np.ceil(hours / HOURS_A_DAY).astype(np.int64), coin, usd, count, HOURS_A_DAY * BARS_AN_HOUR)


def hourly_turnover(history_dir: Path, history: DailyHistory) -> Floats:
    """(hours, coins): USD traded in the hour that ends at each row of `log_close`; NaN for incomplete hours."""
    end = datetime.combine(history.days[-1], time(0), UTC)
    hours, coin, usd = _traded(history_dir / FIVE_MINUTE_FILE, end, history.log_close)
    return _summed(np.ceil(hours).astype(np.int64), coin, usd, history.log_close.shape[0], BARS_AN_HOUR)


def _summed(row: NDArray[np.int64], coin: NDArray[np.int64], usd: Floats, count: int, bars_of_a_whole: int) -> Floats:
    keep = np.isfinite(usd) & (row >= 0) & (row < count)
    total = np.zeros((count, len(COINS)))
    bars = np.zeros((count, len(COINS)))
    np.add.at(total, (row[keep], coin[keep]), usd[keep])
    np.add.at(bars, (row[keep], coin[keep]), 1)
    return np.where(bars == bars_of_a_whole, total, np.nan)


def _traded(path: Path, end: datetime, log_close: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Of every five-minute bar: hours from the first date to its close, coin, USD traded. NaN for a bar without a
    price, or tenfold off its hour's believed close, or with a volume that is none: its hour and day are incomplete."""
    table = _read(path, ["close", "volume"], end, timedelta(minutes=5))
    hours, coin = _cells(table)
    price, volume = (table[name].cast(pa.float64()).to_numpy() for name in ("close", "volume"))
    keep = _is_price(price) & np.isfinite(volume) & (volume >= 0.0)
    hour = np.clip(np.ceil(hours), 0, log_close.shape[0] - 1).astype(np.int64)
    off = np.abs(np.log(np.where(keep, price, 1.0)) - log_close[hour, coin])
    keep &= off <= np.log(HOURLY_MOVE_MAX)
    return np.asarray(hours, dtype=np.float64), coin, np.where(keep, price * volume, np.nan)
