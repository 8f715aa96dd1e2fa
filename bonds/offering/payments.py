"""Delivery against payment: what each wallet may subscribe, what it paid, and who gets what others did not pay for.

On chain a wallet swaps cash for at most its allotment, so a payment is never more than was allocated nor from another
wallet. Here it is followed: `paid` books each subscription once, `end_round` closes a round when the chain shows that
nothing more can come of it (allotments taken back, that fact final), and hands what is unpaid on, at the same spread,
in rank order to orders that the clearing cut. After the last round, or with nobody left, the offering is pulled and
everybody refunded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bonds import timeline
from bonds.models import Allocation, NotePayment, OfferedClass, Offering, Order, SeriesEvent, Tranche
from bonds.offering import clearing, report
from bonds.offering.eligibility import refuse_ineligible
from bonds.offering.orders import is_barred, locked
from bonds.offering.plan import ROUNDS_MAX, round_ends
from bonds.offering.rounds import Waiting, hand_on
from intermediary import audit, clock, events
from intermediary.errors import Refusal

State = Offering.State
ROUND_OVER = "The round of payment is over, or the offering was pulled."
OVER = (Allocation.State.FAILED, Allocation.State.LAPSED)


@dataclass(frozen=True)
class Subscription:
    """What the escrow logged, final: a wallet paid for so many units of one class."""

    wallet_address: str
    units: int
    transaction_hash: str
    log_index: int
    paid_at: datetime


def paid(*, tranche_id: UUID, subscription: Subscription) -> None:
    """Book a payment once. Nothing is changed by one that is refused: `payment_from_another_wallet`,
    `payment_exceeds_allocation` (neither of which the contract lets happen), `payment_late` after a round was closed or
    the offering was pulled, where the escrow pays it back.
    """
    tranche = Tranche.objects.get(id=tranche_id)
    offering = locked(tranche.series_id, State.ALLOCATED, State.SETTLED, State.PULLED)
    booked = NotePayment.objects.filter(
        tranche=tranche, transaction_hash=subscription.transaction_hash, log_index=subscription.log_index
    )
    if booked.exists():
        return
    rows = Allocation.objects.select_for_update(of=("self",)).select_related("order__wallet")
    wallets = rows.filter(tranche=tranche, order__wallet__address=subscription.wallet_address)
    mine = list(wallets.order_by("payment_round"))
    if not mine:
        raise Refusal(
            "payment_from_another_wallet", "Nothing was allocated to this wallet.", wallet=subscription.wallet_address
        )
    open_ones = [one for one in mine if one.state == Allocation.State.DUE]
    over = [one for one in mine if one.state in OVER]
    if over and not open_ones:
        raise Refusal("payment_late", ROUND_OVER, offering=offering.state, wallet=subscription.wallet_address)
    due = sum(one.units - one.paid_units for one in open_ones)
    if subscription.units > due:
        raise Refusal(
            "payment_exceeds_allocation", "More was paid than is due.", paid_units=subscription.units, due_units=due
        )
    _book(tranche, open_ones, subscription)
    events.notify(events.PAGES_CHANNEL, f"series:{tranche.series_id}")


def is_paid(series_id: UUID) -> bool:
    """Whether every class is paid for in full."""
    classes = OfferedClass.objects.filter(offering__series_id=series_id)
    return all(_paid_units(one) == one.size_base_units for one in classes)


def overdue(series_id: UUID, now: datetime) -> bool:
    """Whether the round of payment is over with something unpaid."""
    due = Allocation.objects.filter(tranche__series_id=series_id, state=Allocation.State.DUE, pay_by__lte=now)
    return due.exists()


def end_round(*, series_id: UUID, now: datetime) -> Offering:
    """Close a round that is over: what is unpaid failed, and is handed on or the offering is pulled.

    The caller has seen on chain, final, that the allotments are taken back, and has booked every payment before that.
    """
    offering = locked(series_id, State.ALLOCATED)
    if not overdue(series_id, now):
        return offering
    due = Allocation.objects.filter(tranche__series_id=series_id, state=Allocation.State.DUE, pay_by__lte=now)
    failed = list(due.select_for_update(of=("self",)).select_related("order", "tranche"))
    for one in failed:
        one.state = Allocation.State.FAILED
        one.save(update_fields=["state"])
        audit.record(
            actor="clock",
            action="allocation_not_paid",
            subject=one.order_id,
            units=one.units,
            paid_units=one.paid_units,
        )
    if offering.payment_round >= ROUNDS_MAX or now >= offering.ends_at:
        clearing.give_up(offering, "clock", "Not paid for in full in the last round.")
        return offering
    _next_round(offering, now)
    return offering


def extend_round(*, series_id: UUID, now: datetime) -> Offering:
    """A round is over in which the chain shows that not every wallet was allotted its units: nobody failed to pay. It
    takes the time of the next round too; with no time left the offering is pulled."""
    offering = locked(series_id, State.ALLOCATED)
    due = Allocation.objects.filter(tranche__series_id=series_id, state=Allocation.State.DUE, pay_by__lte=now)
    if not due.exists():
        return offering
    times = {one: round_ends(offering.pays_until, offering.ends_at, one) for one in range(2, ROUNDS_MAX + 1)}
    number = next((one for one, until in times.items() if one > offering.payment_round and until > now), None)
    if number is None:
        clearing.give_up(offering, "clock", "The units were not allotted on chain in time: nobody could pay for them.")
        return offering
    count = due.update(pay_by=times[number])
    offering.payment_round = number
    offering.save(update_fields=["payment_round"])
    audit.record(
        actor="clock", action="time_to_pay_extended", subject=offering.series.code, allocations=count,
        until=times[number].isoformat(),
    )  # fmt: skip
    return offering


def _book(tranche: Tranche, open_ones: Iterable[Allocation], subscription: Subscription) -> None:
    left = subscription.units
    for one in open_ones:
        part = min(left, one.units - one.paid_units)
        if not part:
            continue
        left -= part
        NotePayment.objects.create(
            tranche=tranche,
            allocation=one,
            party_id=one.party_id,
            wallet_address=subscription.wallet_address,
            units=part,
            transaction_hash=subscription.transaction_hash,
            log_index=subscription.log_index,
        )
        one.paid_units += part
        if one.paid_units == one.units:
            one.state, one.settled_at = Allocation.State.PAID, subscription.paid_at
        one.save(update_fields=["paid_units", "state", "settled_at"])
    audit.record(
        actor="chain", action="notes_paid_for", subject=tranche.symbol, units=subscription.units,
        wallet=subscription.wallet_address, transaction=subscription.transaction_hash,
    )  # fmt: skip


def _paid_units(one: OfferedClass) -> int:
    return sum(Allocation.objects.filter(tranche_id=one.tranche_id).values_list("paid_units", flat=True))


def _next_round(offering: Offering, now: datetime) -> None:
    number = offering.payment_round + 1
    pay_by = round_ends(offering.pays_until, offering.ends_at, number)
    made = []
    for one in offering.classes.select_related("tranche"):
        assert one.size_base_units is not None, "the book is cleared"
        missing = one.size_base_units - _paid_units(one)
        parts = hand_on(missing, _waiting(offering, one))
        if sum(parts.values()) < missing:
            clearing.give_up(offering, "clock", f"Nobody is left to take the unpaid notes of {one.tranche.symbol}.")
            return
        made += [(one, order_id, units) for order_id, units in parts.items()]
    if pay_by <= now:
        clearing.give_up(offering, "clock", "There is no time left for another round of payment.")
        return
    offering.payment_round = number
    offering.save(update_fields=["payment_round"])
    handed: dict[str, int] = {}
    for one, order_id, units in made:
        handed[one.tranche.symbol] = handed.get(one.tranche.symbol, 0) + units
        _allocate_again(offering, one, order_id, units, pay_by)
    text = f"Unpaid notes are handed on at the same spread, round {offering.payment_round}"
    told = {symbol: str(units) for symbol, units in handed.items()}
    timeline.tell(offering.series_id, SeriesEvent.Kind.REOFFERED, text, units=told, until=pay_by.isoformat())


def _waiting(offering: Offering, one: OfferedClass) -> list[Waiting]:
    """Orders that accept the spread and got less than they asked, by rank; whoever failed to pay is out."""
    spread = one.tranche.spread_bps
    assert spread is not None
    bids = {bid.key: bid for bid in report.ladders(offering.report, one.tranche.symbol)}
    removed = set(report.results(offering.report)[one.tranche.symbol].removed)
    orders = Order.objects.select_related("party", "wallet").filter(tranche_id=one.tranche_id, commitment__in=bids)
    found = []
    for order in orders:
        rows = list(order.allocations.all())
        if order.commitment in removed or any(row.state == Allocation.State.FAILED for row in rows):
            continue
        bid = bids[order.commitment]
        accepted = min(bid.below(spread) + bid.at(spread), one.cap_base_units)
        left = accepted - sum(row.units for row in rows)
        if left > 0 and _may_still(order):
            found.append(Waiting(order.id, bid.rank, left, 0 if rows else bid.minimum_fill_base_units))
    return found


def _may_still(order: Order) -> bool:
    if is_barred(order.tranche.series_id, order.party_id):
        return False
    try:
        refuse_ineligible(order.party, order.wallet, clock.now())
    except Refusal:
        return False
    return True


def _allocate_again(offering: Offering, one: OfferedClass, order_id: UUID, units: int, pay_by: datetime) -> None:
    order, spread = Order.objects.get(id=order_id), one.tranche.spread_bps
    assert spread is not None, "the book is cleared"
    if order.state == Order.State.UNFILLED:
        order.state = Order.State.ALLOCATED
        order.save(update_fields=["state"])
    Allocation.objects.create(
        order=order,
        tranche_id=one.tranche_id,
        party_id=order.party_id,
        payment_round=offering.payment_round,
        units=units,
        spread_bps=spread,
        pay_by=pay_by,
    )
    audit.record(actor="clock", action="unpaid_notes_handed_on", subject=order_id, units=units)
