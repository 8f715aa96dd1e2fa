"""The curve gives back the rates it was made of, by QuantLib and by hand, and refuses rates that are none."""

import gzip
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from math import exp, log
from pathlib import Path

import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st

from intermediary.errors import BadInput, Refusal
from risk.market.curve import DiscountCurve, discount_curve, rate_helpers
from risk.market.published_rates import PublishedRates, rates_of
from risk.market.quantlib import business_days_between, evaluation_date, is_business_day
from risk.market.yield_tables import PAR_FILE, PAR_MONTHS, SHORT_MONTHS, SOFR_FILE, yield_tables

FRIDAY = date(2025, 10, 10)
# US Treasury and New York Fed, 9 October 2025.
YIELDS = {1: 0.0420, 3: 0.0403, 6: 0.0383, 12: 0.0366, 24: 0.0360, 60: 0.0374, 120: 0.0414, 240: 0.0470, 360: 0.0472}
SOFR = 0.0413


def implied_errors(curve: DiscountCurve, par_yields: Mapping[int, float], overnight: float | None) -> list[float]:
    """Each quote as QuantLib prices its instrument on our plain curve, less the quote: rates, and prices of par 1."""
    errors = []
    with evaluation_date(curve.as_of):
        handle = curve.handle()
        for helper in rate_helpers(curve.as_of, par_yields, overnight):
            if isinstance(helper, ql.FixedRateBondHelper):
                bond = helper.bond()
                bond.setPricingEngine(ql.DiscountingBondEngine(handle))
                errors.append((bond.cleanPrice() - helper.quote().value()) / 100)
            else:
                days = ql.Actual360() if not errors and overnight is not None else ql.Actual365Fixed()
                simple = handle.forwardRate(helper.earliestDate(), helper.maturityDate(), days, ql.Simple).rate()
                errors.append(simple - helper.quote().value())
    return errors


def tables(folder: Path, sofr: str, par: str) -> Path:
    """The two published tables with these rows."""
    with gzip.open(folder / SOFR_FILE, "wt") as stream:
        stream.write("DATE,SOFR,US_BILL_3M,US_BILL_6M,US_BILL_1Y,US_BILL_2Y\n" + sofr)
    with gzip.open(folder / PAR_FILE, "wt") as stream:
        stream.write("date,DGS1MO,DGS3MO,DGS6MO,DGS1,DGS2,DGS5,DGS10,DGS20,DGS30\n" + par)
    return folder


PAR_ROW = ",3.72,3.69,3.61,3.51,3.48,3.65,4.08,4.66,4.72\n"


@pytest.mark.parametrize("rate", [3.66, -0.2, float("nan"), float("inf")])
def test_a_percentage_or_no_number_is_refused_as_a_rate(rate: float) -> None:
    with pytest.raises(BadInput, match=r"rates\.absurd"):
        discount_curve(FRIDAY, YIELDS | {12: rate}, SOFR)
    with pytest.raises(BadInput, match=r"rates\.absurd"):
        discount_curve(FRIDAY, YIELDS, rate)


def test_rates_of_a_weekend_are_refused() -> None:
    with pytest.raises(BadInput, match=r"rates\.not_published"):
        PublishedRates(date(2025, 10, 11), SOFR, YIELDS)


def test_rates_too_old_or_of_the_future_make_no_curve() -> None:
    rates = PublishedRates(date(2025, 10, 9), SOFR, YIELDS)
    # Friday, Tuesday and Wednesday: Columbus Day, 13 October, is no business day.
    assert rates.curve(date(2025, 10, 15)).as_of == date(2025, 10, 15)
    for as_of in (date(2025, 10, 16), date(2025, 10, 8)):
        with pytest.raises(Refusal, match=r"rates\.stale"):
            rates.curve(as_of)


def test_a_curve_is_silent_beyond_its_last_node() -> None:
    curve = discount_curve(FRIDAY, {12: 0.04, 24: 0.04}, SOFR)
    with pytest.raises(ValueError, match="outside the curve"):
        curve.factor(curve.dates[-1] + timedelta(days=1))
    with pytest.raises(ValueError, match="outside the curve"):
        curve.zero_rate(FRIDAY + timedelta(days=1200))
    with pytest.raises(ValueError, match="earlier to a later"):
        curve.forward_rate(FRIDAY, FRIDAY)


def test_discount_factors_are_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        DiscountCurve(FRIDAY, (FRIDAY, FRIDAY + timedelta(days=1)), (1.0, 0.0))


