"""A series as a row to be locked, moved and told about: what every act on a series begins and ends with.

The public timeline has one line an act, written in the act's own transaction; pages are told by id.
"""

from uuid import UUID

from django.db import connection

from bonds.models import Series, SeriesEvent
from intermediary import cover, events
from intermediary.errors import NotAllowed, Refusal


def tell(series_id: UUID, kind: SeriesEvent.Kind, text: str, **data: object) -> SeriesEvent:
    """Add a line. Everyone may read it: no names and no orders in it."""
    event = SeriesEvent.objects.create(series_id=series_id, kind=kind, text=text, data=data)
    events.notify(events.PAGES_CHANNEL, f"series:{series_id}")
    return event


def move_to(series: Series, state: Series.State) -> None:
    """Change the state of a series; the database refuses what is not a listed transition. With a pulled one lapse the
    credit lines that waited for it."""
    series.state = state
    series.save(update_fields=["state"])
    if state == Series.State.PULLED:
        cover.lapse(series.slices.values_list("cell_id", "id"))


def locked(series_id: UUID, *states: Series.State) -> Series:
    """The series under its row lock; refuses any state but these."""
    assert connection.in_atomic_block
    series = Series.objects.select_for_update().filter(id=series_id).first()
    if series is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    refuse_unless(series, *states)
    return series


def refuse_unless(series: Series, *states: Series.State) -> None:
    """Refuse any state but these."""
    if series.state not in states:
        raise Refusal("wrong_series_state", f"The series is {series.get_state_display().lower()}.", state=series.state)
