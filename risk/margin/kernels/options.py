"""Black-76 for whole scenario rows, in arithmetic that a compiler turns into vector instructions.

With L the lower and H the higher of forward and strike, g = |ln F/K| and s = sigma sqrt(T), an option is worth its
intrinsic value plus a time value that calls and puts share:

    V = L N(a) - H N(b),  a = s/2 - g/s,  b = -s/2 - g/s,  and  L phi(a) = H phi(b).

So one exponential serves both normal probabilities, through the Mills ratio M(x) = N(-x)/phi(x), and nothing large
cancels: out-of-the-money options keep their digits. Source: Black (1976); the rest is algebra.
"""

from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels.compiling import compiled

Floats = NDArray[np.float64]

# A product and a sum may be rounded once instead of twice: no result depends on the second rounding.
FUSED = frozenset({"contract"})

DENSITY_AT_ZERO = 0.3989422804014327  # 1/sqrt(2 pi)
SMALLEST_DEVIATION = 1e-300  # instead of zero: the time value is then zero, and no quotient is 0/0
LARGEST_EXPONENT = 708.0  # exp(-708) is the smallest normal number; no price shows the difference to zero
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the high part has zeros to multiply exactly
ROUNDING = 6755399441055744.0  # 1.5 x 2^52: adding it rounds to an integer, which its low bits then hold
BITS_OF_ONE = 0x3FF0000000000000
MANTISSA_BITS = 52


@compiled("float64(float64)", fastmath=FUSED, inlined=True)
def exp_of_negative(x: float) -> float:
    """exp(-x), relative error below 1e-15 for x between -708 and 708, constant above: Taylor over half an octave."""
    x = min(x, LARGEST_EXPONENT)
    shifted = ROUNDING - x * LOG2_E
    octaves = shifted - ROUNDING
    r = (-x - octaves * LN2_HIGH) - octaves * LN2_LOW
    p = 1.0 / 479001600
    p = p * r + 1.0 / 39916800
    p = p * r + 1.0 / 3628800
    p = p * r + 1.0 / 362880
    p = p * r + 1.0 / 40320
    p = p * r + 1.0 / 5040
    p = p * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    power: Any = (np.float64(shifted).view(np.int64) << MANTISSA_BITS) + BITS_OF_ONE
    return float(p * np.int64(power).view(np.float64))


@compiled("float64(float64)", fastmath=FUSED, inlined=True)
def mills_ratio(x: float) -> float:
    """N(-x)/phi(x) for x >= 0, relative error below 1e-14.

    (x + 4) M(x) is smooth in y = (x - 4)/(x + 4) on [-1, 1]; these are the powers of its Chebyshev interpolation of
    degree 20.
    """
    r = 1.0 / (x + 4.0)
    y = 1.0 - 8.0 * r
    p = 1.5870480357276337e-08
    p = p * y + 3.275692807049741e-08
    p = p * y - 1.3681749338950457e-07
    p = p * y - 3.7123715748905315e-07
    p = p * y + 5.785472262536756e-07
    p = p * y + 2.531386078086649e-06
    p = p * y - 1.492706015399443e-06
    p = p * y - 1.4814839784877637e-05
    p = p * y + 1.7502263307257173e-06
    p = p * y + 8.808231050243576e-05
    p = p * y - 4.7672745653957025e-06
    p = p * y - 0.0005792653953829843
    p = p * y + 0.00033424116543716547
    p = p * y + 0.004087855008125706
    p = p * y - 0.00872229484217272
    p = p * y - 0.01890045079948543
    p = p * y + 0.1513917622850391
    p = p * y - 0.4675409630008595
    p = p * y + 0.9704095548682439
    p = p * y - 1.5237709108199562
    p = p * y + 1.8932190633084829
    return p * r


@compiled("float64(float64, float64, float64)", fastmath=FUSED, inlined=True)
def time_value(lower: float, log_gap: float, deviation: float) -> float:
    """V above for L = `lower` >= 0, `log_gap` = ln F/K of either sign (infinite at F = 0) and `deviation` at
    least SMALLEST_DEVIATION."""
    away = -abs(log_gap) / deviation
    near = away + 0.5 * deviation
    density = lower * DENSITY_AT_ZERO * exp_of_negative(0.5 * near * near)
    tail = density * mills_ratio(abs(near))
    body = lower - tail if near > 0.0 else tail
    return body - density * mills_ratio(0.5 * deviation - away)


@compiled("float64(float64, float64, float64, float64, boolean)", fastmath=FUSED)
def black76(forward: float, strike: float, deviation: float, discount: float, is_call: bool) -> float:
    """Price of a European option on a forward, in the forward's currency (Black 1976).

    `deviation` is sigma sqrt(T); `discount` the discount factor to expiry. At zero deviation or forward it is the
    discounted intrinsic value.
    """
    sign = 1.0 if is_call else -1.0
    intrinsic = max(sign * (forward - strike), 0.0)
    if forward <= 0.0:
        return discount * intrinsic
    deviation = max(deviation, SMALLEST_DEVIATION)
    return discount * (intrinsic + time_value(min(forward, strike), log(forward / strike), deviation))


