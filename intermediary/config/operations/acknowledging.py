"""An officer has read an alarm. It is done by the page itself, not by a worker: workers may be what is away."""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from intermediary import access, audit, events
from intermediary.config.operations.rows import Alarm, AlarmAcknowledgement
from intermediary.errors import Refusal


def acknowledge(*, officer: User, alarm_id: UUID, note: str) -> AlarmAcknowledgement:
    """Write down who has read an open alarm and what is being done; the alarm goes on. Refuses `alarm_is_over`."""
    assert connection.in_atomic_block, "a note belongs to a transaction"
    access.require_officer(officer)
    alarm = Alarm.objects.filter(id=alarm_id, cleared_at=None).first()
    if alarm is None:
        raise Refusal("alarm_is_over", "This alarm is over: what it was about is gone.", alarm_id=str(alarm_id))
    made = AlarmAcknowledgement.objects.create(alarm=alarm, officer=officer, note=note)
    audit.record(actor=officer.get_username(), action="alarm.acknowledge", subject=alarm.id, note=note)
    events.notify(events.PAGES_CHANNEL, "alarm:")
    return made
