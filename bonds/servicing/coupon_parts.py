"""The figures of one coupon before it moves: what the class earns, and what each covered relationship pays of it.

Everything is exact until it is rounded down once: the class' coupon, and each relationship's share of the spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from uuid import UUID

from django.db.models import Sum

from bonds.models import CouponPart, CouponRun, Slice, SpreadCharge, Tranche
from bonds.pricing.coupons import DAYS_A_YEAR, DatedBalance, accrued_coupon
from bonds.servicing import overnight
from bonds.servicing.outstanding import balance_days, balances_of_part, changes_of
from bonds.servicing.sharing import share_out
from intermediary.ids import derive
from intermediary.models import ChainInstruction

BPS = 10_000


@dataclass(frozen=True)
class Part:
    """One slice's side of one coupon: principal times days, and what its relationship pays, base units."""

    slice: Slice
    days: int
    from_relationship: int
    from_house: int


@dataclass(frozen=True)
class Figures:
    """A whole coupon; `amount` is what all parts bring."""

    amount: int
    rate_annual: Fraction
    parts: tuple[Part, ...]

    @property
    def from_relationships(self) -> int:
        return sum(part.from_relationship for part in self.parts)

    @property
    def from_house(self) -> int:
        return sum(part.from_house for part in self.parts)


def figures_of(run: CouponRun, slices: Sequence[Slice]) -> Figures:
    """What this run pays on the balances as they are known now (B4). Raises `no_overnight_rate`."""
    balances = [_balances(run, item) for item in slices]
    days = [balance_days(run.accrual_start, run.accrual_end, one) for one in balances]
    accrued = accrued_of(run.tranche, run.accrual_start, run.accrual_end, balances)
    amount = _floor(accrued)
    ready = [
        min(prefunded(item), spread_due(run, item, principal_days))
        for item, principal_days in zip(slices, days, strict=True)
    ]
    spread = _floor(_spread(run.tranche) * sum(days) / DAYS_A_YEAR)
    if sum(ready) > spread:  # a slice that pays less than its principal earns was written down
        ready = share_out(spread, ready)
    gap = amount - sum(ready)
    gaps = share_out(gap, days) if sum(days) else [0] * len(days)
    rate = accrued * DAYS_A_YEAR / sum(days) if sum(days) else Fraction(0)
    return Figures(amount, rate, tuple(map(Part, slices, days, ready, gaps)))


def accrued_of(tranche: Tranche, start: date, end: date, balances: Sequence[Sequence[DatedBalance]]) -> Fraction:
    """What a class earns over the days start <= d < end: every day's principal at that day's rate, base units, exact.
    `balances` of the class, or of its parts. Raises `no_overnight_rate`."""
    spread = _spread(tranche)
    return sum(
        (
            accrued_coupon(step.start, step.end, one, spread + step.rate_annual)
            for step in overnight.steps(tranche.series, start, end)
            for one in balances
        ),
        Fraction(0),
    )


def spread_due(run: CouponRun, item: Slice, days: int | None = None) -> int:
    """What the relationship owes of the class' spread for this coupon: its fixed share, as far as its slice is
    outstanding. Days still to come count at today's principal."""
    if days is None:
        days = balance_days(run.accrual_start, run.accrual_end, _balances(run, item))
    part = item.parts.get(tranche=run.tranche)
    if part.spread_share is None:
        return _floor(_spread(run.tranche) * days / DAYS_A_YEAR)
    of_class = _spread(run.tranche) * Fraction(part.spread_share) * run.tranche.original_base_units / DAYS_A_YEAR
    return _floor(of_class * days / part.principal_base_units)


def prefunded(item: Slice) -> int:
    """What the relationship has put up for coupons of this slice, no coupon has used and did not go back: final on
    chain, base units."""
    final = SpreadCharge.objects.filter(slice=item, movement__state=ChainInstruction.State.FINAL)
    taken = final.aggregate(total=Sum("taken_base_units"))["total"] or 0
    used = CouponPart.objects.filter(slice=item).aggregate(total=Sum("from_relationship_base_units"))["total"] or 0
    back = ChainInstruction.objects.filter(entry_id__in=returns_of(item)).exclude(state=ChainInstruction.State.FAILED)
    return int(taken - used - (back.aggregate(total=Sum("amount_base_units"))["total"] or 0))


def in_transit(series_id: UUID) -> int:
    """Spread taken for coupons of a series that is not final on chain yet, base units."""
    charges = SpreadCharge.objects.filter(slice__series_id=series_id)
    on_its_way = charges.filter(movement__state__in=ChainInstruction.UNFINISHED)
    return int(on_its_way.aggregate(total=Sum("taken_base_units"))["total"] or 0)


def returns_of(item: Slice) -> list[UUID]:
    """The effects by which spread of this slice may go back, one for each time that some was taken."""
    return [derive("spread_back", item.id, number) for number in range(1, item.spread_charges.count() + 1)]


def _balances(run: CouponRun, item: Slice) -> list[DatedBalance]:
    part = item.parts.get(tranche=run.tranche)
    return balances_of_part(part, changes_of(item.series)[item.id, run.tranche_id], item.series.issue_date)


def _spread(tranche: Tranche) -> Fraction:
    assert tranche.spread_bps is not None, "a class on risk has cleared"
    return Fraction(tranche.spread_bps, BPS)


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator
