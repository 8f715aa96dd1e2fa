"""Write-downs and write-ups of slices: from a determined loss to principal on chain, and back from a recovery.

The loss of a slice is a function of its relationship's net cumulative loss N, which stands in the default's rows. So
there is one command, `bring_to_loss`: it compares the principal with N and starts the one act that closes the gap.
It does not matter in which order events arrive, or how often. A slice has one act in flight at a time: a recovery
that comes while a write-down is in its challenge period waits in the relationship's recovery account and is written
up when the write-down is final.

    write-down: notice on chain -> challenge period of the terms -> escrow pays the house -> principal falls
    write-up:   house pays the escrow from the recovery -> principal rises

Only the ledger and the outbox are written here; the chain is somebody else's. Loads no numeric library.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from bonds import timeline
from bonds.loss.tranches import PrincipalChange, apply_change, changes_of_slice
from bonds.models import Redemption, Series, SeriesEvent, Slice, SliceAct, SlicePart
from bonds.offering.terms import terms_from
from bonds.servicing import chain_order, maturity, notices, reserves, shortfall
from intermediary import audit, clock, events, ledger, outbox
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.models import AccountKind, ChainInstruction, DefaultCase, Event

logger = logging.getLogger(__name__)
State, Kind = SliceAct.State, SliceAct.Kind
OPEN_CASES = (
    DefaultCase.State.NOTICE,
    DefaultCase.State.ETD_SET,
    DefaultCase.State.REPLACING,
    DefaultCase.State.DETERMINED,
)


def on_default_noticed(event: Event) -> None:
    """A covered relationship was noticed: its series says so at once."""
    case = DefaultCase.objects.get(id=event.payload["case_id"])
    for item in _slices_in(case.cell_id, Series.State.ON_RISK):
        _open_event(item, case)


def catch_up(series_id: UUID) -> None:
    """The series was issued: what befell its relationships since its escrow was closed on chain is the notes' too."""
    for item in Slice.objects.filter(series_id=series_id).select_related("series").order_by("cell_id"):
        for case in reserves.cases_of(item):
            _open_event(item, case)
            bring_to_loss(slice_id=item.id)


def on_loss_determined(event: Event) -> None:
    """A loss was determined: bring the relationship's slices to it."""
    _bring_slices(event)


def on_recovery_received(event: Event) -> None:
    """A recovery lowered a loss: bring the relationship's slices to what is left of it."""
    _bring_slices(event)


def on_instruction_final(event: Event) -> None:
    """A notice or a payment of a slice is final on chain: the act goes on."""
    instruction_id = event.payload["instruction_id"]
    act = SliceAct.objects.filter(notice_id=instruction_id).first()
    if act is not None:
        _start_challenge(act.id)
    act = SliceAct.objects.filter(movement_id=instruction_id).select_related("movement").first()
    if act is not None:
        _refuse_ruled(act)
        _finish(act.id)


def due(now: datetime) -> int:
    """Write down every noticed loss whose challenge period is over, each by itself: one that fails does not keep the
    others from it. Returns how many were started."""
    waiting = SliceAct.objects.filter(state=State.CHALLENGE, ready_at__lte=now).order_by("cell_id", "id")
    ready = list(waiting.values_list("id", flat=True))
    started = sum(_alone(partial(_write_down, act_id)) for act_id in ready)
    for series in Series.objects.filter(state=Series.State.EVENT_OPEN).order_by("id"):
        _alone(partial(_close_event, series.id))
    return started


def _alone(work: Callable[[], None]) -> bool:
    """Whether it could be done; with nothing of it changed where it could not."""
    try:
        with transaction.atomic():
            work()
    except Refusal as refusal:
        logger.info("not yet: %s", refusal)
        return False
    except Exception:
        logger.exception("a write-down failed and will be tried again")
        return False
    return True


def in_flight() -> int:
    """Acts that the chain still works on; those that only wait for a challenge period are not counted."""
    return SliceAct.objects.filter(state__in=[State.NOTICED, State.MOVING]).count()


