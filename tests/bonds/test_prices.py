"""Columns of a mark: what is kept before pricing, after it, of a floating class, and of one that has matured."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from bonds.loss.note_risk import Piece
from bonds.marking.prices import columns, note_terms
from bonds.models import Series, Tranche
from bonds.pricing.floating import Fixings
from bonds.pricing.rulesets import STANDARD
from risk.margin.layers import LossModel
from risk.margin.shortfall import NormalBodySeverity
from risk.market.curve import DiscountCurve

ISSUE, AS_OF = date(2025, 9, 15), date(2025, 10, 10)
DISCOUNT = DiscountCurve(AS_OF, (AS_OF, AS_OF + timedelta(days=1460)), (1.0, 1.04**-4))
MODEL = LossModel(0.06, 0.35, 0.45, 0.38, NormalBodySeverity(1.5, 0.25, 0.75, 0.10), 1.0)
PIECES = [Piece(UUID(int=1), 0.35, 0.25, 0.60, MODEL)]


def a_class(spread_bps: int | None, kind: str = "FIXED", maturity: date = date(2026, 9, 15)) -> Tranche:
    series = Series(
        issue_date=ISSUE,
        scheduled_maturity=maturity,
        collateral_yield_annual=Decimal("0.0363"),
        terms=f'{{"coupon_kind":"{kind}"}}',
    )
    return Tranche(series=series, spread_bps=spread_bps)


def test_a_fixed_coupon_is_spread_and_yield_and_a_floating_one_is_its_spread_over_sofr() -> None:
    fixed, floating = a_class(500), a_class(500, "SOFR")
    assert note_terms(fixed.series, fixed).coupon_rate_annual == pytest.approx(0.0863)
    terms = note_terms(floating.series, floating)
    assert (terms.floats, terms.coupon_rate_annual) == (True, 0.05)
    unpriced = a_class(None, "SOFR")
    assert note_terms(unpriced.series, unpriced).coupon_rate_annual == 0.0


def test_before_pricing_a_mark_has_spreads_and_no_price() -> None:
    one = a_class(None)
    found = columns(one.series, one, AS_OF, DISCOUNT, PIECES, STANDARD)
    assert set(found) == {"measure", "outputs"}
    assert found["measure"] == STANDARD.measure_name(AS_OF)
    assert found["outputs"]["measures"][0]["spread_bps"] > 0
    assert found["outputs"]["measures"][0]["price"] is None


def test_after_pricing_a_mark_has_every_output() -> None:
    one = a_class(500)
    found = columns(one.series, one, AS_OF, DISCOUNT, PIECES, STANDARD)
    assert found["clean_price"] == pytest.approx(found["outputs"]["measures"][0]["price"], abs=1e-3)
    assert found["outputs"]["dirty_price"] == pytest.approx(found["clean_price"] + found["accrued"], abs=1e-6)
    for name in ("no_loss_yield", "risk_neutral_yield", "modified_duration", "convexity", "spread_multiple"):
        assert found["outputs"][name] is not None, name
    assert found["outputs"]["ruleset"] == {"label": STANDARD.label, "hash": STANDARD.hash}
    assert "fixings" not in found["outputs"]


def test_a_floating_mark_says_where_its_fixings_are_from() -> None:
    one, known = a_class(500, "SOFR"), Fixings({ISSUE: 0.0420, AS_OF - timedelta(days=5): 0.0390})
    implied = columns(one.series, one, AS_OF, DISCOUNT, PIECES, STANDARD)
    paid = columns(one.series, one, AS_OF, DISCOUNT, PIECES, STANDARD, fixings=Fixings(every_day(known)))
    assert implied["outputs"]["fixings"] == "implied by the curve"
    assert paid["outputs"]["fixings"] == "of the official valuations"
    assert paid["outputs"]["discount_margin"] is not None
    assert paid["accrued"] == pytest.approx(100 * (25 * 0.05 + 20 * 0.0420 + 5 * 0.0390) / 360, abs=1e-9)


def every_day(known: Fixings) -> dict[date, float]:
    """The rates as days know them: the last one before."""
    days = [ISSUE + timedelta(days=count) for count in range((AS_OF - ISSUE).days)]
    return {day: known.rates[max(one for one in known.rates if one <= day)] for day in days}


@pytest.mark.parametrize(
    ("pieces", "maturity"), [([], date(2026, 9, 15)), (PIECES, AS_OF)], ids=["no principal left", "matured"]
)
def test_what_is_over_has_no_price(pieces: list[Piece], maturity: date) -> None:
    one = a_class(500, maturity=maturity)
    found = columns(one.series, one, AS_OF, DISCOUNT, pieces, STANDARD)
    assert set(found) == {"measure", "outputs"}
    assert set(found["outputs"]) == {"ruleset"}
