"""A server on loopback that speaks the public languages of six exchanges, and misbehaves on request.

One process, one port: an exchange is the first part of the path, as `exchanges.client_of(mirror=...)` asks. Prices and
candles are what the test put there; nothing here computes a price.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

COINS = ("ADA", "AVAX", "BNB", "BTC", "DOGE", "ETH", "HYPE", "LINK", "SOL", "XRP")
LISTED = {
    "kraken": (*COINS, "USDC", "USDT"),
    "coinbaseexchange": (*(coin for coin in COINS if coin != "HYPE"), "USDT"),
    "bitstamp": (*(coin for coin in COINS if coin != "HYPE"), "USDC", "USDT"),
    "binance": (*COINS, "USDC"),
}
Candle = tuple[int, float, float, float, float, float]  # opened (ms), open, high, low, close, volume


@dataclass
class Exchanges:
    """What the exchanges say. `faults[exchange]` is one of slow, error, empty, stale, absurd, garbage, down, crossed,
    limit; `prices[(exchange, coin)]` overrides `price[coin]`; `candles[(exchange, symbol)]` ascending."""

    url: str = ""
    price: dict[str, float] = field(default_factory=dict)
    prices: dict[tuple[str, str], float] = field(default_factory=dict)
    base_volume_usd: dict[str, float] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)  # by exchange, how many seconds its clock is ahead
    candles: dict[tuple[str, str], list[Candle]] = field(default_factory=dict)
    # (coins, as a share of the price how far from it) of each level on either side of every book
    levels: list[tuple[float, float]] = field(default_factory=lambda: [(1.0, 0.0001), (2.0, 0.005), (100.0, 0.02)])
    options: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by coin, as Deribit summarises its books
    vol_index: list[list[float]] = field(default_factory=list)  # hourly candles of Deribit's index, ascending
    page_limit: int = 500
    fail_after: int | None = None  # candle requests that are answered; those after get a 500
    requests: Counter[str] = field(default_factory=Counter)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    slow_s: float = 3.0

    def quoted(self, exchange: str, coin: str) -> tuple[float, float, float]:
        """Bid, ask and last of a coin as this exchange shows them now."""
        last = self.prices.get((exchange, coin), self.price[coin])
        last *= 1000.0 if self.faults.get(exchange) == "absurd" else 1.0
        half = -0.001 if self.faults.get(exchange) == "crossed" else 0.0001
        return last * (1.0 - half), last * (1.0 + half), last

    def stamp_s(self, exchange: str) -> float:
        """The time this exchange puts on its answers."""
        late = 900.0 if self.faults.get(exchange) == "stale" else 0.0
        return self.now().timestamp() - late + self.clocks.get(exchange, 0)

    def volume(self, exchange: str, coin: str) -> float:
        """Coins traded in 24 hours."""
        return self.base_volume_usd.get(exchange, 50e6) / self.price[coin]


@contextmanager
def exchanges() -> Iterator[Exchanges]:
    """The server while the block runs."""
    world = Exchanges()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(world))
    server.daemon_threads = True
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(world: Exchanges) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            exchange, path = parts.path.lstrip("/").split("/", 1)
            world.requests[f"{exchange}/{path}"] += 1
            fault = world.faults.get(exchange, "")
            if fault == "slow":
                time.sleep(world.slow_s)
            if fault == "down":
                self.connection.close()
            elif fault == "error":
                self._send(500, "internal error")
            elif fault == "limit":
                self._send(429, "too many requests")
            elif fault == "garbage":
                self._send(200, "<html>maintenance</html>")
            else:
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                status, body = _answer(world, exchange, path.rstrip("/"), query)
                self._send(status, json.dumps(body))

        def _send(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence: the tests look at `requests`."""

    return Handler


