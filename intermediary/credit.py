"""Credit lines: how much of a relationship is unsecured, and the layers of loss that must stand behind it.

A line is proposed by one officer and approved by another, and runs the admission test both times (D2). Approval sets
the layers end to end from zero, first loss, tail, senior retention, and moves both retentions from the house's float
into the relationship's own retention contract: one dollar stands behind one relationship (I4). The tail is funded when
its bond slice is issued. A layer counts as cover only once its money lies where it belongs. A line that is proposed
together with the offering that would cover it waits, approved, until that is settled (`cover`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from intermediary import access, approvals, clock, events, ledger, outbox, ports
from intermediary.errors import BadInput, Refusal
from intermediary.ids import derive
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    ChainTarget,
    CreditLine,
    Event,
    Layer,
    Party,
    Proposal,
)

Kind = Layer.Kind
FUNDED_FROM_HOUSE = {Kind.FIRST_LOSS: AccountKind.FIRST_LOSS, Kind.SENIOR: AccountKind.SENIOR_RETENTION}


@dataclass(frozen=True)
class Band:
    """One layer to stand: [attach, detach) in settlement base units."""

    kind: Layer.Kind
    attach: int
    detach: int


def propose_line(
    *,
    maker: User,
    cell_id: UUID,
    threshold_base_units: int,
    first_loss_base_units: int,
    tail_base_units: int,
    senior_base_units: int,
    slice_id: UUID | None,
    expires_at: datetime,
    reason: str,
    awaits_cover: bool = False,
) -> Proposal:
    """Propose a line; refused with its numbers when the present book fails the admission test under it.

    `awaits_cover`: once approved it changes nothing until the slice is issued, and lapses if that never happens."""
    assert connection.in_atomic_block, "a proposal belongs to a transaction"
    access.require_officer(maker)
    body: dict[str, Any] = {
        "threshold_base_units": threshold_base_units,
        "first_loss_base_units": first_loss_base_units,
        "tail_base_units": tail_base_units,
        "senior_base_units": senior_base_units,
        "slice_id": slice_id,
        "expires_at": expires_at.isoformat(),
        "awaits_cover": awaits_cover,
    }
    ledger.lock_cells([cell_id])
    refuse_malformed(body, expires_at)
    refuse_unfit(cell_id, body)
    result = admission(cell_id, body)
    body["admission"] = result.numbers()  # the second officer sees what the first one saw
    return approvals.propose(maker=maker, kind=Proposal.Kind.CREDIT_LINE, cell_id=cell_id, body=body, reason=reason)


def approve_line(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> CreditLine:
    """The second pair of eyes: test again, activate the line in place of the last one, set and fund its layers. A line
    that awaits its cover is written down and waits."""
    assert connection.in_atomic_block, "an approval belongs to a transaction"
    access.require_officer(checker)
    found = Proposal.objects.filter(id=proposal_id, kind=Proposal.Kind.CREDIT_LINE).first()
    if found is None:
        raise access.not_found()
    # The house's cell too: one float funds every retention, so approvals take turns and no dollar is counted twice.
    ledger.lock_cells([found.cell_id, *Cell.objects.filter(kind=Cell.Kind.HOUSE).values_list("id", flat=True)])
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=Proposal.Kind.CREDIT_LINE, seen_hash=seen_hash, reason=reason
    )
    made = CreditLine.objects.filter(proposal=proposal).first()
    if made is not None:
        return made
    if _is_sold(proposal.cell_id):
        raise Refusal(
            "cover_is_sold", "Investors are paying for the tail of this relationship: its layers stay until the issue."
        )
    body = approvals.body_of(proposal)
    expires_at = datetime.fromisoformat(body["expires_at"])
    refuse_malformed(body, expires_at)
    refuse_unfit(proposal.cell_id, body)
    result = admission(proposal.cell_id, body)
    line = CreditLine.objects.create(
        cell_id=proposal.cell_id,
        proposal=proposal,
        state=_make_room(proposal.cell_id, waits=waits_for_cover(body)),
        threshold_base_units=body["threshold_base_units"],
        first_loss_base_units=body["first_loss_base_units"],
        tail_base_units=body["tail_base_units"],
        senior_base_units=body["senior_base_units"],
        expires_at=expires_at,
        ruleset_hash=str(result.data.get("ruleset_hash", "")),
        admission=result.numbers(),
    )
    if line.state == CreditLine.State.ACTIVE:
        set_layers(line, body)
    events.notify(events.PAGES_CHANNEL, f"cell:{line.cell_id}")
    return line


def waits_for_cover(body: dict[str, Any]) -> bool:
    """Whether the proposed line takes force with the issue of its slice; of before this could be said, at once."""
    return bool(body.get("awaits_cover", False))


def _is_sold(cell_id: UUID) -> bool:
    """Whether notes behind the relationship's tail are allocated and not issued yet: only the issue, or a pull, may
    change what they were sold on."""
    return any(one.spread_bps is not None and not one.issued for one in ports.tail_costs(cell_id))


def _make_room(cell_id: UUID, *, waits: bool) -> CreditLine.State:
    """A relationship has one line in force and one that waits: the newer takes the place of the older. Returns the
    state of the new one."""
    states = CreditLine.State
    before, after = (states.AWAITING, states.LAPSED) if waits else (states.ACTIVE, states.REDUCED)
    for line in CreditLine.objects.filter(cell_id=cell_id, state=before):
        line.state = after
        line.save(update_fields=["state"])
    return before


def reject_line(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Proposal:
    """Turn a proposed line down."""
    return approvals.reject(
        checker=checker, proposal_id=proposal_id, kind=Proposal.Kind.CREDIT_LINE, seen_hash=seen_hash, reason=reason
    )


def on_instruction_final(event: Event) -> None:
    """A retention's money arrived: its layer is funded once it holds its whole size less the losses it bore."""
    instruction = ChainInstruction.objects.filter(
        id=event.payload["instruction_id"], kind=ChainInstruction.Kind.FUND
    ).first()
    if instruction is None or "layer" not in instruction.arguments:
        return
    ledger.lock_cells([instruction.cell_id])
    kind = Kind(instruction.arguments["layer"])
    layer = Layer.objects.filter(cell_id=instruction.cell_id, kind=kind).first()
    asset = ledger.settlement_asset().code
    if layer is None:
        return
    held = ledger.balance(instruction.cell_id, FUNDED_FROM_HOUSE[kind], asset)
    if held >= layer.size_base_units - layer.loss_base_units:
        layer.funded = True
        layer.save(update_fields=["funded"])
        events.notify(events.PAGES_CHANNEL, f"cell:{layer.cell_id}")


