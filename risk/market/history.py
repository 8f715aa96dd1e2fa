"""Recorded daily returns, as scenarios and calibration need them. Reads Parquet with pyarrow; knows no model.

A day is cut twice, at 00:00 and at 12:00 UTC, because half-day phases double the sample of the stressed windows with
little overlap. Only bars that closed before the asked date are read: a scenario can never see its own future.
Needs numpy, so only risk workers import it.
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

HOURLY_FILE = "px_1h_6coins_201805_202604.parquet"
FIVE_MINUTE_FILE = "px_5m_perp_10coins_202507_202512.parquet"
HOUR_NS = 3_600_000_000_000
FIRST_DAY = date(2018, 5, 16)  # the first whole day of the hourly file

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DailyHistory:
    """24-hour log returns. `days[t]` is the date the return ends in; `returns[p][t, c]` the return of coin `coins[c]`
    over the 24 hours ending at 00:00 (p = 0) or 12:00 (p = 1) UTC of that date, NaN where nothing is recorded.
    `log_close[h, c]` is the log price h hours after the first day's 00:00, the last row that of `days[-1]`'s 00:00.
    `turnover_usd[t, c]` is the five-minute file's perpetual turnover of the day that ends at 00:00. `digest`:
    SHA-256 of the recorded closes, 64 hex digits, whatever files they came in."""

    coins: tuple[str, ...]
    days: tuple[date, ...]
    log_close: Floats
    returns: tuple[Floats, Floats]
    turnover_usd: Floats
    digest: str


def load_history(history_dir: Path | None, as_of: date) -> DailyHistory | None:
    """Daily history before `as_of` (exclusive: the last bar closes at its 00:00), or None when nothing is recorded."""
    if history_dir is None or not (history_dir / HOURLY_FILE).exists() or not (history_dir / FIVE_MINUTE_FILE).exists():
        return None
    count = (as_of - FIRST_DAY).days + 1
    if count < 2:
        return None
    days = tuple(FIRST_DAY + timedelta(days=offset) for offset in range(count))
    end = datetime.combine(as_of, time(0), UTC)
    hourly = _closes(history_dir / HOURLY_FILE, count, end, bar=timedelta(hours=1))
    fine = _closes(history_dir / FIVE_MINUTE_FILE, count, end, bar=timedelta(minutes=5))
    close = np.where(np.isnan(fine), hourly, fine)
    log_close = np.log(close)
    noon = np.vstack([log_close[12::24], np.full((1, len(COINS)), np.nan)])  # of the last day: the future
    returns = (_differences(log_close[::24]), _differences(noon))
    turnover = _turnover(history_dir / FIVE_MINUTE_FILE, count, end)
    return DailyHistory(
        coins=COINS,
        days=days,
        log_close=log_close,
        returns=returns,
        turnover_usd=turnover,
        digest=prices_digest(close),
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


def _closes(path: Path, count: int, end: datetime, bar: timedelta) -> Floats:
    """(24 (count - 1) + 1, coins): the last price at each hour from the first date's 00:00 on, NaN where absent."""
    table = _read(path, ["close"], end, bar)
    hours, coin = _cells(table)
    price = table["close"].to_numpy()
    result = np.full(((count - 1) * 24 + 1, len(COINS)), np.nan)
    keep = (hours % 1 == 0) & (hours >= 0) & (hours < result.shape[0])
    result[hours[keep].astype(np.int64), coin[keep]] = price[keep]
    return result


def _turnover(path: Path, count: int, end: datetime) -> Floats:
    """(count, coins): USD traded over the 24 hours that end at 00:00 of each date; NaN for incomplete days."""
    table = _read(path, ["close", "volume"], end, timedelta(minutes=5))
    hours, coin = _cells(table)
    day = np.ceil(hours / 24).astype(np.int64)
    usd = table["close"].to_numpy() * table["volume"].to_numpy()
    keep = (day >= 0) & (day < count)
    total = np.zeros((count, len(COINS)))
    bars = np.zeros((count, len(COINS)))
    np.add.at(total, (day[keep], coin[keep]), usd[keep])
    np.add.at(bars, (day[keep], coin[keep]), 1)
    return np.where(bars == 288, total, np.nan)
