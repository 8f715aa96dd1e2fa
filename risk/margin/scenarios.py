"""Joint scenarios of the coming margin period: what the market could do to every coin at once.

With recorded history: 1,250 recent days and 500 half-day-phased days of stressed windows, filtered (a surprise times
today's volatility, never below the full-history floor), and 250 draws of a t-copula with Pareto tails. The standard
ruleset filters by realised covariance (`families`), the one of the worked example by an average of daily squares; there
a coin that did not trade on a day takes its part from the coins that did, given the calibrated correlation. Without
history all are drawn. The set depends on (day, ruleset, history) alone: callers cache by id.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from intermediary.canonical import hash_of
from risk.margin.factors import RecordedRates, joint_shocks
from risk.margin.families import (
    STRESSED_WINDOWS,
    describe_families,
    recent_rows,
    recent_windows,
    stressed_rows,
    stressed_windows,
    surprise_model,
    surprises,
)
from risk.margin.ruleset import Ruleset
from risk.margin.shocks import ShockSet
from risk.margin.wrong_way import market_distress
from risk.market.history import DailyHistory
from risk.market.parameters import COINS, CoinParameters, Parameters, load_parameters
from risk.market.realised import FilteredHistory, filter_history
from risk.market.recording import LeftOut, YieldsLeftOut, is_too_old, source_of
from risk.market.volatility import SEED_DAYS, ewma_filter, nearest_correlation

Floats = NDArray[np.float64]

BODY_POINTS = np.arange(0.05, 0.96, 0.05)


@dataclass(frozen=True)
class ScenarioSet:
    """S joint shocks with where they come from. `daily_vol` (U,) is the volatility they were scaled with, never below
    `vol_floor` (U,) of the full history; `distress` (S,) the market's in each (`wrong_way`), of all coins whichever are
    asked for. `inputs` is the hash of all that its figures follow from beside the market and the book: ruleset, day,
    calibrated parameters, recorded closes and yields, stressed windows; it is the same over any margin period. `id`
    names the set over its own. `recorded_to` is the day that the recording reaches, None for a simulated set, and
    `why_simulated` what a recording that is there lacks; `source` says it in words, and of a recording that ended too
    long ago when; `left_out` is what of it could not be true."""

    id: str
    as_of: date
    recorded_to: date | None
    why_simulated: str
    left_out: tuple[LeftOut | YieldsLeftOut, ...]
    shocks: ShockSet
    daily_vol: Floats
    vol_floor: Floats
    distress: Floats
    inputs: str

    @property
    def source(self) -> str:
        """`history`, `history until <day>` or `simulated`."""
        return source_of(self.recorded_to, self.as_of)

    @property
    def is_too_old(self) -> bool:
        """Whether today's volatility is that of a day too long ago; never of a simulated set, which says what it is."""
        return self.recorded_to is not None and is_too_old(self.recorded_to, self.as_of)

    def of_coins(self, coins: tuple[str, ...]) -> "ScenarioSet":
        """The same days of these coins alone: a market may lack one."""
        if coins == self.shocks.coins:
            return self
        shocks = self.shocks.of_coins(coins)
        columns = [self.shocks.coins.index(coin) for coin in coins]
        return replace(self, shocks=shocks, daily_vol=self.daily_vol[columns], vol_floor=self.vol_floor[columns])

    def over(self, hours: float, drawn_hours: float) -> "ScenarioSet":
        """The same worlds over another margin period than they were drawn for, by the square root of time: exactly what
        drawing them for it gives."""
        root = float(np.sqrt(hours / drawn_hours))
        moved, whole = self.shocks.carried(root), hours if self.shocks.hours else 0.0
        shocks = replace(moved, premium=self.shocks.premium * root, hours=whole)
        return replace(self, id=hash_of({"scenarios": self.id, "hours": repr(hours)}), shocks=shocks)


