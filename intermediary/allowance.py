"""What a relationship's credit line allows now: how much exposure may stay unsecured.

A line is `credit`'s to grant and to end; this is what margin reads of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection


@dataclass(frozen=True)
class Allowance:
    """Of the active line: the unsecured exposure that it allows now, base units, the desk's own estimate of how often
    such a client fails, defaults a year, and when it ends."""

    threshold_base_units: int
    default_intensity_annual: Decimal
    ends_at: datetime


def allowances(cell_ids: Collection[UUID], now: datetime) -> dict[UUID, Allowance]:
    """Of each relationship that has an active line, by one query. It allows nothing after its expiry, without recourse,
    and from a potential event of default (a lapsed call) on."""
    with connection.cursor() as cursor:
        cursor.execute(ACTIVE_LINES, [list(cell_ids)])
        return allowances_of(cursor.fetchall(), now)


def allowances_of(rows: Iterable[Any], now: datetime) -> dict[UUID, Allowance]:
    """The same of the rows of `ACTIVE_LINES`."""
    return {
        cell_id: Allowance(0 if barred or expires_at <= now else int(threshold), intensity, expires_at)
        for cell_id, threshold, intensity, expires_at, barred in rows
    }


ACTIVE_LINES = """
    SELECT line.cell_id, line.threshold_base_units, line.default_intensity_annual, line.expires_at,
        party.recourse = 'NONE'
        OR EXISTS (SELECT FROM intermediary_margincall WHERE cell_id = line.cell_id AND state = 'LAPSED')
        OR EXISTS (
            SELECT FROM intermediary_defaultcase WHERE cell_id = line.cell_id AND state NOT IN ('CURED', 'CLOSED')
        ) AS barred
    FROM intermediary_creditline AS line
        JOIN intermediary_cell AS cell ON cell.id = line.cell_id
        JOIN intermediary_party AS party ON party.id = cell.party_id
    WHERE line.state = 'ACTIVE' AND line.cell_id = ANY(%s)"""
