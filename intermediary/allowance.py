"""What a relationship's credit line allows now: how much exposure may stay unsecured.

A line is `credit`'s to grant and to end; this is what margin reads of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef

from intermediary.models import CreditLine, DefaultCase, MarginCall, Party


@dataclass(frozen=True)
class Allowance:
    """The active line, and the unsecured exposure that it allows now, base units."""

    line: CreditLine
    threshold_base_units: int


def allowances(cell_ids: Collection[UUID], now: datetime) -> dict[UUID, Allowance]:
    """The active line of each relationship that has one, by one query. It allows nothing after its expiry, without
    recourse, and from a potential event of default (a lapsed call) on."""
    lapsed = MarginCall.objects.filter(cell_id=OuterRef("cell_id"), state=MarginCall.State.LAPSED)
    live = DefaultCase.objects.filter(cell_id=OuterRef("cell_id")).exclude(state__in=["CURED", "CLOSED"])
    without_recourse = Party.objects.filter(cells=OuterRef("cell_id"), recourse=Party.Recourse.NONE)
    active = CreditLine.objects.filter(cell_id__among=cell_ids, state=CreditLine.State.ACTIVE)
    found = active.annotate(barred=Exists(lapsed) | Exists(live) | Exists(without_recourse))
    return {
        line.cell_id: Allowance(line, 0 if line.barred or line.expires_at <= now else line.threshold_base_units)
        for line in found
    }
