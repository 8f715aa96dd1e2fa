"""The terms of a series: everything that decides what a note pays, as one value that is hashed and published.

What is not known when a series is structured (the spread that clears, the addresses of its contracts) stands beside
the terms in the database, never in them. Amounts are base units of the settlement token; dates are UTC days. The file
needs the standard library only.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from intermediary.canonical import canonical_json, hash_of
from intermediary.errors import BadInput
from intermediary.ids import derive


@dataclass(frozen=True)
class ClassTerms:
    """One class of notes, listed junior first."""

    name: str
    symbol: str
    isin: str


@dataclass(frozen=True)
class SliceTerms:
    """A ring-fenced slice of one relationship: the layer [attach, detach) and the principal of each class, junior
    first. Classes lie end to end from `attach`; the intermediary keeps nothing of them unless `widths` are wider than
    `principals` (a retained vertical slice)."""

    cell_id: UUID
    relationship: str
    attach_base_units: int
    widths_base_units: tuple[int, ...]
    principals_base_units: tuple[int, ...]

    @property
    def detach_base_units(self) -> int:
        return self.attach_base_units + sum(self.widths_base_units)


@dataclass(frozen=True)
class SeriesTerms:
    """What investors buy. The coupon is the spread that clears the book plus `collateral_yield_annual`; the
    intermediary pays what the collateral earns less than that."""

    code: str
    title: str
    currency: str
    issue_date: date
    scheduled_maturity: date
    final_maturity: date
    collateral_yield_annual: Decimal
    denomination_base_units: int
    challenge_seconds: int
    expert_seconds: int
    maturity_grace_seconds: int
    classes: tuple[ClassTerms, ...]
    slices: tuple[SliceTerms, ...]
    months_between_coupons: int = 3
    day_count: str = "ACT/360"
    trigger: str = "declared default inside the risk period with determined net loss above the attachment point"

    def __post_init__(self) -> None:
        if not self.issue_date < self.scheduled_maturity <= self.final_maturity:
            raise BadInput("bonds.dates", "A series is issued, then matures, and extends at most to its final date.")
        if not self.classes or not self.slices:
            raise BadInput("bonds.empty", "A series needs at least one class and one slice.")
        if self.challenge_seconds + self.expert_seconds >= self.maturity_grace_seconds:
            raise BadInput("bonds.grace", "A loss noticed on the last day must be decided before the grace ends.")
        covered = [item.cell_id for item in self.slices]
        if len(set(covered)) != len(covered):
            raise BadInput("bonds.one_slice_each", "A series has one slice a relationship.")
        for item in self.slices:
            self._check(item)

    def body(self) -> dict[str, Any]:
        """The plain JSON value that is hashed."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @property
    def canonical(self) -> str:
        return canonical_json(self.body())

    @property
    def hash(self) -> str:
        return hash_of(self.body())

    def slice_id(self, cell_id: UUID) -> UUID:
        """The id under which the relationship's tail layer names its slice; known before the series exists."""
        return slice_id_of(self.code, cell_id)

    def face_base_units(self, index: int) -> int:
        """Original principal of one class over all slices."""
        return sum(item.principals_base_units[index] for item in self.slices)

    @property
    def risk_from(self) -> datetime:
        """First moment of the risk period."""
        return datetime.combine(self.issue_date, time(), UTC)

    @property
    def risk_until(self) -> datetime:
        """End of the risk period: a default noticed later never writes anything down (B5)."""
        return datetime.combine(self.scheduled_maturity, time(), UTC)

    @property
    def final_at(self) -> datetime:
        """The last moment at which a loss can be noticed on chain."""
        return datetime.combine(self.final_maturity, time(), UTC) + timedelta(days=1)

    def _check(self, item: SliceTerms) -> None:
        if not len(item.widths_base_units) == len(item.principals_base_units) == len(self.classes):
            raise BadInput("bonds.classes", "A slice states the width and the principal of every class.")
        if item.attach_base_units < 0 or any(
            not 0 < principal <= width
            for width, principal in zip(item.widths_base_units, item.principals_base_units, strict=True)
        ):
            raise BadInput("bonds.principal", "The principal of a class is positive and within its layer.")


def slice_id_of(series_code: str, cell_id: UUID) -> UUID:
    """The id of a series' slice of one relationship."""
    return derive("slice", series_code, cell_id)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
