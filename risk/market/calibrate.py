"""Calibration: recorded history in, the committed figures of `data/parameters.json` and `data/surfaces.json` out.

`manage.py calibrate` prints or writes both. The last day included is the one named, so that a replay of the next day
holds no hindsight. Smiles come from one option chain and carry its date: a snapshot of an earlier day refuses them. The
results are facts about the recording; they copy no price. The version of each is the hash of its content.

Prices and turnover must be recorded up to that day. What comes from elsewhere (index of implied volatility, dollar
rates) need not be: where it is not, the figures that are in force stay, and `kept` says which and why.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from intermediary.errors import Refusal
from risk.market.copula import degrees_of_freedom, rank_correlation
from risk.market.history import FIRST_DAY, DailyHistory, hourly_turnover, load_history, missing_files
from risk.market.parameters import COINS, version_of
from risk.market.published_rates import rates_of
from risk.market.rate_moves import deviations_of, load_rate_moves
from risk.market.surface_report import kept as fit_of
from risk.market.surface_report import run as fit_chain
from risk.market.turnover import HOURS_A_WEEK
from risk.market.vol_index import VOL_INDEX_FILE, read_vol_index
from risk.market.volatility import LONG_HISTORY_DAYS, SEED_DAYS, ewma_filter, fit_vol_response, volatility_floors

Floats = NDArray[np.float64]

ADV_DAYS = 30
TAIL_SHARE = 0.05  # threshold at the 95% quantile of each side
EXCEEDANCES_MIN = 20  # below it neither threshold nor scale can be told from noise
POOL_WEIGHT = 200.0  # exceedance-equivalents of the pooled shape: a coin with 10 exceedances says little about its own
DEPTH_SHARE_OF_ADV = 0.005  # assumption: 1% of price movement takes half a percent of a day's turnover
DAYS_A_YEAR = 365.25
PROFILE_WEEKS_MIN = 8  # of each hour of the week: a median of fewer is a week's
RESPONSE_DAYS_MIN = 180  # changes of the index that its response is fitted to: three numbers from half a year
RATE_DAYS = (1, 30, 91, 182, 365, 730, 1096, 1826)  # a note's final maturity lies some years off; futures lie nearer


def calibrate(history_dir: Path, last_day: date, in_force: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters as a JSON-ready body, from history up to and including `last_day` (UTC).

    Of `in_force`, such a body, comes what is not recorded, and the body then has `kept` {figure: why}. Refuses
    `calibrate.no_history`, `calibrate.too_short` (a coin), `calibrate.not_recorded` (prices end before that day) and
    `calibrate.no_turnover`.
    """
    history = _recorded(history_dir, last_day)
    kept: dict[str, str] = {}
    filtered = [ewma_filter(history.returns[0][:, index]) for index in range(len(COINS))]
    residuals = np.column_stack([residual for residual, _ in filtered])
    vol_now = np.array([forecast for _, forecast in filtered])
    implied = _implied_vols(history_dir, last_day)
    premium = _vol_premium(implied, last_day, float(vol_now[COINS.index("BTC")]), in_force, kept)
    tails = {side: _tails(sign * residuals) for side, sign in (("upper", 1.0), ("lower", -1.0))}
    floors = volatility_floors(history.returns[0])
    coins = {}
    for index, coin in enumerate(COINS):
        adv = _turnover(history, index)
        coins[coin] = {
            "vol_now": _digits(vol_now[index]),
            "vol_floor": _digits(floors[index]),
            "adv_usd": _whole(adv),
            "depth_usd": _whole(adv * DEPTH_SHARE_OF_ADV),
            "atm_vol": f"{premium * vol_now[index] * np.sqrt(DAYS_A_YEAR):.4f}",
            "body": [_digits(q) for q in np.nanquantile(residuals[:, index], np.arange(0.05, 0.96, 0.05))],
            "upper": tails["upper"][index],
            "lower": tails["lower"][index],
        }
    correlation, dof = _copula(residuals)
    body = {
        "calibrated_to": last_day.isoformat(),
        "coins": coins,
        "correlation": [[_digits(value) for value in row] for row in correlation],
        "dof": _digits(dof),
        "vol_response": _vol_response(history, residuals[:, COINS.index("BTC")], implied, in_force, kept),
        "rates": _rates(history_dir, last_day, in_force, kept),
        "rate_moves": _rate_moves(history_dir, last_day, in_force, kept),
        "turnover_profile": _turnover_profile(hourly_turnover(history_dir, history), in_force, kept),
    }
    if kept:
        body["kept"] = {name: f"of the calibration to {in_force['calibrated_to']}: {why}" for name, why in kept.items()}
    return {"version": version_of(body)} | body