def build_scenarios(ruleset: Ruleset, as_of: date, history: DailyHistory | None) -> ScenarioSet:
    """The scenarios for margin periods that begin on `as_of`; `history` must end before it (see `load_history`).

    History shorter than the recent sample, or without enough days of any one coin to start its filter, is treated as
    none: half a sample would hide which half it is. One that ended long ago is used, and says so.
    """
    parameters = load_parameters()
    # One seed for all days: margin must move with the market, not with the draw.
    random = np.random.default_rng(ruleset.seed)
    lacks = _lacks(history, ruleset) if history is not None else ""
    used = history if not lacks else None
    quoted: list[date] = []
    if used is not None and ruleset.filter_decays:
        residuals, vol_now, quoted = _realised_moves(used, ruleset, random)
    elif used is not None:
        residuals, vol_now = _residuals_of_history(used, ruleset, parameters, random)
    else:
        residuals = _draw(ruleset.scenarios_total, parameters, random)
        vol_now = np.array([parameters.coins[coin].vol_now for coin in COINS])
    floor = np.array([parameters.coins[coin].vol_floor for coin in COINS])
    daily_vol = np.maximum(vol_now, floor)
    inputs = inputs_of(ruleset, as_of, used, parameters)
    rates = RecordedRates(used.rates if used is not None else None, quoted)
    return ScenarioSet(
        id=hash_of({"inputs": inputs, "hours": repr(ruleset.mpor_hours)}),
        inputs=inputs,
        as_of=as_of,
        recorded_to=used.recorded_to if used is not None else None,
        why_simulated=lacks,
        left_out=history.left_out if history is not None else (),
        shocks=joint_shocks(residuals, daily_vol, rates, ruleset, parameters, random),
        daily_vol=daily_vol,
        vol_floor=floor,
        distress=market_distress(residuals),
    )


def inputs_of(ruleset: Ruleset, as_of: date, used: DailyHistory | None, parameters: Parameters) -> str:
    """The hash of all that a set follows from; `used` the recording that it is drawn from."""
    return hash_of(
        {
            "as_of": as_of.isoformat(),
            "ruleset": ruleset.hash,
            "parameters": parameters.version,
            "history": used.digest if used is not None else "",
            "rates": used.rates.digest if used is not None and used.rates is not None else "",
            "families": describe_families(),
        }
    )


def _lacks(history: DailyHistory, ruleset: Ruleset) -> str:
    """What is missing to draw from it, in words; nothing where it will do."""
    if len(history.days) <= ruleset.scenarios_recent:
        return f"{len(history.days)} days, more than {ruleset.scenarios_recent} are needed"
    days_of_each_coin = np.isfinite(history.returns[0]).sum(axis=0)
    shortest = int(days_of_each_coin.argmin())
    if days_of_each_coin[shortest] < SEED_DAYS:
        recorded = int(days_of_each_coin[shortest])
        return f"{history.coins[shortest]} has {recorded} recorded days, {SEED_DAYS} are needed"
    return "" if history.recorded_to is not None else "no whole recorded day of each coin"


def _realised_moves(
    history: DailyHistory, ruleset: Ruleset, random: np.random.Generator
) -> tuple[Floats, Floats, list[date]]:
    """(S, U) standardised joint moves in today's correlations, (U,) today's volatility: the backtested model; and the
    day of each recorded row, which come first."""
    last = history.log_close.shape[0] - 1
    filtered = filter_history(history.log_close, ruleset.filter_decays, last)
    half = filter_history(history.log_close, ruleset.filter_decays, last - 12)
    phases = (surprises(filtered, _days_of(history, filtered)), surprises(half, _days_of(history, half)))
    end = filtered.ends.size
    vol_now = np.sqrt(np.diag(filtered.covariance[-1]))
    root = filtered.root[-1] / vol_now[filtered.order][:, None]
    recent, stressed = (phases[0], end, ruleset.scenarios_recent), (phases, end, ruleset.scenarios_stressed)
    recorded = np.vstack([recent_rows(*recent), stressed_rows(*stressed)])
    of_phase = [_days_of(history, filtered), _days_of(history, half)]
    windows = [(0, window) for window in recent_windows(*recent).tolist()]
    windows += zip(*(part.tolist() for part in stressed_windows(*stressed)), strict=True)
    # A window that ends at 00:00 or at noon holds the business hours of the day before.
    quoted = [of_phase[phase][window] - timedelta(days=1) for phase, window in windows]
    model = surprise_model(filtered, end, ruleset.scenarios_recent)
    drawn = model.draw(root, ruleset.scenarios_total - recorded.shape[0], random)
    moves = np.empty((ruleset.scenarios_total, len(COINS)))
    moves[:, filtered.order] = np.vstack([recorded @ root.T, drawn])
    return moves, vol_now, quoted


def _days_of(history: DailyHistory, filtered: FilteredHistory) -> list[date]:
    """The dates on which the windows end."""
    return [history.days[0] + timedelta(hours=int(row)) for row in filtered.ends]


