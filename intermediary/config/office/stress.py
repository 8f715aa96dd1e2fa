"""Stress: the intermediary and every relationship under the published scenarios, and how far each is from its limits.

The figures are those of the last report (`risk.stress_queries`); nothing is computed here.
"""

from django.http import HttpRequest, HttpResponse

from intermediary import queries
from intermediary.access import not_found
from intermediary.config.office.pages import STALE_AFTER_S, show
from intermediary.config.operations import rules
from intermediary.layer_risk import layers_table
from intermediary.margin_parts import parts_of
from intermediary.models import Cell, Layer, MarginState
from intermediary.risk_charts import bearers_chart, fan_chart, heat_chart
from intermediary.stack import stack_of
from risk import stress_queries
from risk.queries import held_back


def stale_after_s() -> int:
    """How old the market of a report may be: in a live one until there is an alarm, in a replay as every valuation."""
    live = queries.platform_clock().mode == "live"
    return int(rules.limits().unmeasured_seconds) if live else STALE_AFTER_S


def stress(request: HttpRequest) -> HttpResponse:
    """The whole book."""
    found = stress_queries.book_stress()
    if found is None:
        return show(request, "stress", "Stress", found=None)
    return show(
        request,
        "stress",
        "Stress",
        found=found,
        stale_after_s=stale_after_s(),
        worst=max(found.float_after, key=lambda row: (row["net_loss"], row["gross"])),
        thinnest=min(found.float_after, key=lambda row: row["float_left"]),
        heat=heat_chart(found.house["heat"]),
    )


def relationship_stress(request: HttpRequest, code: str) -> HttpResponse:
    """One relationship."""
    cell = Cell.objects.filter(kind=Cell.Kind.CLIENT, code=code).select_related("party").first()
    if cell is None:
        raise not_found()
    found = stress_queries.book_stress()
    one = next((row for row in found.relationships if row.cell.id == cell.id), None) if found else None
    why = held_back().get(code)
    if found is None or one is None:
        return show(request, "stress_of", f"Stress of {code}", cell=cell, one=None, held_back=why)
    state = MarginState.objects.select_related("valuation").filter(cell=one.cell).first()
    return show(
        request,
        "stress_of",
        f"Stress of {code}",
        cell=cell,
        found=found,
        stale_after_s=stale_after_s(),
        one=one,
        held_back=why,
        state=state,
        made=parts_of(state) if state else None,
        stack=stack_of(state.admission) if state else None,
        layers=sum(one.body["layers"].values()),
        heat=heat_chart(one.body["heat"]),
        bars=bearers_chart(one.rows),
        fan=fan_chart(one.body["exposure"]),
        **layers_table(list(Layer.objects.filter(cell=cell).order_by("attach_base_units")), cell.id),
    )