def net_loss_base_units(item: Slice) -> int:
    """N that the slice answers for: all losses of its relationship from defaults noticed in the risk period (B5)."""
    return sum(case.loss_base_units for case in reserves.cases_of(item))


def net_losses_base_units(slices: Sequence[Slice]) -> dict[UUID, int]:
    """`net_loss_base_units` of many by slice id; only those whose relationship ever defaulted are asked one by one."""
    defaulted = set(DefaultCase.objects.filter(cell_id__in={item.cell_id for item in slices}).values_list("cell_id"))
    return {item.id: net_loss_base_units(item) if (item.cell_id,) in defaulted else 0 for item in slices}


def bring_to_loss(*, slice_id: UUID) -> SliceAct | None:
    """Start the act that brings a slice to its relationship's N; None when it stands there, or an act or a repayment is
    in flight, or its rights are over: no loss is noticed after the final maturity, no recovery after the long stop."""
    item = _locked_slice(slice_id)
    repaid = item.redemptions.filter(state=Redemption.State.MOVING)
    if item.acts.filter(state__in=SliceAct.UNFINISHED).exists() or repaid.exists():
        return None
    loss = net_loss_base_units(item)
    parts = list(item.parts.select_related("slice").order_by("attach_base_units"))
    found = changes_of_slice([part.state for part in parts], loss)
    changes = {part.tranche_id: change for part, change in zip(parts, found, strict=True)}
    down = sum(change.write_down_base_units for change in changes.values())
    up = sum(change.write_up_base_units for change in changes.values())
    assert not (down and up), "the loss of every part rises or falls with N"
    shortfall.book(item, sum(change.unabsorbed_base_units for change in changes.values()))
    if down and clock.now() < terms_from(item.series.terms).final_at:
        return _notice(item, changes, down, loss)
    if up and not maturity.rights_ended(item.series, clock.now()):
        return _write_up(item, changes, up, loss)
    if item.net_loss_base_units != loss:
        Slice.objects.filter(id=item.id).update(net_loss_base_units=loss)
    return None


def _bring_slices(event: Event) -> None:
    case = DefaultCase.objects.get(id=event.payload["case_id"])
    for item in _slices_in(case.cell_id, *Series.LIVE, Series.State.MATURED):
        bring_to_loss(slice_id=item.id)


def _notice(item: Slice, changes: dict[UUID, PrincipalChange], amount: int, loss: int) -> SliceAct:
    evidence = _evidence(item)
    assert item.series.escrow is not None
    instruction = outbox.instruct(
        target=item.series.escrow,
        cell_id=item.cell_id,
        kind=ChainInstruction.Kind.NOTICE_LOSS,
        amount_base_units=amount,
        slice=item.index,
        evidence=evidence,
    )
    act = SliceAct.objects.create(
        slice=item,
        cell_id=item.cell_id,
        kind=Kind.WRITE_DOWN,
        state=State.NOTICED,
        amount_base_units=amount,
        by_tranche={str(key): str(change.write_down_base_units) for key, change in changes.items()},
        net_loss_base_units=loss,
        evidence=evidence,
        notice=instruction,
    )
    _record(act, "loss_noticed", SeriesEvent.Kind.LOSS_NOTICED, "Loss determined and noticed to the escrow")
    return act


def _start_challenge(act_id: UUID) -> None:
    act = locked_act(act_id)
    if act.state != State.NOTICED:
        return
    # From finality, which is later than the notice's own block: never early for the contract, which counts from there.
    act.ready_at = clock.now() + timedelta(seconds=act.slice.series.challenge_seconds)
    act.state = State.CHALLENGE
    act.save(update_fields=["state", "ready_at"])
    text = f"Challenge period until {act.ready_at:%d %b %H:%M} UTC"
    _record(act, "challenge_started", SeriesEvent.Kind.CHALLENGE, text)


