"""Expected shortfall under scenario weights, compiled: from the worst losses of books and the scenarios they are in."""

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels.compiling import compiled

Floats = NDArray[np.float64]
Places = NDArray[np.int32]


@compiled("boolean[::1](float64[:, ::1], float64[:, ::1], int32[:, ::1], float64[:, ::1], float64)")
def weighted_shortfalls(out: Floats, worst: Floats, where: Places, weights: Floats, share: float) -> NDArray[np.bool_]:
    """Fill `out` (A, J) with the mean loss of each book in its worst `share` of the probability, one a weighting; (A,)
    whether that is exact.

    `worst` (A, m) ascending losses in the scenarios `where` (A, m); `weights` (J, S), each row adding up to 1. The loss
    at the edge counts with the part of its weight that fits (Acerbi and Tasche 2002). Where the m worst weigh less than
    `share` the rest counts as the least of them: never too little, and not exact. Where all S are given, what rounding
    leaves is nothing. NaN where `worst` is, and exact.
    """
    exact = np.ones(worst.shape[0], dtype=np.bool_)
    for a in range(worst.shape[0]):
        if where[a, 0] < 0:
            out[a] = np.nan
            continue
        for j in range(weights.shape[0]):
            weight, total = 0.0, 0.0
            edge, last = 0, worst.shape[1] - 1
            while last >= 3:  # four at once while they all fit: sums that wait for each other take most of the time
                h0, h1 = weights[j, np.uint32(where[a, last])], weights[j, np.uint32(where[a, last - 1])]
                h2, h3 = weights[j, np.uint32(where[a, last - 2])], weights[j, np.uint32(where[a, last - 3])]
                four = (h0 + h1) + (h2 + h3)
                if weight + four >= share:
                    break
                weight += four
                total += (h0 * worst[a, last] + h1 * worst[a, last - 1]) + (
                    h2 * worst[a, last - 2] + h3 * worst[a, last - 3]
                )
                last -= 4
            for i in range(last, -1, -1):
                here = weights[j, np.uint32(where[a, i])]
                if weight + here >= share:
                    edge = i
                    break
                weight += here
                total += here * worst[a, i]
            else:
                exact[a] = exact[a] and worst.shape[1] == weights.shape[1]
            out[a, j] = (total + (share - weight) * worst[a, edge]) / share
    return exact
