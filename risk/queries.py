"""Reads of the engine's results for pages. Loads no numeric library."""

import json
from decimal import Decimal
from uuid import UUID

from django.db import connection

from intermediary import ports
from risk.market.quality import MarkState
from risk.models import LayerRisk, ModelHaircut, Snapshot, Tick, TickShard, UncoveredRisk

ERROR_OF_OURS = "An error of the platform, which its officers see."


def uncovered_risk() -> dict[UUID, ports.UncoveredRisk]:
    """The live UNCOVERED risk of every performing relationship, by cell.

    Rows of the tick measured last: who was not measured in it no longer performs, and has no probability.
    """
    newest = UncoveredRisk.objects.order_by("-tick_id").values("tick_id")[:1]
    rows = UncoveredRisk.objects.filter(tick_id__in=newest).select_related("tick__valuation")
    return {
        row.cell_id: ports.UncoveredRisk(
            probability=row.probability,
            expected_base_units=row.expected_base_units,
            layers_base_units=row.layers_base_units,
            as_of=row.tick.valuation.as_of,
            snapshot_id=row.tick.snapshot_id,
        )
        for row in rows
    }


def layer_risks(cell_id: UUID) -> dict[UUID, ports.LayerRisk]:
    """The live risk of each layer behind one relationship, by layer; none where it was not measured last, as above."""
    newest = UncoveredRisk.objects.order_by("-tick_id").values("tick_id")[:1]
    rows = LayerRisk.objects.filter(cell_id=cell_id, tick_id__in=newest).select_related("tick__valuation")
    return {
        row.layer_id: ports.LayerRisk(
            expected_loss=row.expected_loss,
            first_loss=row.probability_first_loss,
            last_loss=row.probability_last_loss,
            as_of=row.tick.valuation.as_of,
        )
        for row in rows
    }


def model_haircuts() -> dict[str, ports.ModelHaircut]:
    """The haircut that the engine would take off each margin asset, by its code."""
    return {
        row.asset_id: ports.ModelHaircut(
            haircut_bps=row.haircut_bps,
            floor_bps=row.floor_bps,
            shortfall_bps=row.shortfall_bps,
            concentration_bps=row.concentration_bps,
            as_of=row.tick.valuation.as_of,
        )
        for row in ModelHaircut.objects.select_related("tick__valuation")
    }


def mark_doubts(snapshot_id: str) -> dict[str, ports.MarkDoubt]:
    """The marks of a snapshot that are less than good, by coin; none where one recorded source judges nothing.

    Reads these figures alone: a page must not build a whole market, surfaces and all, on every request.
    """
    body = Snapshot.objects.filter(id=snapshot_id).values_list("body", flat=True).first()
    qualities = json.loads(body).get("qualities", {}) if body else {}
    return {
        coin: ports.MarkDoubt(item["state"], Decimal(item["uncertainty_bps"]) / 10_000)
        for coin, item in qualities.items()
        if item["state"] != MarkState.GOOD
    }


def held_back() -> dict[str, str]:
    """Relationships without a requirement in the last market that was worked through, by code, and why. For officers:
    it tells what somebody holds."""
    last = Tick.objects.filter(done_at__isnull=False).first()
    shards = TickShard.objects.filter(tick=last).exclude(refused={}).values_list("refused", flat=True)
    found = {code: why for refused in shards for code, why in refused.items()}
    return {code: _reason(why) for code, why in sorted(found.items())}


def own_refusal(cell_id: UUID) -> str | None:
    """Why the requirement of a relationship of the person who asks was not renewed in the last market that was worked
    through; None where it was, and for anybody else's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT own_refusal(%s)", [cell_id])
        (why,) = cursor.fetchone()
    if why is None:
        return None
    return ERROR_OF_OURS if why.startswith("internal_error") else _reason(why)


def _reason(why: str) -> str:
    """A refusal's sentence without its code."""
    said = why.partition(": ")[2] or why
    return said[:1].upper() + said[1:]
