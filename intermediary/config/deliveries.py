"""Who handles which event. A delivery is claimed with SKIP LOCKED, handled and marked in one transaction, so a
consumer that is down loses nothing and a repeated wake-up does nothing twice.
"""

import logging
from collections.abc import Callable

from django.db import transaction

from intermediary import events
from intermediary.models import Delivery, Event

logger = logging.getLogger(__name__)
Handler = Callable[[Event], None]
ATTEMPTS_MAX = 20  # a second apart: longer than any restart; then a person must look


def handlers() -> dict[tuple[str, str], tuple[Handler, ...]]:
    """Consumer and kind of event -> what to call. Imported late: the web process never loads them."""
    from bonds import consumers
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
        ("bonds", events.INSTRUCTION_FINAL): (consumers.handle,),
        ("bonds", events.LOSS_DETERMINED): (consumers.handle,),
        ("bonds", events.RECOVERY_RECEIVED): (consumers.handle,),
        ("bonds", events.DEFAULT_NOTICED): (consumers.handle,),
    }


def deliver_pending(limit: int = 500) -> int:
    """Handle what waits, oldest first; returns how many were handled."""
    table = handlers()
    return sum(1 for _ in range(limit) if _deliver_one(table))


def _deliver_one(table: dict[tuple[str, str], tuple[Handler, ...]]) -> bool:
    claimed = None
    try:
        with transaction.atomic(durable=True):
            waiting = Delivery.objects.filter(state=Delivery.State.PENDING).order_by("attempts", "id")
            claimed = waiting.select_for_update(skip_locked=True).select_related("event").first()
            if claimed is None:
                return False
            for handle in table[claimed.consumer, claimed.event.kind]:
                handle(claimed.event)
            Delivery.objects.filter(id=claimed.id).update(state=Delivery.State.DONE)
    except Exception as failure:
        if claimed is None:
            raise
        _note_failure(claimed, failure)
        return False
    return True


def _note_failure(delivery: Delivery, failure: Exception) -> None:
    logger.exception("event %s of %s failed", delivery.event_id, delivery.consumer)
    attempts = delivery.attempts + 1
    state = Delivery.State.FAILED if attempts >= ATTEMPTS_MAX else Delivery.State.PENDING
    with transaction.atomic(durable=True):
        Delivery.objects.filter(id=delivery.id).update(attempts=attempts, state=state, error=repr(failure)[:2000])
