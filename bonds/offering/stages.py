"""From a structure to notes in investors' hands.

A series is structured from its terms, sold (`sale`, `orders`, `clearing`), deployed at the size that was sold
(elsewhere: this file makes no chain call), paid for on chain by the investors' own wallets (`payments`), and issued
once the ledger shows every slice's principal in the escrow. What investors pay and hold is decided on chain: the escrow
closes only when every class is sold out, and no wallet can subscribe more than its allotment, so holdings at issue are
what was paid for.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from bonds import timeline
from bonds.models import Allocation, Holding, NoteTransfer, Offering, Series, SeriesEvent, Slice, SlicePart, Tranche
from bonds.offering import defaulted, orders, payments, rolling
from bonds.offering.layers import refuse_off_tail
from bonds.offering.terms import SeriesTerms, SliceTerms
from intermediary import audit, clock, cover, ledger
from intermediary.errors import BadInput, Refusal
from intermediary.models import AccountKind, Cell, ChainTarget, Layer, Wallet

State = Series.State


def structure(*, actor: str, terms: SeriesTerms) -> Series:
    """Write a series with its classes, slices and parts; once per code and terms."""
    assert connection.in_atomic_block
    existing = Series.objects.filter(code=terms.code).first()
    if existing is not None:
        if existing.terms_hash != terms.hash:
            raise Refusal("series_exists", "This code stands for a series with other terms.", series=terms.code)
        return existing
    cells = ledger.lock_cells(item.cell_id for item in terms.slices)
    for item in terms.slices:
        _refuse_uncoverable(item, cells.get(item.cell_id))
        refuse_off_tail(item, terms.slice_id(item.cell_id), cover.tail_of(item.cell_id))
    _refuse_odd_faces(terms)
    series = Series.objects.create(
        code=terms.code,
        title=terms.title,
        currency_id=terms.currency,
        issue_date=terms.issue_date,
        scheduled_maturity=terms.scheduled_maturity,
        final_maturity=terms.final_maturity,
        risk_from=terms.risk_from,
        risk_until=terms.risk_until,
        collateral_yield_annual=terms.collateral_yield_annual,
        denomination_base_units=terms.denomination_base_units,
        months_between_coupons=terms.months_between_coupons,
        challenge_seconds=terms.challenge_seconds,
        terms=terms.canonical,
        terms_hash=terms.hash,
    )
    tranches = [
        Tranche.objects.create(
            series=series,
            seniority=index,
            name=item.name,
            symbol=item.symbol,
            isin=item.isin,
            original_base_units=terms.face_base_units(index),
        )
        for index, item in enumerate(terms.classes)
    ]
    for index, item in enumerate(terms.slices):
        _write_slice(series, terms, tranches, index, item)
    audit.record(actor=actor, action="series_structured", subject=series.code, terms_hash=terms.hash)
    timeline.tell(series.id, SeriesEvent.Kind.STRUCTURED, f"Structured over {len(terms.slices)} relationships")
    return series


def register_contracts(*, actor: str, series_id: UUID, escrow: ChainTarget, notes: Sequence[ChainTarget]) -> Series:
    """Attach the deployed escrow and the note of each class, junior first. The same ones again are harmless."""
    series = timeline.locked(series_id, State.PRICED)
    if series.escrow_id == escrow.id:
        return series
    tranches = list(series.tranches.all())
    if len(notes) != len(tranches):
        raise BadInput("bonds.notes", "There is one note contract a class.")
    series.escrow, series.escrow_address = escrow, escrow.address
    series.save(update_fields=["escrow", "escrow_address"])
    for tranche, note in zip(tranches, notes, strict=True):
        tranche.note, tranche.note_address = note, note.address
        tranche.save(update_fields=["note", "note_address"])
    audit.record(actor=actor, action="series_deployed", subject=series.code, escrow=escrow.address)
    timeline.tell(series.id, SeriesEvent.Kind.DEPLOYED, "Escrow and notes deployed", escrow=escrow.address)
    return series


def refuse_close(series_id: UUID) -> None:
    """Immediately before the escrow is closed on chain, after which nothing goes back: refuses what `issue` would of
    the lines, the layers and the float, by trying it and taking it back; and a vertical slice that the float does not
    hold beside those of the other series on risk."""
    defaulted.refuse_close(series_id)
    _refuse_unheld_vertical(Series.objects.get(id=series_id))
    with transaction.atomic():
        for item in _slices_like_their_layers(timeline.locked(series_id, State.PRICED)):
            cover.attach_tail(cell_id=item.cell_id, slice_id=item.id)
        transaction.set_rollback(True)


def issue(*, actor: str, series_id: UUID) -> Series:
    """Begin the risk period, once the ledger shows each slice's principal in escrow (booked at finality of the close).

    It begins with the block of the close, after which no cash goes back: what is noticed from then on is the notes'
    (`write_downs.catch_up`), what was noticed before is not. The tail layers of the covered relationships count as
    funded from here on.
    """
    series = timeline.locked(series_id, State.PRICED)
    offering = orders.locked(series_id, Offering.State.ALLOCATED)
    if not payments.is_paid(series_id):
        raise Refusal("not_paid_for", "Not every class is paid for in full yet.", series=series.code)
    slices = _slices_like_their_layers(series)
    for item in slices:
        held = ledger.balance(item.cell_id, AccountKind.ESCROW, series.currency_id)
        needed = item.principal_base_units + _other_principal(item)
        if held != needed:
            raise Refusal(
                "escrow_not_funded",
                "The escrow does not hold the principal of every slice yet.",
                relationship=item.relationship,
                held_base_units=held,
                needed_base_units=needed,
            )
    _give_holdings(series)
    offering.state = Offering.State.SETTLED
    offering.save(update_fields=["state"])
    Series.objects.filter(id=series.id).update(issued_at=_on_risk_since(series))
    timeline.move_to(series, State.ISSUED)
    timeline.move_to(series, State.ON_RISK)
    for item in slices:
        cover.attach_tail(cell_id=item.cell_id, slice_id=item.id)
    principal = sum(item.principal_base_units for item in slices)
    audit.record(actor=actor, action="series_issued", subject=series.code, principal_base_units=principal)
    text = "Paid for in full; the risk period runs"
    timeline.tell(series.id, SeriesEvent.Kind.ISSUED, text, principal_base_units=str(principal))
    rolling.settle(series.id)
    series.refresh_from_db()
    return series


def _on_risk_since(series: Series) -> datetime:
    """The time of the block in which the escrow was closed, never later than now; now, where none was told."""
    said = series.escrow.creation.get("on_risk_since") if series.escrow else None
    now = clock.now()
    return min(datetime.fromisoformat(said), now) if said else now


def _slices_like_their_layers(series: Series) -> list[Slice]:
    """The slices with what their cover rests on locked; refuses one that is not like its tail layer."""
    slices = list(series.slices.order_by("cell_id"))
    cover.lock(item.cell_id for item in slices)
    for item in slices:
        _refuse_other_layer(item)
    return slices


def _give_holdings(series: Series) -> None:
    """What each wallet paid for, over all rounds, also of whoever failed to pay the rest; less what it sent on since,
    which is with its receiver. Units that reached nobody's wallet are in no holding."""
    for tranche in series.tranches.all():
        paid: Counter[str] = Counter()
        for one in Allocation.objects.filter(tranche=tranche, paid_units__gt=0).select_related("order__wallet"):
            paid[one.order.wallet.address] += one.paid_units
        for address, units in _moved_on(tranche, paid).items():
            wallet = Wallet.objects.filter(address=address).select_related("party").first()
            if wallet is not None and (address in paid or orders.may_hold(series.id, wallet)):
                given = {"party_id": wallet.party_id, "units": units}
                Holding.objects.get_or_create(tranche=tranche, wallet=wallet, defaults=given)


