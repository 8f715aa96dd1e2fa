"""The generalised Pareto limit of a tail by maximum likelihood (Smith 1985; Davison and Smith 1990).

In theta = xi/beta the likelihood has its best shape in closed form, xi = mean ln(1 + theta y), so that one number is
searched: ln(xi/theta) + xi is least. The tails of a coin's surprises are fitted so, some sixty exceedances a side;
those of a client's book by moments in closed form, thousands at a time (`risk.margin.tails`). Pure.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The likelihood of a shape below -1 has no maximum, and above -1/2 its maximum is the usual one (Smith 1985).
FROM_THE_END = 0.05  # of the largest excess: a tail may end no nearer beyond it
STEEPEST = 20.0  # theta times the mean excess: shapes far above any that is kept
STEPS = 200  # of the search that finds the neighbourhood; a bounded one ends it
EXPONENTIAL = 1e-9  # a shape below it, times anything here, is none to the last digit


def likeliest_tail(excess: Floats) -> tuple[float, float]:
    """(xi, beta) of the largest likelihood of `excess` (n,) > 0 over a threshold. Nothing in excess: (0, 0)."""
    from scipy import optimize

    mean, largest = float(excess.mean()) if excess.size else 0.0, float(excess.max(initial=0.0))
    if mean <= 0.0:
        return 0.0, 0.0
    least = -(1.0 - FROM_THE_END) / largest

    def unlikely(step: float) -> float:
        shape, scale = _given(excess, least + float(np.exp(step)), mean)
        return float(np.log(scale)) + shape

    steps = np.linspace(np.log(-1e-3 * least), np.log(STEEPEST / mean - least), STEPS)
    near = int(np.argmin([unlikely(step) for step in steps.tolist()]))
    bounds = (steps[max(near - 1, 0)], steps[min(near + 1, STEPS - 1)])
    best = optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return _given(excess, least + float(np.exp(best.x)), mean)


def _given(excess: Floats, theta: float, mean: float) -> tuple[float, float]:
    """The best (xi, beta) whose ratio is `theta`; at nought that of an exponential tail."""
    if abs(theta * mean) < EXPONENTIAL:
        return 0.0, mean
    shape = float(np.log1p(theta * excess).mean())
    return shape, shape / theta


def likeliest_scale(excess: Floats, shape: float) -> float:
    """beta of the largest likelihood of `excess` (n,) > 0 where the shape, not negative, is given."""
    from scipy import optimize

    mean = float(excess.mean()) if excess.size else 0.0
    if mean <= 0.0 or shape < EXPONENTIAL:
        return mean
    # Of the log likelihood by log scale: 1/shape far below all excesses, and not above zero from their mean on.
    found = optimize.brentq(
        lambda log_scale: (1.0 + shape) * float(np.mean(excess / (np.exp(log_scale) + shape * excess))) - 1.0,
        np.log(mean) - 20.0,
        np.log(mean) + 1.0,
        xtol=1e-12,
    )
    return float(np.exp(found))
