"""What of a determined loss finds no principal any more, since it was repaid at maturity against a lower estimate.

The reserve of an extension is the intermediary's own estimate times the factor of the terms. What it falls short of is
the intermediary's loss: its float has paid those who gained, and its equity bears it, by one entry whenever the sum
changes with N. Of a slice of which nothing was kept the tail has ended (`cover.end_tail`) and covers nobody: such a
loss goes on to the layers behind it. Loads no numeric library.
"""

from bonds import timeline
from bonds.models import SeriesEvent, Slice
from intermediary import audit, ledger
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, Layer, Posting

ENTRY = "reserve_fell_short"


def book(item: Slice, unabsorbed_base_units: int) -> int:
    """Bring what the intermediary bears of this slice's loss to this sum; the change, base units, positive: more of it.
    Harmless when repeated. The caller holds the cell's lock."""
    if not Layer.objects.filter(slice_id=item.id, kind=Layer.Kind.TAIL, funded=True).exists():
        return 0
    series = item.series
    memo = f"loss beyond the reserve of {series.code}"
    entries = Posting.objects.filter(
        cell_id=item.cell_id, entry__kind=ENTRY, entry__memo=memo, account__kind=AccountKind.LOSS
    )
    amounts = list(entries.values_list("amount_base_units", flat=True))
    change = unabsorbed_base_units - sum(amounts)
    if not change:
        return 0
    ledger.post(
        entry_id=derive(ENTRY, item.id, len(amounts), unabsorbed_base_units),
        cell_id=item.cell_id,
        kind=ENTRY,
        memo=memo,
        lines=[
            Line(AccountKind.EQUITY, series.currency_id, -change),
            Line(AccountKind.LOSS, series.currency_id, change),
        ],
    )
    audit.record(actor="servicing", action=ENTRY, subject=item.id, borne_base_units=unabsorbed_base_units)
    timeline.tell(
        series.id,
        SeriesEvent.Kind.RESERVED,
        "The loss is more than was kept back for it: the intermediary bears the rest",
        relationship=item.relationship,
        amount_base_units=str(unabsorbed_base_units),
    )
    return change
