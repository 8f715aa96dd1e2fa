"""The probability of a loss beyond margin, and its mean beyond a point, compiled: the quadrature over distress of
`risk.margin.shortfall`, for the severity that is interpolated between scenarios.

Every loss has nodes of its own, split where its severity has a kink. So what depends on distress alone, its density
times the probability of default in it, is not computed at each node but read off a table, by cubics through values and
slopes (`shortfall.defaulting`).
"""

from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels.compiling import compiled

Floats = NDArray[np.float64]


@compiled("float64(float64[:, ::1], float64, float64, float64)", inlined=True)
def _defaulting(table: Floats, lowest: float, a_step: float, m: float) -> Any:
    """The cubic through the two rows of `table` (values, slopes) around m."""
    place = (m - lowest) * a_step
    row = min(max(int(place), 0), table.shape[0] - 2)
    t = place - row
    rest = 1.0 - t
    ends = table[row, 0] * (1.0 + 2.0 * t) * rest * rest + table[row + 1, 0] * (1.0 + 2.0 * rest) * t * t
    return ends + t * rest * (table[row, 1] * rest - table[row + 1, 1] * t)


@compiled("float64(float64, float64[::1])", inlined=True)
def _tail(z: float, tail: Floats) -> Any:
    """P(Z > z) beyond the threshold: `tail` is threshold, shape, scale, share."""
    if tail[2] <= 0.0:
        return 0.0
    excess = (z - tail[0]) / tail[2]
    if tail[1] < 1e-9:
        return tail[3] * exp(-excess)
    return tail[3] * (1.0 + tail[1] * excess) ** (-1.0 / tail[1])


@compiled("int64(float64[::1], float64, int64)", inlined=True)
def _interval(points: Floats, z: float, at: int) -> Any:
    """Where z lies between the ascending points, looked for from `at`: nodes come in order."""
    while at > 0 and points[at] > z:
        at -= 1
    while at < points.size - 2 and points[at + 1] <= z:
        at += 1
    return at


@compiled(
    "void(float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1],"
    " float64, float64)"
)
def scenario_survival(
    out: Floats,
    level: Floats,
    edges: Floats,
    rule: Floats,
    body: Floats,
    tail: Floats,
    table: Floats,
    v: float,
    s0: float,
) -> None:
    """Fill `out` (n,) with S of each `level` (n,): the gap that leaves a loss of so much beyond margin.

    `edges` (n, panels + 1) ascending distress; `rule` (2, nodes) points on [-1, 1] and weights; `body` (2, k) ascending
    losses and the share of scenarios above each; `tail` as `_tail` takes it; `table` (rows, 2) of `defaulting`, its
    rows even from the first edge to the last.
    """
    points, levels = body[0], body[1]
    for r in range(out.size):
        total, at = 0.0, 0
        unscaled, lowest = level[r] * exp(0.5 * v * v) / s0, edges[r, 0]
        a_step = (table.shape[0] - 1) / (edges[r, -1] - lowest)
        for panel in range(edges.shape[1] - 1):
            half, middle = (edges[r, panel + 1] - edges[r, panel]) / 2.0, (edges[r, panel + 1] + edges[r, panel]) / 2.0
            if half <= 0.0:
                continue
            part = 0.0
            for k in range(rule.shape[1]):
                m = middle + half * rule[0, k]
                z = unscaled * exp(v * m)
                if z > tail[0]:
                    beyond = _tail(z, tail)
                elif z < points[0]:
                    beyond = 1.0
                else:
                    at = _interval(points, z, at)
                    width = points[at + 1] - points[at]
                    share = (z - points[at]) / width if width > 0.0 else 1.0
                    beyond = levels[at] + (levels[at + 1] - levels[at]) * share
                part += rule[1, k] * beyond * _defaulting(table, lowest, a_step, m)
            total += half * part
        out[r] = total


@compiled("float64(float64, float64[::1])", inlined=True)
def _mean_beyond_in_tail(z: float, tail: Floats) -> Any:
    """Int_z^inf P(Z > y) dy beyond the threshold; the shape is below one."""
    if tail[2] <= 0.0:
        return 0.0
    excess = (z - tail[0]) / tail[2]
    if tail[1] < 1e-9:
        return tail[3] * tail[2] * exp(-excess)
    return tail[3] * tail[2] / (1.0 - tail[1]) * (1.0 + tail[1] * excess) ** (1.0 - 1.0 / tail[1])


@compiled("float64(float64, int64, float64[:, ::1], float64[::1])", inlined=True)
def _mean_beyond(z: float, at: int, body: Floats, tail: Floats) -> Any:
    """Int_z^inf P(Z > y) dy; between the points by `at`, the interval of z. `body` as `scenario_excess` takes it."""
    if z > tail[0]:
        return _mean_beyond_in_tail(z, tail)
    if z < body[0, 0]:
        return body[2, 0] + body[0, 0] - z
    width = body[0, at + 1] - body[0, at]
    share = (z - body[0, at]) / width if width > 0.0 else 1.0
    level = body[1, at] + (body[1, at + 1] - body[1, at]) * share
    return body[2, at + 1] + (body[0, at + 1] - z) * (level + body[1, at + 1]) / 2.0


@compiled(
    "void(float64[:, ::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1],"
    " float64[:, :, ::1], float64, float64)"
)
def scenario_excess(
    out: Floats,
    level: Floats,
    edges: Floats,
    rule: Floats,
    body: Floats,
    tail: Floats,
    tables: Floats,
    v: float,
    s0: float,
) -> None:
    """Fill `out` (n, T) with Int S over all losses beyond each `level` (n,), by each of T horizons at once.

    As `scenario_survival`, but that `body` (3, k) has Int_z^inf P(Z > y) dy at each of its points as a third row, and
    that there is a table of `defaulting` a horizon, `tables` (T, rows, 2).
    """
    for r in range(out.shape[0]):
        at, lowest = 0, edges[r, 0]
        a_step = (tables.shape[1] - 1) / (edges[r, -1] - lowest)
        out[r] = 0.0
        for panel in range(edges.shape[1] - 1):
            half, middle = (edges[r, panel + 1] - edges[r, panel]) / 2.0, (edges[r, panel + 1] + edges[r, panel]) / 2.0
            if half <= 0.0:
                continue
            for k in range(rule.shape[1]):
                m = middle + half * rule[0, k]
                scale = s0 * exp(-v * m - 0.5 * v * v)
                z = level[r] / scale
                if body[0, 0] <= z <= tail[0]:
                    at = _interval(body[0], z, at)
                weighted = half * rule[1, k] * scale * _mean_beyond(z, at, body, tail)
                for t in range(tables.shape[0]):
                    out[r, t] += weighted * _defaulting(tables[t], lowest, a_step, m)


@compiled("void(float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[::1])")
def scenario_cells(out: Floats, level: Floats, scale: Floats, body: Floats, tail: Floats) -> None:
    """Fill `out` (M, J) with the mean of P(scale Z > y) over y between neighbours of `level` (J + 1,), ascending, for
    each `scale` (M,). `body` as `scenario_excess` takes it."""
    for r in range(out.shape[0]):
        at = 0
        lower = 0.0
        for j in range(level.size):
            z = level[j] / scale[r]
            if body[0, 0] <= z <= tail[0]:
                at = _interval(body[0], z, at)
            upper = scale[r] * _mean_beyond(z, at, body, tail)
            if j > 0:
                out[r, j - 1] = (lower - upper) / (level[j] - level[j - 1])
            lower = upper
