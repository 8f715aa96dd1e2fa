"""Who handles which event. A delivery is claimed with SKIP LOCKED, handled and marked in one transaction, so a
consumer that is down loses nothing and a repeated wake-up does nothing twice.
"""

import logging
from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from intermediary import events
from intermediary.models import Delivery, Event

logger = logging.getLogger(__name__)
Handler = Callable[[Event], None]
ATTEMPTS_MAX = 20  # a second apart: longer than any restart; then a person must look


def handlers() -> dict[tuple[str, str], tuple[Handler, ...]]:
    """Consumer and kind of event -> what to call. Imported late: the web process never loads them."""
    from bonds import servicing
    from intermediary import credit, variation, withdrawals

    return {
        ("intermediary", events.INSTRUCTION_FINAL): (
            withdrawals.on_instruction_final,
            credit.on_instruction_final,
        ),
        ("intermediary", events.INSTRUCTION_FAILED): (
            withdrawals.on_instruction_failed,
            variation.on_instruction_failed,
        ),
        ("bonds", events.INSTRUCTION_FINAL): (servicing.on_instruction_final,),
        ("bonds", events.LOSS_DETERMINED): (servicing.on_loss_determined,),
        ("bonds", events.RECOVERY_RECEIVED): (servicing.on_recovery_received,),
        ("bonds", events.DEFAULT_NOTICED): (servicing.on_default_noticed,),
    }


def deliver_pending(limit: int = 500) -> int:
    """Handle what waits, oldest first, each once; returns how many were handled."""
    table = handlers()
    waiting = Delivery.objects.filter(state=Delivery.State.PENDING).order_by("id").values_list("id", flat=True)
    return sum(_deliver(delivery_id, table) for delivery_id in list(waiting[:limit]))


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