@compiled(
    "void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], boolean,"
    " float64)",
    fastmath=FUSED,
)
def option_values(
    out: Floats,
    forward: Floats,
    log_forward: Floats,
    vol_ratio: Floats,
    vol_skew: Floats,
    discount_ratio: Floats,
    terms: Floats,
    is_call: bool,
    present: float,
) -> None:
    """Fill `out` (S,) with Black-76 values of one option under S shocks, less its value at `present`.

    `forward` (S,) >= 0 after the shock and its logarithm, which the options of one expiry share; `vol_ratio` (S,) of
    stressed to present volatility at the money; `vol_skew` (S,) what it gains for each deviation that the strike lies
    above the forward, as a part of the present one; `discount_ratio` (S,) of stressed to present discount factor;
    `terms` (5,) sigma sqrt(T), strike and discount, of the present market but with the time that the shocks leave, how
    many deviations the strike lies above the present forward, and the least sigma sqrt(T) that a shock may leave.
    """
    sign = 1.0 if is_call else -1.0
    deviation, strike, discount = terms[0], terms[1], terms[2]
    skewed, least = deviation * terms[3], max(terms[4], SMALLEST_DEVIATION)
    log_strike = log(strike)
    for s in range(out.size):
        intrinsic = max(sign * (forward[s] - strike), 0.0)
        stressed = max(deviation * vol_ratio[s] + skewed * vol_skew[s], least)
        value = time_value(min(forward[s], strike), log_forward[s] - log_strike, stressed)
        out[s] = discount * discount_ratio[s] * (intrinsic + value) - present


@compiled("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1])", fastmath=FUSED)
def expiry_shocks(out: Floats, coin: Floats, rates: Floats, expiry: Floats) -> None:
    """Fill `out` (5, S) with what the options of one expiry share under each shock: forward, its logarithm, ratio of
    stressed to present volatility at the money, skew and ratio of discount factors as `option_values` asks for them.

    `coin` (5, S) of all expiries: relative price of the coin, its logarithm, ratio of volatility in 30 days, its slope
    in ln(30 days / expiry), its skew; `rates` (3, S) added by the shock, a year: to the basis, to the level and to the
    slope of the dollar curve; `expiry` (5,) the present mark and basis a year, and of the expiry that the shocks leave
    its years, ln(30 days / expiry) and the share of the slope that its rate lacks.
    """
    mark, basis, years, nearer, short = expiry[0], expiry[1], expiry[2], expiry[3], expiry[4]
    log_mark = log(mark)
    for s in range(out.shape[1]):
        moved = (rates[1, s] - short * rates[2, s]) * years
        carry = (basis + rates[0, s]) * years + moved
        out[0, s] = exp_of_negative(-carry) * (mark * coin[0, s])
        out[1, s] = carry + (coin[1, s] + log_mark)
        ratio = coin[2, s] * exp_of_negative(-coin[3, s] * nearer)
        out[2, s] = ratio
        out[3, s] = ratio * coin[4, s]
        out[4, s] = exp_of_negative(moved)


@compiled(
    "void(float64[:, ::1], int64[::1], float64[:, ::1], boolean[::1], int64[::1], float64[:, ::1], float64[:, :, ::1],"
    " float64[:, ::1])",
    fastmath=FUSED,
)
def option_gains(
    out: Floats,
    rows: NDArray[np.int64],
    terms: Floats,
    is_call: NDArray[np.bool_],
    ends: NDArray[np.int64],
    expiries: Floats,
    coins: Floats,
    rates: Floats,
) -> None:
    """Fill these `rows` of `out` (I, S) with the gains of n options under S shocks.

    `terms` (n, 7) and `is_call` (n,) of each as in `option_values`, then its present sigma sqrt(T) and discount.
    Options come by coin and expiry: those of the g-th pair end before `ends[g]` (G,). `expiries` (G, 7): present
    forward, the coin's place in `coins` (C, 5, S), and the five numbers of `expiry_shocks`, as are `rates` (3, S).
    """
    shared = np.empty((5, out.shape[1]))
    option = 0
    for group in range(ends.size):
        expiry_shocks(shared, coins[int(expiries[group, 1])], rates, expiries[group, 2:])
        while option < ends[group]:
            own = terms[option]
            present = black76(expiries[group, 0], own[1], own[5], own[6], is_call[option])
            row = out[rows[option]]
            option_values(row, shared[0], shared[1], shared[2], shared[3], shared[4], own, is_call[option], present)
            option += 1