def _residuals_of_history(
    history: DailyHistory, ruleset: Ruleset, parameters: Parameters, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """(S, U) residuals and (U,) volatility forecast after the last recorded day."""
    phases = []
    forecasts = []
    for returns in history.returns:
        filtered = [ewma_filter(returns[:, column], ruleset.ewma_decay) for column in range(len(COINS))]
        phases.append(np.column_stack([residual for residual, _ in filtered]))
        forecasts.append(np.array([forecast for _, forecast in filtered]))
    recent = _joint_rows(phases[0])[-ruleset.scenarios_recent :]
    stressed = _stressed_rows(history, phases, ruleset.scenarios_stressed)
    recorded = _fill_missing(np.vstack([recent, stressed]), np.array(parameters.correlation), random)
    drawn = _draw(ruleset.scenarios_total - recorded.shape[0], parameters, random)
    return np.vstack([recorded, drawn]), forecasts[0]


def _joint_rows(residuals: Floats) -> Floats:
    """Days on which the three coins recorded throughout all have a residual."""
    anchors = [COINS.index(coin) for coin in ("BTC", "ETH", "XRP")]
    rows: Floats = residuals[~np.isnan(residuals[:, anchors]).any(axis=1)]
    return rows


def _stressed_rows(history: DailyHistory, phases: list[Floats], count: int) -> Floats:
    """Both phases of every stressed day; of more than `count` the calmest are dropped, so no crash day ever is."""
    inside = np.array([any(first <= day <= last for first, last in STRESSED_WINDOWS) for day in history.days])
    rows = np.vstack([_joint_rows(phase[inside]) for phase in phases])
    size = np.nanmean(np.abs(rows), axis=1)
    keep = np.sort(np.argsort(-size, kind="stable")[:count])
    chosen: Floats = rows[keep]
    return chosen


def _fill_missing(residuals: Floats, correlation: Floats, random: np.random.Generator) -> Floats:
    """Replace NaN by a draw given the coins recorded that day: mean R_mo R_oo^-1 z_o, variance the Schur complement."""
    filled = residuals.copy()
    missing = np.isnan(residuals)
    for pattern in np.unique(missing, axis=0):
        if not pattern.any():
            continue
        rows = np.flatnonzero((missing == pattern).all(axis=1))
        seen = ~pattern
        gain = np.linalg.solve(correlation[np.ix_(seen, seen)], correlation[np.ix_(seen, pattern)])
        left = correlation[np.ix_(pattern, pattern)] - correlation[np.ix_(pattern, seen)] @ gain
        root = np.linalg.cholesky(left + 1e-9 * np.eye(left.shape[0]))
        noise = random.standard_normal((rows.size, left.shape[0])) @ root.T
        filled[np.ix_(rows, pattern)] = residuals[np.ix_(rows, seen)] @ gain + noise
    return filled


def _draw(count: int, parameters: Parameters, random: np.random.Generator) -> Floats:
    """(count, U) residuals of the t-copula with each coin's own body and tails."""
    root = np.linalg.cholesky(nearest_correlation(np.array(parameters.correlation)))
    normal = random.standard_normal((count, len(COINS))) @ root.T
    mixing = np.sqrt(random.chisquare(parameters.dof, size=(count, 1)) / parameters.dof)
    uniform = stdtr(parameters.dof, normal / mixing)
    columns = [residual_quantile(parameters.coins[coin], uniform[:, index]) for index, coin in enumerate(COINS)]
    return np.column_stack(columns)


def residual_quantile(coin: CoinParameters, probability: Floats) -> Floats:
    """Residual of `probability` in (0, 1): linear between body quantiles, Pareto beyond 5% and 95%.

    The body meets each tail at its threshold, so the function is continuous and increasing.
    """
    body = np.array(coin.body)
    body[0], body[-1] = -coin.lower.u, coin.upper.u
    result = np.interp(probability, BODY_POINTS, np.maximum.accumulate(body))
    for tail, sign, beyond in ((coin.lower, -1.0, probability), (coin.upper, 1.0, 1.0 - probability)):
        hit = beyond < tail.share
        xi = max(tail.xi, 1e-9)
        excess = np.expm1(-xi * np.log(beyond[hit] / tail.share)) * tail.beta / xi
        result[hit] = sign * (tail.u + excess)
    return result
