"""The price of a class at one valuation, and every figure beside it, as the columns of its mark.

A class is priced from the valuation after its spread has cleared until it matures; before that only what each measure
would ask for it is known. Of days gone a floating coupon has the rates that it will be paid at, those of the official
valuations; where none was made yet, the curve's, which is said beside the price. Runs in bonds workers (numpy,
QuantLib).
"""

import json
from collections.abc import Sequence
from datetime import date
from functools import lru_cache, partial
from typing import Any

import numpy as np

from bonds.loss.note_risk import Piece, outstanding_at
from bonds.models import Series, Tranche
from bonds.pricing.cashflows import plan_of
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.floating import NOTHING_RECORDED, Fixings
from bonds.pricing.measures import PhysicalMeasure, PricingMeasure
from bonds.pricing.notes import NoteTerms, NoteValue, outstanding_curve, value_note
from bonds.pricing.outputs import MeasuredPrice, Outputs, Valuer, outputs_of
from bonds.pricing.rulesets import PricingRuleset
from bonds.servicing import overnight
from risk.market.curve import DiscountCurve

IN_FULL = "in_full"  # key of `outputs`: whether the figures beside the price are there
DIGITS = 9  # significant: a page shows six, and a stored float of seventeen says nothing more


def note_terms(series: Series, tranche: Tranche) -> NoteTerms:
    """What the class promises; before pricing its coupon is the collateral yield alone, or SOFR flat."""
    if _coupon_kind(series.terms) == "SOFR":
        rate = (tranche.spread_bps or 0) / 10_000
        return NoteTerms(
            series.issue_date, series.scheduled_maturity, rate, series.months_between_coupons, coupon_kind="SOFR"
        )
    coupon = tranche.coupon_rate_annual
    return NoteTerms(
        issue=series.issue_date,
        maturity=series.scheduled_maturity,
        coupon_rate_annual=float(series.collateral_yield_annual if coupon is None else coupon),
        months_between_coupons=series.months_between_coupons,
    )


def columns(
    series: Series,
    tranche: Tranche,
    as_of: date,
    discount: DiscountCurve,
    pieces: Sequence[Piece],
    ruleset: PricingRuleset,
    *,
    in_full: bool = True,
    fixings: Fixings = NOTHING_RECORDED,
) -> dict[str, Any]:
    """Of a `NoteMark`: the price under the official measure of that day, and `outputs` (docs/pricing.md). Not
    `in_full`: without the other measures, slopes and grid, which are most of the work. `fixings`: see `fixings_of`."""
    measure = ruleset.measure_name(as_of)
    said: dict[str, Any] = {"ruleset": {"label": ruleset.label, "hash": ruleset.hash}}
    if not pieces or as_of >= series.scheduled_maturity:
        return {"measure": measure, "outputs": said}
    terms = note_terms(series, tranche)
    physical = _curve(terms, as_of, pieces, PhysicalMeasure())
    priced = tranche.spread_bps is not None
    shares = np.array(physical.shares[1:])
    said[IN_FULL] = in_full
    if in_full:
        said |= _beside(outputs_of(pieces, Valuer.of(terms, as_of, discount, fixings), ruleset, shares, priced))
    if terms.floats:
        said["fixings"] = "of the official valuations" if fixings.rates else "implied by the curve"
    if not priced:
        return {"measure": measure, "outputs": said}
    official = _curve(terms, as_of, pieces, ruleset.official(as_of))
    value = value_note(terms, as_of, discount, official, physical, fixings)
    return {
        "clean_price": value.clean_price,
        "accrued": value.accrued,
        "z_spread": value.z_spread,
        "expected_yield": value.expected_yield,
        "measure": measure,
        "outputs": said | _of_value(value),
    }


def fixings_of(series: Series, as_of: date) -> Fixings:
    """The rates that days gone of the coupon that runs will be paid at; nothing of a fixed coupon."""
    if _coupon_kind(series.terms) != "SOFR" or not series.issue_date < as_of < series.scheduled_maturity:
        return NOTHING_RECORDED
    plan = plan_of(series.issue_date, series.scheduled_maturity, series.months_between_coupons, as_of)
    known = overnight.rates_of_days(plan.periods[0].accrual_start, as_of)
    return Fixings({day: float(rate) for day, rate in known.items()}) if known else NOTHING_RECORDED


@lru_cache(maxsize=1024)  # terms never change, and each mark asks
def _coupon_kind(terms: str) -> str:
    return str(json.loads(terms).get("coupon_kind", "FIXED"))


def _curve(terms: NoteTerms, as_of: date, pieces: Sequence[Piece], measure: PricingMeasure) -> OutstandingCurve:
    return outstanding_curve(terms, as_of, partial(outstanding_at, pieces, measure))


def _of_value(value: NoteValue) -> dict[str, Any]:
    """What has no column of its own."""
    names = (
        "dirty_price",
        "no_loss_yield",
        "risk_neutral_yield",
        "modified_duration",
        "convexity",
        "spread_multiple",
        "discount_margin",
    )
    return {name: _short(getattr(value, name)) for name in names}


def _beside(found: Outputs) -> dict[str, Any]:
    return {
        "measures": [_row(row) for row in found.measures],
        "with_beta": _row(found.with_beta),
        "sensitivities": {name: _short(slope) for name, slope in found.sensitivities.items()},
        "grid": [[load, _short(price)] for load, price in found.grid],
        "implied_lambda": _short(found.implied_lambda),
    }


def _row(row: MeasuredPrice) -> dict[str, Any]:
    return {"label": row.label, "name": row.name, "price": _short(row.price), "spread_bps": _short(row.spread_bps)}


def _short(figure: float | None) -> float | None:
    return None if figure is None else float(f"{figure:.{DIGITS}g}")