def _moved_on(tranche: Tranche, paid: Counter[str]) -> Counter[str]:
    """Units by address after the transfers that were final before the issue."""
    units = Counter(paid)
    nobody = NoteTransfer.NOBODY
    for row in NoteTransfer.objects.filter(tranche=tranche).exclude(sender=nobody).exclude(receiver=nobody):
        units[row.sender] -= row.units
        units[row.receiver] += row.units
    for address, left in units.items():
        if left < 0:
            raise Refusal(
                "transfer_before_its_cause", "An address sent more units than are known to have reached it.",
                address=address, units=left, note=tranche.symbol,
            )  # fmt: skip
    return units


def _refuse_uncoverable(item: SliceTerms, cell: Cell | None) -> None:
    if cell is None or cell.kind != Cell.Kind.CLIENT or cell.code != item.relationship:
        raise Refusal("not_a_relationship", "A slice covers a client relationship under its public code.")
    if cell.state not in (Cell.State.OPEN, Cell.State.NO_NEW_RISK):
        raise Refusal("relationship_not_open", "A slice covers a performing relationship.", relationship=cell.code)
    standing = Slice.objects.exclude(series__state__in=[State.MATURED, State.REDEEMED, State.WRITTEN_OFF])
    for layer in Layer.objects.filter(cell_id=cell.id, kind=Layer.Kind.TAIL, funded=False):
        if layer.slice_id is not None and standing.filter(id=layer.slice_id).exists():
            raise Refusal("already_offered", "Another series offers this layer already.", relationship=cell.code)


