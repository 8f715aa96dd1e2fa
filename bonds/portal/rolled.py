"""What a holder may roll forward, where its elections stand, what paying for a bid made from them takes. Reads only.

What is reserved of a class follows from what is public: after the risk period everything outstanding that is not being
repaid is kept back; inside it, at most the slices with a default open may be. Amounts are base units, a holder's parts
rounded so that what it may roll is never overstated.
"""

from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User

from bonds.models import Offering, Order, Redemption, RollForward, Series, SeriesEvent, SliceMark, SlicePart, Tranche
from bonds.offering import payments, rolling
from bonds.portal import book_queries
from bonds.portal.queries import HoldingView, holdings_of
from bonds.servicing.reserves import ESTIMATED
from bonds.servicing.rolls import BEFORE_THE_CLOSE
from intermediary import clock
from intermediary.money import from_base_units

State = RollForward.State
Reader = User | AnonymousUser


@dataclass(frozen=True)
class Rollable:
    """One holding of a live series: its principal, and what of it is or may be kept back."""

    held: HoldingView
    reserved_base_units: int

    @property
    def unreserved_base_units(self) -> int:
        """What the class is to repay to this wallet without what is kept back."""
        return self.held.principal_base_units - self.reserved_base_units

    @property
    def is_kept(self) -> bool:
        """Whether it is kept back now, or only may be at the end of the risk period."""
        return self.held.of.tranche.series.state == Series.State.EXTENDED


@dataclass(frozen=True)
class Election:
    """One election of the reader's with the bid that was made from it."""

    row: RollForward

    @property
    def is_standing(self) -> bool:
        return self.row.state == State.ELECTED

    @property
    def order(self) -> Order | None:
        """The bid, as long as it is none that was withdrawn."""
        found = self.row.order
        return None if found is None or found.state == Order.State.WITHDRAWN else found

    @property
    def may_bid(self) -> bool:
        offering = getattr(self.row.into.series, "offering", None)
        is_open = offering is not None and offering.state == Offering.State.OPEN
        return self.is_standing and is_open and self.order is None

    @cached_property
    def allocated_units(self) -> int:
        """What its bid got over all rounds, without what was not paid in time."""
        found = self.order.allocations.all() if self.order else ()
        return sum(one.paid_units if one.state in payments.OVER else one.units for one in found)

    @cached_property
    def paid_units(self) -> int:
        return sum(one.paid_units for one in self.order.allocations.all()) if self.order else 0

    @property
    def why(self) -> str:
        """Why it lapsed, in a sentence."""
        return rolling.why_lapsed(self.row) if self.row.state == State.LAPSED else ""


@dataclass(frozen=True)
class Netted:
    """What is due on a bid that was made from elections: how much of it the old notes bring, by our books."""

    due_base_units: int
    paid_base_units: int
    elections: list[RollForward]

    @property
    def repaid_base_units(self) -> int:
        return sum(one.amount_base_units for one in self.elections)

    @property
    def rolls_base_units(self) -> int:
        """Of what is due now, what repaid principal covers that earlier rounds have not used."""
        return min(self.due_base_units, max(0, self.repaid_base_units - self.paid_base_units))

    @property
    def new_money_base_units(self) -> int:
        """The net amount: what the old notes have not brought."""
        return self.due_base_units - self.rolls_base_units


@dataclass(frozen=True)
class Offer:
    """What a bid for a class may be made from: the elections of one wallet, named by the first of them."""

    elections: list[Election]
    expected_base_units: int

    @property
    def expected_text(self) -> str:
        """What was repaid to it and is to be, as one writes it."""
        return f"{from_base_units(self.expected_base_units, self._into.series.currency.decimals):,.2f}"

    @property
    def bid_text(self) -> str:
        """The most whole denominations that this pays for, up to what one investor gets, as one writes them in a
        ladder; empty for none."""
        step = self._into.series.denomination_base_units
        amount = min(self.expected_base_units, self._into.offered.cap_base_units) // step * step
        return f"{from_base_units(amount, self._into.series.currency.decimals).normalize():,f}" if amount else ""

    @property
    def _into(self) -> Tranche:
        return self.elections[0].row.into

    @property
    def id(self) -> UUID:
        return self.elections[0].row.id

    @property
    def address(self) -> str:
        return self.elections[0].row.wallet.address

    @property
    def minimum_spread_bps(self) -> int:
        return max(one.row.minimum_spread_bps for one in self.elections)


