"""Marks of a recorded day, minute by minute, from all exchanges that were recorded: what the guards would have done.

Reads a Parquet file of minute bars with columns exchange, symbol, ts_utc (open time), close, volume; minutes without a
trade are omitted, so a source ages until it trades again. Knows no figures of its own: it only feeds `marks`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intermediary.errors import Refusal
from risk.market.levels import Level, level_after
from risk.market.mark_parameters import STANDARD
from risk.market.marks import PERPETUAL, SPOT, AbsurdMove, Mark, Quote, mark_of
from risk.market.quality import MarkQuality, MarkState

MULTIVENUE_FILE = "px_1m_multivenue_20251010.parquet"
MINUTE = timedelta(minutes=1)
DAY_S = 86_400.0
CONTRACT_USD = 10.0  # of coin-margined perpetuals other than Bitcoin's: their volume counts contracts
COIN_MARGINED = "binance-delivery"
SYMBOL = re.compile(r"^([A-Z0-9]+?)-?(USD_PERP|USDT|USD)$")
# The day has no price of a stablecoin against the dollar in it; this is how far USDT was from par on such days.
USDT_UNCERTAINTY_BPS = 20


@dataclass(frozen=True)
class MarkedMinute:
    """One coin at the close of one minute: its mark, or why there was none."""

    at: datetime
    mark: Mark | None
    refused: str = ""


def coins_of(path: Path) -> tuple[str, ...]:
    """The coins of the file, in alphabetical order."""
    return tuple(
        sorted(
            {_split(symbol)[0] for symbol in pc.unique(pq.read_table(path, columns=["symbol"])["symbol"]).to_pylist()}
        )
    )


def marked_minutes(path: Path, coin: str) -> Iterator[MarkedMinute]:
    """The mark of `coin` at the close of each minute from its first bar to the last of the file, ascending."""
    table = pq.read_table(path, columns=["exchange", "symbol", "ts_utc", "close", "volume"])
    bars = _bars(table, coin)
    sources = {source for minute in bars.values() for source in minute}
    moment, last_bar = min(bars), pc.max(table["ts_utc"]).as_py()
    began = moment
    latest: dict[str, Quote] = {}
    traded: dict[str, float] = defaultdict(float)
    before: Decimal | None = None
    level: Level | None = None
    while moment <= last_bar:
        now = moment + MINUTE
        for source, (currency, close, volume) in bars.get(moment, {}).items():
            traded[source] += volume * (CONTRACT_USD / close if source == COIN_MARGINED else 1.0)
            latest[source] = _quote(source, currency, close, now)
        scale = DAY_S / (now - began).total_seconds()
        quotes = [_with_volume(quote, traded[quote.source] * scale) for quote in latest.values()]
        silent = dict.fromkeys(sources - latest.keys(), "has not traded yet")
        found, level = _marked(coin, quotes, now, silent, before, level)
        before = found.mark.price if found.mark else before
        yield found
        moment = now


def _marked(
    coin: str,
    quotes: list[Quote],
    now: datetime,
    silent: Mapping[str, str],
    before: Decimal | None,
    level: Level | None,
) -> tuple[MarkedMinute, Level | None]:
    """The minute, and the level that is not believed yet."""
    try:
        mark = mark_of(coin, quotes, now, silent=silent, pegs=_pegs(now), last=before, level=level)
    except AbsurdMove as refusal:
        return MarkedMinute(now, None, refusal.message), level_after(level, refusal.price, now, STANDARD)
    except Refusal as refusal:
        return MarkedMinute(now, None, refusal.message), level
    return MarkedMinute(now, mark), None


def _bars(table: pa.Table, coin: str) -> dict[datetime, dict[str, tuple[str, float, float]]]:
    """{open time: {exchange: (quote currency, close, volume)}} of one coin."""
    bars: dict[datetime, dict[str, tuple[str, float, float]]] = defaultdict(dict)
    symbols = [symbol for symbol in pc.unique(table["symbol"]).to_pylist() if _split(symbol)[0] == coin]
    if not symbols:
        raise Refusal("market.unknown_underlying", f"the recording has no {coin}", underlying=coin)
    for row in table.filter(
        pc.is_in(table["symbol"], pa.array(symbols, table.schema.field("symbol").type))
    ).to_pylist():
        currency = "USDT" if _split(row["symbol"])[1] == "USDT" else "USD"
        bars[row["ts_utc"].astimezone(UTC)][row["exchange"]] = (currency, row["close"], row["volume"])
    return bars


def _split(symbol: str) -> tuple[str, str]:
    match = SYMBOL.match(symbol)
    if match is None:
        raise Refusal("market.unknown_symbol", f"{symbol} is no symbol of this recording", symbol=symbol)
    return match[1], match[2]


def _quote(source: str, currency: str, close: float, now: datetime) -> Quote:
    kind = PERPETUAL if source == COIN_MARGINED else SPOT
    return Quote(source=source, price=Decimal(repr(close)), at=now, volume=0.0, currency=currency, kind=kind)


def _with_volume(quote: Quote, volume: float) -> Quote:
    return Quote(
        source=quote.source, price=quote.price, at=quote.at, volume=volume, currency=quote.currency, kind=quote.kind
    )


def _pegs(now: datetime) -> Mapping[str, Mark]:
    return {"USDT": Mark(Decimal(1), now, MarkQuality(MarkState.GOOD, USDT_UNCERTAINTY_BPS, "assumed par", ()))}