def _refuse_other_layer(item: Slice) -> None:
    """The slice must carry exactly the tail layer that the relationship's credit line was approved with."""
    tail = cover.tail_of(item.cell_id)
    offered = (item.attach_base_units, item.detach_base_units, item.id)
    if tail is None or (tail.attach_base_units, tail.detach_base_units, tail.slice_id) != offered:
        raise Refusal(
            "layer_differs",
            "The credit line of the relationship has no tail layer like this slice.",
            relationship=item.relationship,
        )


def _refuse_unheld_vertical(series: Series) -> None:
    """What is retained of every slice stands behind a loss like the notes, but lies in the float alone."""
    own = _vertical_base_units(Slice.objects.filter(series=series))
    others = _vertical_base_units(Slice.objects.filter(series__state__in=Series.LIVE).exclude(series=series))
    held = ledger.total([AccountKind.FLOAT], series.currency_id)
    if own and own + others > held:
        raise Refusal(
            "vertical_not_held",
            "The float does not hold what the intermediary retains of this series beside the others on risk.",
            series=series.code,
            retained_base_units=own,
            retained_of_others_base_units=others,
            held_base_units=held,
        )


def _vertical_base_units(slices: QuerySet[Slice]) -> int:
    rows = slices.values_list("attach_base_units", "detach_base_units", "principal_base_units")
    return sum(detach - attach - principal for attach, detach, principal in rows)


def _refuse_odd_faces(terms: SeriesTerms) -> None:
    faces = [terms.face_base_units(index) for index in range(len(terms.classes))]
    if any(face % terms.denomination_base_units for face in faces):
        raise BadInput("off_denomination", "The face of a class is a multiple of the denomination.", faces=faces)


def slice_of(series: Series, terms: SeriesTerms, index: int, item: SliceTerms) -> Slice:
    """The row of one slice as its terms have it, not stored."""
    return Slice(
        id=terms.slice_id(item.cell_id),
        series=series,
        cell_id=item.cell_id,
        relationship=item.relationship,
        index=index,
        attach_base_units=item.attach_base_units,
        detach_base_units=item.detach_base_units,
        principal_base_units=sum(item.principals_base_units),
    )


def _write_slice(series: Series, terms: SeriesTerms, tranches: Sequence[Tranche], index: int, item: SliceTerms) -> None:
    row = slice_of(series, terms, index, item)
    row.save(force_insert=True)
    bottom = item.attach_base_units
    for tranche, width, principal in zip(tranches, item.widths_base_units, item.principals_base_units, strict=True):
        SlicePart.objects.create(
            slice=row,
            tranche=tranche,
            attach_base_units=bottom,
            detach_base_units=bottom + width,
            principal_base_units=principal,
            outstanding_base_units=principal,
        )
        bottom += width


def _other_principal(item: Slice) -> int:
    """Outstanding principal of other live series in the same relationship's escrow account."""
    others = SlicePart.objects.filter(slice__cell_id=item.cell_id, slice__series__state__in=Series.LIVE)
    return sum(others.exclude(slice_id=item.id).values_list("outstanding_base_units", flat=True))