def _write_down(act_id: UUID) -> None:
    act = locked_act(act_id)
    assert act.slice.series.escrow is not None
    if act.state != State.CHALLENGE or act.slice.series.escrow.creation.get("matured"):
        return
    act.movement = outbox.move(
        effect_id=derive("write_down", act.id),
        target=act.slice.series.escrow,
        cell_id=act.cell_id,
        kind=ChainInstruction.Kind.APPLY_LOSS,
        source=AccountKind.ESCROW,
        destination=AccountKind.FLOAT,
        amount_base_units=act.moves_base_units,
        memo=f"write-down of {act.slice.series.code}",
        slice=act.slice.index,
        notice=str(act.notice_id),
    )
    act.state = State.MOVING
    act.save(update_fields=["state", "movement"])


def _write_up(item: Slice, changes: dict[UUID, PrincipalChange], amount: int, loss: int) -> SliceAct:
    series = item.series
    held = ledger.balance(item.cell_id, AccountKind.RECOVERY, series.currency_id)
    if held < amount:
        raise Refusal(
            "recovery_not_received",
            "The recovery account does not hold what is to be written up.",
            held_base_units=held,
            needed_base_units=amount,
        )
    assert series.escrow is not None
    act = SliceAct(
        slice=item,
        cell_id=item.cell_id,
        kind=Kind.WRITE_UP,
        state=State.MOVING,
        amount_base_units=amount,
        by_tranche={str(key): str(change.write_up_base_units) for key, change in changes.items()},
        net_loss_base_units=loss,
        evidence=_evidence(item),
    )
    act.movement = outbox.move(
        effect_id=derive("write_up", act.id),
        target=series.escrow,
        cell_id=item.cell_id,
        kind=ChainInstruction.Kind.WRITE_UP,
        source=AccountKind.RECOVERY,
        destination=AccountKind.ESCROW,
        amount_base_units=amount,
        memo=f"write-up of {series.code}",
        slice=item.index,
        evidence=act.evidence,
    )
    act.save()
    return act


def _refuse_ruled(act: SliceAct) -> None:
    """What an expert left of a loss is what the act moves, once the ruling itself has been told (`rulings`)."""
    assert act.movement is not None, "an act is found by its movement"
    moved = outbox.moved_base_units(act.movement)
    if moved != act.moves_base_units:
        raise Refusal("loss_was_ruled", f"The chain moved {moved} base units, the act says {act.moves_base_units}.")


def _finish(act_id: UUID) -> None:
    """The money is where it belongs: change the principal by exactly what the act said, then look at N again."""
    act = locked_act(act_id)
    if act.state != State.MOVING:
        return
    moved = 0
    for part in SlicePart.objects.select_for_update().filter(slice_id=act.slice_id).select_related("slice"):
        amount = int(act.by_tranche[str(part.tranche_id)])
        down, up = (amount, 0) if act.kind == Kind.WRITE_DOWN else (0, amount)
        after = apply_change(part.state, PrincipalChange(down, up, unabsorbed_base_units=0))
        part.outstanding_base_units = after.outstanding_base_units
        part.written_down_base_units = after.written_down_base_units
        part.written_up_base_units = after.written_up_base_units
        part.save(update_fields=["outstanding_base_units", "written_down_base_units", "written_up_base_units"])
        moved += amount
    assert moved == act.moves_base_units, "an act moves what its parts say"
    assert act.movement is not None, "an act on its way has its movement"
    act.state, act.done_at = State.DONE, chain_order.moment_of(chain_order.place_of(act.movement))
    act.save(update_fields=["state", "done_at"])
    Slice.objects.filter(id=act.slice_id).update(net_loss_base_units=act.net_loss_base_units)
    if act.kind == Kind.WRITE_DOWN:
        _record(act, "written_down", SeriesEvent.Kind.WRITTEN_DOWN, "Principal written down")
    else:
        _record(act, "written_up", SeriesEvent.Kind.WRITTEN_UP, "Principal written up from a recovery")
    if act.slice.series.state == Series.State.MATURED:
        maturity.repay_recovery(act.slice)
    go_on(act.slice_id, act.slice.series_id)


