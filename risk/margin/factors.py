"""What moves beside prices in a joint scenario: volatility surface, premium, basis, dollar curve and peg.

`scenarios` draws how many deviations each coin moves; here each of those days becomes a whole market, over the margin
period. Pure: equal arguments and an equally seeded generator give equal shocks.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from risk.margin.ruleset import Ruleset
from risk.margin.shocks import ShockSet
from risk.market.parameters import COINS, MAJORS, Parameters, RateDeviations
from risk.market.rate_moves import RateMoves
from risk.market.volatility import vol_change

Floats = NDArray[np.float64]

MAJOR_COLUMNS = [COINS.index(coin) for coin in MAJORS]  # whose forwards are traded


@dataclass(frozen=True)
class RecordedRates:
    """Moves of the dollar curve where they are recorded, and the `days` of the first scenarios, which are recorded
    too."""

    moves: RateMoves | None
    days: list[date]


def joint_shocks(
    residuals: Floats,
    daily_vol: Floats,
    rates: RecordedRates,
    ruleset: Ruleset,
    parameters: Parameters,
    random: np.random.Generator,
) -> ShockSet:
    """Residuals (S, U) in daily standard deviations into moves over the margin period, by the square root of time."""
    root = np.sqrt(ruleset.mpor_hours / 24.0)
    log_return = residuals * daily_vol * root
    noise = random.standard_normal(residuals.shape)
    vol_log = vol_change(residuals, parameters.vol_response, noise, ruleset.vol_rest_recorded)
    count = residuals.shape[0]
    size = _day_size(residuals) if ruleset.basis_by_day else np.ones(count)
    crash = np.maximum(-residuals - ruleset.crash_from, 0.0) * daily_vol * root
    premium = ruleset.premium_beta * log_return - ruleset.premium_crash_beta * crash
    premium += ruleset.premium_vol * root * random.standard_normal(residuals.shape) * size[:, None]
    basis_annual = ruleset.basis_vol_annual * root * random.standard_normal(count) * size
    basis_annual -= ruleset.basis_crash_beta * crash[:, MAJOR_COLUMNS].mean(axis=1)
    # Drawn last: a ruleset without them draws the others as ever.
    term = ruleset.term_beta * vol_log + ruleset.term_vol * random.standard_normal(residuals.shape)
    skew = ruleset.skew_beta * residuals + ruleset.skew_vol * random.standard_normal(residuals.shape)
    moves = np.zeros((count, 2))
    if ruleset.rate_scale:
        moves = ruleset.rate_scale * root * rate_moves(rates, count, parameters.rate_moves, random)
    return ShockSet(
        coins=COINS,
        price_ratio=np.exp(log_return),
        vol_ratio=np.exp(vol_log * root),
        vol_term=term * root,
        vol_skew=skew * root,
        premium=premium,
        basis_annual=basis_annual,
        rate_level=moves[:, 0].copy(),
        rate_slope=moves[:, 1].copy(),
        peg=np.ones(count),
        peg_move=peg_moves(ruleset, count, random),
        hours=ruleset.mpor_hours if ruleset.time_passes else 0.0,
    )


def _day_size(residuals: Floats) -> Floats:
    """(S,) how wild each joint day is: root mean square over its coins, itself of mean square one."""
    square = np.square(residuals).mean(axis=1)
    size: Floats = np.sqrt(square / square.mean())
    return size


def peg_moves(ruleset: Ruleset, count: int, random: np.random.Generator) -> Floats:
    """(count,) relative moves of the settlement token's price: small ones, and `peg_breaks` breaks among the drawn
    scenarios, which come last. They are the same over any period, since a peg is pulled back or it is broken; and they
    know no prices, because the one break on record came from a bank."""
    moves = ruleset.peg_vol * random.standard_normal(count)
    if ruleset.peg_breaks:
        drawn = min(ruleset.scenarios_simulated, count)
        broken = random.choice(drawn, min(ruleset.peg_breaks, drawn), replace=False)
        moves[count - 1 - broken] = -ruleset.peg_break
    return moves


def rate_moves(rates: RecordedRates, count: int, usual: RateDeviations, random: np.random.Generator) -> Floats:
    """(count, 2) daily moves of level and slope of the dollar curve, fractions a year.

    On recorded days they are the recorded moves in units of their own day's deviation times today's, neither ever
    below the `usual` one; where nothing is recorded, and for all other rows, normal draws.
    """
    correlation = np.array([[1.0, usual.correlation], [usual.correlation, 1.0]])
    surprises = random.standard_normal((count, 2)) @ np.linalg.cholesky(correlation).T
    deviation = np.array([usual.level, usual.slope])
    if rates.moves is not None:
        standard, deviation = rates.moves.filtered(usual)
        known = standard.on(rates.days)
        surprises[: len(rates.days)] = np.where(np.isnan(known), surprises[: len(rates.days)], known)
    moves: Floats = surprises * deviation
    return moves
