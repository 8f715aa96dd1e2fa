"""What a relationship's credit line allows now: how much exposure may stay unsecured.

A line is `credit`'s to grant and to end; this is what margin reads of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from intermediary.models import CreditLine


@dataclass(frozen=True)
class Allowance:
    """The active line, and the unsecured exposure that it allows now, base units."""

    line: CreditLine
    threshold_base_units: int


def allowances(cell_ids: Collection[UUID], now: datetime) -> dict[UUID, Allowance]:
    """The active line of each relationship that has one, by one query. It allows nothing after its expiry, without
    recourse, and from a potential event of default (a lapsed call) on."""
    found = list(CreditLine.objects.raw(_ACTIVE, [list(cell_ids)]))
    barred = {line.cell_id: getattr(line, "barred") for line in found}  # noqa: B009  # a column of the query
    return {
        line.cell_id: Allowance(
            line, 0 if barred[line.cell_id] or line.expires_at <= now else line.threshold_base_units
        )
        for line in found
    }


_ACTIVE = """
    SELECT line.*,
        party.recourse = 'NONE'
        OR EXISTS (SELECT FROM intermediary_margincall WHERE cell_id = line.cell_id AND state = 'LAPSED')
        OR EXISTS (
            SELECT FROM intermediary_defaultcase WHERE cell_id = line.cell_id AND state NOT IN ('CURED', 'CLOSED')
        ) AS barred
    FROM intermediary_creditline AS line
        JOIN intermediary_cell AS cell ON cell.id = line.cell_id
        JOIN intermediary_party AS party ON party.id = cell.party_id
    WHERE line.state = 'ACTIVE' AND line.cell_id = ANY(%s)"""
