"""Calibration: recorded history in, the committed figures of `data/parameters.json` and `data/surfaces.json` out.

`manage.py calibrate` prints or writes both. The last day included is the one named, so that a replay of the next day
holds no hindsight. Smiles come from one option chain and carry its date: a snapshot of an earlier day refuses them. The
results are facts about the recording; they copy no price. The version of each is the hash of its content.
"""

import csv
import gzip
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from intermediary.errors import BadInput
from risk.market.copula import degrees_of_freedom, rank_correlation
from risk.market.history import DailyHistory, load_history
from risk.market.parameters import COINS, version_of
from risk.market.published_rates import rates_of
from risk.market.rate_moves import deviations_of, load_rate_moves
from risk.market.surface_report import run as fit_chain
from risk.market.volatility import LONG_HISTORY_DAYS, ewma_filter, volatility_floors

Floats = NDArray[np.float64]

ADV_DAYS = 30
TAIL_SHARE = 0.05  # threshold at the 95% quantile of each side
EXCEEDANCES_MIN = 20  # below it neither threshold nor scale can be told from noise
POOL_WEIGHT = 200.0  # exceedance-equivalents of the pooled shape: a coin with 10 exceedances says little about its own
DEPTH_SHARE_OF_ADV = 0.005  # assumption: 1% of price movement takes half a percent of a day's turnover
DAYS_A_YEAR = 365.25
RATE_DAYS = (1, 30, 91, 182, 365, 730, 1096, 1826)  # a note's final maturity lies some years off; futures lie nearer


def calibrate(history_dir: Path, last_day: date) -> dict[str, Any]:
    """All parameters as a JSON-ready body, from history up to and including `last_day` (UTC)."""
    history = load_history(history_dir, last_day + timedelta(days=1))
    if history is None:
        raise ValueError(f"no recorded history in {history_dir} before {last_day}")
    filtered = [ewma_filter(history.returns[0][:, index]) for index in range(len(COINS))]
    residuals = np.column_stack([residual for residual, _ in filtered])
    vol_now = np.array([forecast for _, forecast in filtered])
    implied = _implied_vols(history_dir, last_day)
    premium = implied[last_day] / (vol_now[COINS.index("BTC")] * np.sqrt(DAYS_A_YEAR))
    tails = {side: _tails(sign * residuals) for side, sign in (("upper", 1.0), ("lower", -1.0))}
    floors = volatility_floors(history.returns[0])
    coins = {}
    for index, coin in enumerate(COINS):
        adv = float(np.nanmean(history.turnover_usd[-ADV_DAYS:, index]))
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
        "vol_response": _vol_response(history, residuals[:, COINS.index("BTC")], implied),
        "rates": _rates(history_dir, last_day),
        "rate_moves": _rate_moves(history_dir, last_day),
    }
    return {"version": version_of(body)} | body


def calibrate_surfaces(chain: Path) -> dict[str, Any]:
    """The surface of every underlying in an option chain, with the anchors it is spoken of by, as a JSON-ready body."""
    report, _ = fit_chain(chain)
    kept = ("surface", "anchors", "inside_share", "rmse_vol_points")
    body = {
        "chain_sha256": report["file"]["sha256"],
        "underlyings": {
            coin: {name: fitted[name] for name in kept} for coin, fitted in sorted(report["underlyings"].items())
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
    """BTC implied volatility index by date, as a fraction, up to `last_day`."""
    with gzip.open(history_dir / "dvol_btc_daily_202211_202511.csv.gz", "rt") as stream:
        rows = {date.fromisoformat(row["date"]): float(row["dvol"]) / 100.0 for row in csv.DictReader(stream)}
    return {day: value for day, value in rows.items() if day <= last_day}


def _vol_response(history: DailyHistory, btc: Floats, implied: dict[date, float]) -> dict[str, float]:
    """Least squares of the log change of implied volatility on the day's standardised fall and rise of BTC."""
    rows, changes = [], []
    for index, day in enumerate(history.days):
        # A return that ends at 00:00 of `day` is the market of the day before.
        today, yesterday = implied.get(day - timedelta(days=1)), implied.get(day - timedelta(days=2))
        if today is not None and yesterday is not None:
            rows.append([max(-btc[index], 0.0), max(btc[index], 0.0)])
            changes.append(np.log(today / yesterday))
    design, observed = np.array(rows), np.array(changes)
    beta, *_ = np.linalg.lstsq(design, observed, rcond=None)
    residual = float(np.std(observed - design @ beta))
    return {"down": _digits(beta[0]), "up": _digits(beta[1]), "residual": _digits(residual)}


def _rates(history_dir: Path, last_day: date) -> list[list[Any]]:
    """Zero rates of the curve of SOFR and Treasury yields on the last day, as far as it reaches."""
    curve = rates_of(history_dir, last_day).curve(last_day)
    reach = (curve.dates[-1] - curve.as_of).days
    return [[days, str(rate)] for days, rate in curve.points([days for days in RATE_DAYS if days <= reach])]


def _rate_moves(history_dir: Path, last_day: date) -> dict[str, float]:
    """How much level and slope of the curve have moved a day, over all that is recorded."""
    found = load_rate_moves(history_dir, last_day + timedelta(days=1))
    if found is None:
        raise BadInput("rates.absent", f"neither table of yields is in {history_dir}")
    return {name: _digits(value) for name, value in asdict(deviations_of(found)).items()}


def _digits(value: float) -> float:
    return float(f"{float(value):.6g}")


def _whole(value: float) -> str:
    return f"{value:.0f}"
