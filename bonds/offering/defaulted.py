"""A covered relationship defaults while its notes are sold: nobody pays for a default that the notes never insured.

The offering is given up at the notice. Once everything is paid the close may be under way, so from then on it is given
up by whoever would close it (`refuse_close`), who alone knows that nothing was sent.
"""

from uuid import UUID

from django.db import transaction

from bonds import timeline
from bonds.models import Offering, Series
from bonds.offering import clearing, orders, payments
from intermediary.errors import Refusal
from intermediary.models import Cell, DefaultCase, Event

SELLING = (*Offering.BEFORE_CLEARING, Offering.State.PRICED, Offering.State.ALLOCATED)
ENDED = (DefaultCase.State.CURED, DefaultCase.State.CLOSED)
PERFORMING = (Cell.State.OPEN, Cell.State.NO_NEW_RISK)


def on_default_noticed(event: Event) -> None:
    """Give up every offering over this relationship that is not paid for yet."""
    assert event.cell_id is not None, "a default is of a relationship"
    on_sale = (Series.State.MARKETING, Series.State.PRICED)
    sold = Series.objects.filter(slices__cell_id=event.cell_id, state__in=on_sale).order_by("id")
    for series_id in sold.values_list("id", flat=True):
        timeline.locked(series_id, *Series.State)
        offering = orders.locked(series_id, *Offering.State)
        if offering.state not in SELLING or _is_paid(offering):
            continue
        if codes := defaulted(series_id):
            clearing.give_up(offering, "servicing", _because(codes))


def refuse_close(series_id: UUID) -> None:
    """Immediately before the escrow is closed: with a covered relationship in default the offering is given up instead,
    and everybody refunded."""
    with transaction.atomic():
        timeline.locked(series_id, Series.State.PRICED)
        offering = orders.locked(series_id, Offering.State.ALLOCATED)
        codes = defaulted(series_id)
        if codes:
            clearing.give_up(offering, "servicing", _because(codes))
    if codes:
        raise Refusal("covered_default", _because(codes), relationships=codes)


def refuse_unperforming(series_id: UUID) -> None:
    """Before a series is put on sale: every relationship that it covers performs."""
    if codes := defaulted(series_id):
        message = f"Covered relationships do not perform: {', '.join(codes)}."
        raise Refusal("relationship_not_performing", message, relationships=codes)


def defaulted(series_id: UUID) -> list[str]:
    """The public codes of covered relationships that do not perform, or have a default that is not over."""
    cells = Cell.objects.filter(bond_slices__series_id=series_id)
    broken = set(cells.exclude(state__in=PERFORMING).values_list("code", flat=True))
    cases = DefaultCase.objects.filter(cell__in=cells).exclude(state__in=ENDED)
    return sorted(broken | set(cases.values_list("cell__code", flat=True)))


def _is_paid(offering: Offering) -> bool:
    return offering.state == Offering.State.ALLOCATED and payments.is_paid(offering.series_id)


def _because(codes: list[str]) -> str:
    return f"Default of {', '.join(codes)} before the issue."
