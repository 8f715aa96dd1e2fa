"""Clearing a revealed book: the report, the allocation, or the end of the offering. No discretion anywhere.

The report holds every commitment and every opening, so that anyone replays the clearing from that file alone
(`manage.py verify_allocation`); it names nobody. It is written once, its hash stands on the timeline, and officers
approve its hash, not a book of their own.
"""

from uuid import UUID

from bonds import timeline
from bonds.models import Allocation, OfferedClass, Offering, Order, Series, SeriesEvent, SlicePart
from bonds.offering import report, rolling
from bonds.offering.eligibility import refuse_ineligible
from bonds.offering.orders import is_barred, locked
from bonds.offering.plan import most_of_part
from intermediary import audit, clock
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import Refusal
from intermediary.waterfall import share_pro_rata

State = Offering.State


def price(series_id: UUID) -> Offering:
    """Clear every class and write the report; an offering with a class that is not covered is pulled by its rules."""
    timeline.locked(series_id, Series.State.MARKETING)
    offering = locked(series_id, State.CLOSED)
    classes = list(offering.classes.select_related("tranche__series"))
    found = [_class_of(one) for one in classes]
    body = report.build(
        series=offering.series.code,
        terms_hash=offering.series.terms_hash,
        rules=offering.rules,
        denomination_base_units=offering.series.denomination_base_units,
        commits_until=offering.commits_until,
        reveals_until=offering.reveals_until,
        classes=found,
    )
    offering.report = canonical_json(body)
    offering.report_hash = sha256_hex(offering.report)
    offering.state = State.PRICED
    offering.save(update_fields=["report", "report_hash", "state"])
    for one in classes:
        _tell_cleared(one, offering, body)
    uncovered = [entry["note"] for entry in body["classes"] if not entry["result"]["covered"]]
    audit.record(
        actor="clock", action="book_cleared", subject=offering.series.code, report=offering.report_hash,
        uncovered=uncovered,
    )  # fmt: skip
    if uncovered:
        give_up(offering, "clock", f"The bids do not cover {', '.join(uncovered)}.")
    else:
        rolling.leave_out(series_id)
    return offering


def allocate(*, actor: str, series_id: UUID, report_hash: str) -> Offering:
    """Make the allocation of exactly this report; it is to be paid for from now on. Again it is harmless."""
    series = timeline.locked(series_id, Series.State.MARKETING, Series.State.PRICED)
    offering = locked(series_id, State.PRICED, State.ALLOCATED)
    if offering.report_hash != report_hash:
        raise Refusal("report_differs", "This is not the report of the cleared book.", hash=offering.report_hash)
    if offering.state == State.ALLOCATED:
        return offering
    if clock.now() >= offering.pays_until:
        until = offering.pays_until.isoformat()
        raise Refusal("too_late_to_allocate", "The time to pay is over; pull the offering.", until=until)
    results = report.results(offering.report)
    for one in offering.classes.select_related("tranche"):
        _allocate_class(offering, one, results[one.tranche.symbol])
    offering.state, offering.payment_round = State.ALLOCATED, 1
    offering.save(update_fields=["state", "payment_round"])
    timeline.move_to(series, Series.State.PRICED)
    spreads = {symbol: result.spread_bps for symbol, result in results.items()}
    audit.record(actor=actor, action="series_allocated", subject=series.code, spreads_bps=spreads, report=report_hash)
    text = "Priced and allocated; to be paid for by the investors' wallets"
    timeline.tell(series.id, SeriesEvent.Kind.PRICED, text, spreads_bps=spreads, book_hash=report_hash)
    return offering


def give_up(offering: Offering, actor: str, because: str) -> None:
    """Pull the offering and its series; orders that got nothing so far get nothing. What was still to be paid is not
    asked for any more: whoever was not asked yet, or whose payment is on its way, failed at nothing."""
    orders = Order.objects.filter(tranche__series_id=offering.series_id)
    orders.filter(state=Order.State.PLACED).update(state=Order.State.UNREVEALED)
    orders.filter(state=Order.State.REVEALED).update(state=Order.State.UNFILLED)
    allocations = Allocation.objects.filter(tranche__series_id=offering.series_id, state=Allocation.State.DUE)
    allocations.update(state=Allocation.State.LAPSED)
    offering.state, offering.pulled_because = State.PULLED, because[:200]
    offering.save(update_fields=["state", "pulled_because"])
    timeline.move_to(offering.series, Series.State.PULLED)
    rolling.lapse(offering.series_id)
    audit.record(actor=actor, action="series_pulled", subject=offering.series.code, because=because)
    timeline.tell(offering.series_id, SeriesEvent.Kind.PULLED, f"Pulled: {because}"[:300])


