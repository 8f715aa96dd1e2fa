"""Smiles of the present: the option chain of Deribit, asked every ten minutes and fitted beside the feed.

The fit loads array code and takes seconds, so a child process does it (`fit_smiles`) and a market never waits for it: a
snapshot takes the last surface that is young enough, or none. What goes wrong costs the smile and nothing else: options
then have one volatility a coin, the log names why, and the snapshot says where there was a smile before.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from pathlib import Path
from typing import Any

from risk.market.exchanges import TROUBLE, client_of, reason_of
from risk.market.surface import VolSurface

logger = logging.getLogger(__name__)

EXCHANGE = "deribit"
COINS = ("BTC", "ETH")  # whose options settle in the coin, with strikes in dollars
PROJECT_ROOT = Path(__file__).resolve().parents[3]
EVERY_S = 600.0  # smiles move slower than prices, and a fit takes a core for seconds
FIT_TIMEOUT_S = 120.0  # of a few seconds, on a machine that does much else
Told = Callable[[VolSurface, Mapping[str, Any]], object]


class Smiles:
    """The last fitted surfaces; `surfaces` asks for new ones when it is time and never waits. `close` lets go.

    `told` hears of each new surface and how well it fits (`surface_report.kept`), on the thread of who asks.
    """

    def __init__(
        self, *, mirror: str = "", every_s: float = EVERY_S, timeout_s: float = 10.0, told: Told | None = None
    ) -> None:
        self._client = client_of(EXCHANGE, timeout_s=timeout_s, mirror=mirror, keep_rate_limit=not mirror)
        self._every_s = every_s
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="smiles")
        self._told = told
        self._pending: Future[dict[str, tuple[VolSurface, Mapping[str, Any]]]] | None = None
        self._asked_at = -inf
        self._last: dict[str, VolSurface] = {}

    def surfaces(self) -> Mapping[str, VolSurface]:
        """The newest surface of each coin, of any age."""
        if self._pending is not None and self._pending.done():
            done, self._pending = self._pending, None
            try:
                self._take(done.result())
            except (*TROUBLE, OSError, subprocess.SubprocessError) as error:
                logger.warning("no smiles from %s: %s", EXCHANGE, reason_of(error))
        if self._pending is None and time.monotonic() - self._asked_at >= self._every_s:
            self._asked_at = time.monotonic()
            self._pending = self._pool.submit(_fitted, self._client)
        return self._last

    def resume(self, surfaces: Mapping[str, VolSurface]) -> None:
        """Go on with these, of a process before, until there are newer ones."""
        self._last = dict(surfaces) | self._last

    def _take(self, found: Mapping[str, tuple[VolSurface, Mapping[str, Any]]]) -> None:
        for coin, (surface, fit) in found.items():
            self._last[coin] = surface
            if self._told is not None:
                self._told(surface, fit)

    def close(self) -> None:
        """Let the thread go."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _fitted(client: Any) -> dict[str, tuple[VolSurface, Mapping[str, Any]]]:
    """Ask for every coin's chain and have it fitted: the surface and how well it fits. Raises one of TROUBLE, or what a
    child process may raise."""
    chains = {coin: _rows(client.public_get_get_book_summary_by_currency(_asked(coin))) for coin in COINS}
    done = subprocess.run(
        [sys.executable, "-m", "risk.market.feeds.fit_smiles"],
        cwd=PROJECT_ROOT,
        input=json.dumps(chains),
        capture_output=True,
        text=True,
        timeout=FIT_TIMEOUT_S,
        check=True,
    )
    answer = json.loads(done.stdout)
    for coin, why in answer["refused"].items():
        logger.warning("no smile of %s: %s", coin, why)
    fits = answer["fits"]
    return {coin: (VolSurface.from_body(body), fits[coin]) for coin, body in answer["surfaces"].items()}


def _asked(coin: str) -> dict[str, str]:
    return {"currency": coin, "kind": "option"}


def _rows(answer: Mapping[str, Any]) -> list[list[Any]]:
    """[instrument, bid, ask, forward, milliseconds] of each option, as the exchange said it; nothing is judged here."""
    fields = ("instrument_name", "bid_price", "ask_price", "underlying_price", "creation_timestamp")
    return [[row.get(name) for name in fields] for row in answer["result"]]
