"""What pages ask about the chain."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Min

from intermediary.models import ChainTarget
from settlement.models import ChainBlock, ChainLog, ReconciliationBreak, ReconciliationRun


@dataclass(frozen=True)
class ChainStatus:
    """How far the chain was read and whether it agrees with the ledger. None where there is nothing yet."""

    head: int | None
    finalized: int | None
    finalized_at: datetime | None
    last_run: ReconciliationRun | None
    open_breaks: int


def chain_status() -> ChainStatus:
    """The present state."""
    blocks = ChainBlock.objects.filter(canonical=True).order_by("-number")
    head, final = blocks.first(), blocks.filter(finalized=True).first()
    run = ReconciliationRun.objects.first()
    return ChainStatus(
        head=head.number if head else None,
        finalized=final.number if final else None,
        finalized_at=final.block_time if final else None,
        last_run=run,
        open_breaks=run.breaks if run else 0,
    )


def open_breaks() -> list[ReconciliationBreak]:
    """Disagreements nobody has cleared, oldest first."""
    return list(ReconciliationBreak.objects.filter(resolved_block=None).order_by("recorded_at"))


def deposits_in_transit() -> dict[UUID, datetime]:
    """Relationships to whom tokens are on their way that were seen and are not booked yet, by the time of the block
    that holds the first of them. What a house of ours sends is no deposit."""
    houses = ChainTarget.objects.filter(kind=ChainTarget.Kind.HOUSE).values_list("address", flat=True)
    senders = ["0x" + address[2:].lower().rjust(64, "0") for address in houses]
    waiting = ChainLog.objects.filter(name="Transfer", applied=False, block__canonical=True).exclude(cell=None)
    found = waiting.exclude(topics__1__in=senders).values_list("cell_id")
    return dict(found.annotate(first=Min("block__block_time")))