def go_on(slice_id: UUID, series_id: UUID) -> None:
    """An act of a slice is over: N may have moved meanwhile, and the series' event may be."""
    bring_to_loss(slice_id=slice_id)
    _close_event(series_id)


def _close_event(series_id: UUID) -> None:
    """Back on risk once no covered relationship has an open default and no act is left."""
    series = Series.objects.select_for_update().get(id=series_id)
    if series.state != Series.State.EVENT_OPEN:
        return
    covered = series.slices.values_list("cell_id", flat=True)
    if DefaultCase.objects.filter(cell_id__in=covered, state__in=OPEN_CASES).exists():
        return
    if SliceAct.objects.filter(slice__series=series, state__in=SliceAct.UNFINISHED).exists():
        return
    if any(item.net_loss_base_units != net_loss_base_units(item) for item in series.slices.select_related("series")):
        return
    timeline.move_to(series, Series.State.ON_RISK)
    timeline.tell(series.id, SeriesEvent.Kind.EVENT_CLOSED, "Default settled; the other slices stay on risk")


def _open_event(item: Slice, case: DefaultCase) -> None:
    series = Series.objects.select_for_update().get(id=item.series_id)
    if series.state == Series.State.ON_RISK and case.state in OPEN_CASES and _inside_risk_period(series, case):
        timeline.move_to(series, Series.State.EVENT_OPEN)
        text = f"Default notice to relationship {item.relationship}"
        timeline.tell(series.id, SeriesEvent.Kind.EVENT_OPENED, text, relationship=item.relationship)


def _slices_in(cell_id: UUID, *states: Series.State) -> list[Slice]:
    live = Slice.objects.filter(cell_id=cell_id, series__state__in=states)
    return list(live.select_related("series").order_by("id"))


def _inside_risk_period(series: Series, case: DefaultCase) -> bool:
    return reserves.risk_start(series) <= case.noticed_at <= reserves.risk_end(series)


def _locked_slice(slice_id: UUID) -> Slice:
    assert connection.in_atomic_block
    cell_id = Slice.objects.values_list("cell_id", flat=True).get(id=slice_id)
    ledger.lock_cells([cell_id])
    return Slice.objects.select_for_update(of=("self",)).select_related("series__escrow").get(id=slice_id)


def locked_act(act_id: UUID) -> SliceAct:
    """The act under its cell's and slice's locks."""
    act = SliceAct.objects.get(id=act_id)
    _locked_slice(act.slice_id)
    acts = SliceAct.objects.select_for_update(of=("self",))
    return acts.select_related("slice__series__escrow", "movement").get(id=act_id)


def _evidence(item: Slice) -> str:
    """The hash of the last approved determination of the relationship."""
    determined = DefaultCase.objects.filter(cell_id=item.cell_id, determination__isnull=False).order_by("-id")
    case = determined.select_related("determination").first()
    assert case is not None, "a slice changes only behind a determination"
    assert case.determination is not None
    return case.determination.hash


def _record(act: SliceAct, action: str, kind: SeriesEvent.Kind, text: str) -> None:
    item = act.slice
    parts = SlicePart.objects.filter(slice__series_id=item.series_id)
    outstanding = parts.aggregate(total=Sum("outstanding_base_units"))
    audit.record(
        actor="servicing",
        action=action,
        subject=item.id,
        amount_base_units=act.moves_base_units,
        net_loss_base_units=act.net_loss_base_units,
        evidence=act.evidence,
    )
    timeline.tell(
        item.series_id,
        kind,
        text,
        relationship=item.relationship,
        amount_base_units=str(act.moves_base_units),
        outstanding_base_units=str(outstanding["total"] or 0),
        evidence=act.evidence,
    )
    notices.tell_holders(item.series_id, kind, text, amount_base_units=str(act.moves_base_units))
    events.notify(events.PAGES_CHANNEL, f"cell:{act.cell_id}")
