"""The report on a day: what was compared first after it ended, and everything that differed then.

The day is that of the chain's blocks, UTC. Whoever books final blocks compares them too, and at the first final block
of a later day writes the report; another process, on a timetable, would compare books that are half booked. A day with
no block after it has no report: nothing was compared. A report is never written again.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone

from intermediary.models import ChainTarget
from settlement import chains
from settlement.breaks import ReconciliationBreak, ReconciliationReport, ReconciliationRun
from settlement.models import ChainBlock

if TYPE_CHECKING:
    from settlement.comparisons import Compared, Comparison, Holding

ONE_DAY = timedelta(days=1)


# Asked at every block, of days that are written or were not read but for one block a day.
_IS_DUE = """
    SELECT NOT EXISTS (SELECT FROM settlement_reconciliationreport WHERE chain = %(chain)s AND day >= %(day)s)
        AND (SELECT block_time FROM settlement_chainblock WHERE chain = %(chain)s AND canonical AND finalized
             ORDER BY number LIMIT 1) < %(ends)s
"""


def close_day(block: ChainBlock, run: ReconciliationRun, found: "Compared") -> None:
    """Write the report on the day before this block's, unless it is written or nothing was read of that day."""
    ends = block.block_time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = ends.date() - ONE_DAY
    with connection.cursor() as cursor:
        cursor.execute(_IS_DUE, {"chain": chains.here(), "day": day, "ends": ends})
        if not cursor.fetchone()[0]:
            return
    ReconciliationReport.objects.create(
        day=day,
        block_number=block.number,
        block_hash=block.hash,
        block_time=block.block_time,
        comparisons=run.comparisons,
        breaks=run.breaks,
        body={"totals": [*_by_place(found.holdings), *_alone(found.alone)], "breaks": _open_breaks()},
    )


def _by_place(holdings: Sequence["Holding"]) -> Iterator[dict[str, Any]]:
    """Vaults and retentions, summed by token; each of them was compared by itself."""

    def place(one: "Holding") -> tuple[str, str]:
        return ChainTarget.Kind(one.target.kind).label, one.target.asset_id

    for (kind, asset), group in groupby(sorted(holdings, key=place), key=place):
        some = list(group)
        yield {
            "place": kind,
            "asset": asset,
            "compared": len(some),
            "ledger": str(sum(one.ledger for one in some)),
            "chain": str(sum(one.chain for one in some)),
        }


def _alone(compared: Sequence["Comparison"]) -> Iterator[dict[str, Any]]:
    """Everything else that was compared: houses, escrows, series, hash chains."""
    for one in compared:
        yield {"place": one.place, "asset": one.asset_id, "compared": 1, "ledger": one.ledger, "chain": one.chain}


def _open_breaks() -> list[dict[str, Any]]:
    now = timezone.now()
    return [
        {
            "kind": row.kind,
            "place": row.place,
            "relationship": row.cell.code if row.cell else None,
            "asset": row.asset_id,
            "ledger": row.ledger_value,
            "chain": row.chain_value,
            "owner": row.owner,
            "first_block": row.first_block,
            "age_seconds": int((now - row.recorded_at).total_seconds()),
        }
        for row in ReconciliationBreak.objects.filter(chain=chains.here(), resolved_block=None)
        .select_related("cell")
        .order_by("id")
    ]
