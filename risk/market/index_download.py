"""Download of the index of implied volatility from the public endpoint of the exchange that computes it.

The exchange gives candles; a day's value is the close of its last hour, so that the day ends at 24:00 UTC whatever the
exchange calls a day. Fetched and kept as `download` does: in pieces of a month, each once, and the file in one step.
Needs ccxt, so only the command imports it.
"""

import csv
import gzip
import io
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

from intermediary.errors import BadInput
from risk.market.download import TIMEOUT_S, Candle, Download, Series, patiently, pieces_of, refuse_foreign
from risk.market.exchanges import client_of
from risk.market.vol_index import COLUMNS, LIMITS, VOL_INDEX_FILE

HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
# The index has been computed since the end of March 2021.
VOL_INDEX = Series("BTC", "deribit", "DVOL", datetime(2021, 4, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


@dataclass(frozen=True)
class FetchedIndex:
    """What a run did. `missing` days of the time asked for had no last hour; `left_out` values could not be true."""

    path: Path
    days: int
    requested_parts: int
    parts: int
    missing: int
    left_out: int


def fetch_vol_index(download: Download, asked: Series = VOL_INDEX, *, replace_foreign: bool = False) -> FetchedIndex:
    """Bring the file up to what is `asked`. Refuses as `Download.fetch`; pieces that are done stay done."""
    path = download.directory / VOL_INDEX_FILE
    parts = download.directory / "parts" / VOL_INDEX_FILE.removesuffix(".csv.gz")
    pieces = [piece for piece in pieces_of(asked, HOUR, download.now) if piece.until - piece.since >= timedelta(days=1)]
    if not pieces:
        raise BadInput("market.nothing_to_fetch", f"no day of {VOL_INDEX_FILE} is asked for")
    if not replace_foreign:
        refuse_foreign(path, parts)
    parts.mkdir(parents=True, exist_ok=True)
    found: dict[date, float] = {}
    fresh = 0
    for done, piece in enumerate(pieces, start=1):
        file = parts / f"{piece.since:%Y%m%dT%H%M}-{piece.until:%Y%m%dT%H%M}.csv"
        if not file.exists():
            _write(file, _text(_last_hours(_candles(download, piece))).encode())
            fresh += 1
        with file.open(newline="") as stream:
            found |= {date.fromisoformat(row["date"]): float(row["dvol"]) for row in csv.DictReader(stream)}
        download.progress(VOL_INDEX_FILE, piece.coin, done, len(pieces))
    true = {day: value for day, value in sorted(found.items()) if isfinite(value) and LIMITS[0] <= value <= LIMITS[1]}
    _write(path, gzip.compress(_text(true).encode(), mtime=0))
    days = sum((piece.until - piece.since).days for piece in pieces)
    return FetchedIndex(path, len(true), fresh, len(pieces), days - len(found), len(found) - len(true))


def _candles(download: Download, piece: Series) -> list[Candle]:
    """All hours of a piece. The exchange gives the last ones first, and the end of what is left with them."""
    client = client_of(
        piece.exchange, timeout_s=TIMEOUT_S, mirror=download.mirror, keep_rate_limit=download.keep_rate_limits
    )
    since_ms, until_ms = (int(moment.timestamp() * 1000) for moment in (piece.since, piece.until))
    found: list[Candle] = []
    end_ms: int | None = until_ms - 1
    while end_ms is not None and end_ms >= since_ms:
        answer: list[int | None] = []

        def ask(end_ms: int = end_ms, answer: list[int | None] = answer) -> list[Candle]:
            result = client.publicGetGetVolatilityIndexData(
                {"currency": piece.coin, "start_timestamp": since_ms, "end_timestamp": end_ms, "resolution": "3600"}
            )["result"]
            answer.append(None if result["continuation"] is None else int(result["continuation"]))
            return [_candle(row) for row in result["data"]]

        rows = patiently(ask, piece.exchange, piece.symbol, since_ms, download.wait)
        found += [row for row in rows if since_ms <= row[0] < until_ms]
        following = answer[-1]
        # An end that does not move back would be asked for without end.
        end_ms = following if following is not None and following < end_ms else None
    return found


def _candle(row: list[Any]) -> Candle:
    opened, first, high, low, close = (float(value) for value in row[:5])
    return int(opened), first, high, low, close, 0.0


def _last_hours(candles: list[Candle]) -> dict[date, float]:
    """The close of each day's last hour, in percent."""
    last = {}
    for candle in candles:
        opened = datetime.fromtimestamp(candle[0] / 1000, UTC)
        if candle[0] % HOUR_MS == 0 and opened.hour == 23:
            last[opened.date()] = candle[4]
    return dict(sorted(last.items()))


def _text(values: dict[date, float]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((day.isoformat(), repr(value)) for day, value in values.items())
    return out.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
