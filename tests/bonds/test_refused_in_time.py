"""Refusals of acts that come too late, on other figures, or without what they rest on: by name, with the numbers, and
with nothing changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from bonds.models import Allocation, CouponPart, CouponRun, Offering, Order, Redemption, Series
from bonds.offering import clearing, orders, sale, structuring
from bonds.servicing import coupons, early, write_downs
from intermediary import clock
from intermediary.errors import BadInput, Refusal
from intermediary.models import Cell, ChainInstruction, CreditLine, JournalEntry, Proposal
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.test_structuring import CODE, body, cells
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets
from tests.people import person
from tests.risk.test_gate import before_any_market, sides

__all__ = ["before_any_market", "cells", "sides"]  # fixtures


@contextmanager
def refused(code: str, **data: Any) -> Iterator[None]:
    """The act in here is refused by this name, with exactly these numbers."""
    with pytest.raises(Refusal) as refusal, transaction.atomic():
        yield
    assert (refusal.value.code, refusal.value.data) == (code, data)


def on_sale(classes: int = 1) -> tuple[Series, list[world.Secret]]:
    """A book with one sealed bid for the whole of each class, on a clock that a test moves."""
    life.begin()
    assets()
    series = world.deployed(world.series_terms([world.covered_cell("R1")], classes=classes))
    user = world.investor("a")
    tranches = series.tranches.order_by("seniority")
    return series, [world.sealed(user, tranche, (400, tranche.original_base_units)) for tranche in tranches]


Sale = tuple[Series, list[world.Secret]]
one_class = pytest.mark.world(build=transaction.atomic(on_sale))


@transaction.atomic
def two_classes() -> Sale:
    return on_sale(2)


@transaction.atomic
def floating() -> Series:
    """A series on risk with planned coupons that promises the overnight rate, in a world without a valuation."""
    life.begin()
    assets()
    cells = [world.covered_cell("R1")]
    life.endow(cells[0], MILLION, MILLION)
    terms = replace(world.series_terms(cells), coupon_kind="SOFR")
    series = world.on_risk(cells, [world.investor("a")], terms=terms)
    life.plan(series)
    return series


def close(series: Series) -> Offering:
    """The time for bids is over, by the clock of the world."""
    life.live_until(Offering.objects.get(series=series).commits_until)
    sale.advance(clock.now())
    return Offering.objects.get(series=series)


def reveal(bid: world.Secret, opening: world.Secret) -> Order:
    return orders.reveal(user=bid.user, order_id=bid.order.id, opening=opening.opening, nonce=opening.nonce)


def kept(order: Order) -> tuple[str, str, object]:
    order.refresh_from_db()
    return order.state, order.opening, order.revealed_at


@one_class
def test_a_bid_is_not_revealed_after_the_time_for_it(rolled_back_world: Sale) -> None:
    series, (bid,) = rolled_back_world
    until = close(series).reveals_until
    life.live_until(until)
    with refused("reveal_too_late", until=until.isoformat()):
        reveal(bid, bid)
    assert kept(bid.order) == (Order.State.PLACED, "", None)


@pytest.mark.world(build=two_classes)
def test_a_bid_is_not_revealed_for_another_class(rolled_back_world: Sale) -> None:
    """Its commitment is what was sealed for this class: the opening in it is for another."""
    series, (junior, senior) = rolled_back_world
    tranche = series.tranches.get(seniority=0)
    user = world.investor("b")
    opening = world.opening_of(user, series.tranches.get(seniority=1), (400, MILLION))
    bid = orders.commit(user=user, tranche_id=tranche.id, commitment=opening.commitment)
    close(series)
    misplaced = world.Secret(user, bid, opening.opening.text, opening.nonce)
    with refused("reveal_of_another_class", sealed_for=["BLK-T", "BLKT1"], asked=["BLK-T", "BLKT0"]):
        reveal(misplaced, misplaced)
    assert kept(bid) == (Order.State.PLACED, "", None)
    assert reveal(senior, senior).state == reveal(junior, junior).state == Order.State.REVEALED


@one_class
def test_a_bid_that_was_withdrawn_is_not_revealed(rolled_back_world: Sale) -> None:
    series, (bid,) = rolled_back_world
    orders.withdraw_order(user=bid.user, order_id=bid.order.id)
    close(series)
    with refused("not_sealed", state="WITHDRAWN"):
        reveal(bid, bid)
    assert kept(bid.order) == (Order.State.WITHDRAWN, "", None)


@one_class
def test_a_book_is_not_allocated_when_the_time_to_pay_is_over(rolled_back_world: Sale) -> None:
    series, (bid,) = rolled_back_world
    close(series)
    reveal(bid, bid)
    offering = Offering.objects.get(series=series)
    life.live_until(offering.reveals_until)
    clearing.price(series.id)
    offering.refresh_from_db()
    life.live_until(offering.pays_until)
    with refused("too_late_to_allocate", until=offering.pays_until.isoformat()):
        clearing.allocate(actor="desk", series_id=series.id, report_hash=offering.report_hash)
    offering.refresh_from_db()
    assert (offering.state, Allocation.objects.exists()) == (Offering.State.PRICED, False)
    assert kept(bid.order)[0] == Order.State.REVEALED


@pytest.mark.django_db
def test_no_series_is_drafted_over_a_line_that_outlives_it(cells: list[Cell]) -> None:
    cell, draft = cells[0], body(cells)
    until = clock.now() + timedelta(days=3 * 365)
    sizes: dict[str, Any] = dict.fromkeys(
        ("threshold_base_units", "first_loss_base_units", "tail_base_units", "senior_base_units"), 0
    )
    line = CreditLine.objects.create(
        cell=cell,
        proposal=world.approved(Proposal.Kind.CREDIT_LINE, cell, sizes | {"expires_at": until.isoformat()}),
        **sizes,
        expires_at=until,
        ruleset_hash="0" * 64,
        admission={},
    )
    maker = person("first", is_staff=True)
    made = structuring.save_draft(maker=maker, code=CODE, body=draft)
    (problem,) = made.problems
    assert (problem["about"], problem["code"]) == ("relationships", "line_outlives_cover")
    assert problem["data"] == {
        "relationship": cell.code,
        "line_expires_at": until.isoformat(),
        "scheduled_maturity": draft["scheduled_maturity"],
    }
    with pytest.raises(BadInput, match="line_outlives_cover"), transaction.atomic():
        structuring.propose_series(maker=maker, draft_id=made.id, seen_hash=made.terms_hash, reason="sell it")
    assert not Proposal.objects.filter(kind=Proposal.Kind.SERIES).exists()
    CreditLine.objects.filter(id=line.id).update(state=CreditLine.State.EXPIRED)
    assert structuring.save_draft(maker=maker, code=CODE, body=draft).problems == []


@pytest.mark.world(build=life.serviced)
def test_an_early_end_is_not_approved_on_figures_that_moved(rolled_back_world: tuple[list[Cell], Series]) -> None:
    (cell, _), series = rolled_back_world
    maker, checker = (person(name, is_staff=True) for name in ("redeemer", "second"))
    asked = early.propose(maker=maker, series_id=series.id, why="INSOLVENCY", reason="petition filed")
    write_downs.on_loss_determined(world.determine(world.notice(cell), 4 * MILLION))
    world.settle()
    world.settle_challenges()
    with refused(
        "redemption_outdated",
        series=series.code,
        seen_outstanding_base_units=12 * MILLION,
        outstanding_base_units=19 * MILLION // 2,
    ):
        early.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    series.refresh_from_db()
    asked.refresh_from_db()
    assert (series.risk_ended_at, asked.state) == (None, Proposal.State.PROPOSED)
    assert not Redemption.objects.exists()


@pytest.mark.world(build=floating)
def test_no_coupon_is_paid_on_a_rate_that_is_not_known(rolled_back_world: Series) -> None:
    run = CouponRun.objects.get(tranche__series=rolled_back_world, number=1)
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD)
    life.serve()
    life.live_to_day(run.payment_date)
    booked, instructed = JournalEntry.objects.count(), ChainInstruction.objects.count()
    with refused("no_overnight_rate", day=run.accrual_start.isoformat()):
        coupons.pay(run.id)
    run.refresh_from_db()
    assert (run.state, run.amount_base_units, CouponPart.objects.exists()) == (CouponRun.State.PLANNED, 0, False)
    assert (JournalEntry.objects.count(), ChainInstruction.objects.count()) == (booked, instructed)
