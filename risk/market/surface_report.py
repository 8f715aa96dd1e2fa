"""What a fit of surfaces has to say for itself: residuals by expiry, conditions, refusals, as one JSON-ready body.

Volatility points are hundredths of annual volatility. How to read it: docs/surface.md.
"""

from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import Refusal
from risk.market import arbitrage
from risk.market.anchors import anchors
from risk.market.arbitrage import Worst
from risk.market.chain import read_chain, smile_quotes
from risk.market.surface_fit import Fitted, SurfaceFit, fit_surfaces

SCHEMA = 1
POINTS = 100.0
OF_A_SURFACE = ("quotes", "rmse_vol_points", "inside_share", "butterfly_between_min", "butterfly_free_until_days")
OF_AN_EXPIRY = (
    "expiry", "quotes", "left_out", "outliers", "atm_vol", "rmse_vol_points", "inside_share", "worst", "butterfly",
    "calendar", "enforced",
)  # fmt: skip


def run(path: Path) -> tuple[dict[str, Any], dict[str, SurfaceFit]]:
    """The report of a chain file and its fits. Refuses a file that cannot be trusted (BadInput `chain.*`)."""
    quotes = read_chain(path)
    found = fit_surfaces(smile_quotes(quotes))
    fits = {coin: fit for coin, fit in found.items() if isinstance(fit, SurfaceFit)}
    body = {
        "schema": SCHEMA,
        "file": {"name": path.name, "sha256": sha256(path.read_bytes()).hexdigest(), "quotes": len(quotes)},
        "underlyings": {coin: report(fit) for coin, fit in fits.items()},
        "refused": {coin: _refusal(fault) for coin, fault in found.items() if isinstance(fault, Refusal)},
    }
    return body, fits


def report(fit: SurfaceFit) -> dict[str, Any]:
    """JSON-ready: what the surface is, how well it fits, what was enforced and what refused."""
    errors = np.concatenate([item.errors() for item in fit.fitted])
    inside = np.concatenate([item.inside() for item in fit.fitted])
    pairs = list(pairwise(item.svi for item in fit.fitted))
    return {
        "id": fit.surface.id,
        "as_of": fit.surface.as_of.isoformat(),
        "quotes": int(errors.size),
        "rmse_vol_points": _points(np.sqrt(np.mean(errors**2))),
        "inside_share": _share(inside),
        "butterfly_min": _least(arbitrage.butterfly(item.svi) for item in fit.fitted),
        "calendar_min": _least(arbitrage.calendar(*pair) for pair in pairs),
        "butterfly_between_min": _least(arbitrage.between(*pair) for pair in pairs),
        "butterfly_free_until_days": round(arbitrage.free_until_years(fit.surface) * 365.0, 1),
        "anchors": anchors(fit.surface),
        "expiries": [_expiry_report(item) for item in fit.fitted],
        "refused": [{"expiry": item.expiry.isoformat()} | _refusal(fault) for item, fault in fit.refused],
        "surface": fit.surface.body(),
    }


def kept(fit: SurfaceFit) -> dict[str, Any]:
    """What a page tells of a fit long after its quotes are gone: of `report` what judges, not what is drawn from it."""
    whole = report(fit)
    return {name: whole[name] for name in OF_A_SURFACE} | {
        "expiries": [{name: one[name] for name in OF_AN_EXPIRY} for one in whole["expiries"]],
        "refused": [{name: one[name] for name in ("expiry", "code", "message")} for one in whole["refused"]],
    }


def _expiry_report(item: Fitted) -> dict[str, Any]:
    quotes, errors = item.quotes, item.errors()
    weights = np.array([(quote.ask_vol - quote.bid_vol) / 2.0 for quote in quotes.quotes]).clip(1e-3) ** -2.0
    index = int(np.argmax(np.abs(errors)))
    worst = quotes.quotes[index]
    _, slope, _ = item.svi.jet(0.0)
    atm = float(item.svi.total_variance(0.0) / quotes.years) ** 0.5
    return {
        "expiry": quotes.expiry.isoformat(),
        "days": round(quotes.years * 365.0, 3),
        "forward": quotes.forward,
        "forward_by_parity": [round(bound, 4) for bound in quotes.parity],
        "quotes": len(quotes.quotes),
        "left_out": dict(quotes.left_out),
        "outliers": [quote.strike for quote in quotes.quotes if quote not in item.used],
        "atm_vol": round(atm, 6),
        "skew": round(slope / (2.0 * atm * quotes.years), 6),
        "rmse_vol_points": _points(np.sqrt(np.mean(errors**2))),
        "weighted_rmse_vol_points": _points(np.sqrt(np.average(errors**2, weights=weights))),
        "inside_share": _share(item.inside()),
        "worst": {
            "strike": worst.strike,
            "kind": "call" if worst.is_call else "put",
            "error_vol_points": _points(errors[index]),
            "half_spread_vol_points": _points((worst.ask_vol - worst.bid_vol) / 2.0),
        },
        "butterfly": _worst(arbitrage.butterfly(item.svi)),
        "calendar": None if item.after is None else _worst(arbitrage.calendar(item.svi, item.after)),
        "enforced": list(item.enforced),
        "cost": round(item.fit.cost, 4),
        "cost_free": round(item.free.cost, 4),
    }


def _refusal(fault: Refusal) -> dict[str, Any]:
    return {"code": fault.code, "message": fault.message, "data": fault.data}


def _least(found: Iterable[Worst]) -> dict[str, float] | None:
    worst = min(found, key=lambda item: item.value, default=None)
    return None if worst is None else _worst(worst)


def _worst(worst: Worst) -> dict[str, float]:
    return {"value": float(f"{worst.value:.6g}"), "log_moneyness": round(worst.k, 4)}


def _points(vol: float | np.floating[Any]) -> float:
    return round(float(vol) * POINTS, 4)


def _share(flags: NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), 4)
