"""A covered relationship defaults while its notes are sold: nobody pays for it, and nothing is written down by it."""

from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from bonds.models import Offering, Series, SliceAct
from bonds.offering import defaulted, proposals, sale, stages
from bonds.offering import plan as plans
from bonds.servicing import arrivals, write_downs
from intermediary import clock, events
from intermediary.errors import Refusal
from intermediary.models import Cell, DefaultCase, Event
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets
from tests.people import person


@pytest.fixture
def cell(db: object) -> Cell:
    assets()
    return world.covered_cell("R1")


@pytest.fixture
def series(cell: Cell) -> Series:
    """Allocated to one investor, who has not paid."""
    made = world.deployed(world.series_terms([cell]))
    world.allocated(made, world.sealed(world.investor("a"), world.only_tranche(made), (400, 6 * MILLION)))
    return made


def notice(cell: Cell) -> DefaultCase:
    case = world.notice(cell)
    arrivals.on_default_noticed(Event.objects.filter(kind=events.DEFAULT_NOTICED).latest("id"))
    return case


def offering() -> tuple[str, str]:
    found = Offering.objects.select_related("series").get()
    return found.state, found.series.state


@pytest.mark.parametrize("sold", [False, True])
def test_a_default_ends_the_sale(cell: Cell, sold: bool) -> None:
    made = world.deployed(world.series_terms([cell]))
    bid = world.sealed(world.investor("a"), world.only_tranche(made), (400, 6 * MILLION))
    if sold:
        world.allocated(made, bid)
    notice(cell)
    assert offering() == ("PULLED", "PULLED")
    notice_again = Event.objects.filter(kind=events.DEFAULT_NOTICED).latest("id")
    arrivals.on_default_noticed(notice_again)
    assert Offering.objects.get().pulled_because == "Default of R1 before the issue."


def test_what_is_paid_for_is_given_up_instead_of_closed(series: Series, cell: Cell) -> None:
    world.pay_all(series)
    defaulted.refuse_close(series.id)
    notice(cell)
    assert offering() == ("ALLOCATED", "PRICED"), "its close may be under way"
    with pytest.raises(Refusal, match="covered_default"):
        defaulted.refuse_close(series.id)
    assert offering() == ("PULLED", "PULLED")


def test_a_default_before_the_issue_is_no_event_of_the_notes(series: Series, cell: Cell) -> None:
    world.pay_all(series)
    world.book_escrow(series)
    case = notice(cell)
    issued = stages.issue(actor="desk", series_id=series.id)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    assert not SliceAct.objects.exists()
    assert world.outstanding(issued) == {"R1": 6 * MILLION}


def closed_on_chain(series: Series) -> None:
    """The escrow was closed in a block of a minute ago, which is final by now."""
    world.pay_all(series)
    world.book_escrow(series)
    series.refresh_from_db()
    assert series.escrow is not None
    since = clock.now() - timedelta(minutes=1)
    series.escrow.creation |= {"on_risk": True, "on_risk_since": since.isoformat()}
    series.escrow.save(update_fields=["creation"])


def issue(series: Series) -> Series:
    """As the sale does it, in one transaction."""
    stages.issue(actor="desk", series_id=series.id)
    write_downs.catch_up(series.id)
    series.refresh_from_db()
    return series


def test_a_default_between_the_close_and_its_finality_is_the_notes_(series: Series, cell: Cell) -> None:
    closed_on_chain(series)
    case = notice(cell)
    assert offering() == ("ALLOCATED", "PRICED"), "no refund reaches its cash any more"
    issued = issue(series)
    assert issued.escrow is not None
    since = datetime.fromisoformat(issued.escrow.creation["on_risk_since"])
    assert (issued.state, issued.issued_at) == (Series.State.EVENT_OPEN, since)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    assert world.outstanding(issued) == {"R1": 7 * MILLION // 2}


def test_a_loss_determined_between_the_close_and_the_issue_is_noticed_at_it(series: Series, cell: Cell) -> None:
    closed_on_chain(series)
    case = notice(cell)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    assert not SliceAct.objects.exists()
    issued = issue(series)
    world.settle()
    world.settle_challenges()
    assert world.outstanding(issued) == {"R1": 7 * MILLION // 2}


def test_a_default_noticed_before_the_block_of_the_close_is_not(series: Series, cell: Cell) -> None:
    closed_on_chain(series)
    case = notice(cell)
    assert series.escrow is not None
    since = datetime.fromisoformat(series.escrow.creation["on_risk_since"])
    DefaultCase.objects.filter(id=case.id).update(noticed_at=since - timedelta(seconds=1))
    write_downs.on_loss_determined(world.determine(DefaultCase.objects.get(id=case.id), 4 * MILLION))
    assert issue(series).state == Series.State.ON_RISK
    assert not SliceAct.objects.exists()


@pytest.mark.parametrize("ended", [False, True])
def test_no_series_is_announced_over_a_relationship_that_does_not_perform(cell: Cell, ended: bool) -> None:
    Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    terms = world.series_terms([cell])
    made = stages.structure(actor="desk", terms=terms)
    plan = plans.plain(terms, clock.now(), timedelta(hours=1), timedelta(days=1))
    if ended:
        Cell.objects.filter(id=cell.id).update(state=Cell.State.CLOSED)
    else:
        world.notice(cell)
    with pytest.raises(Refusal) as refused, transaction.atomic():
        sale.announce(actor="desk", series_id=made.id, plan=plan)
    assert (refused.value.code, refused.value.data) == ("relationship_not_performing", {"relationships": ["R1"]})
    with pytest.raises(Refusal, match="relationship_not_performing"), transaction.atomic():
        maker = person("seller", is_staff=True)
        proposals.propose_announcement(maker=maker, series_id=made.id, plan=plan, reason="sell it")
    made.refresh_from_db()
    assert made.state == Series.State.STRUCTURING
    assert not Offering.objects.exists()


def test_the_database_refuses_a_write_down_by_it(series: Series, cell: Cell) -> None:
    world.pay_all(series)
    world.book_escrow(series)
    case = notice(cell)
    stages.issue(actor="desk", series_id=series.id)
    world.determine(case, 4 * MILLION)
    item = series.slices.get()
    with pytest.raises(DatabaseError, match="events_of_the_risk_period_only"), transaction.atomic():
        SliceAct.objects.create(
            slice=item,
            cell=cell,
            kind=SliceAct.Kind.WRITE_DOWN,
            state=SliceAct.State.NOTICED,
            amount_base_units=MILLION,
            by_tranche={str(world.only_tranche(series).id): str(MILLION)},
            net_loss_base_units=4 * MILLION,
            evidence="",
        )
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
