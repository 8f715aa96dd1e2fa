"""Turnover of the present: the calibrated one times what these days have of the calibration's on the same exchanges.

The calibrated turnover of a coin is a mean day's of thirty to the calibration's, in the market that was recorded. Each
exchange that gives the marks is asked for its daily candles of those days and of the last thirty; what the one is of
the other knows neither its size nor its currency. Of the exchanges' answers the lower middle one counts, so that no
single one raises a turnover, of two at least. It never trusts more than four times the calibrated one. An exchange
whose candles are missing, or say a twentieth or twenty times, is left out, by name in the log: that is a unit gone
wrong, or an outage. Where too few are left, the last turnover stays for three days, with its day, and then the
calibrated one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from math import isfinite
from threading import Event
from typing import Any

from risk.market.exchanges import TROUBLE, VENUES, Venue, reason_of
from risk.market.feeds.base import Turnover
from risk.market.feeds.beside import Beside
from risk.market.parameters import COINS, load_parameters

logger = logging.getLogger(__name__)

DAYS = 30  # of the mean, as the calibration has it
DAYS_MIN = 25  # of those with a candle: exchanges pause, and a day that is missing was not traded there
EVERY_S = 6 * 3_600.0  # a mean of thirty days is another one once a day
AGE_LIMIT_DAYS = 3  # of its last day: a mean of thirty moves by a tenth at most in three ordinary ones
ANSWER_LIMIT_S = 2 * 86_400.0
SOURCES_MIN = 2  # one alone cannot be told from an error
RAISED_MAX = 4.0  # the liquidity charge falls by the fourth root: by three tenths at most
BELIEVED = (1 / 20, 20.0)
Candle = Sequence[float]  # opened (ms), open, high, low, close, coins


@dataclass(frozen=True)
class Shares:
    """By coin what an exchange's days to `to` have of its calibrated ones."""

    of: Mapping[str, float]
    to: date


class Turnovers(Beside[Shares]):
    """The last levels; `levels` asks for new ones when it is time and never waits. `close` lets go."""

    def __init__(
        self, *, venues: Sequence[Venue] = VENUES, mirror: str = "", every_s: float = EVERY_S, timeout_s: float = 10.0
    ) -> None:
        super().__init__("turnover", venues=venues, mirror=mirror, every_s=every_s, timeout_s=timeout_s)
        self._usual: dict[tuple[str, str], float] = {}  # by exchange and coin, of days that do not change any more
        self._last: dict[str, Turnover] = {}

    def levels(self, now: datetime) -> dict[str, Turnover]:
        """USD by coin, whole dollars; a coin without one that is young enough at `now` is absent."""
        today = now.astimezone(UTC).date()
        answers = self.answers(partial(_read, usual=self._usual, today=today), ANSWER_LIMIT_S)
        for coin in COINS:
            shares = sorted(one.of[coin] for one in answers if coin in one.of)
            if len(shares) >= SOURCES_MIN:
                share = min(shares[(len(shares) - 1) // 2], RAISED_MAX)
                to = min(one.to for one in answers if coin in one.of)
                self._last[coin] = Turnover(Decimal(int(float(load_parameters().coins[coin].adv_usd) * share)), to)
        return {coin: one for coin, one in self._last.items() if 0 < (today - one.to).days <= AGE_LIMIT_DAYS}

    def resume(self, before: Mapping[str, Turnover]) -> None:
        """Go on with these, of a process before, until there are newer ones."""
        self._last = dict(before) | self._last


def _read(client: Any, venue: Venue, closed: Event, *, usual: dict[tuple[str, str], float], today: date) -> Shares:
    """Every coin's share on one exchange, in its own thread. Raises one of TROUBLE when it gives none at all."""
    client.load_markets()
    found: dict[str, float] = {}
    trouble: BaseException | None = None
    calibrated = load_parameters().calibrated_to + timedelta(days=1)
    for coin in COINS:
        market = client.markets.get(f"{coin}/{venue.currency}")
        if closed.is_set():
            break
        if market is None or market["active"] is False:
            continue
        try:
            key = (venue.name, coin)
            if key not in usual:
                usual[key] = _mean_day(client, market["symbol"], calibrated)
            found[coin] = believed(_mean_day(client, market["symbol"], today), usual[key])
        except TROUBLE as error:
            trouble = error
            logger.warning("no turnover of %s from %s: %s", coin, venue.name, reason_of(error))
    if not found:
        raise trouble or ValueError("it lists no coin")
    return Shares(found, today - timedelta(days=1))


def _mean_day(client: Any, symbol: str, end: date) -> float:
    """Of the quote currency, over the thirty days before `end`."""
    begin = end - timedelta(days=DAYS)
    return mean_day(client.fetch_ohlcv(symbol, "1d", _ms(begin), DAYS + 1), begin, end)


def mean_day(candles: Sequence[Candle], begin: date, end: date) -> float:
    """Price times coins of a mean day in [begin, end), by daily candles. Raises ValueError where fewer than 25 days are
    there, or one of them is no number or below nothing."""
    within = [(one[4], one[5]) for one in candles if _ms(begin) <= one[0] < _ms(end)]
    for close, coins in within:
        if not (isfinite(close) and isfinite(coins)) or close <= 0.0 or coins < 0.0:
            raise ValueError(f"a day of {coins} at {close}")
    if not DAYS_MIN <= len(within) <= DAYS:
        raise ValueError(f"{len(within)} of {DAYS} days to {end}")
    return sum(close * coins for close, coins in within) / len(within)


def believed(present: float, usual: float) -> float:
    """What the present is of the usual. Raises ValueError where that is a twentieth or less, or twenty times."""
    low, high = BELIEVED
    if not (usual > 0.0 and low < present / usual < high):
        raise ValueError(f"{present:.0f} a day where {usual:.0f} were usual")
    return present / usual


def _ms(day: date) -> int:
    return int(datetime.combine(day, time(0), UTC).timestamp() * 1000)
