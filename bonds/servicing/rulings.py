"""What an expert's ruling, or a notice taken back, leaves of a loss that was noticed to a slice.

A ruling is binding: the principal falls by what it leaves, junior first, as in the contract. What it takes off was
determined all the same, so it falls on the intermediary's own capital, and stays off: the slice answers for its
relationship's N less what was ruled off, whatever N does later. Loads no numeric library.
"""

from uuid import UUID

from bonds import timeline
from bonds.models import SeriesEvent, Slice, SliceAct, SlicePart
from bonds.servicing import write_downs
from intermediary import audit, clock, ledger
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, Event

State = SliceAct.State


def on_loss_ruled(event: Event) -> None:
    """A ruling on a notice is final on chain: the act moves what it left. Harmless when repeated."""
    act = SliceAct.objects.filter(notice_id=event.payload["instruction_id"]).first()
    if act is not None:
        _rule(act.id, int(event.payload["amount_base_units"]))


def _rule(act_id: UUID, left: int) -> None:
    act = write_downs.locked_act(act_id)
    if act.state == State.NOTICED:
        raise Refusal("notice_not_final", "The notice is not told to be final yet; the ruling waits for that.")
    if act.state not in SliceAct.UNFINISHED or left >= act.moves_base_units:
        return
    taken_off = act.moves_base_units - left
    by_tranche = dict(act.by_tranche)
    parts = SlicePart.objects.select_for_update().filter(slice_id=act.slice_id).order_by("attach_base_units")
    still = left
    for part in parts:
        noticed = int(by_tranche[str(part.tranche_id)])
        kept = min(noticed, still)
        still -= kept
        by_tranche[str(part.tranche_id)] = str(kept)
        part.ruled_off_base_units += noticed - kept
        part.save(update_fields=["ruled_off_base_units"])
    act.by_tranche, act.ruled_base_units = by_tranche, left
    act.save(update_fields=["by_tranche", "ruled_base_units"])
    _on_our_capital(act, taken_off, left)
    if left == 0:
        _end(act)


def _on_our_capital(act: SliceAct, taken_off: int, left: int) -> None:
    """No token moves: what the notes do not pay was paid out of the house's float."""
    currency = act.slice.series.currency_id
    ledger.post(
        entry_id=derive("loss_ruled_off", act.id, left),
        cell_id=act.cell_id,
        kind="loss_ruled_off",
        memo=f"ruling on a loss of {act.slice.series.code}",
        lines=[Line(AccountKind.EQUITY, currency, -taken_off), Line(AccountKind.LOSS, currency, taken_off)],
    )
    audit.record(
        actor="servicing",
        action="loss_ruled",
        subject=act.slice_id,
        noticed_base_units=act.amount_base_units,
        left_base_units=left,
        evidence=act.evidence,
    )
    timeline.tell(
        act.slice.series_id,
        SeriesEvent.Kind.CHALLENGE,
        "The expert's ruling left less of the loss" if left else "The notice was dropped: no loss is applied",
        relationship=act.slice.relationship,
        amount_base_units=str(left),
        noticed_base_units=str(act.amount_base_units),
    )


def _end(act: SliceAct) -> None:
    """Nothing is left to move; a movement that waits for the chain is given up by settlement."""
    act.state, act.done_at = State.DONE, clock.now()
    act.save(update_fields=["state", "done_at"])
    Slice.objects.filter(id=act.slice_id).update(net_loss_base_units=act.net_loss_base_units)
    write_downs.go_on(act.slice_id, act.slice.series_id)
