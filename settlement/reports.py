"""The report on a day: what was compared first after it ended, and everything that differed then.

The day is that of the chain's blocks, UTC. Whoever books final blocks compares them too, and at the first final block
of a later day writes the report; another process, on a timetable, would compare books that are half booked. A day with
no block after it has no report: nothing was compared. A report is never written again.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from settlement import chains
from settlement.breaks import ReconciliationBreak, ReconciliationReport, ReconciliationRun
from settlement.models import ChainBlock

if TYPE_CHECKING:
    from settlement.comparisons import Comparison, Holding

ONE_DAY = timedelta(days=1)


def close_day(
    block: ChainBlock, run: ReconciliationRun, holdings: Sequence["Holding"], compared: Sequence["Comparison"]
) -> None:
    """Write the report on the day before this block's, unless it is written or nothing was read of that day."""
    day = block.block_time.astimezone(UTC).date() - ONE_DAY
    last = ReconciliationReport.objects.first()
    if (last is not None and last.day >= day) or not _anything_final_until(day):
        return
    ReconciliationReport.objects.create(
        day=day,
        block_number=block.number,
        block_hash=block.hash,
        block_time=block.block_time,
        comparisons=run.comparisons,
        breaks=run.breaks,
        body={"totals": [*_by_place(holdings), *_alone(compared)], "breaks": _open_breaks()},
    )


def _anything_final_until(day: date) -> bool:
    first = ChainBlock.objects.filter(canonical=True, finalized=True).order_by("number").first()
    return first is not None and first.block_time.astimezone(UTC).date() <= day


def _by_place(holdings: Sequence["Holding"]) -> Iterator[dict[str, Any]]:
    """Vaults and retentions, summed by token; each of them was compared by itself."""

    def place(one: "Holding") -> tuple[str, str]:
        return one.target.get_kind_display(), one.target.asset_id

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
        if not one.place.startswith(("vault ", "retention ")):
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