def _recorded(history_dir: Path, last_day: date) -> DailyHistory:
    """The history up to the end of that day, or a refusal that says what it lacks."""
    absent = missing_files(history_dir)
    history = load_history(history_dir, last_day + timedelta(days=1))
    if history is None:
        why = (
            f"{' and '.join(absent)} are not there; fetch_history brings them" if absent else f"none before {last_day}"
        )
        raise Refusal("calibrate.no_history", f"no recorded history in {history_dir}: {why}", missing=list(absent))
    days = dict(zip(COINS, np.isfinite(history.returns[0]).sum(axis=0).tolist(), strict=True))
    # Every coin needs its filter started, and one of them at least a history that has seen both a calm and a storm.
    shortest, longest = (choice(days, key=lambda name: days[name]) for choice in (min, max))
    for coin, needed in ((shortest, SEED_DAYS), (longest, LONG_HISTORY_DAYS)):
        if days[coin] < needed:
            raise Refusal(
                "calibrate.too_short",
                f"{coin} has {days[coin]} recorded days, {needed} are needed",
                coin=coin,
                days=days[coin],
                needed=needed,
            )
    reached = history.recorded_to
    if reached is None or reached <= last_day:
        last = None if reached is None else (reached - timedelta(days=1)).isoformat()
        raise Refusal(
            "calibrate.not_recorded",
            f"the last day on which every coin is recorded is {last}, {last_day} is asked for",
            last=last,
            asked=last_day.isoformat(),
        )
    return history


def _turnover(history: DailyHistory, index: int) -> float:
    """Mean daily turnover in USD of the last 30 days, of those that are whole."""
    days = history.turnover_usd[-ADV_DAYS:, index]
    if not np.isfinite(days).any():
        coin = history.coins[index]
        raise Refusal("calibrate.no_turnover", f"{coin} has no whole day of turnover in {ADV_DAYS} days", coin=coin)
    return float(np.nanmean(days))


def calibrate_surfaces(chain: Path) -> dict[str, Any]:
    """The surface of every underlying in an option chain, with the anchors it is spoken of by, as a JSON-ready body."""
    report, fits = fit_chain(chain)
    kept = ("surface", "anchors")
    body = {
        "chain_sha256": report["file"]["sha256"],
        "underlyings": {
            coin: {name: fitted[name] for name in kept} | {"fit": fit_of(fits[coin])}
            for coin, fitted in sorted(report["underlyings"].items())
        },
    }
    return {"version": version_of(body)} | body


def _tails(residuals: Floats) -> list[dict[str, float]]:
    """Per coin: threshold, shape shrunk to the pool and held in [0, 0.5], scale refitted to the shape. A side with
    fewer than 20 exceedances takes the threshold and mean excess of the others: five points show no tail."""
    known, short = [], []
    for index, column in enumerate(residuals.T):
        values = column[~np.isnan(column)]
        u = float(np.quantile(values, 1.0 - TAIL_SHARE))
        excess = values[values > u] - u
        if excess.size < EXCEEDANCES_MIN:
            short.append(index)
        else:
            shape = float(stats.genpareto.fit(excess, floc=0.0)[0])
            known.append((index, u, float(np.mean(excess)), shape, excess.size))
    weights = [size for *_, size in known]
    pooled_u, pooled_mean, pooled_shape = np.average([row[1:4] for row in known], axis=0, weights=weights)
    result = {index: _tail(pooled_u, pooled_mean, pooled_shape) for index in short}
    for index, u, mean, shape, size in known:
        weight = size / (size + POOL_WEIGHT)
        result[index] = _tail(u, mean, weight * shape + (1.0 - weight) * pooled_shape)
    return [result[index] for index in range(residuals.shape[1])]


def _tail(u: float, mean_excess: float, shape: float) -> dict[str, float]:
    xi = min(max(shape, 0.0), 0.5)
    return {"u": _digits(u), "xi": _digits(xi), "beta": _digits(mean_excess * (1.0 - xi)), "share": TAIL_SHARE}


def _copula(residuals: Floats) -> tuple[Floats, float]:
    """Correlation sin(pi tau / 2) of a t-copula, and its degrees of freedom by pseudo-likelihood on joint days."""
    matrix = rank_correlation(residuals)
    long = np.flatnonzero(np.sum(~np.isnan(residuals), axis=0) >= LONG_HISTORY_DAYS)
    joint = residuals[:, long]
    joint = joint[~np.isnan(joint).any(axis=1)]
    return matrix, degrees_of_freedom(joint, matrix[np.ix_(long, long)])


def _implied_vols(history_dir: Path, last_day: date) -> dict[date, float]:
    """BTC implied volatility index by date, as a fraction, up to `last_day`; none where it is not recorded."""
    path = history_dir / VOL_INDEX_FILE
    rows = read_vol_index(path) if path.is_file() else {}
    return {day: value for day, value in rows.items() if day <= last_day}