def _answer(world: Exchanges, exchange: str, path: str, query: dict[str, str]) -> tuple[int, Any]:
    if path.endswith(("klines", "OHLC")):
        return _candles(world, exchange, path, query)
    if path.endswith("candles") or "/ohlc/" in path:
        return _dated_candles(world, exchange, path, query)
    empty = world.faults.get(exchange) == "empty"
    match exchange, path.split("/"):
        case "kraken", [*_, "AssetPairs"]:
            return 200, {"error": [], "result": {_kraken_id(coin): _kraken_pair(coin) for coin in LISTED["kraken"]}}
        case "kraken", [*_, "Ticker"]:
            pairs = [] if empty else query["pair"].split(",")
            return 200, {"error": [], "result": {pair: _kraken_ticker(world, pair) for pair in pairs}}
        case "coinbaseexchange", ["products"]:
            return 200, [_coinbase_product(coin) for coin in LISTED["coinbaseexchange"]]
        case "coinbaseexchange", ["products", product, "ticker"]:
            return 200, {} if empty else _coinbase_ticker(world, product.removesuffix("-USD"))
        case "bitstamp", [*_, "markets" | "trading-pairs-info"]:
            return 200, [_bitstamp_market(coin) for coin in LISTED["bitstamp"]]
        case "bitstamp", [*_, "ticker"]:
            return 200, [] if empty else [_bitstamp_ticker(world, coin) for coin in LISTED["bitstamp"]]
        case "binance", [*_, "exchangeInfo"]:
            return 200, {"symbols": [_binance_symbol(coin) for coin in LISTED["binance"]]}
        case "binance", [*_, "ticker", "24hr"]:
            symbols = [] if empty else json.loads(query["symbols"])
            return 200, [_binance_ticker(world, symbol.removesuffix("USDT")) for symbol in symbols]
        case "kraken", [*_, "Depth"]:
            coin = "BTC" if query["pair"] == "XXBTZUSD" else query["pair"].removesuffix("USD")
            return 200, {"error": [], "result": {query["pair"]: {} if empty else _book(world, exchange, coin, 3)}}
        case "coinbaseexchange", ["products", product, "book"]:
            return 200, {} if empty else _book(world, exchange, product.removesuffix("-USD"), 3) | {"sequence": 1}
        case "bitstamp", [*_, "order_book", pair]:
            stamp = {"timestamp": "0", "microtimestamp": "0"}
            return 200, stamp | ({} if empty else _book(world, exchange, pair.removesuffix("usd").upper(), 2))
        case "binance", [*_, "depth"]:
            coin = query["symbol"].removesuffix("USDT")
            return 200, {"lastUpdateId": 1} | ({} if empty else _book(world, exchange, coin, 2))
        case "deribit", [*_, "get_book_summary_by_currency"]:
            return 200, {"jsonrpc": "2.0", "result": [] if empty else world.options.get(query["currency"], [])}
        case "deribit", [*_, "get_volatility_index_data"]:
            return 200, {"jsonrpc": "2.0", "result": _volatility_index(world, query)}
        case "binanceusdm", [*_, "exchangeInfo"]:
            perpetual = {"contractType": "PERPETUAL", "marginAsset": "USDT", "contractSize": 1}
            return 200, {"symbols": [_binance_symbol(coin) | perpetual for coin in COINS]}
    return 404, {"error": f"no {path}"}


def _volatility_index(world: Exchanges, query: dict[str, str]) -> dict[str, Any]:
    """The last candles of what is asked for, and where the ones before them end."""
    first, last = int(query["start_timestamp"]), int(query["end_timestamp"])
    found = [row for row in world.vol_index if first <= row[0] <= last]
    page = found[-world.page_limit :]
    return {"data": page, "continuation": int(page[0][0]) - 1 if len(page) < len(found) else None}


