"""The market of 10-11 October 2025 rebuilt from sixteen published points, for machines without a recording.

Between two anchors each coin follows a Brownian bridge in log price with its calibrated volatility, seeded, partly
common to all coins. Anchor closes and lows are met exactly; everything between is invented, so every snapshot
carries the source "reconstruction" and every screen must show it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from math import exp, log, sqrt
from pathlib import Path
from random import Random

from risk.market.feeds.base import FIVE_MINUTES, Bar, CoinBar, SeriesFeed, schedule
from risk.market.parameters import COINS, load_parameters

ANCHORS_FILE = Path(__file__).parents[1] / "data" / "anchors_20251010.json"
SEED = 20251010
COMMON_SHARE = 0.7  # share of variance that all coins have in common: the mean calibrated correlation, rounded
STEPS_A_DAY = 288


@dataclass(frozen=True)
class Anchor:
    """Closes and lows, USD, of the five-minute bar that closed at `closed_at`."""

    closed_at: datetime
    close: Mapping[str, Decimal]
    low: Mapping[str, Decimal]


class ReconstructionFeed(SeriesFeed):
    """10 October 01:00 to 12 October 00:00 UTC, 2025."""

    source = "reconstruction"

    def load(self) -> Sequence[Bar]:
        """All bars of the reconstruction; the same on every machine."""
        anchors = _anchors()
        fine = list(_five_minute_bars(anchors, Random(SEED)))
        bars = []
        position = 0
        for moment in schedule(fine[0].as_of, fine[-1].as_of):
            end = position
            while end < len(fine) and fine[end].as_of <= moment:
                end += 1
            if end > position:
                bars.append(_merge(moment, fine[position:end]))
            position = end
        return bars


def _anchors() -> list[Anchor]:
    rows = json.loads(ANCHORS_FILE.read_text())["anchors"]
    return [
        Anchor(
            closed_at=datetime.fromisoformat(row["opens_at"]) + FIVE_MINUTES,
            close={coin: Decimal(row["close"][coin]) for coin in COINS},
            low={coin: Decimal(row["low"][coin]) for coin in COINS},
        )
        for row in rows
    ]


def _five_minute_bars(anchors: Sequence[Anchor], random: Random) -> Sequence[Bar]:
    bars = [_anchor_bar(anchors[0], anchors[0])]
    for left, right in pairwise(anchors):
        steps = int((right.closed_at - left.closed_at) / FIVE_MINUTES)
        paths = _bridges(left, right, steps, random)
        before = {coin: left.close[coin] for coin in COINS}
        for step in range(1, steps):
            moment = left.closed_at + step * FIVE_MINUTES
            coins = {}
            for coin in COINS:
                close = _five_digits(paths[coin][step])
                ends = (float(before[coin]), float(close))
                coins[coin] = CoinBar(close, max(ends), min(ends), moment)
                before[coin] = close
            bars.append(Bar(moment, coins))
        bars.append(_anchor_bar(right, left))
    return bars


def _anchor_bar(anchor: Anchor, before: Anchor) -> Bar:
    coins = {}
    for coin in COINS:
        close, low = anchor.close[coin], anchor.low[coin]
        adjacent = anchor.closed_at - before.closed_at == FIVE_MINUTES
        high = max(close, before.close[coin]) if adjacent else close
        coins[coin] = CoinBar(close, float(high), float(min(low, close)), anchor.closed_at)
    return Bar(anchor.closed_at, coins)


def _bridges(left: Anchor, right: Anchor, steps: int, random: Random) -> dict[str, list[float]]:
    """Prices at steps 0..steps: W_t - t/T W_T around the straight line between the log prices of the anchors."""
    common = _bridge(steps, random)
    paths = {}
    for coin in COINS:
        own = _bridge(steps, random)
        step_vol = load_parameters().coins[coin].vol_now / sqrt(STEPS_A_DAY)
        start, end = log(left.close[coin]), log(right.close[coin])
        paths[coin] = [
            exp(
                start
                + (end - start) * step / steps
                + step_vol * (sqrt(COMMON_SHARE) * common[step] + sqrt(1.0 - COMMON_SHARE) * own[step])
            )
            for step in range(steps + 1)
        ]
    return paths


def _bridge(steps: int, random: Random) -> list[float]:
    walk = [0.0]
    for _ in range(steps):
        walk.append(walk[-1] + random.gauss(0.0, 1.0))
    return [value - walk[-1] * step / steps for step, value in enumerate(walk)]


def _merge(moment: datetime, bars: Sequence[Bar]) -> Bar:
    """One bar over several: the last close, the whole range."""
    coins = {}
    for coin in COINS:
        parts = [bar.coins[coin] for bar in bars]
        last = parts[-1]
        coins[coin] = CoinBar(
            last.close, max(part.high for part in parts), min(part.low for part in parts), last.closed_at
        )
    return Bar(moment, coins)


def _five_digits(price: float) -> Decimal:
    return Decimal(f"{price:.5g}").normalize() + Decimal(0)
