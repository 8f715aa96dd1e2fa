"""The walk: every past day's forecast for every book, made from what was known that day, beside what then happened.

Two forecasts are walked together, because the second without the first shows nothing. (a) The conditional model: recent
surprises in today's volatilities with a Pareto tail; no stressed weight, no floor. It should be right, neither low nor
high. (b) The margin: base initial margin from all three families and the volatility floor. It may only be high.
Both come from the engine's own families and tails. The margin of a day's book is what the engine would ask for it at
00:00 UTC, per dollar of gross notional; the window is the 24 hours that follow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.backtest.books import TREND_WINDOWS, Book, Holdings, books, holdings, weights
from risk.backtest.past import TESTED_MIN, Past
from risk.margin.ruleset import Ruleset
from risk.margin.tails import ParetoTail, fit_pareto, tail_count, worst_losses

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

QUANTILES = (0.99, 0.997)
TAIL_SHARE = 0.05  # the Pareto limit is fitted to the worst 5% of scenarios, as in the engine


@dataclass(frozen=True)
class Tails:
    """Pareto tails of T windows and B books: P(L > x) = share (1 + xi (x - u)/beta)^(-1/xi) for x > u. `u`, `xi` and
    `beta` (T, B), NaN where a book is not tested; `share` (T,) about 5%."""

    u: Floats
    xi: Floats
    beta: Floats
    share: Floats

    @classmethod
    def empty(cls, windows: int, books: int) -> "Tails":
        """To be filled by `put`."""
        u, xi, beta = (np.full((windows, books), np.nan) for _ in range(3))
        return cls(u, xi, beta, np.full(windows, np.nan))

    def put(self, window: int, columns: NDArray[Any], tail: ParetoTail) -> None:
        """The tails of one window's books."""
        self.u[window, columns], self.xi[window, columns], self.beta[window, columns] = tail.u, tail.xi, tail.beta
        self.share[window] = tail.share

    def of_books(self, chosen: NDArray[Any]) -> "Tails":
        """Some of the books."""
        return Tails(self.u[:, chosen], self.xi[:, chosen], self.beta[:, chosen], self.share)

    def of_windows(self, chosen: NDArray[Any] | slice) -> "Tails":
        """Some of the windows."""
        return Tails(self.u[chosen], self.xi[chosen], self.beta[chosen], self.share[chosen])


@dataclass(frozen=True)
class Walk:
    """Results of B books over T windows; arrays (T, B) per dollar of gross notional. `loss` is NaN where a book cannot
    be held, the others also where it is not tested. `var` (T, B, 2) at 99% and 99.7%, `es_99` and `tails`: model (a).
    `margin`: base IM of (b), `margin_tails` the tail of its scenarios. `rise`: how far the volatility of what is held
    stands above its floor, at least 1. `days` the UTC midnights at which the windows begin; none before `begin` is
    tested: those are the past that the first forecasts are made from."""

    books: tuple[Book, ...]
    days: tuple[datetime, ...]
    begin: int
    loss: Floats
    var: Floats
    es_99: Floats
    tails: Tails
    margin: Floats
    margin_tails: Tails
    rise: Floats

    def of_books(self, chosen: NDArray[np.intp]) -> "Walk":
        """Some of the books."""
        arrays = {name: getattr(self, name)[:, chosen] for name in ("loss", "var", "es_99", "margin", "rise")}
        tails = {name: getattr(self, name).of_books(chosen) for name in ("tails", "margin_tails")}
        return replace(self, books=tuple(self.books[row] for row in chosen), **arrays, **tails)


