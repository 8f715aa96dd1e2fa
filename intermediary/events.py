"""What the intermediary tells the other parts, and how pages learn that something moved.

An event is a row of the transaction that caused it, with one delivery row for each consumer listed here, so a
consumer that is down finds it later, once. `notify` wakes listening pages with ids only; they read for themselves.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection

from intermediary.models import Delivery, Event

INSTRUCTION_FINAL = "instruction_final"  # {instruction_id, instruction_kind, block_number, log_index, block_time}
INSTRUCTION_FAILED = "instruction_failed"  # {instruction_id, instruction_kind, failure}
LOSS_DETERMINED = "loss_determined"  # {case_id, net_loss_base_units}
RECOVERY_RECEIVED = "recovery_received"  # {case_id, net_loss_base_units, receipt_id}
CALL_LAPSED = "call_lapsed"  # {call_id}
DEFAULT_NOTICED = "default_noticed"  # {case_id}
LOSS_RULED = "loss_ruled"  # {instruction_id: of the notice, amount_base_units: what is left of it}
CHAIN_ACT_DONE = "chain_act_done"  # {act_id, act_kind, about: {series, escrow, notes} or {relationship} or {}}
NOTE_TRANSFERRED = "note_transferred"  # {note_id, sender, receiver, units, transaction_hash, log_index, block_*}
SERIES_MATURED = "series_matured"  # {escrow_id}: anyone has released all principal on chain
HOLDER_PAID = "holder_paid"  # {escrow_id, tranche, holder, amount_base_units, transaction_hash, log_index}

CONSUMERS: dict[str, tuple[str, ...]] = {
    INSTRUCTION_FINAL: ("intermediary", "bonds"),
    INSTRUCTION_FAILED: ("intermediary",),
    LOSS_DETERMINED: ("bonds",),
    RECOVERY_RECEIVED: ("bonds",),
    CALL_LAPSED: ("bonds",),
    DEFAULT_NOTICED: ("bonds",),
    LOSS_RULED: ("bonds",),
    CHAIN_ACT_DONE: ("bonds",),
    NOTE_TRANSFERRED: ("bonds",),
    SERIES_MATURED: ("bonds",),
    HOLDER_PAID: ("bonds",),
}

PAGES_CHANNEL = "bulkhead_pages"  # payload "cell:<uuid>"; the same of tick, series, request, party
OUTBOX_CHANNEL = "bulkhead_outbox"  # payload: nothing; wakes the approver and the poster
WISHES_CHANNEL = "bulkhead_wishes"  # payload: nothing; has a risk worker carry out what a page has just stored


def emit(kind: str, *, cell_id: UUID | None, **payload: Any) -> Event:
    """Write an event and a delivery for each of its consumers."""
    event = Event.objects.create(kind=kind, cell_id=cell_id, payload=payload)
    Delivery.objects.bulk_create(Delivery(event=event, consumer=consumer) for consumer in CONSUMERS[kind])
    if cell_id is not None:
        notify(PAGES_CHANNEL, f"cell:{cell_id}")
    return event


def notify(channel: str, *payloads: str) -> None:
    """Wake whoever listens, when this transaction commits: once for each payload, or with none once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, told) FROM unnest(%s::text[]) AS told", [channel, list(payloads) or [""]])


def notify_pages_of(cell_ids: Iterable[UUID]) -> None:
    """Wake the pages of these relationships, when this transaction commits."""
    told = {f"cell:{cell_id}" for cell_id in cell_ids}
    if told:
        notify(PAGES_CHANNEL, *told)
