"""Depth of the present: the order books of the exchanges that give the marks, asked once a minute beside the feed.

The depth of a coin is what its books hold within one percent of the middle, on the thinner side, over all exchanges:
what can be sold or bought now without moving the price further. A book that is shown in part counts with what is shown;
one whose middle is more than that percent off the mark is of another moment, or of another coin, and counts nothing. A
market never waits for books: a snapshot takes the last ones that are young enough, or the calibrated depth. What goes
wrong costs the exchange's part of the depth and nothing else, and the log names why; so does a book that holds more
than any does, as one with a unit wrong would: depth beyond what is there would close out faster than anybody can.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from threading import Event
from typing import Any

from risk.market.exchanges import TROUBLE, VENUES, Venue, reason_of
from risk.market.feeds.beside import Beside
from risk.market.parameters import COINS, load_parameters

logger = logging.getLogger(__name__)

EVERY_S = 60.0  # depth moves with the minutes; ten books of an exchange stay far within its rate limit
AGE_LIMIT_S = 300.0  # five minutes without an answer: the books have been missed five times
WITHIN = 0.01  # of the middle: the depth that a close-out is planned by
# One exchange's book against the calibrated depth of the coin, half a percent of a day's turnover everywhere: a
# tenth of a day's turnover on one side of one book is a unit gone wrong.
CALIBRATED_MAX = 20
# Levels asked for where an exchange shows no more than asked: of the finest grids even these may end within a percent.
LEVELS: Mapping[str, int | None] = {"kraken": 500, "coinbaseexchange": None, "bitstamp": None, "binance": 5_000}


@dataclass(frozen=True)
class Sides:
    """`middle` of the book in dollars a coin, and dollars within a percent of it: bid for, and offered."""

    middle: float
    bid_usd: float
    ask_usd: float


class Books(Beside[Mapping[str, Sides]]):
    """The last depths; `depths` asks for new ones when it is time and never waits. `close` lets go."""

    def __init__(
        self,
        *,
        venues: Sequence[Venue] = VENUES,
        mirror: str = "",
        every_s: float = EVERY_S,
        age_limit_s: float = AGE_LIMIT_S,
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__("books", venues=venues, mirror=mirror, every_s=every_s, timeout_s=timeout_s)
        self._age_limit_s = age_limit_s

    def depths(self, marks: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """USD by coin of `marks` (USD), whole dollars; a coin without a book that is young enough is absent."""
        young = self.answers(_read, self._age_limit_s)
        found = {}
        for coin, mark in marks.items():
            books = [sides[coin] for sides in young if coin in sides]
            books = [book for book in books if abs(book.middle / float(mark) - 1.0) <= WITHIN]
            depth = min(sum(book.bid_usd for book in books), sum(book.ask_usd for book in books))
            if depth >= 1.0:
                found[coin] = Decimal(int(depth))
        return found


def _read(client: Any, venue: Venue, closed: Event) -> dict[str, Sides]:
    """Every coin's book on one exchange, in its own thread. Raises one of TROUBLE when it gives none at all."""
    client.load_markets()
    found: dict[str, Sides] = {}
    trouble: BaseException | None = None
    for coin in COINS:
        market = client.markets.get(f"{coin}/{venue.currency}")
        if closed.is_set():
            break
        if market is None or market["active"] is False:
            continue
        try:
            book = client.fetch_order_book(market["symbol"], LEVELS.get(venue.name))
            found[coin] = believed(coin, sides_of(book["bids"], book["asks"]))
        except TROUBLE as error:
            trouble = error
            logger.warning("no book of %s from %s: %s", coin, venue.name, reason_of(error))
    if not found:
        raise trouble or ValueError("it lists no coin")
    return found


def believed(coin: str, sides: Sides) -> Sides:
    """The same. Raises ValueError where a side holds more than CALIBRATED_MAX times the calibrated depth."""
    limit = CALIBRATED_MAX * float(load_parameters().coins[coin].depth_usd)
    most = max(sides.bid_usd, sides.ask_usd)
    if most > limit:
        raise ValueError(f"{most:.0f} USD within a percent, above the {limit:.0f} that any book is believed")
    return sides


def sides_of(bids: Sequence[Sequence[float]], asks: Sequence[Sequence[float]]) -> Sides:
    """Of levels (price, coins), best first. Prices in Tether count as dollars: what they differ by is far less than
    what a book moves in a minute. Raises ValueError on a book that is empty, crossed, or holds what is no number."""
    if not bids or not asks:
        raise ValueError("a side is empty")
    for price, amount, *_ in (*bids, *asks):
        if not (isfinite(price) and isfinite(amount)) or price <= 0 or amount < 0:
            raise ValueError(f"a level of {amount} at {price}")
    best_bid, best_ask = max(level[0] for level in bids), min(level[0] for level in asks)
    if best_bid >= best_ask:
        raise ValueError(f"it is crossed: {best_bid} bid, {best_ask} asked")
    middle = (best_bid + best_ask) / 2.0
    return Sides(
        middle=middle,
        bid_usd=sum(level[0] * level[1] for level in bids if level[0] >= middle * (1.0 - WITHIN)),
        ask_usd=sum(level[0] * level[1] for level in asks if level[0] <= middle * (1.0 + WITHIN)),
    )
