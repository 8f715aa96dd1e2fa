"""Acts on an offering that need two officers: announcing it, its guidance, its allocation, giving it up.

A proposal says all that would happen and is bound to its hash: the plan with every time and size, the guidance in basis
points, the hash of the report of the cleared book. Opening, closing and clearing need nobody: the clock and the
published rules do them.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from bonds.models import Offering, Series
from bonds.offering import clearing, defaulted, sale
from bonds.offering.orders import locked
from bonds.offering.plan import OfferingPlan, from_body
from bonds.offering.terms import terms_from
from intermediary import access, approvals, clock
from intermediary.errors import BadInput, Refusal
from intermediary.models import Cell, Proposal

KIND = Proposal.Kind.OFFERING
ANNOUNCE, GUIDE, ALLOCATE, PULL = "announce", "guide", "allocate", "pull"
State = Offering.State


def propose_announcement(*, maker: User, series_id: UUID, plan: OfferingPlan, reason: str) -> Proposal:
    """Lay the times and sizes of a structured series' sale before a second officer."""
    series = _series(series_id, Series.State.STRUCTURING)
    plan.refuse_unfit(terms_from(series.terms), clock.now())
    defaulted.refuse_unperforming(series.id)
    return _propose(maker, series, ANNOUNCE, reason, plan=plan.body(), terms_hash=series.terms_hash)


def propose_guidance(*, maker: User, series_id: UUID, guidance_bps: Mapping[UUID, int], reason: str) -> Proposal:
    """Lay the par spread of each class before a second officer; basis points a year by class."""
    series = _series(series_id, Series.State.MARKETING)
    locked(series_id, State.ANNOUNCED)
    symbols = {tranche.id: tranche.symbol for tranche in series.tranches.all()}
    if set(guidance_bps) != set(symbols) or any(bps < 0 for bps in guidance_bps.values()):
        raise BadInput("guidance_unreadable", "Guidance names every class, none of it negative.")
    guidance = {symbols[key]: bps for key, bps in guidance_bps.items()}
    return _propose(maker, series, GUIDE, reason, guidance_bps=guidance)


def propose_allocation(*, maker: User, series_id: UUID, reason: str) -> Proposal:
    """Lay the report of the cleared book before a second officer; both are bound to its hash."""
    series = _series(series_id, Series.State.MARKETING)
    offering = locked(series_id, State.PRICED)
    return _propose(maker, series, ALLOCATE, reason, report_hash=offering.report_hash)


def propose_pull(*, maker: User, series_id: UUID, reason: str) -> Proposal:
    """Propose to give the offering up; the reason is published."""
    series = _series(series_id, Series.State.MARKETING, Series.State.PRICED)
    locked(series_id, *Offering.BEFORE_CLEARING, State.PRICED, State.ALLOCATED)
    return _propose(maker, series, PULL, reason, because=reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Offering:
    """Carry out exactly what was proposed. The same approval again is harmless."""
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    body = approvals.body_of(proposal)
    series = Series.objects.get(id=body["series_id"])
    actor, act = checker.get_username(), body["act"]
    if act == ANNOUNCE:
        if body["terms_hash"] != series.terms_hash:
            raise Refusal("terms_differ", "These are not the terms that were seen.", series=series.code)
        return sale.announce(actor=actor, series_id=series.id, plan=from_body(body["plan"]))
    if act == GUIDE:
        if Offering.objects.filter(series=series, state=State.ANNOUNCED).exists():
            by_class = {one.id: body["guidance_bps"][one.symbol] for one in series.tranches.all()}
            return sale.guide(actor=actor, series_id=series.id, guidance_bps=by_class)
        return Offering.objects.get(series=series)
    if act == ALLOCATE:
        return clearing.allocate(actor=actor, series_id=series.id, report_hash=body["report_hash"])
    return sale.pull(actor=actor, series_id=series.id, because=body["because"])


def waiting(series_id: UUID) -> list[Proposal]:
    """What is proposed for an offering and not decided yet."""
    rows = Proposal.objects.filter(kind=KIND, state=Proposal.State.PROPOSED).select_related("maker").order_by("id")
    return [one for one in rows if approvals.body_of(one)["series_id"] == str(series_id)]


def act_of(proposal: Proposal) -> str:
    """Which act is proposed."""
    return str(approvals.body_of(proposal)["act"])


def _series(series_id: UUID, *states: Series.State) -> Series:
    series = Series.objects.filter(id=series_id).first()
    if series is None:
        raise access.not_found()
    if series.state not in states:
        raise Refusal("wrong_series_state", f"The series is {series.get_state_display().lower()}.", state=series.state)
    return series


def _propose(maker: User, series: Series, act: str, reason: str, **said: Any) -> Proposal:
    access.require_officer(maker)
    if any(act_of(one) == act for one in waiting(series.id)):
        raise Refusal("proposed_already", "This waits for a second officer already.")
    body = {"act": act, "series": series.code, "series_id": str(series.id), **said}
    house = Cell.objects.get(kind=Cell.Kind.HOUSE)
    return approvals.propose(maker=maker, kind=KIND, cell_id=house.id, body=body, reason=reason)