def expire_lines(now: datetime) -> list[CreditLine]:
    """Lines past their day: their threshold is 0 from the next valuation on, their layers stay. One that still waits
    for its cover lapses, unless that is sold already: then with its issue or its pull."""
    assert connection.in_atomic_block, "an expiry belongs to a transaction"
    states = CreditLine.State
    due = CreditLine.objects.filter(state__in=[states.ACTIVE, states.AWAITING], expires_at__lte=now)
    if not ledger.lock_cells(due.values_list("cell_id", flat=True)):
        return []
    expired = [line for line in due.all() if line.state == states.ACTIVE or not _is_sold(line.cell_id)]
    for line in expired:
        line.state = states.LAPSED if line.state == states.AWAITING else states.EXPIRED
        line.save(update_fields=["state"])
    events.notify_pages_of(line.cell_id for line in expired)
    return expired


def admission(cell_id: UUID, body: dict[str, Any]) -> ports.AdmissionResult:
    """The verdict on the present book under a proposed line; refused with its numbers when it does not pass."""
    sizes = ports.LayerSizes(body["first_loss_base_units"], body["tail_base_units"], body["senior_base_units"])
    result = ports.risk_gate().check_line(cell_id, body["threshold_base_units"], sizes)
    if not result.passed:
        raise Refusal(
            "admission_failed",
            f"The stressed loss under {result.binding_scenario} does not fit margin and layers.",
            **result.numbers(),
        )
    return result


def bands_of(body: dict[str, Any]) -> list[Band]:
    """The layers of a proposed line, end to end from zero."""
    bands, top = [], 0
    for kind, name in ((Kind.FIRST_LOSS, "first_loss"), (Kind.TAIL, "tail"), (Kind.SENIOR, "senior")):
        width = int(body[f"{name}_base_units"])
        if width:
            bands.append(Band(kind, top, top + width))
            top += width
    return bands


