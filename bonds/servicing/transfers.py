"""Notes change hands: what is refused before a holder sends, and how holdings follow the chain afterwards.

A transfer is the holder's own: its wallet sends units to another wallet, for a price the two agreed and settle among
themselves. The note contract lets units pass between eligible wallets only, and not while transfers are suspended. What
the chain then says, whoever caused it and by whatever page, is followed here: each final transfer once, in a row of its
own, and the two holdings changed by it. Units that come to lie where nobody here holds them are in no holding; the sum
of the holdings is then less than was issued, and that is what is looked for (`misplaced`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Sum
from eth_utils.address import is_address, to_checksum_address

from bonds.models import Allocation, Holding, NoteTransfer, Series, SeriesEvent, Tranche
from bonds.offering import eligibility, orders
from intermediary import audit
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Event, Party, Wallet

NOBODY = NoteTransfer.NOBODY
Standing = NoteTransfer.Standing


def refuse_transfer(*, party: Party, tranche_id: UUID, address: str, receiver: str, units: int, now: datetime) -> None:
    """Refuse, by name, what the chain or the terms would not let pass: units that are not held in the party's wallet
    `address`, a holder or receiver who is not eligible now, a covered client or its affiliate, a suspended class."""
    holding = Holding.objects.filter(party=party, tranche_id=tranche_id, wallet__address=address)
    held = holding.select_related("wallet", "tranche__series").first()
    if held is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    if units <= 0:
        raise BadInput("units_not_positive", "State how many units are to be sent.")
    if units > held.units:
        message = "The wallet holds fewer units than that."
        raise Refusal("more_than_held", message, held_units=held.units, asked_units=units)
    until = suspended_until(held.tranche.series, now)
    if until is not None:
        message = "Transfers of this series are suspended."
        raise Refusal("transfers_suspended", message, until=until.isoformat() if until > now else "")
    eligibility.refuse_ineligible(party, held.wallet, now)
    if not is_address(receiver):
        raise BadInput("not_an_address", "This is not an EVM address.", value=receiver)
    to = Wallet.objects.filter(address=to_checksum_address(receiver)).select_related("party").first()
    if to is None:
        raise Refusal("receiver_not_eligible", "This address is no eligible holder's.", receiver=receiver)
    if to.id == held.wallet_id:
        raise BadInput("same_wallet", "The notes lie in that wallet already.")
    try:
        eligibility.refuse_ineligible(to.party, to, now)
    except Refusal as refused:
        message = "The receiver is not eligible to hold notes now."
        raise Refusal("receiver_not_eligible", message, receiver=receiver, why=refused.code) from refused
    orders.refuse_barred(held.tranche.series_id, to.party_id)


def suspended_until(series: Series, now: datetime) -> datetime | None:
    """Until when transfers of a series rest, as it was last told; None when they do not."""
    kinds = (SeriesEvent.Kind.SUSPENDED, SeriesEvent.Kind.RESUMED)
    told = SeriesEvent.objects.filter(series=series, kind__in=kinds).order_by("-at", "-id").first()
    if told is None or not told.data.get("until"):
        return None
    until = datetime.fromisoformat(str(told.data["until"]))
    return until if until > now else None


def on_note_transferred(event: Event) -> None:
    """A transfer is final on chain: keep it, and let the holdings follow. Harmless when repeated.

    The row of the series is locked, first as at the issue: either the issue sees this transfer, or this sees the issue.
    """
    assert connection.in_atomic_block
    said = event.payload
    series_id = Tranche.objects.filter(note_id=said["note_id"]).values_list("series_id", flat=True).first()
    if series_id is None:
        return  # a note of another series than those that are kept here
    Series.objects.select_for_update().get(id=series_id)
    tranche = Tranche.objects.select_for_update().select_related("series").get(note_id=said["note_id"])
    seen = NoteTransfer.objects.filter(transaction_hash=said["transaction_hash"], log_index=said["log_index"])
    if seen.exists():
        return
    row = NoteTransfer(
        tranche=tranche,
        sender=said["sender"],
        receiver=said["receiver"],
        units=int(said["units"]),
        transaction_hash=said["transaction_hash"],
        log_index=said["log_index"],
        block_number=said["block_number"],
        moved_at=datetime.fromisoformat(said["block_time"]),
    )
    sender, receiver = _wallet(row.sender), _wallet(row.receiver)
    row.sender_party, row.receiver_party = (one.party if one else None for one in (sender, receiver))
    row.standing = _standing(row, receiver)
    if NOBODY in (row.sender, row.receiver) or not row.units or tranche.series.issued_at is None:
        row.save()  # an issue makes its holdings itself, out of what was paid and of the transfers before it
        return  # a refund undoes a series that never was on risk
    for one in (sender, receiver):
        if one is not None:
            take_in(tranche, one)
    if sender is not None:
        _send(row, sender)
    if receiver is not None and row.standing == Standing.HELD:
        _add(tranche, receiver, row.units)
    row.save()
    audit.record(
        actor="chain", action="note.transferred", subject=tranche.symbol, sender=row.sender, receiver=row.receiver,
        units=row.units, transaction=row.transaction_hash,
    )  # fmt: skip
    for party_id in {one.party_id for one in (sender, receiver) if one}:
        eligibility.tell(party_id)


@dataclass(frozen=True)
class Misplaced:
    """Units of one class that lie in no holding."""

    tranche: Tranche
    units: int
    addresses: tuple[str, ...]


def misplaced() -> list[Misplaced]:
    """Classes whose holdings do not add up to what was issued, with the addresses that hold the difference."""
    issued = Tranche.objects.filter(series__issued_at__isnull=False).select_related("series")
    found = []
    for tranche in issued.annotate(held=Sum("holdings__units")):
        units = tranche.original_base_units - int(tranche.held or 0)
        if units:
            found.append(Misplaced(tranche, units, tuple(_strangers(tranche))))
    return found


def _strangers(tranche: Tranche) -> Iterable[str]:
    odd = NoteTransfer.objects.filter(tranche=tranche, standing__in=[Standing.UNKNOWN, Standing.BARRED])
    return odd.order_by("receiver").values_list("receiver", flat=True).distinct()


def _wallet(address: str) -> Wallet | None:
    return Wallet.objects.filter(address=address).select_related("party").first()


def to_take_in() -> list[tuple[UUID, UUID]]:
    """(class, wallet) for each wallet of an investor at which units of a class lie in no holding, and may."""
    return [
        (one.tranche.id, wallet.id)
        for one in misplaced()
        for wallet in Wallet.objects.filter(address__in=one.addresses).select_related("party").order_by("id")
        if orders.may_hold(one.tranche.series_id, wallet) and _outside(one.tranche, wallet)
    ]


def enter(*, tranche_id: UUID, wallet_id: UUID) -> None:
    """A wallet was linked to its party after units came to it: they enter its holding. Harmless when repeated."""
    Series.objects.select_for_update().get(tranches=tranche_id)
    tranche = Tranche.objects.select_for_update(of=("self",)).select_related("series").get(id=tranche_id)
    wallet = Wallet.objects.select_related("party").get(id=wallet_id)
    take_in(tranche, wallet)
    eligibility.tell(wallet.party_id)


def take_in(tranche: Tranche, wallet: Wallet) -> None:
    """What came to the wallet while nobody had proved it, or its party was barred, enters its holding once it may."""
    units = _outside(tranche, wallet)
    if units and orders.may_hold(tranche.series_id, wallet):
        _add(tranche, wallet, units)
        audit.record(
            actor="servicing", action="note.taken_in", subject=tranche.symbol, wallet=wallet.address, units=units
        )


def _standing(row: NoteTransfer, receiver: Wallet | None) -> Standing:
    if row.sender == NOBODY:
        return Standing.ISSUED
    if receiver is None or receiver.party.kind != Party.Kind.INVESTOR:
        return Standing.UNKNOWN
    return Standing.HELD if orders.may_hold(row.tranche.series_id, receiver) else Standing.BARRED


def _outside(tranche: Tranche, wallet: Wallet) -> int:
    """Units that lie at the wallet in no holding: of those that came as nobody's here, what the wallet still has by
    the transfers and what it paid for at the issue."""
    rows = NoteTransfer.objects.filter(tranche=tranche).exclude(sender=NOBODY).exclude(receiver=NOBODY)
    came = rows.filter(receiver=wallet.address)
    strange = _units(came.filter(standing__in=[Standing.UNKNOWN, Standing.BARRED]))
    if not strange:
        return 0
    paid = Allocation.objects.filter(tranche=tranche, order__wallet=wallet).aggregate(sum=Sum("paid_units"))["sum"]
    has = int(paid or 0) + _units(came) - _units(rows.filter(sender=wallet.address))
    return max(min(strange, has - _units(Holding.objects.filter(tranche=tranche, wallet=wallet))), 0)


def _units(rows: QuerySet[Any]) -> int:
    return int(rows.aggregate(sum=Sum("units"))["sum"] or 0)


def _send(row: NoteTransfer, sender: Wallet) -> None:
    """Out of the holding, and beyond it out of what lies at the wallet in none."""
    held = Holding.objects.filter(tranche=row.tranche, wallet=sender).select_for_update().first()
    has, outside = (held.units if held else 0), _outside(row.tranche, sender)
    if has + outside < row.units:
        raise Refusal(
            "transfer_before_its_cause", "The sender holds fewer units here than the chain says it sent.",
            held_units=has + outside, sent_units=row.units, transaction=row.transaction_hash,
        )  # fmt: skip
    if held is not None:
        held.units -= min(has, row.units)
        held.save(update_fields=["units"])


def _add(tranche: Tranche, receiver: Wallet, units: int) -> None:
    held, _ = Holding.objects.select_for_update().get_or_create(
        tranche=tranche, wallet=receiver, defaults={"party_id": receiver.party_id, "units": 0}
    )
    held.units += units
    held.save(update_fields=["units"])
