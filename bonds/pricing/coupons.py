"""Coupons: what a slice's daily outstanding principal earns, exact to the base unit.

A coupon is the sum over days of outstanding principal x annual rate / 360 (ACT/360). The sum is kept exact and is
rounded once, down, when it is paid: an escrow never pays more than was accrued, and the residue (under one base unit
a coupon) stays in it. A coupon already paid is never clawed back: a write-down counts from its own date on.
Dates of coupons come from `schedule`; this file needs the standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

DAYS_A_YEAR = 360  # ACT/360, the convention of the money market whose yield the coupon passes on


@dataclass(frozen=True)
class DatedBalance:
    """Outstanding principal from the start of `effective` until the next balance."""

    effective: date
    outstanding_base_units: int


def accrued_coupon(
    start: date, end: date, balances: Sequence[DatedBalance], rate_annual: Decimal | Fraction
) -> Fraction:
    """Coupon accrued over the days start <= d < end, in base units, exact.

    `balances` are in strictly rising date order and the first is effective on `start` or before. `rate_annual` is a
    fraction of one (0.085 for 8.5%).
    """
    _check(start, end, balances)
    balance_days = 0
    for index, balance in enumerate(balances):
        until = balances[index + 1].effective if index + 1 < len(balances) else end
        days = (min(until, end) - max(balance.effective, start)).days
        balance_days += balance.outstanding_base_units * max(days, 0)
    return Fraction(rate_annual) * balance_days / DAYS_A_YEAR


def coupon_base_units_round_down(start: date, end: date, balances: Sequence[DatedBalance], rate_annual: Decimal) -> int:
    """The coupon to pay for a period: `accrued_coupon` rounded down once."""
    accrued = accrued_coupon(start, end, balances, rate_annual)
    return accrued.numerator // accrued.denominator


def _check(start: date, end: date, balances: Sequence[DatedBalance]) -> None:
    if end < start:
        raise ValueError(f"an accrual period cannot end before it starts: {start} .. {end}")
    if not balances or balances[0].effective > start:
        raise ValueError("the first balance must be effective on the first day of the period or before")
    for earlier, later in pairwise(balances):
        if later.effective <= earlier.effective:
            raise ValueError("balances must rise strictly in date: one balance a day")