def test_the_curve_gives_back_every_rate_by_quantlibs_helpers() -> None:
    curve = discount_curve(FRIDAY, YIELDS, SOFR)
    assert implied_errors(curve, YIELDS, SOFR) == pytest.approx([0.0] * 10, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    quoted_on=st.dates(date(2022, 1, 3), date(2030, 12, 31)).filter(is_business_day),
    shifts=st.lists(st.floats(-0.004, 0.004), min_size=9, max_size=9),
    level=st.floats(0.0, 0.08),
)
def test_on_any_business_day_and_any_level_it_gives_back_its_rates(
    quoted_on: date, shifts: list[float], level: float
) -> None:
    yields = {months: level + shift for months, shift in zip(YIELDS, shifts, strict=True)}
    curve = discount_curve(quoted_on, yields, level)
    assert implied_errors(curve, yields, level) == pytest.approx([0.0] * 10, abs=1e-10)


def test_friday_overnight_lasts_to_monday_or_over_the_holiday() -> None:
    """10 October 2025 is a Friday before Columbus Day: four nights. A week later it is three."""
    for friday, nights in ((FRIDAY, 4), (date(2025, 10, 17), 3), (date(2025, 10, 16), 1)):
        curve = discount_curve(friday, YIELDS, SOFR)
        assert curve.dates[1] == friday + timedelta(days=nights)
        assert curve.factors[1] == pytest.approx(1 / (1 + SOFR * nights / 360), abs=1e-14)


def test_bills_and_a_one_year_bond_by_hand() -> None:
    curve = discount_curve(FRIDAY, YIELDS, SOFR)
    assert curve.factor(date(2026, 4, 10)) == pytest.approx(1 / (1 + 0.0383 * 182 / 365), abs=1e-12)
    half, whole = curve.factor(date(2026, 4, 10)), curve.factor(date(2026, 10, 10))
    assert 0.0366 / 2 * (half + whole) + whole == pytest.approx(1, abs=1e-12)


def test_a_leap_day_has_tenors_and_a_price() -> None:
    """From 29 February a year ends on 28 February, and its half on 29 August."""
    leap = date(2028, 2, 29)
    curve = discount_curve(leap, YIELDS, SOFR)
    assert date(2029, 2, 28) in curve.dates
    half, whole = curve.factor(date(2028, 8, 29)), curve.factor(date(2029, 2, 28))
    assert 0.0366 / 2 * (half + whole) + whole == pytest.approx(1, abs=1e-3)
    assert implied_errors(curve, YIELDS, SOFR) == pytest.approx([0.0] * 10, abs=1e-10)
    across = discount_curve(date(2028, 2, 28), YIELDS, SOFR)
    assert across.dates[1] == leap


def test_zero_and_forward_rates_are_those_of_the_factors() -> None:
    curve = discount_curve(FRIDAY, YIELDS, SOFR)
    start, end = date(2026, 10, 10), date(2027, 10, 10)
    assert curve.zero_rate(end) == pytest.approx(-log(curve.factor(end)) * 365 / 730, abs=1e-14)
    assert curve.forward_rate(start, end) == pytest.approx(log(curve.factor(start) / curve.factor(end)), abs=1e-14)
    with evaluation_date(FRIDAY):
        handle = curve.handle()
        zero = handle.zeroRate(ql.Date(10, 10, 2027), ql.Actual365Fixed(), ql.Continuous).rate()
    assert curve.zero_rate(end) == pytest.approx(zero, abs=1e-12)


def test_between_nodes_the_forward_rate_stands_still() -> None:
    curve = discount_curve(FRIDAY, YIELDS, SOFR)
    first, last = date(2027, 10, 10), date(2030, 10, 10)
    whole = curve.forward_rate(first, last)
    for day in range(0, (last - first).days - 100, 97):
        start = first + timedelta(days=day)
        assert curve.forward_rate(start, start + timedelta(days=50)) == pytest.approx(whole, abs=1e-12)


def test_a_weekend_takes_fridays_curve_as_it_implies() -> None:
    friday = PublishedRates(date(2025, 10, 17), SOFR, YIELDS)
    saturday = friday.curve(date(2025, 10, 18))
    assert saturday.as_of == date(2025, 10, 18)
    end = date(2026, 4, 17)
    expected = friday.curve().factor(end) / friday.curve().factor(date(2025, 10, 18))
    assert saturday.factor(end) == pytest.approx(expected, abs=1e-15)