def _candles(world: Exchanges, exchange: str, path: str, query: dict[str, str]) -> tuple[int, Any]:
    asked = sum(count for name, count in world.requests.items() if name.endswith(("klines", "OHLC")))
    if world.fail_after is not None and asked > world.fail_after:
        return 500, "internal error"
    rows = world.candles.get((exchange, query.get("symbol") or query["pair"]), [])
    if path.endswith("OHLC"):
        found = [row for row in rows if row[0] / 1000 > int(query["since"])][: world.page_limit]
        body = [[row[0] // 1000, *(str(value) for value in row[1:5]), str(row[4]), str(row[5]), 7] for row in found]
        return 200, {"error": [], "result": {query["pair"]: body, "last": 0}}
    first, last = int(query.get("startTime", 0)), int(query.get("endTime", 2**62))
    limit = min(int(query.get("limit", 500)), world.page_limit)
    found = [row for row in rows if first <= row[0] <= last][:limit]
    return 200, [[row[0], *(str(value) for value in row[1:]), row[0] + 299_999, "0", 9, "0", "0", "0"] for row in found]


def _dated_candles(world: Exchanges, exchange: str, path: str, query: dict[str, str]) -> tuple[int, Any]:
    """Of the exchanges that are asked from a time to a time: Coinbase newest first, Bitstamp by names."""
    if exchange == "coinbaseexchange":
        first, last = (datetime.fromisoformat(query[name]).timestamp() for name in ("start", "end"))
        rows = world.candles.get((exchange, path.split("/")[-2]), [])
        found = [row for row in rows if first <= row[0] / 1000 <= last]
        return 200, [[row[0] // 1000, row[3], row[2], row[1], row[4], row[5]] for row in reversed(found)]
    first, last = (int(query[name]) for name in ("start", "end"))
    rows = world.candles.get((exchange, path.split("/")[-1]), [])
    names = ("open", "high", "low", "close", "volume")
    found = [row for row in rows if first <= row[0] / 1000 <= last][: int(query["limit"])]
    body = [{"timestamp": str(row[0] // 1000)} | dict(zip(names, map(str, row[1:]), strict=True)) for row in found]
    return 200, {"data": {"pair": "", "ohlc": body}}


def _book(world: Exchanges, exchange: str, coin: str, width: int) -> dict[str, list[list[str]]]:
    """Bids and asks of this many fields a level, best first; the third is a time or a number of orders."""
    bid, ask, last = world.quoted(exchange, coin)
    if exchange == "binance":
        last /= world.price["USDT"]
    wrong = -1.0 if ask < bid else 1.0
    sides = {"bids": -wrong, "asks": wrong}
    return {
        side: [[str(last * (1.0 + sign * away)), str(coins), "1"][:width] for coins, away in world.levels]
        for side, sign in sides.items()
    }


def _kraken_id(coin: str) -> str:
    """Kraken's own names: Bitcoin is XBT, with letters before old assets."""
    return "XXBTZUSD" if coin == "BTC" else f"{coin}USD"


def _kraken_pair(coin: str) -> dict[str, Any]:
    base = "XXBT" if coin == "BTC" else coin
    return {
        "altname": f"{base.removeprefix('X')}USD", "wsname": f"{coin}/USD", "base": base, "quote": "ZUSD",
        "pair_decimals": 5, "lot_decimals": 8, "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "leverage_buy": [],
        "ordermin": "1", "status": "online",
    }  # fmt: skip


def _kraken_ticker(world: Exchanges, pair: str) -> dict[str, Any]:
    coin = "BTC" if pair == "XXBTZUSD" else pair.removesuffix("USD")
    bid, ask, last = (str(price) for price in world.quoted("kraken", coin))
    volume = str(world.volume("kraken", coin))
    return {
        "a": [ask, "1", "1.0"], "b": [bid, "1", "1.0"], "c": [last, "0.1"], "v": [volume, volume], "p": [last, last],
        "t": [10, 20], "l": [last, last], "h": [last, last], "o": last,
    }  # fmt: skip


def _coinbase_product(coin: str) -> dict[str, Any]:
    return {
        "id": f"{coin}-USD", "base_currency": coin, "quote_currency": "USD", "quote_increment": "0.00001",
        "base_increment": "0.00000001", "min_market_funds": "1", "margin_enabled": False, "status": "online",
    }  # fmt: skip


def _coinbase_ticker(world: Exchanges, coin: str) -> dict[str, Any]:
    bid, ask, last = (str(price) for price in world.quoted("coinbaseexchange", coin))
    at = datetime.fromtimestamp(world.stamp_s("coinbaseexchange"), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    volume = str(world.volume("coinbaseexchange", coin))
    return {"trade_id": 1, "price": last, "size": "0.1", "time": at, "bid": bid, "ask": ask, "volume": volume}


def _bitstamp_market(coin: str) -> dict[str, Any]:
    return {
        "name": f"{coin}/USD", "market_symbol": f"{coin.lower()}usd", "base_currency": coin, "base_decimals": 8,
        "counter_currency": "USD", "counter_decimals": 5, "minimum_order_value": "10", "trading": "Enabled",
        "market_type": "SPOT", "description": f"{coin} / U.S. dollar", "url_symbol": f"{coin.lower()}usd",
        "minimum_order": "10.0 USD",
    }  # fmt: skip


def _bitstamp_ticker(world: Exchanges, coin: str) -> dict[str, Any]:
    bid, ask, last = (str(price) for price in world.quoted("bitstamp", coin))
    return {
        "timestamp": str(int(world.stamp_s("bitstamp"))), "high": last, "last": last, "bid": bid, "vwap": last,
        "volume": str(world.volume("bitstamp", coin)), "low": last, "ask": ask, "open": last, "open_24": last,
        "percent_change_24": "0", "pair": f"{coin}/USD",
    }  # fmt: skip


def _binance_symbol(coin: str) -> dict[str, Any]:
    return {
        "symbol": f"{coin}USDT", "status": "TRADING", "baseAsset": coin, "quoteAsset": "USDT", "filters": [],
        "baseAssetPrecision": 8, "quotePrecision": 8, "isSpotTradingAllowed": True, "permissions": ["SPOT"],
    }  # fmt: skip


def _binance_ticker(world: Exchanges, coin: str) -> dict[str, Any]:
    bid, ask, last = (str(price / world.price["USDT"]) for price in world.quoted("binance", coin))
    closed = int(world.stamp_s("binance") * 1000)
    volume = world.volume("binance", coin)
    return {
        "symbol": f"{coin}USDT", "lastPrice": last, "bidPrice": bid, "askPrice": ask, "volume": str(volume),
        "quoteVolume": str(volume * float(last)), "openTime": closed - 86_400_000, "closeTime": closed, "count": 9,
        "openPrice": last, "highPrice": last, "lowPrice": last, "weightedAvgPrice": last,
    }  # fmt: skip
