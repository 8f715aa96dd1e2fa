"""The rivals: families of measures with parameters to be found, and measures as their authors published them.

A recorded issue is one slice so thin that its whole exceedance is its expected loss: the files say no more. Its priced
annual loss under a measure is what its spread must pay for, so that is what a measure predicts; a coupon day of ACT/360
against a year of 365 days, 1.4% of a spread, is below what any of them can see.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonds.pricing.measures import (
    DeviationLoad,
    Distortion,
    FearedWang,
    LaneLoad,
    LayerLoad,
    LinearLoad,
    PowerLoad,
    WangTransform,
)

Floats = NDArray[np.float64]
DEGREES_MIN = 0.6  # below it a Student tail no longer falls from one probability to the next
UNMODELLED_MAX = 0.5  # a search may ask for a fear beyond all probabilities


@dataclass(frozen=True)
class Candidate:
    """`measure` of its parameters; `parameters` name them and `start` is where a search begins. Without parameters it
    is published, and `measure` takes an empty array."""

    name: str
    words: str
    measure: Callable[[Floats], Distortion | LayerLoad]
    parameters: tuple[str, ...] = ()
    start: tuple[float, ...] = ()

    @property
    def fitted(self) -> bool:
        """Whether its parameters are found, from earlier issues only."""
        return bool(self.start)

    def spread(self, theta: Floats, expected_loss: Floats, first_loss: Floats) -> Floats:
        """(n,) annual spread of issues with these figures."""
        measure = self.measure(theta)
        if isinstance(measure, LayerLoad):
            return measure.priced(expected_loss, first_loss)
        return measure.distort(expected_loss)

    @property
    def needs_first_loss(self) -> bool:
        """Whether it prices by the probability of attachment, which many issues do not tell."""
        return isinstance(self.measure(np.array(self.start)), LaneLoad)


CANDIDATES = (
    Candidate("wang-published", "Wang 2004: load 0.454, Student's t with 5 degrees", lambda _: WangTransform()),
    Candidate("lane-published", "Lane 2000: 0.55 PFL^0.49 CEL^0.57 over EL", lambda _: LaneLoad()),
    Candidate(
        "wang",
        "Wang transform, Student's t",
        lambda theta: WangTransform(theta[0], max(theta[1], DEGREES_MIN)),
        ("lambda", "k"),
        (0.454, 5.0),
    ),
    Candidate("wang-normal", "Wang transform, normal", lambda theta: FearedWang(theta[0], 0.0), ("lambda",), (0.454,)),
    Candidate(
        "lane",
        "Lane's excess return",
        lambda theta: LaneLoad(abs(theta[0]), theta[1], theta[2]),
        ("scale", "a", "b"),
        (0.55, 0.49, 0.57),
    ),
    Candidate("deviation", "Standard-deviation load", lambda theta: DeviationLoad(theta[0]), ("multiple",), (0.3,)),
    Candidate("hazard", "Proportional hazard", lambda theta: PowerLoad(min(abs(theta[0]), 1.0)), ("exponent",), (0.7,)),
    Candidate(
        "log-linear",
        "Log-linear in EL",
        lambda theta: PowerLoad(theta[0], abs(theta[1])),
        ("exponent", "scale"),
        (0.5, 0.4),
    ),
    Candidate(
        "linear",
        "Straight line in EL",
        lambda theta: LinearLoad(theta[0], theta[1]),
        ("floor", "multiple"),
        (0.03, 1.5),
    ),
    Candidate(
        "floored-wang",
        "Normal Wang transform over a floor",
        lambda theta: FearedWang(theta[0], float(np.clip(theta[1], 0.0, UNMODELLED_MAX))),
        ("lambda", "c"),
        (0.4, 0.01),
    ),
    Candidate(
        "feared-wang",
        "Normal Wang transform of a feared probability",
        lambda theta: FearedWang(theta[0], float(np.clip(theta[1], 0.0, UNMODELLED_MAX)), abs(theta[2])),
        ("lambda", "c", "p"),
        (0.3, 0.03, 0.1),
    ),
)
