"""A level that most sources of a coin show and that no market reaches between two looks: believed once it has stood.

An error that many venues share (one source behind them, a coin counted anew on some of them) looks like a move of a
thousand times and is mended; a new level stays. An hour tells them apart and lets people act, as for the price of USDC;
variation margin is paid every four. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import log

from risk.market.mark_parameters import MarkParameters


@dataclass(frozen=True)
class Level:
    """USD `price` that the latest look showed, at `seen_at`; look after look has shown its like from `since` on."""

    price: Decimal
    since: datetime
    seen_at: datetime

    def stands(self, price: Decimal, now: datetime, parameters: MarkParameters) -> bool:
        """Whether a price of `now` is of this level, and the level is old enough to be believed."""
        stood_s = (now - self.since).total_seconds()
        return self.goes_on(price, now, parameters) and stood_s >= parameters.level_stands_s

    def goes_on(self, price: Decimal, now: datetime, parameters: MarkParameters) -> bool:
        """Whether a look follows the one before soon enough, and with a move that one look may show."""
        silent_s = (now - self.seen_at).total_seconds()
        moved = abs(log(float(price / self.price)))
        return silent_s <= parameters.quote_age_limit_s and moved <= parameters.unconfirmed_move_max


def level_after(before: Level | None, price: Decimal, now: datetime, parameters: MarkParameters) -> Level:
    """The level with a look at `now` that shows `price`: the one before, or a new one that begins here."""
    same = before is not None and before.goes_on(price, now, parameters)
    return Level(price, before.since if before is not None and same else now, now)