def rollable_of(user: Reader) -> list[Rollable]:
    """The reader's holdings of live series that still have principal."""
    live = [one for one in holdings_of(user) if one.of.tranche.series.state in Series.LIVE]
    return [Rollable(one, _kept_of(one)) for one in live if one.principal_base_units]


def open_classes() -> list[Tranche]:
    """Classes whose book is not closed yet, the first to close first."""
    open_ones = {"offered__offering__state__in": BEFORE_THE_CLOSE, "offered__offering__commits_until__gt": clock.now()}
    rows = Tranche.objects.filter(**open_ones).select_related("series__offering")
    return list(rows.order_by("offered__offering__commits_until", "series__code", "seniority"))


def elections_of(user: Reader) -> list[Election]:
    """The reader's elections, newest first."""
    mine = RollForward.objects.filter(party__members__user=user if isinstance(user, User) else None)
    rows = mine.select_related("tranche__series", "wallet", "into__series__offering", "into__offered", "order")
    return [Election(one) for one in rows.prefetch_related("order__allocations").order_by("-id")]


def offers_for(user: Reader, into: Tranche) -> list[Offer]:
    """What a bid for this class may be made from, one entry a wallet: what was repaid, and what is yet to be."""
    to_come = {(one.held.of.tranche.id, one.held.holding.wallet_id): one for one in rollable_of(user)}
    by_wallet: dict[UUID, list[Election]] = {}
    for one in reversed(elections_of(user)):
        if one.is_standing and one.row.into_id == into.id:
            by_wallet.setdefault(one.row.wallet_id, []).append(one)
    found = []
    for wallet_id, elections in by_wallet.items():
        held = (to_come.get((one.row.tranche_id, wallet_id)) for one in elections)
        expected = sum(one.unreserved_base_units for one in held if one)
        found.append(Offer(elections, expected + sum(one.row.amount_base_units for one in elections)))
    return found


def netted(view: book_queries.OrderView) -> Netted | None:
    """What is due on a bid, net of what its elections bring; None for a bid of new money alone."""
    due = view.due
    rows = view.order.roll_forwards.filter(state=State.ELECTED).select_related("tranche__series")
    elections = list(rows.order_by("id"))
    if due is None or not elections:
        return None
    return Netted(due.units - due.paid_units, view.paid_units, elections)


def _kept_of(one: HoldingView) -> int:
    """The holding's part of what is or may be kept back of its class, rounded up, at most its principal."""
    tranche = one.of.tranche
    whole = -(-one.holding.units * _reserved(tranche) // tranche.original_base_units)
    return min(whole, one.principal_base_units)


def _reserved(tranche: Tranche) -> int:
    parts = SlicePart.objects.filter(tranche=tranche)
    if tranche.series.state == Series.State.EXTENDED:
        moving = Redemption.objects.filter(part__in=parts, state=Redemption.State.MOVING)
        outstanding = sum(parts.values_list("outstanding_base_units", flat=True))
        return outstanding - sum(moving.values_list("amount_base_units", flat=True))
    if tranche.series.state != Series.State.EVENT_OPEN:
        return 0
    hit = parts.filter(slice__relationship__in=_with_open_default(tranche.series))
    return sum(hit.values_list("outstanding_base_units", flat=True))


def _with_open_default(series: Series) -> set[str]:
    """Relationships in default by what is public: the one that opened the event, and those whose loss the last
    valuation estimated."""
    opened = SeriesEvent.objects.filter(series=series, kind=SeriesEvent.Kind.EVENT_OPENED).order_by("id").last()
    marks = SliceMark.objects.filter(slice__series=series).select_related("slice")
    newest = marks.order_by("slice_id", "-valuation__as_of").distinct("slice_id")
    found = {one.slice.relationship for one in newest if one.basis == ESTIMATED}
    return found | ({str(opened.data["relationship"])} if opened else set())
