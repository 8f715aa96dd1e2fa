"""How a smile and its density answer to its parameters: the derivatives that fitting follows (`svi_fit`).

The parameters are those fitting moves: the least total variance of the smile, then b, rho, m and sigma of `svi`. Exact,
where differences would cost five more smiles a step and err by a millionth.
"""

import numpy as np
from numpy.typing import NDArray

from risk.market.arbitrage import Jet
from risk.market.svi import Svi

Floats = NDArray[np.float64]


def jet_slopes(svi: Svi, k: Floats) -> Jet:
    """Derivatives of w, w' and w'' at `k` (K,) by (least, b, rho, m, sigma): three arrays (5, K)."""
    b, rho, sigma = svi.b, svi.rho, svi.sigma
    x = k - svi.m
    square = x * x + sigma * sigma
    root = np.sqrt(square)
    cube = root * square
    lean = (1.0 - rho * rho) ** 0.5
    nothing, one = np.zeros_like(k), np.ones_like(k)
    bend = b * sigma * sigma / cube
    w = [one, rho * x + root - sigma * lean, b * (x + sigma * rho / lean), -b * (rho + x / root)]
    w.append(b * (sigma / root - lean))
    slope = [nothing, rho + x / root, b * one, -bend, -b * sigma * x / cube]
    bends = [nothing, bend / b, nothing, 3.0 * bend * x / square, bend * (2.0 / sigma - 3.0 * sigma / square)]
    return np.array(w), np.array(slope), np.array(bends)


def density_slopes(k: Floats, jet: Jet, slopes: Jet) -> Floats:
    """(5, K) derivatives of `svi.density` of a smile with this `jet`, whose own derivatives are `slopes`."""
    w, slope, _ = jet
    body = 1.0 - k * slope / (2.0 * w)
    by_w = (body * k * slope + slope * slope / 4.0) / (w * w)
    by_slope = -body * k / w - slope / 2.0 * (1.0 / w + 0.25)
    found: Floats = by_w * slopes[0] + by_slope * slopes[1] + 0.5 * slopes[2]
    return found
