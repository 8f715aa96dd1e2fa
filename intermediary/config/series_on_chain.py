"""A series whose contracts two officers had set up: what settlement made is attached to what bonds structured."""

from django.db import transaction

from bonds.models import Series
from bonds.offering import stages
from intermediary.models import ChainTarget, Event
from settlement.acts.rows import ChainAct

ACTOR = "structuring desk"


def on_chain_act_done(event: Event) -> None:
    """The escrow and the notes of a series stand, final. Harmless when repeated; any other act is nobody's here."""
    if event.payload["act_kind"] != ChainAct.Kind.SERIES:
        return
    about = event.payload["about"]
    with transaction.atomic():
        series = Series.objects.filter(code=about["series"]).first()
        if series is None or series.escrow_id is not None:
            return
        targets = ChainTarget.objects.in_bulk([about["escrow"], *about["notes"]], field_name="address")
        notes = [targets[address] for address in about["notes"]]
        stages.register_contracts(actor=ACTOR, series_id=series.id, escrow=targets[about["escrow"]], notes=notes)
