"""What holders of notes are told: one row a holder, in the transaction of what happened.

The public timeline says what happened to a series; a notice says it to those whom it concerns, so that a page and a
statement find it without searching. Nothing personal is in the text: amounts of one holder stand in `data`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bonds.models import HolderNotice, Holding, SeriesEvent, Tranche
from intermediary.models.bulk import insert_all


def tell_holders(series_id: UUID, kind: SeriesEvent.Kind, text: str, **data: Any) -> int:
    """A notice to every party that holds units of any class of the series; how many."""
    parties = Holding.objects.filter(tranche__series_id=series_id, units__gt=0).values_list("party_id", flat=True)
    return _write(
        [HolderNotice(series_id=series_id, party_id=party, kind=kind, text=text, data=data) for party in set(parties)]
    )


def tell_holders_of_class(tranche: Tranche, kind: str, text: str, by_party: Mapping[UUID, Mapping[str, Any]]) -> int:
    """A notice to each of these parties about one class, with its own figures."""
    return _write(
        [
            HolderNotice(
                series_id=tranche.series_id, tranche=tranche, party_id=party, kind=kind, text=text, data=dict(own)
            )
            for party, own in by_party.items()
        ]
    )


def _write(notices: list[HolderNotice]) -> int:
    insert_all(notices)
    return len(notices)
