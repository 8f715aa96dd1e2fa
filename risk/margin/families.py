"""The three families of the standard ruleset's scenarios, as joint moves in units of today's volatility.

Recent: the surprises of the last 1,250 windows, in today's correlations. Stressed: those of named crises and of the
most turbulent weeks before them, always a quarter of all (EMIR RTS 153/2013 article 28(1)(b)). Drawn: a t-copula with
Pareto tails, worlds worse than any that happened. `scenarios` makes today's set of them and the backtest every past
day's, from this one code. Pure: what is in `upto` rows is the past, and nothing else is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.market.copula import SurpriseModel, fit_surprises
from risk.market.realised import FilteredHistory, fill_unrecorded

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Days when several coins broke at once. The span of each holds the event and its aftermath.
STRESSED_WINDOWS: tuple[tuple[date, date], ...] = (
    (date(2020, 2, 20), date(2020, 4, 30)),
    (date(2021, 5, 1), date(2021, 7, 31)),
    (date(2022, 5, 1), date(2022, 7, 15)),
    (date(2022, 11, 1), date(2022, 12, 1)),
    (date(2024, 8, 1), date(2024, 8, 15)),
    (date(2025, 10, 10), date(2025, 10, 20)),
    (date(2026, 1, 28), date(2026, 2, 15)),
)
TURBULENT_WINDOWS = 15  # a crisis is some weeks, not a day
NEVER = np.iinfo(np.int64).max
FILL_SEED = 11  # of the surprises lent to coins not yet recorded: one draw for all days, so that margin does not jump


def describe_families() -> dict[str, Any]:
    """What is stated here and decides the draw, as it is hashed."""
    spans = [[first.isoformat(), last.isoformat()] for first, last in STRESSED_WINDOWS]
    return {"stressed": spans, "turbulent": TURBULENT_WINDOWS, "fill_seed": FILL_SEED}


@dataclass(frozen=True)
class Surprises:
    """Whitened residuals of one phase, ready for use. `rows` (N, C) without gaps, coins in the filter's order;
    `window` (N,) the window of each; `named_from` the window from which on it belongs to a named crisis: a crisis has a
    name when it is over; `turbulence` the mean absolute return of the coins over the 15 windows up to it."""

    rows: Floats
    window: NDArray[np.int64]
    named_from: NDArray[np.int64]
    turbulence: Floats


def surprises(filtered: FilteredHistory, days: Sequence[date], first_window: int = 0) -> Surprises:
    """Of one filtered history whose windows, counted from `first_window`, end on `days` (T,). Every value is known when
    its window ends."""
    rows, usable = fill_unrecorded(filtered.residual, np.random.default_rng(FILL_SEED))
    recorded = np.isfinite(filtered.returns)
    size = np.where(recorded, np.abs(filtered.returns), 0.0).sum(axis=1) / np.maximum(recorded.sum(axis=1), 1)
    total = np.concatenate([[0.0], np.cumsum(size)])
    window = np.arange(size.size)
    begin = np.maximum(window + 1 - TURBULENT_WINDOWS, 0)
    turbulence = (total[window + 1] - total[begin]) / (window + 1 - begin)
    named_from = _named_from(days, first_window)
    return Surprises(rows[usable], np.flatnonzero(usable) + first_window, named_from[usable], turbulence[usable])


def _named_from(days: Sequence[date], first_window: int) -> NDArray[np.int64]:
    result = np.full(len(days), NEVER)
    for row, day in enumerate(days):
        for first, last in STRESSED_WINDOWS:
            if first <= day <= last:
                result[row] = first_window + row + (last - day).days + 1
    return result


def recent_rows(phase: Surprises, upto: int, count: int) -> Floats:
    """(<= count, C) surprises of the last windows before window `upto`."""
    return phase.rows[_recent(phase, upto, count)]


def recent_windows(phase: Surprises, upto: int, count: int) -> Integers:
    """(<= count,) the window of each row of `recent_rows`."""
    return phase.window[_recent(phase, upto, count)]


def _recent(phase: Surprises, upto: int, count: int) -> slice:
    end = int(np.searchsorted(phase.window, upto))
    return slice(max(end - count, 0), end)


def stressed_rows(phases: tuple[Surprises, ...], upto: int, count: int) -> Floats:
    """(<= count, C) surprises before window `upto`: of named crises those that surprised most, so that no crash day is
    ever dropped; where crises named so far are too few, the most turbulent weeks besides. Phases are half a day apart,
    so that two of one day overlap little and the sample doubles."""
    ends, chosen = _stressed(phases, upto, count)
    return np.vstack([phase.rows[:end] for phase, end in zip(phases, ends, strict=True)])[chosen]


def stressed_windows(phases: tuple[Surprises, ...], upto: int, count: int) -> tuple[Integers, Integers]:
    """Of each row of `stressed_rows`: which phase (<= count,), and which window of it (<= count,)."""
    ends, chosen = _stressed(phases, upto, count)
    window = np.concatenate([phase.window[:end] for phase, end in zip(phases, ends, strict=True)])
    return np.repeat(np.arange(len(phases)), ends)[chosen], window[chosen]


def _stressed(phases: tuple[Surprises, ...], upto: int, count: int) -> tuple[list[int], Integers]:
    """How many rows of each phase are past, and which of them all, one phase after the other, are taken."""
    ends = [int(np.searchsorted(phase.window, upto)) for phase in phases]
    rows = np.vstack([phase.rows[:end] for phase, end in zip(phases, ends, strict=True)])
    named = np.concatenate([phase.named_from[:end] <= upto for phase, end in zip(phases, ends, strict=True)])
    turbulence = np.concatenate([phase.turbulence[:end] for phase, end in zip(phases, ends, strict=True)])
    # Named first; among them by surprise, among the others by the turbulence of their weeks.
    rank = np.where(named, np.abs(rows).mean(axis=1), turbulence)
    return ends, np.sort(np.lexsort((-rank, ~named))[:count])


def standardised_returns(filtered: FilteredHistory, upto: int) -> Floats:
    """(upto, C) returns in units of their own forecast volatility, coins in the filter's order."""
    variance = np.einsum("tii->ti", filtered.covariance[:upto][:, filtered.order[:, None], filtered.order])
    standardised: Floats = filtered.returns[:upto, filtered.order] / np.sqrt(variance)
    return standardised


def surprise_model(filtered: FilteredHistory, upto: int, windows: int) -> SurpriseModel:
    """The copula and tails of the last `windows` before window `upto`, coins in the filter's order."""
    return fit_surprises(standardised_returns(filtered, upto)[-windows:])
