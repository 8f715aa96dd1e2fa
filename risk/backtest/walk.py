"""The walk: every past day's forecast for every book, made from what was known that day, beside what then happened.

Two forecasts are walked together, because the second without the first shows nothing. (a) The conditional model: recent
surprises in today's volatilities with a Pareto tail; no stressed weight, no floor. It should be right, neither low nor
high. (b) The margin: base initial margin from all three families and the volatility floor. It may only be high.
Both come from the engine's own families and tails. The margin of a day's book is what the engine would ask for it at
00:00 UTC, per dollar of gross notional; the window is the 24 hours that follow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import BadInput
from risk.backtest.books import TREND_WINDOWS, Book, books, holdings, weights
from risk.backtest.prices import HourlyPrices
from risk.margin.families import (
    recent_rows,
    stressed_rows,
    surprise_model,
    surprises,
)
from risk.margin.ruleset import Ruleset
from risk.margin.tails import ParetoTail, fit_pareto, tail_count, worst_losses
from risk.market.copula import SurpriseModel
from risk.market.realised import WINDOW_HOURS, FilteredHistory, cholesky_roots, filter_history, of_coins
from risk.market.volatility import volatility_floors

Floats = NDArray[np.float64]

WARM_UP = 365  # windows a coin must have been recorded before a book holds it: a year
TESTED_MIN = 250  # windows a book must then be tested in: the Basel year
REFIT_WINDOWS = 30  # stressed rows and floors are renewed monthly
REFIT_COPULA_WINDOWS = 180  # degrees of freedom move slowly and cost a second
QUANTILES = (0.99, 0.997)
TAIL_SHARE = 0.05  # the Pareto limit is fitted to the worst 5% of scenarios, as in the engine


@dataclass(frozen=True)
class Walk:
    """Results of B books over T windows; arrays (T, B) per dollar of gross notional. `loss` is NaN where a book cannot
    be held, the others also where it is not tested. `var` (T, B, 2) at 99% and 99.7%, `es_99`, `xi`, `scale` (of the
    tail beyond VaR 99%): model (a). `margin`: base IM of (b). `rise`: how far the volatility of what is held stands
    above its floor, at least 1. `days` the UTC midnights at which the windows begin; none before `begin` is tested:
    those are the past that the first forecasts are made from."""

    books: tuple[Book, ...]
    days: tuple[datetime, ...]
    begin: int
    loss: Floats
    var: Floats
    es_99: Floats
    xi: Floats
    scale: Floats
    margin: Floats
    rise: Floats


@dataclass
class _Fitted:
    """What is renewed from time to time, always from the past alone."""

    stressed: Floats
    floors: Floats
    model: SurpriseModel


def walk(prices: HourlyPrices, rules: Ruleset, progress: Callable[[int, int], None] = lambda done, of: None) -> Walk:
    """Walk through `prices`. Raises BadInput `backtest.too_short` when no symbol has 365 + 250 windows."""
    last = (prices.log_close.shape[0] - 1) // WINDOW_HOURS * WINDOW_HOURS
    needed = WARM_UP + TESTED_MIN
    recorded = np.isfinite(prices.log_close).sum(axis=0) // WINDOW_HOURS
    kept = np.flatnonzero(recorded > needed)
    if kept.size == 0:
        longest = int(recorded.max())
        message = f"the longest symbol has {longest} days, {needed + 1} are needed"
        raise BadInput("backtest.too_short", message, days=longest, needed=needed + 1)
    log_close = prices.log_close[:, kept]
    filtered = filter_history(log_close, rules.filter_decays, last)
    half = filter_history(log_close, rules.filter_decays, last - WINDOW_HOURS // 2)
    times = [prices.time_of(int(row)) for row in filtered.ends]
    symbols = tuple(prices.symbols[kept[column]] for column in filtered.order)
    return _Walker(filtered, half, tuple(times), symbols, rules).run(progress)


class _Walker:
    """Coins are in the filter's order, oldest first, throughout."""

    def __init__(
        self,
        filtered: FilteredHistory,
        half: FilteredHistory,
        times: tuple[datetime, ...],
        symbols: tuple[str, ...],
        rules: Ruleset,
    ) -> None:
        self.filtered, self.rules, self.symbols, self.times = filtered, rules, symbols, times
        self.returns = filtered.returns[:, filtered.order]
        self.deviation = np.sqrt(np.einsum("tii->ti", filtered.covariance)[:, filtered.order])
        # Windows of the half-day phase are counted so that window t of it ends half a day before window t does.
        late = times[-1] - timedelta(hours=WINDOW_HOURS // 2)
        half_times = [late - timedelta(days=half.ends.size - 1 - row) for row in range(half.ends.size)]
        self.phases = (
            surprises(filtered, [time.date() for time in times]),
            surprises(half, [time.date() for time in half_times], filtered.ends.size - half.ends.size),
        )
        # A coin may be held when it has been recorded for a year before the window, and until it is no longer.
        recorded = np.isfinite(self.returns[:-1])
        self.usable = np.zeros(self.returns.shape, dtype=np.bool_)
        self.usable[1:] = (np.cumsum(recorded, axis=0) >= WARM_UP) & recorded
        ordered = filtered.covariance[:-1][:, filtered.order[:, None], filtered.order]
        self.root = cholesky_roots(of_coins(ordered, self.usable))

    def run(self, progress: Callable[[int, int], None]) -> Walk:
        every = books(self.symbols)
        self.holdings = holdings(every, self.symbols)
        count = self.returns.shape[0]
        begin = int(np.argmax(self.usable.any(axis=1)))
        loss, es_99, xi, scale, margin, rise = (np.full((count, len(every)), np.nan) for _ in range(6))
        var = np.full((count, len(every), len(QUANTILES)), np.nan)
        fitted: _Fitted | None = None
        for window in range(TREND_WINDOWS, count):
            moves = np.expm1(self.returns[window])
            known = np.isfinite(self.deviation[window])
            held, can = self._held(window, known, moves)
            loss[window, can] = -(held[can] @ np.nan_to_num(moves))
            if window < begin:
                continue
            fitted = self._fit(window, window - begin, fitted)
            if not np.array_equal(known, self.usable[window]):
                held, can = self._held(window, self.usable[window], moves)
                loss[window, can] = -(held[can] @ np.nan_to_num(moves))
            held = held[can][:, self.usable[window]]
            tail, var[window, can] = self._conditional(held, window)
            es_99[window, can] = tail.expected_shortfall(QUANTILES[0])
            xi[window, can] = tail.xi
            scale[window, can] = tail.beta + tail.xi * (var[window, can, 0] - tail.u)
            margin[window, can] = self._margin(held, window, fitted)
            rise[window, can] = self._rise(held, window, fitted)
            progress(window + 1 - begin, count - begin)
        enough = np.isfinite(margin).sum(axis=0) >= TESTED_MIN
        return Walk(
            books=tuple(book for book, keep in zip(every, enough, strict=True) if keep),
            days=tuple(time - timedelta(hours=WINDOW_HOURS) for time in self.times),
            begin=begin,
            loss=loss[:, enough],
            var=var[:, enough],
            es_99=es_99[:, enough],
            xi=xi[:, enough],
            scale=scale[:, enough],
            margin=margin[:, enough],
            rise=rise[:, enough],
        )

    def _held(self, window: int, known: NDArray[np.bool_], moves: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """(B, C) weights, and which books hold something whose move is recorded."""
        deviation = np.where(known, self.deviation[window], np.nan)
        if not known.any():
            return np.zeros_like(self.holdings.signs), np.zeros(self.holdings.named.size, dtype=np.bool_)
        held = weights(self.holdings, deviation, self.returns[window - TREND_WINDOWS : window])
        unrecorded = ((held != 0.0) & np.isnan(moves)).any(axis=1)
        return held, (held != 0.0).any(axis=1) & ~unrecorded

    def _fit(self, window: int, row: int, before: _Fitted | None) -> _Fitted:
        if before is not None and row % REFIT_WINDOWS:
            return before
        model = before.model if before is not None else None
        if model is None or row % REFIT_COPULA_WINDOWS == 0:
            model = surprise_model(self.filtered, window, self.rules.scenarios_recent)
        recent = recent_rows(self.phases[0], window, self.rules.scenarios_recent).shape[0]
        stressed = stressed_rows(self.phases, window, self._share(self.rules.scenarios_stressed, recent))
        return _Fitted(stressed, volatility_floors(self.returns[:window]), model)

    def _share(self, count: int, recent: int) -> int:
        """Rows of a family in the ruleset's proportion while the recent one still grows."""
        return round(count * recent / self.rules.scenarios_recent)

    def _conditional(self, held: Floats, window: int) -> tuple[ParetoTail, Floats]:
        coins = np.flatnonzero(self.usable[window])
        rows = recent_rows(self.phases[0], window, self.rules.scenarios_recent)[:, coins]
        losses = -(held @ np.expm1(rows @ self.root[window][np.ix_(coins, coins)].T).T)
        size = losses.shape[1]
        tail = _tail(worst_losses(losses, _beyond(size) + 1), size, self.rules)
        return tail, np.stack([tail.value_at_risk(quantile) for quantile in QUANTILES], axis=1)

    def _margin(self, held: Floats, window: int, fitted: _Fitted) -> Floats:
        """Base IM: the three families in today's correlations, volatility not below the floor."""
        coins = np.flatnonzero(self.usable[window])
        rules = self.rules
        deviation = self.deviation[window][coins]
        root = self.root[window][np.ix_(coins, coins)] / deviation[:, None]
        recent = recent_rows(self.phases[0], window, rules.scenarios_recent)
        drawn = fitted.model.draw(
            root, self._share(rules.scenarios_simulated, recent.shape[0]), np.random.default_rng(rules.seed)
        )
        recorded = np.vstack([recent, fitted.stressed])[:, coins] @ root.T
        standardised = np.vstack([recorded, drawn])
        losses = -(held @ np.expm1(standardised * np.maximum(deviation, fitted.floors[coins])).T)
        size = losses.shape[1]
        worst = worst_losses(losses, max(_beyond(size) + 1, tail_count(size, rules.es_quantile)))
        shortfall = worst[:, -tail_count(size, rules.es_quantile) :].mean(axis=1)
        base: Floats = np.maximum(shortfall, _tail(worst, size, rules).value_at_risk(rules.evt_quantile))
        return base

    def _rise(self, held: Floats, window: int, fitted: _Fitted) -> Floats:
        """As the ruleset's buffer reads it: sizes times volatility over sizes times its floor."""
        coins, size = np.flatnonzero(self.usable[window]), np.abs(held)
        floors = fitted.floors[coins]
        rise: Floats = (size @ np.maximum(self.deviation[window][coins], floors)) / (size @ floors)
        return rise


def _beyond(size: int) -> int:
    """How many of `size` scenarios the Pareto limit is fitted to."""
    return round(TAIL_SHARE * size)


def _tail(worst: Floats, size: int, rules: Ruleset) -> ParetoTail:
    """Fitted to the last of `worst` (B, n) ascending, of `size` losses a book."""
    return fit_pareto(worst[:, -_beyond(size) - 1 :], size, rules.evt_shape_max)
