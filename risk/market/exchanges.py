"""Exchanges as sources of prices, through ccxt: public endpoints only, never a key, never an order.

Importing this costs a second and 80 MB, so only the live feed and the download of history do; the web, the poster, the
watcher and the replay's feed do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import ccxt

from intermediary.errors import BadInput

# What a call through ccxt may raise: its own errors, and those of its parsers on an answer of a shape nobody foresaw.
TROUBLE = (ccxt.BaseError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


@dataclass(frozen=True)
class Venue:
    """An exchange by ccxt's name, the currency its coins are quoted in, and whether it is asked coin by coin."""

    name: str
    currency: str
    by_coin: bool = False


# Three that quote dollars under regulation and take part in the CME CF reference rates, and the deepest in Tether.
VENUES = (
    Venue("kraken", "USD"),
    Venue("coinbaseexchange", "USD", by_coin=True),  # its list of all tickers has neither volume nor time
    Venue("bitstamp", "USD"),
    Venue("binance", "USDT"),
)


def client_of(name: str, *, timeout_s: float, mirror: str = "", keep_rate_limit: bool = True) -> Any:
    """A ccxt client of the exchange. `mirror` is a base URL that is asked in its place, as <mirror>/<name>/<path>; only
    a mirror may be asked without the exchange's rate limit. Refuses a name that ccxt does not know."""
    if name not in ccxt.exchanges:
        raise BadInput("market.unknown_exchange", f"ccxt knows no exchange {name!r}", exchange=name)
    client = getattr(ccxt, name)({"enableRateLimit": keep_rate_limit or not mirror, "timeout": int(timeout_s * 1000)})
    client.has["fetchCurrencies"] = False  # a slow call, and nothing here pays in or out
    if name == "binance":
        client.options["fetchMarkets"]["types"] = ["spot"]  # the rules of its futures are many megabytes
    if mirror:
        client.urls["api"] = _mirrored(client.urls["api"], f"{mirror.rstrip('/')}/{name}")
    return client


def reason_of(error: BaseException) -> str:
    """Why an exchange gave nothing, in a few words without its address: the kind of failure and its status."""
    kinds = (
        (ccxt.RequestTimeout, "timed out"),
        (ccxt.DDoSProtection, "rate limit"),
        (ccxt.RateLimitExceeded, "rate limit"),
        (ccxt.NetworkError, "not available"),
    )
    kind = next((words for one, words in kinds if isinstance(error, one)), "")
    if kind:
        return kind
    first_line = (str(error).splitlines() or [""])[0]
    return f"answer not understood ({type(error).__name__}: {first_line[:80]})"


def _mirrored(urls: Any, base: str) -> Any:
    if isinstance(urls, dict):
        return {key: _mirrored(value, base) for key, value in urls.items()}
    return base + urlsplit(urls).path
