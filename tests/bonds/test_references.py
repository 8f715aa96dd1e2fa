"""Public and closed-form values that the loss engine and its curves must give, whatever else changes."""

from datetime import date, timedelta
from math import exp

import numpy as np
import pytest
import QuantLib as ql

from bonds.pricing.curves import OutstandingCurve
from risk.margin.layers import LossModel, layer_measures, term_structure
from risk.margin.shortfall import NormalBodySeverity, ScenarioSeverity, Severity
from risk.market.curve import DiscountCurve
from risk.market.quantlib import evaluation_date, from_ql

U, XI, BETA, SHARE = 1.5, 0.25, 0.75, 0.10
HAZARD, MARGIN = 0.06, 1.6
REFERENCE = LossModel(
    hazard_annual=HAZARD, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(U, XI, BETA, SHARE), margin=1.0
)
# Layers in multiples of margin: EL by the prototype, to its last digit.
TABLE = [(0.05, 0.25, 0.0044617), (0.25, 0.60, 0.0028262), (0.60, 1.20, 0.0014578)]
SEVERITIES: list[Severity] = [
    NormalBodySeverity(U, XI, BETA, SHARE),
    ScenarioSeverity(np.array([0.0, 1.0, U]), np.array([0.6, 0.3, SHARE]), U, XI, BETA, SHARE),
]


@pytest.mark.parametrize(("attach", "detach", "expected"), TABLE)
def test_the_reference_table_is_met_to_a_millionth(attach: float, detach: float, expected: float) -> None:
    assert layer_measures(REFERENCE, attach, detach, 1.0).el == pytest.approx(expected, abs=1e-6)
    assert term_structure(REFERENCE, attach, detach, [1.0])[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES, ids=["normal body", "scenarios"])
@pytest.mark.parametrize(("attach", "detach"), [(0.0, 0.5), (0.5, 3.0), (0.0, 20.0)])
def test_a_layer_inside_the_pareto_tail_has_its_closed_form(severity: Severity, attach: float, detach: float) -> None:
    """Without distress: EL = p share beta / (1 - xi) [(1 + xi y_a)^(1 - 1/xi) - (1 + xi y_d)^(1 - 1/xi)] / (d - a)."""
    model = LossModel(hazard_annual=HAZARD, rho=0.0, v=0.0, s0=1.0, severity=severity, margin=MARGIN)

    def beyond(x: float) -> float:
        return float(SHARE * BETA / (1 - XI) * (1 + XI * (MARGIN + x - U) / BETA) ** (1 - 1 / XI))

    expected = (1 - exp(-HAZARD)) * (beyond(attach) - beyond(detach)) / (detach - attach)
    assert layer_measures(model, attach, detach, 1.0).el == pytest.approx(expected, abs=1e-8)
    assert term_structure(model, attach, detach, [1.0])[0] == pytest.approx(expected, abs=1e-8)


def test_our_curves_give_the_cached_value_of_a_credit_default_swap() -> None:
    """Protection sold on 10,000 at 120 bp, hazard 1.234%, flat 6%, recovery 40%, by QuantLib's mid-point engine: the
    value of QuantLib's own tests, here from the expected principal and the discount factors of this platform."""
    today = date(2006, 6, 9)
    days = [today + timedelta(days=count) for count in range(3_700)]
    shares = [exp(-0.01234 * (day - today).days / 360) for day in days]
    survival = OutstandingCurve(today, tuple(days), (1.0, *shares[1:]))
    discount = DiscountCurve(today, (today, days[-1]), (1.0, exp(-0.06 * (days[-1] - today).days / 360)))
    with evaluation_date(today):
        calendar = ql.TARGET()
        issue = calendar.advance(ql.Date(9, 6, 2006), -1, ql.Years)
        maturity = calendar.advance(issue, 10, ql.Years)
        assert from_ql(maturity) < days[-1]
        adjust, forward = ql.ModifiedFollowing, ql.DateGeneration.Forward
        half_years = ql.Period(ql.Semiannual)
        schedule = ql.Schedule(issue, maturity, half_years, calendar, adjust, adjust, forward, False)
        seller = ql.Protection.Seller
        swap = ql.CreditDefaultSwap(seller, 10_000.0, 0.0120, schedule, adjust, ql.Actual360(), True, True)
        swap.setPricingEngine(ql.MidPointCdsEngine(survival.handle(), 0.4, discount.handle()))
        assert swap.NPV() == pytest.approx(295.0153398, abs=1e-6)
