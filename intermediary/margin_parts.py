"""What a requirement is made of: exposure and the lines of the independent amount one after the other, less what the
terms leave unsecured, so that the parts add up to the required margin to the last base unit.

The lines are the engine's, in dollars; they are cut into base units here and nothing else is computed. Amounts are
settlement base units.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from intermediary.words import margin_line

TONES = (
    "expected_shortfall_99",
    "extreme_value_excess",
    "jump_excess",
    "anti_procyclicality_buffer",
    "liquidity_and_concentration",
    "wrong_way_risk",
)  # each line has its own tone wherever it is drawn; one of another ruleset shares the last
UNIT = 10.0**6
ROUNDING_BASE_UNITS = 50_000  # five cents: lines are stored in cents, so ten of them are off by half a cent each
EXPOSURE, THRESHOLD, UNUSED = "Exposure not settled", "Threshold, unsecured", "Of that not used"
UNEXPLAINED = "Not explained by the lines"


class Requirement(Protocol):
    """What is read of a margin state."""

    exposure_base_units: int
    independent_amount_base_units: int
    threshold_base_units: int
    required_base_units: int
    breakdown: Any


@dataclass(frozen=True)
class MarginPart:
    """One part; `amount_base_units` is negative where it lowers the requirement. `tone` is 0 for exposure, 1 to 6 for a
    line, 7 for what is not explained."""

    name: str
    amount_base_units: int
    tone: int


@dataclass(frozen=True)
class MarginParts:
    """`asked` adds up to what is asked in all, `less` (negative) lowers it, `unused` is what of `less` finds nothing
    left to lower: asked + less + unused = required."""

    asked: tuple[MarginPart, ...]
    less: tuple[MarginPart, ...]
    required_base_units: int

    @property
    def whole_base_units(self) -> int:
        """All that is asked, before anything lowers it."""
        return sum(part.amount_base_units for part in self.asked)

    @property
    def unused_base_units(self) -> int:
        """What a threshold or a debt to the client could lower still."""
        return self.required_base_units - self.whole_base_units - sum(part.amount_base_units for part in self.less)

    @property
    def rows(self) -> list[tuple[MarginPart, float | None]]:
        """Every part in the order of the bar, each with its share of what is asked in all."""
        amount = self.unused_base_units
        unused = [MarginPart(UNUSED if amount > 0 else UNEXPLAINED, amount, 0)] if amount else []
        whole = self.whole_base_units
        shares = [(part, part.amount_base_units / whole if whole else None) for part in self.asked]
        return [*shares, *((part, None) for part in (*self.less, *unused))]


def parts_of(state: Requirement) -> MarginParts:
    """The parts of one requirement; those of nothing are left out."""
    found = [*_lines(state.breakdown, state.independent_amount_base_units)]
    if state.exposure_base_units:
        found.insert(0, MarginPart(EXPOSURE, state.exposure_base_units, 0))
    if state.threshold_base_units:
        found.append(MarginPart(THRESHOLD, -state.threshold_base_units, 0))
    asked = tuple(part for part in found if part.amount_base_units > 0)
    less = tuple(part for part in found if part.amount_base_units < 0)
    return MarginParts(asked, less, state.required_base_units)


def added_up(all_parts: Iterable[MarginParts]) -> MarginParts | None:
    """The requirements of many, part by part; None of nobody."""
    found = list(all_parts)
    if not found:
        return None
    required = sum(one.required_base_units for one in found)
    return MarginParts(_merged(one.asked for one in found), _merged(one.less for one in found), required)


def _merged(groups: Iterable[tuple[MarginPart, ...]]) -> tuple[MarginPart, ...]:
    sums: dict[tuple[int, str], int] = {}
    for parts in groups:
        for part in parts:
            key = (part.tone, part.name)
            sums[key] = sums.get(key, 0) + part.amount_base_units
    return tuple(MarginPart(name, amount, tone) for (tone, name), amount in sorted(sums.items()))


def _lines(breakdown: Mapping[str, Any], whole: int) -> list[MarginPart]:
    """The lines in base units. Each is cut at the rounded running sum, so that together they are off by less than one;
    the last one takes the rounding. A difference that no rounding explains is a part of its own and never hidden."""
    found, sum_usd, cut = [], 0.0, 0
    for name, amount_usd in breakdown.get("lines", []):
        sum_usd += float(amount_usd)
        until = round(sum_usd * UNIT)
        if until != cut:
            tone = 1 + (TONES.index(name) if name in TONES else len(TONES) - 1)
            found.append(MarginPart(str(margin_line(name)), until - cut, tone))
        cut = until
    rest = whole - cut
    if found and abs(rest) <= ROUNDING_BASE_UNITS:
        last = found.pop()
        found.append(MarginPart(last.name, last.amount_base_units + rest, last.tone))
    elif rest:
        name = UNEXPLAINED if found else "Independent amount"
        found.append(MarginPart(name, rest, len(TONES) + 1 if found else 1))
    return found
