"""A client's own risk: exposure so far and what it may become, what stands against it, every published stress.

Measured by the engine at the last valuation and stored; this page computes no loss. Signs are the engine's: exposure is
positive when the client owes. Two limits are drawn. Exposure so far has the one that the signed terms set: above it a
call is issued (exposure + independent amount - threshold, less the margin held, reaches the minimum transfer). What may
be owed with nothing paid meanwhile has the other: the margin held, then the funded layers, which is all that stands
behind the relationship.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from intermediary import ports
from intermediary.models import Cell, MarginState, VariationPayment
from intermediary.money import from_base_units
from intermediary.portal import reads
from intermediary.portal.views import context_of, of_cell
from intermediary.risk_charts import bearers_chart, fan_chart, heat_chart
from intermediary.stack import stack_of
from intermediary.terms import Terms

PARTS = (
    ("so-far", "Exposure so far"),
    ("behind", "What stands behind you"),
    ("ahead", "What you may come to owe"),
    ("ahead-numbers", "In numbers"),
    ("heat-map", "Price and volatility"),
    ("who-bears", "Who would bear it"),
    ("published", "Published scenarios"),
    ("how-far", "How far off"),
)
UNREPORTED = PARTS[:2]  # what a page shows of its own before the first stress report


@require_safe
@of_cell
def risk(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The page."""
    context = context_of(cell)
    state: MarginState | None = context["state"]
    report = ports.stress_report(cell.id) if cell.state != Cell.State.DEFAULTED else None
    limit = call_above_base_units(state, context["terms"]) if state else None
    context |= {
        "report": report,
        "call_above": limit,
        "history": exposure_chart(cell, limit) if state else None,
        "stack": stack_of(state.admission) if state else None,
        "on_this_page": [part for part in PARTS if report is not None or part in UNREPORTED],
    }
    if report is not None:
        exposure = report.body["exposure"]
        context |= {
            "fan": fan_chart(exposure),
            "fan_rows": fan_rows(exposure),
            "quantiles": [f"{100 * quantile:g}%" for quantile in exposure["quantiles"]],
            "furthest": fan_rows(exposure)[-1],
            "limit_usd": exposure["limit"],
            "heat": heat_chart(report.body["heat"]),
            "worst_cell": max(max(row) for row in report.body["heat"]["net"]),
            "beyond_margin": sum(1 for row in report.rows if row["net_loss"]),
            "bars": bearers_chart(report.rows),
        }
    return render(request, "portal/risk.html", context)


def call_above_base_units(state: MarginState, terms: Terms | None) -> int:
    """Exposure, settlement base units, from which a call is issued at the present independent amount, threshold and
    margin held (the formula of the signed terms); below the present exposure when the margin is short already."""
    smallest = max(1, terms.minimum_transfer_base_units) if terms else 1
    return state.held_base_units + state.threshold_base_units + smallest - state.independent_amount_base_units


def exposure_chart(cell: Cell, call_above: int | None) -> dict[str, Any] | None:
    """Exposure at each point of the history (a payment, and every five minutes), before variation margin was paid and
    what is not paid yet, with today's limit; None below two points."""
    points = reads.recent_points(cell)
    if len(points) < 2:
        return None
    paid = _paid(cell, [point.valuation_id for point in points])
    before = [_dollars(point.exposure_base_units + paid.get(point.valuation_id, 0)) for point in points]
    unpaid = [_dollars(point.exposure_base_units) for point in points]
    times = [point.valuation.as_of.isoformat() for point in points]
    drawn: dict[str, Any] = {
        "kind": "lines",
        "unit": "USDC",
        "scale": False,
        "series": [
            {"name": name, "tone": tone, "points": list(zip(times, values, strict=True)), "step": True, "area": area}
            for name, tone, values, area in (
                ("Before settlement", "accent", before, True),
                ("Not paid yet", "bad", unpaid, False),
            )
        ],
    }
    if call_above is not None and call_above > 0:
        limit = _dollars(call_above)
        drawn["limits"] = [{"value": limit, "label": "call above, now", "tone": "ink"}]
        drawn["top"] = _room(max(limit, *before))
    return drawn


def _paid(cell: Cell, valuations: Sequence[UUID]) -> dict[UUID, int]:
    """Variation margin that the client paid at each of these valuations (negative: received)."""
    payments = VariationPayment.objects.filter(cell=cell, valuation__in=valuations, reversed_at=None)
    return dict(payments.values_list("valuation_id", "amount_base_units"))


def fan_rows(exposure: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fan as a table: by days the quantiles in dollars, and the highest as a share of what stands behind."""
    limit = exposure["limit"]
    return [
        {"days": day, "owed": owed, "worst": owed[-1], "share": owed[-1] / limit if limit else None}
        for day, owed in zip(exposure["days"], exposure["owed"], strict=True)
    ]


def _dollars(amount_base_units: int) -> float:
    return float(from_base_units(amount_base_units, reads.DECIMALS))


def _room(value: float) -> int:
    """The end of an axis: a tenth above, in two figures that say something."""
    step = int(10 ** max(0, len(str(int(value))) - 2))
    return (int(value * 1.1) // step + 1) * step
