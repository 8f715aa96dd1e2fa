"""Orders of investors, from the bid to the allocation.

Bids are sealed until the book closes: an investor sees its own, and the published report is a hash that anyone given
the book can recompute. One spread clears each class for everybody (`book`). Covered clients and their affiliates are
barred when they order and again when the book is cleared; the database says it a third time (B3).
"""

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q

from bonds import timeline
from bonds.models import Allocation, Order, Series, SeriesEvent, Slice, Tranche
from bonds.offering import book
from intermediary import access, audit
from intermediary.canonical import hash_of
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Affiliation, Party, Wallet

SPREAD_BPS_MAX = 10_000  # a bid for more than the principal itself each year is a slip of the keyboard
State = Series.State


def place_order(*, user: User, tranche_id: UUID, amount_base_units: int, minimum_spread_bps: int) -> Order:
    """Bid for a class with the party's first proved wallet; a later bid replaces the one in the book.

    Refuses a closed book, an amount off the denomination, a covered client and its affiliates, a party without wallet.
    """
    party = access.party_for(user)
    tranche = _published_tranche(tranche_id)
    series = timeline.locked(tranche.series_id, State.MARKETING)
    wallet = Wallet.objects.filter(party=party).order_by("id").first()
    if party.kind != Party.Kind.INVESTOR:
        raise NotAllowed("not_an_investor", "Only eligible investors may order notes.")
    if wallet is None:
        raise Refusal("no_proved_wallet", "Notes are held in a wallet whose control you proved.")
    if amount_base_units <= 0 or amount_base_units % series.denomination_base_units:
        raise BadInput(
            "off_denomination",
            "The amount is a multiple of the denomination.",
            denomination_base_units=series.denomination_base_units,
        )
    if not 0 <= minimum_spread_bps <= SPREAD_BPS_MAX:
        raise BadInput("spread_out_of_range", f"A spread lies between 0 and {SPREAD_BPS_MAX} basis points.")
    refuse_barred(series.id, party.id)
    Order.objects.filter(tranche=tranche, party=party, state=Order.State.PLACED).update(state=Order.State.WITHDRAWN)
    order = Order.objects.create(
        tranche=tranche,
        party=party,
        wallet=wallet,
        amount_base_units=amount_base_units,
        minimum_spread_bps=minimum_spread_bps,
        placed_by=user,
    )
    audit.record(
        actor=user.get_username(),
        action="order_placed",
        subject=order.id,
        amount_base_units=amount_base_units,
        minimum_spread_bps=minimum_spread_bps,
    )
    return order


def withdraw_order(*, user: User, order_id: UUID) -> Order:
    """Take one's own order out of an open book."""
    party = access.party_for(user)
    order = Order.objects.select_related("tranche").filter(id=order_id, party=party).first()
    if order is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    timeline.locked(order.tranche.series_id, State.MARKETING)
    order.state = Order.State.WITHDRAWN
    order.save(update_fields=["state"])
    audit.record(actor=user.get_username(), action="order_withdrawn", subject=order.id)
    return order


def allocate(*, actor: str, series_id: UUID) -> Series:
    """Close the book: one spread a class and exact fills, or the series is pulled when a class is not covered."""
    series = timeline.locked(series_id, State.MARKETING)
    tranches = list(series.tranches.all())
    books = {tranche.id: _orders_of(tranche) for tranche in tranches}
    for orders in books.values():
        for order in orders:
            refuse_barred(series.id, order.party_id)
    results = {tranche.id: _clear(series, tranche, books[tranche.id]) for tranche in tranches}
    cleared = {key: clearing for key, clearing in results.items() if clearing is not None}
    if len(cleared) < len(tranches):
        return _pull(actor, series)
    for tranche in tranches:
        _allocate_class(tranche, books[tranche.id], cleared[tranche.id])
    timeline.move_to(series, State.PRICED)
    spreads = {tranche.symbol: cleared[tranche.id].spread_bps for tranche in tranches}
    report = hash_of([_report_line(order) for orders in books.values() for order in orders])
    audit.record(actor=actor, action="series_allocated", subject=series.code, spreads_bps=spreads, book_hash=report)
    timeline.tell(series.id, SeriesEvent.Kind.PRICED, "Book cleared", spreads_bps=spreads, book_hash=report)
    return series


def allotments(series_id: UUID) -> list[dict[str, int]]:
    """Units by wallet address, one mapping a class, junior first: what the escrow must let each wallet subscribe."""
    by_class: dict[UUID, dict[str, int]] = {
        tranche_id: {} for tranche_id in Tranche.objects.filter(series_id=series_id).values_list("id", flat=True)
    }
    for allocation in Allocation.objects.filter(tranche__series_id=series_id).select_related("order__wallet"):
        by_class[allocation.tranche_id][allocation.order.wallet.address] = allocation.units
    return list(by_class.values())


def refuse_barred(series_id: UUID, party_id: UUID) -> None:
    """Refuse a covered client and whoever is under common control with one."""
    covered = set(Slice.objects.filter(series_id=series_id).values_list("cell__party_id", flat=True))
    linked = Affiliation.objects.filter(
        Q(party_id=party_id, affiliate_id__in=covered) | Q(affiliate_id=party_id, party_id__in=covered)
    )
    if party_id in covered or linked.exists():
        raise Refusal("barred_from_series", "A covered client and its affiliates may not hold the notes of its series.")


def _published_tranche(tranche_id: UUID) -> Tranche:
    found = Tranche.objects.filter(id=tranche_id).exclude(series__state=State.STRUCTURING).first()
    if found is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    return found


def _orders_of(tranche: Tranche) -> list[Order]:
    placed = Order.objects.filter(tranche=tranche, state=Order.State.PLACED)
    return list(placed.select_for_update().order_by("id"))


def _clear(series: Series, tranche: Tranche, orders: Sequence[Order]) -> book.Clearing | None:
    bids = [book.Bid(order.id, order.amount_base_units, order.minimum_spread_bps) for order in orders]
    return book.clear(tranche.original_base_units, bids, series.denomination_base_units)


def _allocate_class(tranche: Tranche, orders: Sequence[Order], clearing: book.Clearing) -> None:
    tranche.spread_bps = clearing.spread_bps
    tranche.save(update_fields=["spread_bps"])
    for order in orders:
        units = clearing.fills_base_units[order.id]
        order.state = Order.State.ALLOCATED if units else Order.State.UNFILLED
        order.save(update_fields=["state"])
        if units:
            Allocation.objects.create(
                order=order, tranche=tranche, party_id=order.party_id, units=units, spread_bps=clearing.spread_bps
            )


def _pull(actor: str, series: Series) -> Series:
    Order.objects.filter(tranche__series=series, state=Order.State.PLACED).update(state=Order.State.UNFILLED)
    timeline.move_to(series, State.PULLED)
    audit.record(actor=actor, action="series_pulled", subject=series.code)
    return series


def _report_line(order: Order) -> list[object]:
    filled = Allocation.objects.filter(order=order).values_list("units", flat=True).first() or 0
    return [order.id, order.tranche_id, order.amount_base_units, order.minimum_spread_bps, filled]
