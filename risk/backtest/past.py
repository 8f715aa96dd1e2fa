"""What the engine would have known on each past day: surprises, today's correlations and volatilities, floors, crises.

One value of it serves every kind of book: coins (`walk`) and options (`options`) ask it for the joint moves of a day,
(a) of the conditional model, (b) of the margin. Everything comes from the engine's own families and filter, and of a
window only what was known when it began. Moves are in units of a coin's forecast volatility; coins are in the filter's
order, oldest first, and of a window only the usable ones: recorded for a year and still.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import BadInput
from risk.backtest.prices import HourlyPrices
from risk.margin.families import recent_rows, stressed_rows, surprise_model, surprises
from risk.margin.ruleset import Ruleset
from risk.market.copula import SurpriseModel
from risk.market.realised import WINDOW_HOURS, cholesky_roots, filter_history, of_coins
from risk.market.volatility import volatility_floors

Floats = NDArray[np.float64]

WARM_UP = 365  # windows a coin must have been recorded before a book holds it: a year
TESTED_MIN = 250  # windows a book must then be tested in: the Basel year
REFIT_WINDOWS = 30  # stressed rows and floors are renewed monthly
REFIT_COPULA_WINDOWS = 180  # degrees of freedom move slowly and cost a second


@dataclass
class Fitted:
    """What is renewed from time to time, always from the past alone. `floors` (C,) of volatility."""

    stressed: Floats
    floors: Floats
    model: SurpriseModel


class Past:
    """T windows of C coins: `returns` (T, C) log returns, `deviation` (T + 1, C) forecast before each window, `usable`
    (T, C), `times` UTC ends of the windows, `begin` the first window in which any coin is usable."""

    def __init__(self, prices: HourlyPrices, rules: Ruleset) -> None:
        """Raises BadInput `backtest.too_short` when no symbol has 365 + 250 windows."""
        last = (prices.log_close.shape[0] - 1) // WINDOW_HOURS * WINDOW_HOURS
        kept = _long_enough(prices)
        log_close = prices.log_close[:, kept]
        self.rules = rules
        self.filtered = filter_history(log_close, rules.filter_decays, last)
        half = filter_history(log_close, rules.filter_decays, last - WINDOW_HOURS // 2)
        order = self.filtered.order
        self.times = tuple(prices.time_of(int(row)) for row in self.filtered.ends)
        self.symbols = tuple(prices.symbols[kept[column]] for column in order)
        self.returns = self.filtered.returns[:, order]
        self.deviation = np.sqrt(np.einsum("tii->ti", self.filtered.covariance)[:, order])
        # Windows of the half-day phase are counted so that window t of it ends half a day before window t does.
        late = self.times[-1] - timedelta(hours=WINDOW_HOURS // 2)
        half_times = [late - timedelta(days=half.ends.size - 1 - row) for row in range(half.ends.size)]
        self.phases = (
            surprises(self.filtered, [time.date() for time in self.times]),
            surprises(half, [time.date() for time in half_times], self.filtered.ends.size - half.ends.size),
        )
        # A coin may be held when it has been recorded for a year before the window, and until it is no longer.
        recorded = np.isfinite(self.returns[:-1])
        self.usable = np.zeros(self.returns.shape, dtype=np.bool_)
        self.usable[1:] = (np.cumsum(recorded, axis=0) >= WARM_UP) & recorded
        self.begin = int(np.argmax(self.usable.any(axis=1)))
        ordered = self.filtered.covariance[:-1][:, order[:, None], order]
        self._root = cholesky_roots(of_coins(ordered, self.usable))
        self._fitted: dict[int, Fitted] = {}
        self._models: dict[int, SurpriseModel] = {}
        self._drawn: dict[int, Floats] = {}  # half of a window's work, and every walk asks for it: 12 kB a window

    @property
    def days(self) -> tuple[datetime, ...]:
        """UTC midnights at which the windows begin."""
        return tuple(time - timedelta(hours=WINDOW_HOURS) for time in self.times)

    def coins(self, window: int) -> NDArray[np.intp]:
        """(K,) the usable coins."""
        return np.flatnonzero(self.usable[window])

    def recent(self, window: int) -> Floats:
        """(n, K) moves of the conditional model: recent surprises in today's correlations."""
        coins = self.coins(window)
        rows: Floats = recent_rows(self.phases[0], window, self.rules.scenarios_recent)[:, coins]
        return rows @ self._correlation_root(window).T

    def margin(self, window: int, recent: Floats) -> tuple[Floats, Floats]:
        """(S, K) moves of all three families, of which `recent` are the first, and (K,) the volatility they are of, not
        below its floor."""
        coins, root, fitted = self.coins(window), self._correlation_root(window), self.fitted(window)
        if window not in self._drawn:
            count = self._share(self.rules.scenarios_simulated, recent.shape[0])
            random = np.random.default_rng(self.rules.seed)
            self._drawn[window] = fitted.model.of_coins(coins).draw(root, count, random)
        moves = np.vstack([recent, fitted.stressed[:, coins] @ root.T, self._drawn[window]])
        return moves, np.maximum(self.deviation[window][coins], fitted.floors[coins])

    def fitted(self, window: int) -> Fitted:
        """As it stands in a window: renewed every 30th from the first, whichever are asked for, in any order."""
        renewed = window - (window - self.begin) % REFIT_WINDOWS
        if renewed not in self._fitted:
            self._fitted[renewed] = self._fit(renewed)
        return self._fitted[renewed]

    def _fit(self, window: int) -> Fitted:
        of_copula = window - (window - self.begin) % REFIT_COPULA_WINDOWS
        if of_copula not in self._models:
            self._models[of_copula] = surprise_model(self.filtered, of_copula, self.rules.scenarios_recent)
        recent = recent_rows(self.phases[0], window, self.rules.scenarios_recent).shape[0]
        stressed = stressed_rows(self.phases, window, self._share(self.rules.scenarios_stressed, recent))
        return Fitted(stressed, volatility_floors(self.returns[:window]), self._models[of_copula])

    def _share(self, count: int, recent: int) -> int:
        """Rows of a family in the ruleset's proportion while the recent one still grows."""
        return round(count * recent / self.rules.scenarios_recent)

    def _correlation_root(self, window: int) -> Floats:
        coins = self.coins(window)
        root: Floats = self._root[window][np.ix_(coins, coins)] / self.deviation[window][coins][:, None]
        return root


def _long_enough(prices: HourlyPrices) -> NDArray[np.intp]:
    needed = WARM_UP + TESTED_MIN
    recorded = np.isfinite(prices.log_close).sum(axis=0) // WINDOW_HOURS
    kept = np.flatnonzero(recorded > needed)
    if kept.size == 0:
        longest = int(recorded.max())
        message = f"the longest symbol has {longest} days, {needed + 1} are needed"
        raise BadInput("backtest.too_short", message, days=longest, needed=needed + 1)
    return kept