def refuse_malformed(body: dict[str, Any], expires_at: datetime) -> None:
    if negative := [name for name, value in body.items() if name.endswith("base_units") and value < 0]:
        raise BadInput("amount_negative", "An amount of a line is not below zero.", fields=negative)
    if bool(body["tail_base_units"]) != (body["slice_id"] is not None):
        raise BadInput("tail_needs_a_slice", "A tail layer is carried by one bond slice, and only by one.")
    if waits_for_cover(body) and not body["tail_base_units"]:
        raise BadInput("no_cover_to_await", "A line without a tail has no cover to wait for.")
    now = clock.now()
    if expires_at <= now:
        raise BadInput("line_expired", "A line ends in the future.", expires_at=expires_at.isoformat())


def refuse_unfit(cell_id: UUID, body: dict[str, Any]) -> None:
    """What the relationship itself rules out: no recourse, a default, layers that bore losses or would shrink."""
    cell = Cell.objects.select_related("party").get(id=cell_id)
    if cell.kind != Cell.Kind.CLIENT or cell.state in (Cell.State.DEFAULTED, Cell.State.CLOSED):
        raise Refusal("relationship_takes_no_line", "This relationship takes no credit line.", state=cell.state)
    assert cell.party is not None, "a client cell has a party"
    if body["threshold_base_units"] and cell.party.recourse == Party.Recourse.NONE:
        raise Refusal("no_recourse", "Without recourse nothing is unsecured: the threshold is 0.")
    refuse_unfit_layers(cell_id, body)


def refuse_unfit_layers(cell_id: UUID, body: dict[str, Any]) -> None:
    """Layers that bore losses stay as they are, and none shrinks."""
    bands = {band.kind: band for band in bands_of(body)}
    for layer in Layer.objects.filter(cell_id=cell_id):
        band = bands.get(Kind(layer.kind))
        width = band.detach - band.attach if band else 0
        if layer.loss_base_units and (width, band and band.attach) != (layer.size_base_units, layer.attach_base_units):
            raise Refusal("layer_bears_a_loss", "Layers that bear a loss stay as they are.", layer=layer.kind)
        if width < layer.size_base_units:
            raise Refusal(
                "layer_would_shrink",
                "A layer that stands behind open positions does not shrink.",
                layer=layer.kind,
                size_base_units=layer.size_base_units,
                proposed_base_units=width,
            )


def set_layers(line: CreditLine, body: dict[str, Any]) -> None:
    """Write the layers, from the top down so that a growing one never meets the next, and fund what grew."""
    standing = {Kind(layer.kind): layer for layer in Layer.objects.filter(cell_id=line.cell_id)}
    grown: list[tuple[Layer, int]] = []
    for band in reversed(bands_of(body)):
        layer = standing.get(band.kind) or Layer(cell_id=line.cell_id, kind=band.kind)
        before = layer.size_base_units if band.kind in standing else 0
        slice_id = UUID(body["slice_id"]) if band.kind == Kind.TAIL else None
        growth = band.detach - band.attach - before
        layer.funded = layer.funded and not growth and layer.slice_id == slice_id
        layer.attach_base_units, layer.detach_base_units, layer.slice_id = band.attach, band.detach, slice_id
        layer.save()
        if growth and band.kind in FUNDED_FROM_HOUSE:
            grown.append((layer, growth))
    _fund(line, list(reversed(grown)))


def _fund(line: CreditLine, grown: Sequence[tuple[Layer, int]]) -> None:
    """float -> retention for each layer that grew, first loss first. Refuses what the float does not hold (I4)."""
    if not grown:
        return
    asset = ledger.settlement_asset().code
    needed, held = sum(growth for _, growth in grown), ledger.total([AccountKind.FLOAT], asset)
    if needed > held:
        raise Refusal(
            "float_insufficient",
            "The house's float does not hold these retentions.",
            needed_base_units=needed,
            held_base_units=held,
        )
    target = outbox.target_of(line.cell_id, ChainTarget.Kind.RETENTION, asset)
    for layer, growth in grown:
        outbox.move(
            effect_id=derive("fund", layer.id, line.id),
            target=target,
            cell_id=line.cell_id,
            kind=ChainInstruction.Kind.FUND,
            source=AccountKind.FLOAT,
            destination=FUNDED_FROM_HOUSE[Kind(layer.kind)],
            amount_base_units=growth,
            memo=f"funds the {layer.get_kind_display().lower()}",
            layer=layer.kind,
        )
