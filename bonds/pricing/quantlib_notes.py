"""The same notes as QuantLib's own bonds, priced by its own engine under the market's convention for a loss.

`RiskyBondEngine` scales a coupon by the principal at its payment date ("at_payment"); our terms pay for each day's
principal, for which QuantLib has no engine (`cashflows`). Everything here lives inside `evaluation_date`: the
evaluation date and the fixings of an index are global to QuantLib, and nothing built here may leave. Two traps that are
kept away from here: `ql.Bond` adds the redemption to a leg by itself, so a leg carries none; and a bond's calendar
would move its settlement from a weekend, so it has none.
"""

from datetime import timedelta

import QuantLib as ql

from bonds.pricing.cashflows import PAR
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.floating import Fixings, past_rate
from bonds.pricing.schedule import CouponPeriod
from risk.market.curve import DiscountCurve
from risk.market.quantlib import evaluation_date, to_ql

INDEX = "BLK-SOFR"  # a name of its own: QuantLib keeps fixings by name, and nobody else's may be among them


def dirty_price(
    schedule: tuple[CouponPeriod, ...],
    discount: DiscountCurve,
    outstanding: OutstandingCurve,
    rate_or_spread: float,
    *,
    floating: bool,
    fixings: Fixings,
) -> float:
    """Per 100 of today's principal, of the note with this whole `schedule`, fixed or floating over SOFR."""
    with evaluation_date(discount.as_of):
        curve = discount.handle()
        bond = (
            _floater(schedule, discount, curve, rate_or_spread, fixings)
            if floating
            else _fixed(schedule, rate_or_spread)
        )
        bond.setPricingEngine(ql.RiskyBondEngine(outstanding.handle(), 0.0, curve))
        try:
            return float(bond.NPV())
        finally:
            _index(curve).clearFixings()


def _dates(schedule: tuple[CouponPeriod, ...]) -> ql.Schedule:
    """Dates that are adjusted already."""
    return ql.Schedule([to_ql(schedule[0].accrual_start), *(to_ql(period.accrual_end) for period in schedule)])


def _fixed(schedule: tuple[CouponPeriod, ...], rate: float) -> ql.Bond:
    issue = to_ql(schedule[0].accrual_start)
    return ql.FixedRateBond(
        0, PAR, _dates(schedule), [rate], ql.Actual360(), ql.Unadjusted, PAR, issue, ql.NullCalendar()
    )


def _floater(
    schedule: tuple[CouponPeriod, ...],
    discount: DiscountCurve,
    curve: ql.YieldTermStructureHandle,
    spread: float,
    fixings: Fixings,
) -> ql.Bond:
    index = _index(curve)
    for period in schedule:
        if period.accrual_start < discount.as_of < period.payment_date:
            for count in range((discount.as_of - period.accrual_start).days):
                day = period.accrual_start + timedelta(days=count)
                index.addFixing(to_ql(day), past_rate(day, discount, fixings), True)
    leg = ql.OvernightLeg(
        nominals=[PAR],
        schedule=_dates(schedule),
        index=index,
        paymentDayCounter=ql.Actual360(),
        paymentConvention=ql.Unadjusted,
        spreads=[spread],
        averagingMethod=ql.RateAveraging.Simple,
    )
    return ql.Bond(0, ql.NullCalendar(), to_ql(schedule[0].accrual_start), leg)


def _index(curve: ql.YieldTermStructureHandle) -> ql.OvernightIndex:
    """Of every day: a weekend earns a rate a day, as it is paid, and not one over three days."""
    return ql.OvernightIndex(INDEX, 0, ql.USDCurrency(), ql.NullCalendar(), ql.Actual360(), curve)
