"""Events that a handler cannot take: tried at once, then more seldom, never lost, delivered again by an officer."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from intermediary import events
from intermediary.config import deliveries, requests
from intermediary.errors import Refusal
from intermediary.models import AuditRecord, CommandRequest, Delivery, Event
from tests.intermediary.margin_world import officer

pytestmark = pytest.mark.django_db


class Consumer:
    """Takes no event until it is mended."""

    def __init__(self) -> None:
        self.mended, self.asked = False, 0

    def handle(self, event: Event) -> None:
        self.asked += 1
        if not self.mended:
            raise RuntimeError("not today")


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(deliveries, "handlers", lambda: {("bonds", events.DEFAULT_NOTICED): (made.handle,)})
    with transaction.atomic():
        events.emit(events.DEFAULT_NOTICED, cell_id=None, case_id="")
    return made


@pytest.fixture
def user(db: None) -> User:
    return officer("someone")


def lost_after(attempts: int) -> Delivery:
    for _ in range(attempts):
        deliveries.deliver_pending()
    return Delivery.objects.get()


def test_after_its_first_attempts_a_delivery_waits_and_is_not_given_up(consumer: Consumer) -> None:
    found = lost_after(deliveries.ATTEMPTS_AT_ONCE + 5)
    assert (found.state, found.attempts, consumer.asked) == ("PENDING", 20, 20)
    Delivery.objects.update(recorded_at=timezone.now() - timedelta(seconds=61))
    assert lost_after(5).attempts == 22
    consumer.mended = True
    Delivery.objects.update(recorded_at=timezone.now() - timedelta(minutes=3))
    assert lost_after(1).state == "DONE"


def test_a_delivery_that_was_given_up_is_delivered_again_by_an_officer(consumer: Consumer, user: User) -> None:
    Delivery.objects.update(recorded_at=timezone.now() - timedelta(days=3), attempts=deliveries.ATTEMPTS_MAX - 1)
    found = lost_after(1)
    assert (found.state, "not today" in found.error) == ("FAILED", True)
    consumer.mended = True
    wish = CommandRequest.objects.create(command="deliver_again", user=user, body={"delivery_id": str(found.id)})
    requests.run_pending()
    wish.refresh_from_db()
    assert wish.state == "DONE"
    assert AuditRecord.objects.filter(action="delivery.again").exists()
    assert lost_after(1).state == "DONE"
    with pytest.raises(Refusal, match="not_given_up"), transaction.atomic():
        deliveries.deliver_again(officer=user, delivery_id=found.id)
