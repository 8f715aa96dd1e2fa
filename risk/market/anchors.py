"""The surface in a few numbers a desk speaks of: at the money, skew and wings at standard tenors.

Deltas are forward deltas, N(d1) of a call: what the 25-delta put and call quote over the at-the-money volatility is the
skew (risk reversal) and the curvature (butterfly) of the smile, in the terms of Wystup & Reiswig (2010).
"""

from datetime import timedelta
from math import sqrt
from statistics import NormalDist
from typing import Any

from scipy.optimize import brentq

from risk.market.surface import VolSurface

TENORS_DAYS = (7, 30, 90, 180, 365)
DELTA = 0.25
DEVIATIONS_MAX = 8.0  # no strike of a quarter delta is further out


def anchors(surface: VolSurface) -> list[dict[str, Any]]:
    """By tenor in days: `atm_vol` at the forward, `skew` d vol / d ln(K/F) there, `risk_reversal_25` call less put,
    `butterfly_25` mean of both less at the money; annual volatilities as fractions. `extrapolated` beyond the expiries.
    """
    expiries = [(smile.expiry - surface.as_of).total_seconds() / 86_400.0 for smile in surface.smiles]
    rows = []
    for days in TENORS_DAYS:
        atm = _vol(surface, 0.0, days)
        call, put = (_vol(surface, _strike(surface, days, delta), days) for delta in (DELTA, 1.0 - DELTA))
        step = 0.01 * atm * sqrt(days / 365.0)
        rows.append(
            {
                "days": days,
                "atm_vol": round(atm, 6),
                "skew": round((_vol(surface, step, days) - _vol(surface, -step, days)) / (2.0 * step), 6),
                "risk_reversal_25": round(call - put, 6),
                "butterfly_25": round((call + put) / 2.0 - atm, 6),
                "extrapolated": not expiries[0] <= days <= expiries[-1],
            }
        )
    return rows


def _vol(surface: VolSurface, k: float, days: float) -> float:
    return surface.vol_at(k, surface.as_of + timedelta(days=days), surface.as_of)


def _strike(surface: VolSurface, days: float, delta: float) -> float:
    """Log-moneyness k where N(d1) = `delta`, d1 = -k / s + s / 2."""
    target = NormalDist().inv_cdf(delta)
    root = sqrt(days / 365.0)

    def gap(k: float) -> float:
        deviation = _vol(surface, k, days) * root
        return -k / deviation + deviation / 2.0 - target

    reach = DEVIATIONS_MAX * _vol(surface, 0.0, days) * root
    return float(brentq(gap, -reach, reach, xtol=1e-12))