def _vol_premium(
    implied: dict[date, float], last_day: date, vol_now: float, in_force: Mapping[str, Any], kept: dict[str, str]
) -> float:
    """Implied over forecast volatility of BTC, both annual, on the last day."""
    if last_day in implied:
        return implied[last_day] / (vol_now * float(np.sqrt(DAYS_A_YEAR)))
    ends = f"ends on {max(implied)}" if implied else "is not recorded"
    kept["atm_vol over vol_now"] = f"the index of implied volatility {ends}"
    usual = in_force["coins"]["BTC"]
    return float(usual["atm_vol"]) / (float(usual["vol_now"]) * float(np.sqrt(DAYS_A_YEAR)))


def _vol_response(
    history: DailyHistory,
    btc: Floats,
    implied: dict[date, float],
    in_force: Mapping[str, Any],
    kept: dict[str, str],
) -> dict[str, Any]:
    """Least squares of the log change of implied volatility on the day's standardised fall and rise of BTC, and what
    they leave."""
    moves, changes = [], []
    for index, day in enumerate(history.days):
        # A return that ends at 00:00 of `day` is the market of the day before.
        today, yesterday = implied.get(day - timedelta(days=1)), implied.get(day - timedelta(days=2))
        if today is not None and yesterday is not None:
            moves.append(btc[index])
            changes.append(np.log(today / yesterday))
    if len(moves) < RESPONSE_DAYS_MIN:
        days = f"{len(moves)} recorded changes of the index of implied volatility"
        kept["vol_response"] = f"{days}, {RESPONSE_DAYS_MIN} are needed"
        usual: dict[str, Any] = dict(in_force["vol_response"])
        return usual
    found = fit_vol_response(np.array(moves), np.array(changes))
    figures = {name: _digits(getattr(found, name)) for name in ("down", "up", "residual")}
    return figures | {"rest": [_digits(value) for value in found.rest]}


def _rates(history_dir: Path, last_day: date, in_force: Mapping[str, Any], kept: dict[str, str]) -> list[list[Any]]:
    """Zero rates of the curve of SOFR and Treasury yields on the last day, as far as it reaches."""
    try:
        curve = rates_of(history_dir, last_day).curve(last_day)
    except (FileNotFoundError, Refusal) as absent:
        # Rates that are there and no rates are refused; only those that are not there, or old, may stay what they were.
        if isinstance(absent, Refusal) and absent.code != "rates.stale":
            raise
        kept["rates"] = str(absent) if isinstance(absent, Refusal) else "no recorded yields"
        usual: list[list[Any]] = in_force["rates"]
        return usual
    reach = (curve.dates[-1] - curve.as_of).days
    return [[days, str(rate)] for days, rate in curve.points([days for days in RATE_DAYS if days <= reach])]


def _rate_moves(
    history_dir: Path, last_day: date, in_force: Mapping[str, Any], kept: dict[str, str]
) -> dict[str, float]:
    """How much level and slope of the curve have moved a day, over all that is recorded."""
    found = load_rate_moves(history_dir, last_day + timedelta(days=1))
    if found is None or np.isfinite(found.moves[:, 0]).sum() < SEED_DAYS:
        kept["rate_moves"] = "no recorded yields" if found is None else f"fewer than {SEED_DAYS} recorded moves"
        usual: dict[str, float] = dict(in_force["rate_moves"])
        return usual
    return {name: _digits(value) for name, value in asdict(deviations_of(found)).items()}


def _turnover_profile(hourly: Floats, in_force: Mapping[str, Any], kept: dict[str, str]) -> list[float]:
    """Shares of an ordinary hour's turnover by hour of the week: of each coin the median over its weeks, so that no
    wild day stands for its weekday, and of all coins the mean."""
    of_week = (np.arange(hourly.shape[0]) - 1 + FIRST_DAY.weekday() * 24) % HOURS_A_WEEK  # rows end their hour
    weeks = np.array([np.isfinite(hourly[of_week == hour]).sum(axis=0).min() for hour in range(HOURS_A_WEEK)])
    if weeks.min() < PROFILE_WEEKS_MIN:
        kept["turnover_profile"] = f"{weeks.min()} recorded weeks, {PROFILE_WEEKS_MIN} are needed"
        return list(in_force["turnover_profile"])
    medians = np.array([np.nanmedian(hourly[of_week == hour], axis=0) for hour in range(HOURS_A_WEEK)])
    profile = (medians / np.nanmean(hourly, axis=0)).mean(axis=1)
    return [_digits(share) for share in np.round(profile / profile.mean(), 4)]


def _digits(value: float) -> float:
    return float(f"{float(value):.6g}")


def _whole(value: float) -> str:
    return f"{value:.0f}"
