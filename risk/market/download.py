"""Download of recorded history from public endpoints of exchanges, into the Parquet files that everything here reads.

A file is fetched in pieces of one coin and one calendar month. A finished piece lies in `parts/<file>/` and is never
asked for again, so a run that was stopped or failed goes on where it was. The file itself appears, or is replaced, in
one step when all its pieces are there. Candles that cannot be true are left out and counted; minutes in which nothing
was traded stay absent, as exchanges leave them. Needs pyarrow and ccxt, so only the command imports it.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import ccxt
import pyarrow as pa
import pyarrow.parquet as pq

from intermediary.errors import BadInput, Refusal
from risk.market.exchanges import TROUBLE, client_of, reason_of
from risk.market.feeds.replay import RECORDING_FILE
from risk.market.history import HOURLY_FILE
from risk.market.parameters import COINS

SCHEMA = pa.schema(
    [
        ("ts_utc", pa.timestamp("us", tz="UTC")),  # open time of the bar
        ("symbol", pa.string()),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "volume")),
        ("source", pa.string()),
    ]
)
PAGE = 1_000  # candles a request: the most that Binance gives
TIMEOUT_S = 20.0  # a page is about 100 kB; slow lines are no reason to stop
ATTEMPTS = 5  # with the waits below, half a minute: longer outages are for the next run
FIRST_WAIT_S = 1.0  # doubled after each failure

Candle = tuple[int, float, float, float, float, float]  # opened (ms), open, high, low, close, volume


@dataclass(frozen=True)
class Series:
    """One coin of a file: where it is traded under which symbol, from and to when (UTC, end excluded)."""

    coin: str
    exchange: str
    symbol: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Target:
    """One file: its name, ccxt's name of the bar and its length, and the series in it."""

    name: str
    timeframe: str
    bar: timedelta
    series: tuple[Series, ...]
    source: str

    def narrowed(self, coins: Sequence[str] | None, since: datetime | None, until: datetime | None) -> "Target":
        """The same file with fewer coins or of another time."""
        kept = tuple(
            replace(one, since=since or one.since, until=until or one.until)
            for one in self.series
            if coins is None or one.coin in coins
        )
        return replace(self, series=kept)


@dataclass(frozen=True)
class Fetched:
    """What a run did for one file. `missing` bars of the time asked for had no candle; `left_out` could not be true."""

    path: Path
    rows: int
    requested_parts: int
    parts: int
    missing: int
    left_out: int


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_STARTS = {"BTC": "2018-05-15", "ETH": "2018-05-15", "XRP": "2018-05-15"} | {
    "BNB": "2020-03-01", "SOL": "2020-10-01", "ADA": "2020-10-01",
}  # fmt: skip
TARGETS = {
    "five-minute": Target(
        RECORDING_FILE,
        "5m",
        timedelta(minutes=5),
        tuple(
            Series(coin, "binanceusdm", f"{coin}/USDT:USDT", _day("2025-07-04"), _day("2026-01-01")) for coin in COINS
        ),
        "binance_perp",
    ),
    "hourly": Target(
        HOURLY_FILE,
        "1h",
        timedelta(hours=1),
        tuple(
            Series(coin, "binance", f"{coin}/USDT", _day(start), _day("2026-04-01")) for coin, start in _STARTS.items()
        ),
        "binance_spot",
    ),
}


