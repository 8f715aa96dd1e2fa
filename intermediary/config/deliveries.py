"""Who handles which event. A delivery is claimed with SKIP LOCKED, handled and marked in one transaction, so a
consumer that is down loses nothing and a repeated wake-up does nothing twice. What fails is tried at every wake-up for
a while and then ever more seldom; in the end it shows as a break, stops a replay, and an officer can have it delivered
again.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.functions import Now, Power

from intermediary import access, audit, events
from intermediary.errors import Refusal
from intermediary.models import Delivery, Event

logger = logging.getLogger(__name__)
Handler = Callable[[Event], None]
ATTEMPTS_AT_ONCE = 20  # one a wake-up, a second apart: longer than any restart
ATTEMPTS_MAX = 32  # the waits double from half a minute on: two days, longer than any repair; then a person must look


def handlers() -> dict[tuple[str, str], tuple[Handler, ...]]:
    """Consumer and kind of event -> what to call. Imported late: the web process never loads them."""
    from bonds.servicing import arrivals, rulings, suspension, transfers, write_downs
    from intermediary import credit, paid_back, variation, withdrawals
    from intermediary.config import series_on_chain

    return {
        ("intermediary", events.INSTRUCTION_FINAL): (
            withdrawals.on_instruction_final,
            credit.on_instruction_final,
        ),
        ("intermediary", events.INSTRUCTION_FAILED): (
            withdrawals.on_instruction_failed,
            variation.on_instruction_failed,
            paid_back.on_instruction_failed,
        ),
        ("bonds", events.INSTRUCTION_FINAL): (arrivals.on_instruction_final,),
        ("bonds", events.SERIES_MATURED): (arrivals.on_series_matured,),
        ("bonds", events.HOLDER_PAID): (arrivals.on_holder_paid,),
        ("bonds", events.LOSS_DETERMINED): (write_downs.on_loss_determined,),
        ("bonds", events.RECOVERY_RECEIVED): (write_downs.on_recovery_received,),
        ("bonds", events.DEFAULT_NOTICED): (arrivals.on_default_noticed,),
        ("bonds", events.CALL_LAPSED): (suspension.on_call_lapsed,),
        ("bonds", events.LOSS_RULED): (rulings.on_loss_ruled,),
        ("bonds", events.NOTE_TRANSFERRED): (transfers.on_note_transferred,),
        ("bonds", events.CHAIN_ACT_DONE): (series_on_chain.on_chain_act_done,),
    }


def deliver_pending(limit: int = 500) -> int:
    """Handle what waits, oldest first, each once; returns how many were handled."""
    table = handlers()
    waiting = _due().order_by("id").values_list("id", flat=True)
    return sum(_deliver(delivery_id, table) for delivery_id in list(waiting[:limit]))


def deliver_again(*, officer: User, delivery_id: UUID) -> Delivery:
    """Try a delivery once more that was given up: handlers are harmless when repeated. Refuses `not_given_up`."""
    access.require_officer(officer)
    delivery = Delivery.objects.select_for_update().filter(id=delivery_id, state=Delivery.State.FAILED).first()
    if delivery is None:
        raise Refusal("not_given_up", "This delivery was not given up.")
    delivery.state, delivery.attempts = Delivery.State.PENDING, 0
    delivery.save(update_fields=["state", "attempts"])
    audit.record(actor=officer.get_username(), action="delivery.again", subject=delivery.id, error=delivery.error[:200])
    return delivery


def _due() -> QuerySet[Delivery]:
    """Attempt n after the first ones is due 2^n half-minutes after the event."""
    waited = ExpressionWrapper(Now() - F("recorded_at"), output_field=DurationField())
    wait = ExpressionWrapper(
        Value(timedelta(seconds=30)) * Power(2.0, F("attempts") - ATTEMPTS_AT_ONCE), output_field=DurationField()
    )
    due = Q(attempts__lt=ATTEMPTS_AT_ONCE) | Q(waited__gte=F("wait"))
    return Delivery.objects.filter(state=Delivery.State.PENDING).annotate(waited=waited, wait=wait).filter(due)


def _deliver(delivery_id: UUID, table: dict[tuple[str, str], tuple[Handler, ...]]) -> bool:
    try:
        with transaction.atomic(durable=True):
            rows = Delivery.objects.filter(id=delivery_id, state=Delivery.State.PENDING).select_related("event")
            claimed = rows.select_for_update(skip_locked=True, of=("self",)).first()
            if claimed is None:
                return False
            for handle in table[claimed.consumer, claimed.event.kind]:
                handle(claimed.event)
            Delivery.objects.filter(id=delivery_id).update(state=Delivery.State.DONE)
    except Exception as failure:  # noqa: BLE001  # whatever a handler raises is kept with its delivery
        _note_failure(delivery_id, failure)
        return False
    return True


def _note_failure(delivery_id: UUID, failure: Exception) -> None:
    logger.exception("delivery %s failed", delivery_id)
    with transaction.atomic(durable=True):
        delivery = Delivery.objects.select_for_update().get(id=delivery_id)
        delivery.attempts += 1
        delivery.error = repr(failure)[:2000]
        if delivery.attempts >= ATTEMPTS_MAX:
            delivery.state = Delivery.State.FAILED
        delivery.save(update_fields=["attempts", "error", "state"])