def test_snapshot_points_discount_as_the_curve() -> None:
    curve = discount_curve(FRIDAY, YIELDS, SOFR)
    points = curve.points((1, 30, 91, 182, 365, 730))
    assert points[3] == (182, Decimal(repr(log(1 + 0.0383 * 182 / 365) * 365 / 182)).quantize(Decimal("0.000001")))
    for days, rate in points:
        factor = curve.factor(FRIDAY + timedelta(days=days))
        assert exp(-float(rate) * days / 365) == pytest.approx(factor, abs=1e-6)


def test_the_last_day_with_every_series_is_taken_and_a_hole_is_passed_over(tmp_path: Path) -> None:
    sofr = "2026-02-18,3.68,,,,\n2026-02-19,3.67,,,,\n2026-02-20,,3.69,3.61,3.51,3.48\n"
    folder = tables(tmp_path, sofr, f"2026-02-19{PAR_ROW}2026-02-20{PAR_ROW}")
    rates = rates_of(folder, date(2026, 2, 22))
    assert rates.quoted_on == date(2026, 2, 19)
    assert rates.overnight == pytest.approx(0.0367)
    assert rates.par_yields[360] == pytest.approx(0.0472)


def test_a_hole_longer_than_the_age_limit_is_refused_with_its_days(tmp_path: Path) -> None:
    sofr = "2026-02-12,3.68,,,,\n" + "".join(f"2026-02-{day},,3.69,3.61,3.51,3.48\n" for day in (17, 18, 19, 20))
    folder = tables(tmp_path, sofr, f"2026-02-12{PAR_ROW}")
    with pytest.raises(Refusal, match=r"rates\.stale") as found:
        rates_of(folder, date(2026, 2, 20))
    assert found.value.data["incomplete"] == ["2026-02-20", "2026-02-19", "2026-02-18", "2026-02-17"]
    with pytest.raises(Refusal, match=r"rates\.stale"):
        rates_of(folder, date(2026, 2, 11))


def test_a_word_where_a_rate_belongs_is_refused(tmp_path: Path) -> None:
    folder = tables(tmp_path, "2026-02-19,n/a,,,,\n", f"2026-02-19{PAR_ROW}")
    with pytest.raises(BadInput, match=r"rates\.malformed.*SOFR is 'n/a'"):
        rates_of(folder, date(2026, 2, 19))


def test_business_days_are_counted_over_weekends_and_holidays() -> None:
    assert business_days_between(FRIDAY, date(2025, 10, 13)) == 0
    assert business_days_between(FRIDAY, date(2025, 10, 14)) == 1
    assert business_days_between(date(2025, 10, 14), FRIDAY) == 0


@pytest.mark.parametrize(
    ("as_of", "quoted_on", "last_months"),
    [
        (date(2025, 10, 9), date(2025, 10, 9), 360),
        (date(2025, 10, 12), date(2025, 10, 10), 360),
        (date(2023, 4, 7), date(2023, 4, 6), 360),  # Good Friday: yields were published, SOFR was not
        (date(2024, 2, 29), date(2024, 2, 29), 360),
        (date(2026, 8, 7), date(2026, 8, 5), 24),  # after the full table ends
    ],
)
def test_recorded_rates_make_a_curve(market_history_dir: Path, as_of: date, quoted_on: date, last_months: int) -> None:
    rates = rates_of(market_history_dir, as_of)
    assert rates.quoted_on == quoted_on
    assert max(rates.par_yields) == last_months
    curve = rates.curve()
    errors = implied_errors(curve, rates.par_yields, rates.overnight)
    assert errors == pytest.approx([0.0] * len(errors), abs=1e-10)
    assert rates.curve(as_of).as_of == as_of


def test_beyond_the_recording_rates_are_stale(market_history_dir: Path) -> None:
    with pytest.raises(Refusal, match=r"rates\.stale"):
        rates_of(market_history_dir, date(2026, 9, 30))


def test_both_recorded_tables_carry_the_same_yields(market_history_dir: Path) -> None:
    (short,) = yield_tables(market_history_dir / SOFR_FILE, "DATE", SHORT_MONTHS)
    (long,) = yield_tables(market_history_dir / PAR_FILE, "date", PAR_MONTHS)
    both = sorted(set(short) & set(long))
    assert len(both) > 1000
    apart = [day for day in both if any(abs(short[day][m] - long[day][m]) > 1e-9 for m in SHORT_MONTHS.values())]
    assert apart == []
