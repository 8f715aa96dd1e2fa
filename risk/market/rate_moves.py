"""How the dollar curve has moved from day to day, on two tenors: three months and one year.

Level is the move of the one-year yield, slope that of the one-year yield less the three-month one. Between the two a
rate moves linearly in the logarithm of its time, outside them as the nearer one: options live there. Published on
business days; the moves of a day are those of the yields quoted on it, none on a day without a quotation, so that a
weekend's is Monday's. A day whose yields cannot be true is left out and named, and its move is that of the next one.
Needs numpy: risk workers only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from risk.market.parameters import RateDeviations
from risk.market.recording import YieldsLeftOut
from risk.market.snapshot import RATE_LIMITS
from risk.market.volatility import EWMA_DECAY, SEED_DAYS, ewma_filter
from risk.market.yield_tables import PAR_FILE, SOFR_FILE, yield_tables

Floats = NDArray[np.float64]

# The same yields in both tables; the second goes on where the first ends.
SOURCES = (
    (SOFR_FILE, "DATE", {"US_BILL_3M": 3, "US_BILL_1Y": 12}),
    (PAR_FILE, "date", {"DGS3MO": 3, "DGS1": 12}),
)
GAP_DAYS_MAX = 7  # from one quotation to the next: a longer hole is unrecorded, and its move is nobody's day
# The largest recorded move from one day to the next is 0.81 points (17 September 2008); 0.446 for 4.46 is four.
JUMP_MAX = 0.02
FIRST_DAYS = 21  # the first quotation, and the first after a hole, is held against the median of a month

Quoted = Mapping[date, tuple[float, float]]


@dataclass(frozen=True)
class RateMoves:
    """`days` (N,) on which yields were quoted, ascending; `moves` (N, 2) level and slope since the quotation before, as
    fractions a year, NaN on the first one and after a hole. `digest` SHA-256 of what was read, `left_out` what was not
    because it cannot be true."""

    days: tuple[date, ...]
    moves: Floats
    digest: str
    left_out: tuple[YieldsLeftOut, ...] = ()

    def on(self, days: list[date]) -> Floats:
        """(T, 2) the move of each of these days; zero between two quotations, NaN where nothing is recorded."""
        result = np.full((len(days), 2), np.nan)
        if not self.days:
            return result
        row = {day: index for index, day in enumerate(self.days)}
        first, last = self.days[0], self.days[-1]
        for index, day in enumerate(days):
            if day in row:
                result[index] = self.moves[row[day]]
            elif first < day < last:
                result[index] = 0.0
        return result

    def filtered(self, deviations: RateDeviations) -> tuple["RateMoves", Floats]:
        """Moves in units of the deviation forecast before them, which is never below the one of the full history; and
        (2,) the forecast after the last. Without a month of moves nothing is recorded."""
        floor = np.array([deviations.level, deviations.slope])
        if np.isfinite(self.moves[:, 0]).sum() < SEED_DAYS:
            return RateMoves((), np.empty((0, 2)), self.digest), floor
        standard = np.empty_like(self.moves)
        now = floor.copy()
        for factor in range(2):
            with np.errstate(divide="ignore", invalid="ignore"):  # months in which no yield moved
                residual, forecast = ewma_filter(self.moves[:, factor], EWMA_DECAY)
            moved = np.abs(self.moves[:, factor]) > 0.0
            # The deviation that was forecast is move over residual; where nothing moved it does not matter.
            before = np.divide(self.moves[:, factor], residual, out=np.ones(residual.size), where=moved)
            standard[:, factor] = self.moves[:, factor] / np.maximum(before, floor[factor])
            now[factor] = max(forecast, floor[factor])
        return RateMoves(self.days, standard, self.digest), now


def load_rate_moves(history_dir: Path, as_of: date) -> RateMoves | None:
    """Moves quoted before `as_of`, or None where neither table is recorded."""
    quoted: dict[date, tuple[float, float]] = {}
    unreadable: list[str] = []
    absurd: list[date] = []
    found = [source for source in SOURCES if (history_dir / source[0]).exists()]
    if not found:
        return None
    low, high = RATE_LIMITS
    for name, key, columns in found:
        (table,) = yield_tables(history_dir / name, key, columns, unreadable=unreadable)
        known = {day: yields for day, yields in table.items() if day < as_of}
        true = {day: yields for day, yields in known.items() if all(low <= one <= high for one in yields.values())}
        quoted |= {day: (yields[3], yields[12]) for day, yields in true.items()}
        absurd += sorted(known.keys() - true.keys())
    jumps = jumps_of(quoted)
    moves = moves_of({day: yields for day, yields in quoted.items() if day not in jumps})
    named = {
        "that cannot be read": [day for day in unreadable if not _is_later(day, as_of)],
        f"with a yield beyond {low:.0%} and {high:.0%}": [day.isoformat() for day in absurd],
        f"more than {100 * JUMP_MAX:g} points off the one before": [day.isoformat() for day in jumps],
    }
    left_out = tuple(YieldsLeftOut(why, len(set(days)), min(days)) for why, days in named.items() if days)
    return replace(moves, left_out=left_out)


def _is_later(text: str, as_of: date) -> bool:
    try:
        return date.fromisoformat(text) >= as_of
    except ValueError:
        return False


def jumps_of(quoted: Quoted) -> list[date]:
    """The days, ascending, on which a yield is more than two points off the last believed one of its tenor. After a
    hole there is none, so that a level that came to stay is believed again: no move spans the hole."""
    days = sorted(quoted)
    yields = np.array([quoted[day] for day in days]).reshape(-1, 2)
    if (np.abs(np.diff(yields, axis=0)) <= JUMP_MAX).all():
        return []
    jumps: list[date] = []
    last, seen = np.zeros(2), date.min
    for place, day in enumerate(days):
        if day - seen > timedelta(days=GAP_DAYS_MAX):
            last = np.median(yields[place : place + FIRST_DAYS], axis=0)
        if (np.abs(yields[place] - last) > JUMP_MAX).any():
            jumps.append(day)
        else:
            last, seen = yields[place], day
    return jumps


def moves_of(quoted: Quoted) -> RateMoves:
    """Of yields (three months, one year) by day, fractions a year."""
    days = tuple(sorted(quoted))
    yields = np.array([quoted[day] for day in days]).reshape(-1, 2)
    moves = np.full(yields.shape, np.nan)
    change = np.diff(yields, axis=0)
    moves[1:] = np.column_stack([change[:, 1], change[:, 1] - change[:, 0]])
    gaps = [(later - earlier) > timedelta(days=GAP_DAYS_MAX) for earlier, later in pairwise(days)]
    moves[1:][np.array(gaps, dtype=np.bool_)] = np.nan
    content = sha256(",".join(day.isoformat() for day in days).encode())
    content.update(yields.astype("<f8").tobytes())
    return RateMoves(days, moves, content.hexdigest())


def deviations_of(found: RateMoves) -> RateDeviations:
    """Full-history daily standard deviations of level and slope, and their correlation."""
    moves = found.moves[np.isfinite(found.moves).all(axis=1)]
    level, slope = moves.T
    return RateDeviations(float(np.std(level)), float(np.std(slope)), float(np.corrcoef(level, slope).item(0, 1)))