class Download:
    """A run of downloads into one directory. `wait` sleeps, `progress(file, coin, done, of)` is told of every piece;
    only a mirror may be asked without `keep_rate_limits`."""

    def __init__(
        self,
        directory: Path,
        now: datetime,
        *,
        mirror: str = "",
        keep_rate_limits: bool = True,
        wait: Callable[[float], None] = time.sleep,
        progress: Callable[[str, str, int, int], None] = lambda *_: None,
    ) -> None:
        self.directory = directory
        self.now = now
        self.mirror = mirror
        self.keep_rate_limits = keep_rate_limits
        self.wait = wait
        self.progress = progress
        self._clients: dict[str, Any] = {}

    def fetch(self, target: Target, *, replace_foreign: bool = False) -> Fetched:
        """Bring one file up to what `target` asks for. Refuses `market.nothing_to_fetch`, `market.foreign_history` (a
        file of this name that was not downloaded here), `market.download_failed`; pieces that are done stay done."""
        path, parts = self.directory / target.name, self.directory / "parts" / Path(target.name).stem
        pieces = [piece for one in target.series for piece in pieces_of(one, target.bar, self.now)]
        if not pieces:
            raise BadInput("market.nothing_to_fetch", f"no coin or no time of {target.name} is asked for")
        if not replace_foreign:
            refuse_foreign(path, parts)
        parts.mkdir(parents=True, exist_ok=True)
        files = [parts / _name(piece) for piece in pieces]
        fresh, left_out = 0, 0
        for done, (piece, file) in enumerate(zip(pieces, files, strict=True), start=1):
            if not file.exists():
                candles, bad = self._candles(piece, target)
                _write(_table(candles, piece.coin, target.source), file)
                fresh, left_out = fresh + 1, left_out + bad
            self.progress(target.name, piece.coin, done, len(pieces))
        table = pa.concat_tables([pq.read_table(file) for file in files]).sort_by(
            [("ts_utc", "ascending"), ("symbol", "ascending")]
        )
        _write(table, path)
        bars = sum(int((piece.until - piece.since) / target.bar) for piece in pieces)
        return Fetched(path, table.num_rows, fresh, len(pieces), bars - table.num_rows, left_out)

    def _candles(self, piece: Series, target: Target) -> tuple[list[Candle], int]:
        """All candles of one piece, ascending, and how many could not be true."""
        bar_ms, end_ms = int(target.bar.total_seconds() * 1000), _ms(piece.until)
        found: dict[int, Candle] = {}
        refused: set[int] = set()
        cursor = _ms(piece.since)
        while cursor < end_ms:
            rows = self._page(piece, target.timeframe, cursor, min(end_ms, cursor + PAGE * bar_ms) - 1)
            rows = [row for row in rows if cursor <= row[0] < end_ms]
            found |= {row[0]: row for row in rows if _is_true(row, bar_ms)}
            refused |= {row[0] for row in rows if not _is_true(row, bar_ms)}
            # Nothing in this stretch (the coin was not listed yet, the exchange stood still): look in the next.
            cursor = max(row[0] for row in rows) // bar_ms * bar_ms + bar_ms if rows else cursor + PAGE * bar_ms
        return [found[stamp] for stamp in sorted(found)], len(refused)

    def _page(self, piece: Series, timeframe: str, since_ms: int, until_ms: int) -> list[Candle]:
        """One request, repeated while the line is bad. Refuses what repeating cannot mend, at once."""
        client = self._clients.get(piece.exchange) or client_of(
            piece.exchange, timeout_s=TIMEOUT_S, mirror=self.mirror, keep_rate_limit=self.keep_rate_limits
        )
        self._clients[piece.exchange] = client

        def ask() -> list[Candle]:
            rows = client.fetch_ohlcv(piece.symbol, timeframe, since_ms, PAGE, {"until": until_ms})
            return [(int(row[0]), *(_number(value) for value in row[1:6])) for row in rows]  # type: ignore[misc]

        return patiently(ask, piece.exchange, piece.symbol, since_ms, self.wait)


def patiently(
    ask: Callable[[], list[Candle]], exchange: str, symbol: str, since_ms: int, wait: Callable[[float], None]
) -> list[Candle]:
    """What `ask` gives, repeated while the line is bad. Refuses `market.download_failed`."""
    trouble = ""
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except ccxt.NetworkError as error:
            trouble = reason_of(error)
            if attempt + 1 < ATTEMPTS:
                wait(FIRST_WAIT_S * 2**attempt)
        except TROUBLE as error:
            trouble = reason_of(error)
            break
    raise Refusal(
        "market.download_failed",
        f"{exchange} gave no candles of {symbol}: {trouble}. The same command goes on from here.",
        exchange=exchange,
        symbol=symbol,
        since=datetime.fromtimestamp(since_ms / 1000, UTC).isoformat(),
    )


def refuse_foreign(path: Path, parts: Path) -> None:
    """Refuses `market.foreign_history` where a file is there without the pieces that a download leaves."""
    if path.exists() and not parts.exists():
        raise Refusal("market.foreign_history", f"{path} is there and was not downloaded here.", path=str(path))


def pieces_of(series: Series, bar: timedelta, now: datetime) -> Iterator[Series]:
    """The calendar months of a series, up to the last bar that has closed by `now`."""
    bar_s = int(bar.total_seconds())
    closed = datetime.fromtimestamp(int(now.timestamp()) // bar_s * bar_s, UTC)
    start, end = series.since, min(series.until, closed)
    while start < end:
        following = (start.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(
            day=1
        )
        yield replace(series, since=start, until=min(following, end))
        start = following


def _name(piece: Series) -> str:
    return f"{piece.exchange}-{piece.coin}-{piece.since:%Y%m%dT%H%M}-{piece.until:%Y%m%dT%H%M}.parquet"


def _is_true(candle: Candle, bar_ms: int) -> bool:
    """Whether a candle can be: on the grid, finite and positive, its ends inside its range."""
    stamp, opened, high, low, closed, volume = candle
    prices_hold = all(isfinite(price) and price > 0 for price in (opened, high, low, closed))
    in_range = low <= min(opened, closed) and max(opened, closed) <= high
    return stamp % bar_ms == 0 and prices_hold and in_range and isfinite(volume) and volume >= 0


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _table(candles: Sequence[Candle], coin: str, source: str) -> pa.Table:
    columns = list(zip(*candles, strict=True)) if candles else [()] * 6
    stamps = pa.array([stamp * 1000 for stamp in columns[0]], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    values = [pa.array(column, pa.float64()) for column in columns[1:]]
    names = [pa.array([text] * len(candles), pa.string()) for text in (coin, source)]
    return pa.Table.from_arrays([stamps, names[0], *values, names[1]], schema=SCHEMA)


def _write(table: pa.Table, path: Path) -> None:
    """Whole or not at all: a file of this name is never half written, whatever stops the machine."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            pq.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
