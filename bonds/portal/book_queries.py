"""What pages read of offerings: what is sold until when, and an investor's own bids with what became of them."""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User

from bonds.models import Allocation, OfferedClass, Offering, Order, RollForward, Series, SeriesEvent
from bonds.offering import book, payments
from bonds.offering.report import ladders, results
from bonds.offering.sealing import FORMAT, Opening, read
from intermediary.access import not_found
from intermediary.models import CommandRequest, Party

WISHES = ("seal_bid", "withdraw_order", "reveal_bid")
WISHES_SHOWN = 5  # a page shows what its reader has just done; the rest is in the orders
Reader = User | AnonymousUser
State = Offering.State


@dataclass(frozen=True)
class OfferedView:
    """One class on sale, with how many sealed bids it has: nobody can say more before the book is cleared."""

    offered: OfferedClass
    sealed: int


@dataclass(frozen=True)
class OfferingView:
    """One offering with its classes, junior first, and what is next in it."""

    offering: Offering
    classes: list[OfferedView]

    @property
    def next_at(self) -> datetime | None:
        """When the clock changes it next."""
        o = self.offering
        moments = {
            State.GUIDANCE: o.opens_at,
            State.OPEN: o.commits_until,
            State.CLOSED: o.reveals_until,
            State.ALLOCATED: o.pays_until,
        }
        return moments.get(State(o.state))


@dataclass(frozen=True)
class OrderView:
    """One bid of the reader: sealed, or with its ladder once revealed, and what it got over all rounds."""

    order: Order
    opening: Opening | None
    allocations: list[Allocation]

    @property
    def amount_base_units(self) -> int | None:
        """All its steps; None while it is sealed."""
        return sum(step.amount_base_units for step in self.opening.steps) if self.opening else None

    @property
    def lowest_bps(self) -> int | None:
        return self.opening.steps[0].spread_bps if self.opening else None

    @property
    def units(self) -> int:
        return sum(one.units for one in self.allocations if one.state not in payments.OVER or one.paid_units)

    @property
    def paid_units(self) -> int:
        return sum(one.paid_units for one in self.allocations)

    @property
    def handed_on_units(self) -> int:
        """What was not paid in time, and went to others."""
        failed = (one for one in self.allocations if one.state == Allocation.State.FAILED)
        return sum(one.units - one.paid_units for one in failed)

    @property
    def due(self) -> Allocation | None:
        """What is to be paid now."""
        return next((one for one in self.allocations if one.state == Allocation.State.DUE), None)

    @property
    def spread_bps(self) -> int | None:
        return self.allocations[0].spread_bps if self.allocations else None

    @property
    def may_withdraw(self) -> bool:
        return self.order.state == Order.State.PLACED and self._sale_state == State.OPEN

    @property
    def may_reveal(self) -> bool:
        return self.order.state == Order.State.PLACED and self._sale_state == State.CLOSED

    @property
    def rolls(self) -> list[str]:
        """Symbols of the notes whose repayment it was made from."""
        mine = self.order.roll_forwards.all()
        return [one.tranche.symbol for one in mine if one.state != RollForward.State.WITHDRAWN]

    @property
    def _sale_state(self) -> str:
        offering = getattr(self.order.tranche.series, "offering", None)
        return offering.state if offering else ""


def offerings_shown() -> list[OfferingView]:
    """What is on sale or being settled, newest first."""
    rows = Offering.objects.exclude(state__in=[State.SETTLED, State.PULLED]).select_related("series")
    return [view_of(one) for one in rows]


def view_of(offering: Offering) -> OfferingView:
    """One offering with the number of sealed bids of each class, by the public timeline."""
    classes = offering.classes.select_related("tranche__series").order_by("tranche__seniority")
    return OfferingView(offering, [OfferedView(one, sealed_bids(one)) for one in classes])


def sealed_bids(one: OfferedClass) -> int:
    """Commitments in the book, withdrawn ones not counted."""
    told = SeriesEvent.objects.filter(series_id=one.tranche.series_id, data__note=one.tranche.symbol)
    return told.filter(kind="SEALED").count() - told.filter(kind="UNSEALED").count()


def offering_of(series: Series) -> OfferingView | None:
    """The sale of a series; none for one that was issued without."""
    found = Offering.objects.select_related("series").filter(series=series).first()
    return view_of(found) if found else None


def offered_class(tranche_id: UUID) -> OfferedClass:
    """A class of a published offering."""
    rows = OfferedClass.objects.select_related("tranche__series", "offering")
    found = rows.filter(tranche_id=tranche_id).first()
    if found is None:
        raise not_found()
    return found


def orders_of(user: Reader) -> list[OrderView]:
    """The reader's bids with what they got, newest first."""
    mine = Order.objects.filter(party__members__user=_known(user)).select_related("tranche__series__offering", "wallet")
    whole = mine.prefetch_related("allocations", "roll_forwards__tranche")
    return [_order_view(one) for one in whole.order_by("-id")]


def own_order(user: Reader, order_id: UUID) -> OrderView:
    """One of the reader's bids."""
    rows = Order.objects.filter(party__members__user=_known(user), id=order_id)
    found = rows.select_related("tranche__series__offering", "wallet", "party").first()
    if found is None:
        raise not_found()
    return _order_view(found)


def party_of(user: Reader) -> Party | None:
    """The party that the reader bids for."""
    return Party.objects.filter(members__user=_known(user)).order_by("members__id").first()


def wishes_of(user: Reader) -> list[CommandRequest]:
    """What the reader asked for lately about bids, newest first, with the outcome."""
    asked = CommandRequest.objects.filter(user=_known(user), command__in=WISHES)
    return list(asked.order_by("-id")[:WISHES_SHOWN])


def demand_curve(offering: Offering, symbol: str) -> list[tuple[int, int]]:
    """(spread in basis points, all that accepts it in base units), rising; from the bids that counted."""
    bids = ladders(offering.report, symbol)
    demand: dict[int, int] = {}
    for bid in bids:
        for step in bid.steps:
            demand[step.spread_bps] = demand.get(step.spread_bps, 0) + step.amount_base_units
    curve, total = [], 0
    for spread in sorted(demand):
        total += demand[spread]
        curve.append((spread, total))
    return curve


def result_of(offering: Offering, symbol: str) -> book.Clearing:
    """What the report says of a class."""
    said = results(offering.report)[symbol]
    return book.Clearing(said.spread_bps, said.size_base_units, dict(said.fills_base_units), said.removed)


def _order_view(order: Order) -> OrderView:
    sealed_by_us = order.opening and json.loads(order.opening).get("format") == FORMAT
    opening = read(order.opening) if sealed_by_us else None
    return OrderView(order, opening, list(order.allocations.order_by("payment_round")))


def _known(user: Reader) -> User | None:
    return user if isinstance(user, User) else None
