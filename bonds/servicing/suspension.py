"""Transfers of a class rest from a potential event to its notice, so that nobody sells what only it knows of.

A margin call that lapses is the potential event. From then on the platform refuses transfers of every series that
covers the relationship, until the default notice says what happened, or for as long as the note contract would let it
be: then an event was noticed or there is none. The public line says no more than that transfers rest. The contracts'
own suspension is an act of the enforcer, which two people decide on (`settlement.acts`); it stops what is sent past the
platform as well. Loads no numeric library.
"""

from datetime import timedelta
from uuid import UUID

from bonds import timeline
from bonds.models import Series, SeriesEvent
from bonds.servicing import notices
from intermediary import clock
from intermediary.models import Event

LONGEST = timedelta(days=14)  # TrancheNote.MAX_SUSPENSION


def on_call_lapsed(event: Event) -> None:
    """Every series on risk that covers the relationship is suspended; once a potential event."""
    assert event.cell_id is not None, "a call is of a relationship"
    for series in _covering(event.cell_id):
        if not is_suspended(series):
            until = clock.now() + LONGEST
            text = "Transfers rest until a potential event is noticed or over"
            timeline.tell(series.id, SeriesEvent.Kind.SUSPENDED, text, until=until.isoformat())
            notices.tell_holders(series.id, SeriesEvent.Kind.SUSPENDED, text, until=until.isoformat())


def on_default_noticed(event: Event) -> None:
    """The notice is public: whoever trades now knows what everybody knows."""
    assert event.cell_id is not None, "a default is of a relationship"
    for series in _covering(event.cell_id):
        if is_suspended(series):
            timeline.tell(series.id, SeriesEvent.Kind.RESUMED, "Transfers go on: the default was noticed")


def is_suspended(series: Series) -> bool:
    """Whether the last thing told of transfers is that they rest, and not for longer than they may."""
    kinds = (SeriesEvent.Kind.SUSPENDED, SeriesEvent.Kind.RESUMED)
    told = SeriesEvent.objects.filter(series=series, kind__in=kinds).order_by("-at", "-id").first()
    return told is not None and told.kind == SeriesEvent.Kind.SUSPENDED and clock.now() < told.at + LONGEST


def _covering(cell_id: UUID) -> list[Series]:
    on_risk = (Series.State.ON_RISK, Series.State.EVENT_OPEN)
    return list(Series.objects.filter(slices__cell_id=cell_id, state__in=on_risk).order_by("id"))