def _class_of(one: OfferedClass) -> report.BookOfClass:
    """The bids of a class as they stand at the end of revealing; whoever became barred or ineligible is out."""
    orders = list(Order.objects.select_for_update().filter(tranche=one.tranche).order_by("at", "commitment"))
    for order in orders:
        if order.state == Order.State.PLACED:
            order.state = Order.State.UNREVEALED
        elif order.state == Order.State.REVEALED and _is_out(order):
            order.state = Order.State.BARRED
        else:
            continue
        order.save(update_fields=["state"])
    bids = [
        report.SealedBid(
            commitment=order.commitment,
            sealed_at=order.at,
            outcome=order.state,
            opening=order.opening if order.state == Order.State.REVEALED else "",
        )
        for order in orders
    ]
    return report.BookOfClass(
        note=one.tranche.symbol,
        target_base_units=one.target_base_units,
        limit_base_units=one.limit_base_units,
        cap_base_units=one.cap_base_units,
        bidders_min=one.bidders_min,
        bids=tuple(bids),
    )


def _is_out(order: Order) -> bool:
    if is_barred(order.tranche.series_id, order.party_id):
        return True
    try:
        refuse_ineligible(order.party, order.wallet, clock.now())
    except Refusal:
        return True
    return False


def _tell_cleared(one: OfferedClass, offering: Offering, body: dict[str, object]) -> None:
    result = report.results(canonical_json(body))[one.tranche.symbol]
    symbol = one.tranche.symbol
    if result.spread_bps is None:
        text = f"The bids do not cover {symbol}"
    else:
        text = f"{symbol} clears at {result.spread_bps} basis points"
    timeline.tell(
        offering.series_id, SeriesEvent.Kind.CLEARED, text, note=symbol, spread_bps=result.spread_bps,
        size_base_units=str(result.size_base_units), book_hash=offering.report_hash,
    )  # fmt: skip


def _allocate_class(offering: Offering, one: OfferedClass, result: report.Result) -> None:
    assert result.spread_bps is not None, "a book that is not covered is pulled"
    tranche = one.tranche
    one.size_base_units = result.size_base_units
    one.save(update_fields=["size_base_units"])
    if result.size_base_units > tranche.original_base_units:
        _grow(one, result.size_base_units - tranche.original_base_units)
    tranche.original_base_units, tranche.spread_bps = result.size_base_units, result.spread_bps
    tranche.save(update_fields=["original_base_units", "spread_bps"])
    for order in Order.objects.filter(tranche=tranche, state=Order.State.REVEALED):
        units = result.fills_base_units[order.commitment]
        order.state = Order.State.ALLOCATED if units else Order.State.UNFILLED
        order.save(update_fields=["state"])
        if units:
            Allocation.objects.create(
                order=order,
                tranche=tranche,
                party_id=order.party_id,
                units=units,
                spread_bps=result.spread_bps,
                pay_by=offering.pays_until,
            )


def _grow(one: OfferedClass, more_base_units: int) -> None:
    """Spread what is sold beyond the target over the slices, in proportion to what each still can carry."""
    parts = list(SlicePart.objects.select_related("slice").filter(tranche=one.tranche).order_by("slice__index"))
    room = [_room(part) for part in parts]
    for part, extra in zip(parts, share_pro_rata(more_base_units, room), strict=True):
        if not extra:
            continue
        part.principal_base_units += extra
        part.outstanding_base_units += extra
        part.save(update_fields=["principal_base_units", "outstanding_base_units"])
        part.slice.refresh_from_db()
        part.slice.principal_base_units += extra
        part.slice.save(update_fields=["principal_base_units"])


def _room(part: SlicePart) -> int:
    most = most_of_part(part.detach_base_units - part.attach_base_units)
    return max(0, most - part.principal_base_units)
