"""The grid behind a term sheet's sliders says what the marks say, at today's point and at any other node."""

from dataclasses import replace
from datetime import date
from functools import partial
from uuid import UUID

import numpy as np
import pytest

from bonds.loss.note_risk import Piece, note_risk, outstanding_at
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.measures import WangTransform
from bonds.pricing.notes import NoteTerms, outstanding_curve, par_coupon
from bonds.pricing.sheet import Axes, Grid, Payments, axes_of, exceedance, grid_of
from risk.margin.layers import LossModel, shortfall_survival
from risk.margin.shortfall import NormalBodySeverity
from risk.market.curve import DiscountCurve, discount_curve, years_between

MODEL = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
PIECES = (
    Piece(UUID(int=1), 0.35, 0.25, 0.60, MODEL),
    Piece(UUID(int=2), 0.20, 0.05, 0.25, replace(MODEL, hazard_annual=0.03)),
)
TERMS = NoteTerms(date(2025, 10, 6), date(2027, 10, 6), 0.04)
DISCOUNT: DiscountCurve = discount_curve(TERMS.issue, {1: 0.0419, 12: 0.0360, 60: 0.0365})
AXES = axes_of(MODEL.rho, 0.454)
MEASURES = [WangTransform(load) for load in AXES.load]


def payments() -> Payments:
    periods = TERMS.remaining(TERMS.issue)
    return Payments(
        times=np.array([years_between(TERMS.issue, one.payment_date) for one in periods]),
        years=np.array([one.year_fraction for one in periods]),
        days=np.array([float(one.days) for one in periods]),
        discounts=np.array([DISCOUNT.factor(one.payment_date) for one in periods]),
    )


def made(pieces: tuple[Piece, ...] = PIECES) -> Grid:
    return grid_of(pieces, AXES, MEASURES, payments())


def corner(axes: Axes, pd: float, severity: float, rho: float) -> int:
    shape = (len(axes.pd), len(axes.severity), len(axes.rho))
    at = (axes.pd.index(pd), axes.severity.index(severity), axes.rho.index(rho))
    return int(np.ravel_multi_index(at, shape))


@pytest.mark.parametrize(
    ("pd", "severity", "rho"), [(1.0, 1.0, 0.35), (2.0, 1.0, 0.35), (1.0, 1.5, 0.7), (4.0, 2.0, 0.05)]
)
def test_every_node_is_what_the_marks_would_be(pd: float, severity: float, rho: float) -> None:
    found, at = made(), corner(AXES, pd, severity, rho)
    there = [
        replace(
            piece,
            model=replace(piece.model, hazard_annual=piece.model.hazard_annual * pd, s0=MODEL.s0 * severity, rho=rho),
        )
        for piece in PIECES
        if piece.model is not None
    ]
    risk = note_risk(there)
    assert (found.el[at], found.pfl[at], found.pll[at]) == pytest.approx(
        (risk.expected_loss, risk.pfl, risk.pll), rel=2e-3
    )


def test_todays_spread_is_the_guidance() -> None:
    found, at = made(), corner(AXES, 1.0, 1.0, 0.35)
    as_of = TERMS.issue
    riskless = OutstandingCurve(as_of, (as_of, TERMS.maturity), (1.0, 1.0))
    for column, measure in enumerate(MEASURES):
        risky = outstanding_curve(TERMS, as_of, partial(outstanding_at, PIECES, measure))
        exact = par_coupon(TERMS, as_of, DISCOUNT, risky) - par_coupon(TERMS, as_of, DISCOUNT, riskless)
        assert found.spread[at * len(MEASURES) + column] == pytest.approx(exact, abs=2e-6), (
            "a fiftieth of a basis point"
        )


def test_more_of_anything_bad_is_never_less_risk() -> None:
    shape = (len(AXES.pd), len(AXES.severity), len(AXES.rho))
    found = made()
    el = found.el.reshape(shape)
    assert (np.diff(el, axis=0) > 0).all()
    assert (np.diff(el, axis=1) > 0).all()
    assert (np.diff(found.spread.reshape(*shape, -1), axis=3) >= 0).all()
    assert (found.pll <= found.el + 1e-12).all()
    assert (found.el <= found.pfl + 1e-12).all()


def test_a_known_loss_moves_with_no_slider() -> None:
    lost = (replace(PIECES[0], model=None, known_loss=0.4),)
    found = made(lost)
    assert found.el == pytest.approx(np.full_like(found.el, 0.4))
    assert found.pfl == pytest.approx(np.ones_like(found.pfl))
    assert found.pll == pytest.approx(np.zeros_like(found.pll))


def test_the_curve_is_the_models_own() -> None:
    points, levels = exceedance(MODEL, 1.3)
    assert levels == pytest.approx(shortfall_survival(MODEL, points, 1.0))
    assert not exceedance(None, 1.3)[1].any()
