"""The order of locks in servicing: the covered cells first, sorted, then the series. Whoever services a whole series
takes them here, so that no two writers wait for each other."""

from uuid import UUID

from django.db import connection

from bonds.models import Series, Slice
from intermediary import ledger


def lock_whole(series_id: UUID) -> Series:
    """The series with every cell it covers."""
    assert connection.in_atomic_block, "servicing belongs to a transaction"
    ledger.lock_cells(Slice.objects.filter(series_id=series_id).values_list("cell_id", flat=True))
    return Series.objects.select_for_update(of=("self",)).select_related("escrow").get(id=series_id)
