"""The offering of a series from its announcement to the end of bidding, and its end when it fails.

    announced   times and sizes are public and fixed          two officers
    guidance    the par spread of the loss model is public    two officers
    open        sealed bids                                   by the clock, at `opens_at`
    closed      bids are revealed                             by the clock, at `commits_until`
    priced      the book is cleared by its rules (`clearing`) by the clock, at `reveals_until`
    allocated   to be paid for, in rounds (`payments`)        two officers, bound to the hash of the report
    settled     paid in full, on risk (`stages.issue`)        when the ledger shows it

An offering is pulled by its own rules (no guidance in time, book not covered, not allocated in time, not paid in the
last round), or by two officers before it is settled. Who decides is `proposals`' business; here it is carried out.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import connection

from bonds import timeline
from bonds.models import OfferedClass, Offering, Order, Series, SeriesEvent, Slice
from bonds.offering import book, clearing, defaulted, payments
from bonds.offering.orders import locked
from bonds.offering.plan import OfferingPlan
from bonds.offering.terms import terms_from
from intermediary import audit, clock, ledger
from intermediary.errors import Refusal

State = Offering.State


def announce(*, actor: str, series_id: UUID, plan: OfferingPlan) -> Offering:
    """Publish a structured series with the times and sizes of its sale. The same plan again is harmless. Refuses
    `relationship_not_performing` while a covered relationship has an open default or has ended."""
    # Before the series, so that a default is noticed before this or finds the offering.
    ledger.lock_cells(Slice.objects.filter(series_id=series_id).values_list("cell_id", flat=True))
    series = timeline.locked(series_id, Series.State.STRUCTURING, Series.State.MARKETING)
    existing = Offering.objects.filter(series=series).first()
    if existing is not None:
        if {name: getattr(existing, name) for name in plan.times} != plan.times:
            raise Refusal("announced_already", "The series is announced with other times.", series=series.code)
        return existing
    terms = terms_from(series.terms)
    plan.refuse_unfit(terms, clock.now())
    defaulted.refuse_unperforming(series_id)
    offering = Offering.objects.create(series=series, rules=book.RULES, **plan.times)
    for tranche, one in zip(series.tranches.order_by("seniority"), plan.classes, strict=True):
        OfferedClass.objects.create(
            offering=offering,
            tranche=tranche,
            target_base_units=tranche.original_base_units,
            limit_base_units=one.limit_base_units,
            cap_base_units=one.cap_base_units,
            bidders_min=one.bidders_min,
        )
    timeline.move_to(series, Series.State.MARKETING)
    times = {name: moment.isoformat() for name, moment in plan.times.items()}
    audit.record(actor=actor, action="offering_announced", subject=series.code, plan=plan.body())
    timeline.tell(series.id, SeriesEvent.Kind.ANNOUNCED, "Offering announced", rules=book.RULES, **times)
    return offering


def guide(*, actor: str, series_id: UUID, guidance_bps: Mapping[UUID, int]) -> Offering:
    """Publish the par spread of each class (`valuation.price_guidance`)."""
    offering = locked(series_id, State.ANNOUNCED)
    if clock.now() >= offering.commits_until:
        raise Refusal("guidance_too_late", "The time for bids is over already.")
    tranches = list(offering.series.tranches.all())
    for tranche in tranches:
        tranche.guidance_bps = guidance_bps[tranche.id]
        tranche.save(update_fields=["guidance_bps"])
    _move(offering, State.GUIDANCE)
    guidance = {tranche.symbol: guidance_bps[tranche.id] for tranche in tranches}
    audit.record(actor=actor, action="guidance_published", subject=offering.series.code, guidance_bps=guidance)
    timeline.tell(series_id, SeriesEvent.Kind.GUIDANCE, "Guidance published", guidance_bps=guidance)
    return offering


def due(now: datetime) -> Iterator[Callable[[], object]]:
    """What the clock has made due, one step an offering, each for a transaction of its own; harmless when repeated."""
    moved_by_time = (*Offering.BEFORE_CLEARING, State.PRICED)
    for offering in Offering.objects.filter(state__in=moved_by_time).order_by("id"):
        if step := _due_step(offering, now):
            yield partial(step, offering.series_id)


def advance(now: datetime) -> int:
    """Every due step at once, in the caller's transaction, until none is left; how many."""
    assert connection.in_atomic_block
    taken = 0
    while steps := list(due(now)):
        for step in steps:
            step()
        taken += len(steps)
    return taken


