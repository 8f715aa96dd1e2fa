"""Who is measured in which market: layers, haircuts and stress of everybody, each of them in one market at a time.

A market of today may be overtaken several times while everybody is measured in it. So a wake-up asks for a market and
gets the newest that is done; one whose market has been measured since gets nothing, and costs nothing.
"""

from uuid import UUID

from django.db.models import Q

from risk.models import Measurement, Tick


def newest(asked: UUID) -> Tick:
    """The market to measure now: the newest that is done, or the one asked for where none is newer, such as one that
    was given up."""
    return Tick.objects.filter(Q(id=asked) | Q(done_at__isnull=False)).latest("id")


def reached(of: Measurement.Of, tick_id: UUID) -> bool:
    """Whether everybody was measured in this market or in a newer one."""
    return Measurement.objects.filter(of=of, tick_id__gte=tick_id).exists()


def all_reached(tick_id: UUID) -> bool:
    """The same of all that is measured."""
    return Measurement.objects.filter(tick_id__gte=tick_id).count() == len(Measurement.Of)


def claim(of: Measurement.Of, tick: Tick) -> bool:
    """Say in the caller's transaction, which writes what was measured, that this is the market; False where that was
    said of it or of a newer one. Another that is at the same waits here until the first is done."""
    Measurement.objects.get_or_create(of=of)
    older = Measurement.objects.filter(Q(tick=None) | Q(tick_id__lt=tick.id), of=of)
    return older.update(tick=tick) == 1
