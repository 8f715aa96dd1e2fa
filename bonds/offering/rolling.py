"""What becomes of elections to roll forward in the sale of the next series.

A bid that is made from an election is of its wallet, and speaks for all that this wallet means for the class. When the
book is cleared, elections without a bid that counts lapse; when the series is issued, what was paid for the new notes,
at most what the old ones had repaid by then, has rolled; where the offering is pulled all of them lapse. Amounts are
base units.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from bonds.models import Allocation, Order, RollForward, Series
from bonds.offering import eligibility
from bonds.servicing import notices
from intermediary import access, audit, clock
from intermediary.errors import Refusal

State = RollForward.State
COUNTED = (Order.State.REVEALED, Order.State.ALLOCATED, Order.State.UNFILLED)  # bids in a cleared book
ROLLED, LAPSED = "ROLLED", "ROLL_LAPSED"  # kinds of the notices


def standing(party_id: UUID, into_id: UUID, election_id: UUID) -> RollForward:
    """The party's election that a bid for a class names. Refuses another class, and one that is over."""
    found = RollForward.objects.select_related("wallet", "into").filter(id=election_id, party_id=party_id).first()
    if found is None:
        raise access.not_found()
    if found.into_id != into_id:
        raise Refusal("elected_for_another_class", "This election is into another class.", into=found.into.symbol)
    if found.state != State.ELECTED:
        raise Refusal("election_is_over", f"This election is {found.get_state_display().lower()}.", state=found.state)
    return found


def join(order: Order) -> int:
    """The bid is made from whatever its wallet means for its class; how many elections."""
    mine = RollForward.objects.filter(party_id=order.party_id, wallet_id=order.wallet_id, into_id=order.tranche_id)
    return mine.filter(state=State.ELECTED).update(order=order)


def leave_out(series_id: UUID) -> None:
    """The book is cleared: elections from which no bid was made that counts are over."""
    _lapse(_into(series_id).filter(Q(order=None) | ~Q(order__state__in=COUNTED)))


def lapse(series_id: UUID) -> None:
    """The offering is pulled."""
    _lapse(_into(series_id))


def settle(series_id: UUID) -> None:
    """The notes are issued: what was paid for them out of what had been repaid has rolled; several elections behind one
    bid take it in their order."""
    left: dict[UUID, int] = {}
    for one in _into(series_id):
        rolled = 0
        if one.order_id is not None:
            paid = left.setdefault(one.order_id, paid_units(one.order_id))
            rolled = min(paid, one.amount_base_units)
            left[one.order_id] = paid - rolled
        if rolled:
            _apply(one, rolled)
        else:
            _lapse([one])


def paid_units(order_id: UUID) -> int:
    """What was paid for a bid's notes over all rounds."""
    return int(Allocation.objects.filter(order_id=order_id).aggregate(sum=Sum("paid_units"))["sum"] or 0)


def why_lapsed(one: RollForward) -> str:
    """In a sentence, from what stands in the book."""
    if one.into.series.state == Series.State.PULLED:
        return f"The offering of {one.into.series.code} was pulled."
    if one.order is None or one.order.state == Order.State.WITHDRAWN:
        return "No bid was made from it."
    if one.order.state == Order.State.UNREVEALED:
        return "Its bid was not revealed in time."
    if one.order.state == Order.State.BARRED:
        return "Its bid was left out: the wallet may not hold these notes."
    if one.order.state == Order.State.UNFILLED:
        return "Its bid was not filled."
    if not paid_units(one.order.id):
        return "What its bid was allocated was not paid."
    if one.amount_base_units:
        return "What was paid on its bid came out of another election."
    return "Nothing was repaid before the new notes were issued."


def _into(series_id: UUID) -> QuerySet[RollForward]:
    """Standing elections into a series, locked, in their order."""
    rows = RollForward.objects.select_for_update(of=("self",)).filter(into__series_id=series_id, state=State.ELECTED)
    return rows.select_related("into__series", "tranche", "order").order_by("id")


def _apply(one: RollForward, rolled: int) -> None:
    one.state, one.rolled_base_units, one.applied_at = State.APPLIED, rolled, clock.now()
    one.save(update_fields=["state", "rolled_base_units", "applied_at"])
    _tell(one, ROLLED, f"Principal of {one.tranche.symbol} was rolled into {one.into.symbol}")


def _lapse(elections: Iterable[RollForward]) -> None:
    for one in elections:
        one.state = State.LAPSED
        one.save(update_fields=["state"])
        _tell(one, LAPSED, f"Rolling {one.tranche.symbol} into {one.into.symbol} has lapsed: {why_lapsed(one)}")


def _tell(one: RollForward, kind: str, text: str) -> None:
    amounts = {"repaid_base_units": one.amount_base_units, "rolled_base_units": one.rolled_base_units}
    audit.record(actor="sale", action=f"roll_forward_{one.state.lower()}", subject=one.id, **amounts)
    own = {name: str(amount) for name, amount in amounts.items()} | {"into": one.into.symbol}
    notices.tell_holders_of_class(one.tranche, kind, text, {one.party_id: own})
    eligibility.tell(one.party_id)