def pull(*, actor: str, series_id: UUID, because: str) -> Offering:
    """Give the offering up before it is settled; what was paid is refunded on chain. Again it is harmless. Refuses one
    that is paid for in full, or whose escrow is closed: its cash is on risk, and no refund reaches it."""
    offering = locked(series_id, *Offering.BEFORE_CLEARING, State.PRICED, State.ALLOCATED, State.PULLED)
    if offering.state != State.PULLED:
        refuse_paid(offering)
        clearing.give_up(offering, actor, because)
    return offering


def pulled_on_chain(*, series_id: UUID) -> Offering:
    """Follow an escrow that was pulled, final: whatever was paid is refunded there. Again it is harmless."""
    offering = locked(series_id, State.ALLOCATED, State.PULLED)
    if offering.state != State.PULLED:
        clearing.give_up(offering, "chain", "The escrow was pulled on chain.")
    return offering


def refuse_paid(offering: Offering) -> None:
    """Refuses `paid_for_already` of one that is paid for in full, or whose escrow is closed."""
    escrow = offering.series.escrow
    closed = escrow is not None and bool(escrow.creation.get("on_risk"))
    if closed or (offering.state == State.ALLOCATED and payments.is_paid(offering.series_id)):
        sizes = offering.classes.values_list("size_base_units", flat=True)
        raise Refusal(
            "paid_for_already",
            "Every class is paid for in full: the series is issued, not pulled.",
            series=offering.series.code,
            paid_base_units=sum(size or 0 for size in sizes),
        )


def _due_step(offering: Offering, now: datetime) -> Callable[[UUID], object] | None:
    if offering.state in (State.ANNOUNCED, State.GUIDANCE) and offering.commits_until <= now:
        return _never_opened
    if offering.state == State.GUIDANCE and offering.opens_at <= now:
        return _open
    if offering.state == State.OPEN and offering.commits_until <= now:
        return _close
    if offering.state == State.CLOSED and offering.reveals_until <= now:
        return clearing.price
    if offering.state == State.PRICED and offering.pays_until <= now:
        return _never_allocated
    return None


def _never_opened(series_id: UUID) -> None:
    offering = locked(series_id, State.ANNOUNCED, State.GUIDANCE)
    clearing.give_up(offering, "clock", "The book never opened: no guidance was published in time.")


def _never_allocated(series_id: UUID) -> None:
    offering = locked(series_id, State.PRICED)
    clearing.give_up(offering, "clock", "The cleared book was not allocated before the time to pay was over.")


def _open(series_id: UUID) -> None:
    offering = locked(series_id, State.GUIDANCE)
    _move(offering, State.OPEN)
    audit.record(actor="clock", action="book_opened", subject=offering.series.code)
    until = offering.commits_until.isoformat()
    timeline.tell(series_id, SeriesEvent.Kind.OPENED, "Book opened for sealed bids", until=until)


def _close(series_id: UUID) -> None:
    offering = locked(series_id, State.OPEN)
    sealed = Order.objects.filter(tranche__series_id=series_id, state=Order.State.PLACED)
    _move(offering, State.CLOSED)
    audit.record(actor="clock", action="book_closed", subject=offering.series.code, sealed=sealed.count())
    text = f"Book closed with {sealed.count()} sealed bids; they are revealed now"
    timeline.tell(series_id, SeriesEvent.Kind.CLOSED, text, until=offering.reveals_until.isoformat())


def _move(offering: Offering, state: Offering.State) -> None:
    offering.state = state
    offering.save(update_fields=["state"])
