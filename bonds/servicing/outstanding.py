"""Outstanding principal by day, from the acts that changed it: what coupons accrue on.

A balance is effective from the day of the block in which its act was done, whenever that was noticed. So the day of a
write-down already earns on what is left, and the day of a repayment earns nothing on what was repaid. Nothing here
changes a row, and no numeric library loads.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import accumulate
from uuid import UUID

from bonds.models import Redemption, Series, SliceAct, SlicePart, Tranche
from bonds.pricing.coupons import DatedBalance

Changes = Mapping[date, int]  # day -> what was added to the outstanding principal on it


def balances_of(tranche: Tranche, start: date) -> list[DatedBalance]:
    """Outstanding principal of a class by day: what it was issued with, then after each day's acts."""
    of_parts = changes_of(tranche.series)
    parts = tranche.parts.values_list("slice_id", flat=True)
    days: dict[date, int] = defaultdict(int)
    for slice_id in parts:
        for day, change in of_parts[slice_id, tranche.id].items():
            days[max(start, day)] += change
    return _dated(tranche.original_base_units, start, days)


def balances_of_part(part: SlicePart, changes: Changes, start: date) -> list[DatedBalance]:
    """The same of one class in one slice; `changes` are those of `changes_of` for it."""
    days: dict[date, int] = defaultdict(int)
    for day, change in changes.items():
        days[max(start, day)] += change
    return _dated(part.principal_base_units, start, days)


def changes_of(series: Series) -> dict[tuple[UUID, UUID], dict[date, int]]:
    """(slice, tranche) -> the changes of its principal by day; two queries for a series."""
    found: dict[tuple[UUID, UUID], dict[date, int]] = defaultdict(lambda: defaultdict(int))
    acts = SliceAct.objects.filter(slice__series=series, state=SliceAct.State.DONE)
    for slice_id, kind, done_at, by_tranche in acts.values_list("slice_id", "kind", "done_at", "by_tranche"):
        assert done_at is not None, "an act that is done has its time"
        sign = 1 if kind == SliceAct.Kind.WRITE_UP else -1
        for tranche_id, amount in by_tranche.items():
            found[slice_id, UUID(tranche_id)][done_at.date()] += sign * int(amount)
    repaid = Redemption.objects.filter(slice__series=series, state=Redemption.State.DONE)
    for slice_id, tranche_id, done_at, amount in repaid.values_list(
        "slice_id", "part__tranche_id", "done_at", "amount_base_units"
    ):
        assert done_at is not None, "a redemption that is done has its time"
        found[slice_id, tranche_id][done_at.date()] -= amount
    return found


def balance_days(start: date, end: date, balances: Iterable[DatedBalance]) -> int:
    """Sum over the days start <= d < end of the outstanding principal, base units times days."""
    known = list(balances)
    ends = [one.effective for one in known[1:]] + [end]
    spans = ((min(until, end) - max(one.effective, start)).days for one, until in zip(known, ends, strict=True))
    return sum(one.outstanding_base_units * max(0, days) for one, days in zip(known, spans, strict=True))


def _dated(original_base_units: int, start: date, days: Mapping[date, int]) -> list[DatedBalance]:
    ordered = sorted({start, *days})
    first = original_base_units + days.get(start, 0)
    levels = accumulate((days[day] for day in ordered[1:]), initial=first)
    return [DatedBalance(day, level) for day, level in zip(ordered, levels, strict=True)]