class Recorder:
    """The arrays of a walk while it goes."""

    def __init__(self, every: tuple[Book, ...], past: Past, begin: int) -> None:
        windows, self._books = len(past.times), len(every)
        self._every, self._past, self._begin = every, past, begin
        self.loss, self._es_99, self._margin, self._rise = (np.full((windows, self._books), np.nan) for _ in range(4))
        self._var = np.full((windows, self._books, len(QUANTILES)), np.nan)
        self._tails, self._margin_tails = (Tails.empty(windows, self._books) for _ in range(2))

    def put(self, window: int, tested: NDArray[Any], conditional: Floats, of_margin: Floats, rise: Floats) -> None:
        """Losses of the `tested` books under the moves of (a) and of (b), (b, S) each, and their (b,) `rise`."""
        rules = self._past.rules
        tail = pareto_tail(worst_losses(conditional, _beyond(conditional.shape[1]) + 1), conditional.shape[1], rules)
        for level, quantile in enumerate(QUANTILES):
            self._var[window, tested, level] = tail.value_at_risk(quantile)
        self._es_99[window, tested] = tail.expected_shortfall(QUANTILES[0])
        self._tails.put(window, tested, tail)
        self._margin[window, tested], worst = base_margin(of_margin, rules)
        self._margin_tails.put(window, tested, worst)
        self._rise[window, tested] = rise

    def walk(self, least: int = TESTED_MIN) -> Walk:
        """Of the books that were tested in at least so many windows."""
        found = Walk(
            books=self._every,
            days=self._past.days,
            begin=self._begin,
            loss=self.loss,
            var=self._var,
            es_99=self._es_99,
            tails=self._tails,
            margin=self._margin,
            margin_tails=self._margin_tails,
            rise=self._rise,
        )
        return found.of_books(np.flatnonzero(np.isfinite(self._margin).sum(axis=0) >= least))


def walk(past: Past, progress: Progress = lambda done, of: None) -> Walk:
    """Walk with every book of coins through `past`."""
    every = books(past.symbols)
    found = Recorder(every, past, past.begin)
    held_of = holdings(every, past.symbols)
    count = past.returns.shape[0]
    for window in range(TREND_WINDOWS, count):
        # A coin that has a forecast, but no year yet, is held for its losses alone: the past that plain forecasts need.
        known, usable = np.isfinite(past.deviation[window]), past.usable[window]
        held, can = _held(past, held_of, window, known)
        found.loss[window, can] = -(held[can] @ np.nan_to_num(np.expm1(past.returns[window])))
        if window < past.begin:
            continue
        if not np.array_equal(known, usable):
            held, can = _held(past, held_of, window, usable)
            found.loss[window, can] = -(held[can] @ np.nan_to_num(np.expm1(past.returns[window])))
        _test(found, past, window, can, held[can][:, usable])
        progress(window + 1 - past.begin, count - past.begin)
    return found.walk()


def _held(past: Past, held_of: Holdings, window: int, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """(B, C) weights, and which books hold something whose move is recorded."""
    if not known.any():
        return np.zeros_like(held_of.signs), np.zeros(held_of.named.size, dtype=np.bool_)
    deviation = np.where(known, past.deviation[window], np.nan)
    held = weights(held_of, deviation, past.returns[window - TREND_WINDOWS : window])
    unrecorded = ((held != 0.0) & np.isnan(past.returns[window])).any(axis=1)
    return held, (held != 0.0).any(axis=1) & ~unrecorded


def _test(found: Recorder, past: Past, window: int, can: NDArray[np.bool_], held: Floats) -> None:
    coins, recent = past.coins(window), past.recent(window)
    conditional = -(held @ np.expm1(recent * past.deviation[window][coins]).T)
    moves, volatility = past.margin(window, recent)
    floors = past.fitted(window).floors[coins]
    # As the ruleset's buffer reads it: sizes times volatility over sizes times its floor.
    size = np.abs(held)
    rise = (size @ volatility) / (size @ floors)
    found.put(window, can, conditional, -(held @ np.expm1(moves * volatility).T), rise)


def base_margin(losses: Floats, rules: Ruleset) -> tuple[Floats, ParetoTail]:
    """(B,) base IM of `losses` (B, S) of equally likely scenarios, and the tail it is partly read off."""
    size = losses.shape[1]
    worst = worst_losses(losses, max(_beyond(size) + 1, tail_count(size, rules.es_quantile)))
    shortfall = worst[:, -tail_count(size, rules.es_quantile) :].mean(axis=1)
    tail = pareto_tail(worst, size, rules)
    base: Floats = np.maximum(shortfall, tail.value_at_risk(rules.evt_quantile))
    return base, tail


def _beyond(size: int) -> int:
    """How many of `size` scenarios the Pareto limit is fitted to."""
    return round(TAIL_SHARE * size)


def pareto_tail(worst: Floats, size: int, rules: Ruleset) -> ParetoTail:
    """Fitted to the last of `worst` (B, n) ascending, of `size` losses a book."""
    return fit_pareto(worst[:, -_beyond(size) - 1 :], size, rules.evt_shape_max)
