"""Payment of an allocation, in the database: short, late, twice, from another wallet; who gets what is unpaid."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from bonds.models import Allocation, Holding, NotePayment, Offering, Order, Series
from bonds.offering import payments, sale, stages
from bonds.offering import plan as plans
from bonds.offering.payments import Subscription
from bonds.offering.plan import OfferingPlan
from bonds.portal import book_queries
from intermediary import clock
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Cell, Layer
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets

State = Allocation.State


@pytest.fixture
def cells(db: object) -> list[Cell]:
    assets()
    return [world.covered_cell("R1"), world.covered_cell("R2")]


@pytest.fixture
def series(cells: list[Cell]) -> Series:
    """Six million below the margin, six million shared by three at it."""
    made = world.deployed(world.series_terms(cells))
    tranche = world.only_tranche(made)
    below = world.sealed(world.investor("a"), tranche, (375, 6 * MILLION))
    at_margin = [world.sealed(world.investor(name), tranche, (400, 6 * MILLION)) for name in "bcd"]
    world.allocated(made, below, *at_margin)
    return made


def of(name: str, payment_round: int = 1) -> Allocation:
    return Allocation.objects.get(party__code=name, payment_round=payment_round)


def after(series: Series) -> Offering:
    """The round is over and the chain shows it."""
    last = max(one.pay_by for one in Allocation.objects.filter(state=State.DUE) if one.pay_by)
    return payments.end_round(series_id=series.id, now=last)


def test_payment_is_booked_once_and_cannot_be_altered(series: Series) -> None:
    found = Subscription(of("a").order.wallet.address, 6 * MILLION, "0x" + "a" * 64, 3, clock.now())
    for _ in range(2):
        payments.paid(tranche_id=of("a").tranche_id, subscription=found)
    assert (of("a").state, of("a").paid_units) == (State.PAID, 6 * MILLION)
    assert NotePayment.objects.count() == 1
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        NotePayment.objects.update(units=1)
    with pytest.raises(IntegrityError, match="allocation_is_fixed"), transaction.atomic():
        Allocation.objects.update(units=1)


def test_payment_from_another_wallet_or_beyond_what_is_due_is_refused(series: Series) -> None:
    stranger = world.party_of(world.investor("z")).wallets.get()
    with pytest.raises(Refusal, match="payment_from_another_wallet"):
        found = Subscription(stranger.address, MILLION, "0x" + "b" * 64, 0, clock.now())
        payments.paid(tranche_id=of("a").tranche_id, subscription=found)
    with pytest.raises(Refusal, match="payment_exceeds_allocation"):
        world.pay(of("b"), 3 * MILLION)
    assert not NotePayment.objects.exists()


def test_short_payment_leaves_the_rest_due(series: Series) -> None:
    world.pay(of("b"), MILLION)
    assert (of("b").state, of("b").paid_units) == (State.DUE, MILLION)
    assert not payments.is_paid(series.id)
    world.pay(of("b"), MILLION)
    assert of("b").state == State.PAID


def test_short_by_one_base_unit_keeps_what_was_paid_and_loses_the_rest_of_the_sale(series: Series) -> None:
    for name in "acd":
        world.pay(of(name), of(name).units - (name == "d"))
    world.pay(of("b"))
    after(series)
    failed = of("d")
    assert (failed.state, failed.units - failed.paid_units) == (State.FAILED, 1)
    assert (of("b", 2).units, of("b", 2).state) == (1, State.DUE), "what is missing is handed on to the base unit"
    view = book_queries.own_order(User.objects.get(username="d"), failed.order_id)
    assert (view.paid_units, view.handed_on_units, view.due) == (2 * MILLION - 1, 1, None)
    with pytest.raises(Refusal, match="payment_late"):
        payments.paid(
            tranche_id=failed.tranche_id,
            subscription=Subscription(failed.order.wallet.address, 1, "0x" + "c" * 64, 0, clock.now()),
        )
    world.pay(of("b", 2))
    assert payments.is_paid(series.id)


def test_late_payment_is_refused(series: Series) -> None:
    for name in "acd":
        world.pay(of(name))
    after(series)
    assert of("b").state == State.FAILED
    with pytest.raises(Refusal, match="payment_late"):
        world.pay(of("b"))


def test_unpaid_notes_are_handed_on_by_rank_to_those_the_margin_cut(series: Series) -> None:
    for name in "ac":
        world.pay(of(name))
    world.pay(of("d"), MILLION)
    offering = after(series)
    assert (offering.state, offering.payment_round) == (Offering.State.ALLOCATED, 2)
    assert (of("b").state, of("d").state) == (State.FAILED, State.FAILED)
    assert of("c", 2).units == 3 * MILLION, "c asked for six, got two and takes three more; b and d failed"
    assert not Allocation.objects.filter(payment_round=2).exclude(party__code="c").exists()


def test_order_above_the_cleared_spread_is_never_asked(cells: list[Cell]) -> None:
    made = world.deployed(world.series_terms(cells))
    tranche = world.only_tranche(made)
    first = world.sealed(world.investor("a"), tranche, (400, 12 * MILLION))
    tiny = world.sealed(world.investor("b"), tranche, (400, world.USD * 1000))
    above = world.sealed(world.investor("c"), tranche, (401, 12 * MILLION))
    world.allocated(made, first, tiny, above)
    orders = {order.party.code: order.state for order in Order.objects.all()}
    assert orders["c"] == Order.State.UNFILLED, "its minimum lies above the cleared spread: it is never asked"
    world.pay(of("a"), of("a").units - world.USD * 1000)
    offering = after(made)
    assert offering.state == Offering.State.PULLED
    assert "Nobody is left" in offering.pulled_because


def test_paid_in_the_second_round_is_on_risk_and_each_holds_what_it_paid(series: Series) -> None:
    for name in "ac":
        world.pay(of(name))
    world.pay(of("d"), MILLION)
    after(series)
    world.pay(of("c", 2))
    assert payments.is_paid(series.id)
    world.book_escrow(series)
    stages.issue(actor="desk", series_id=series.id)
    held = dict(Holding.objects.values_list("party__code", "units"))
    assert held == {"a": 6 * MILLION, "c": 5 * MILLION, "d": MILLION}


def test_last_round_that_is_not_paid_pulls_the_offering(series: Series) -> None:
    for name in "ac":
        world.pay(of(name))
    after(series)
    offering = after(series)
    assert (offering.state, offering.payment_round) == (Offering.State.PULLED, 2)


def test_offering_that_nobody_pays_for_is_pulled(series: Series) -> None:
    offering = after(series)
    assert offering.state == Offering.State.PULLED
    series.refresh_from_db()
    assert series.state == Series.State.PULLED
    with pytest.raises(Refusal, match="wrong_series_state"):
        stages.issue(actor="desk", series_id=series.id)
    assert not Holding.objects.exists()


def test_upsizing_sells_more_of_the_same_layer_and_leaves_the_intermediary_its_twentieth(cells: list[Cell]) -> None:
    terms = world.retaining(cells, 2_000)
    target = terms.face_base_units(0)
    most = plans.limit_of(terms, 0)
    assert (target, most) == (9_600_000 * world.USD, 11_400_000 * world.USD)
    opens, hour = clock.now(), timedelta(hours=1)
    plan = OfferingPlan(
        opens,
        opens + hour,
        opens + 2 * hour,
        opens + 3 * hour,
        opens + 5 * hour,
        (plans.ClassPlan(terms.classes[0].symbol, most, most),),
    )
    made = world.deployed(terms, plan)
    bid = world.sealed(world.investor("a"), world.only_tranche(made), (400, 11 * MILLION))
    world.allocated(made, bid)
    tranche = world.only_tranche(made)
    assert tranche.original_base_units == sum(one.principal_base_units for one in made.slices.all()) == 11 * MILLION
    world.pay_all(made)
    world.book_escrow(made)
    assert stages.issue(actor="desk", series_id=made.id).state == Series.State.ON_RISK
    with pytest.raises(IntegrityError, match="layer_of_a_slice_is_fixed"), transaction.atomic():
        made.slices.update(principal_base_units=11 * MILLION)


def test_escrow_is_not_closed_while_the_float_cannot_stand_for_what_is_retained(cells: list[Cell]) -> None:
    made = world.deployed(world.retaining(cells, 1_000))
    bid = world.sealed(world.investor("a"), world.only_tranche(made), (400, 10_800_000 * world.USD))
    world.allocated(made, bid)
    world.pay_all(made)
    with pytest.raises(Refusal, match="vertical_not_held") as refused:
        stages.refuse_close(made.id)
    assert refused.value.data["retained_base_units"] == 1_200_000 * world.USD
    assert refused.value.data["held_base_units"] == 0
    amount = 1_200_000 * world.USD
    lines = [Line(AccountKind.OUTSIDE, "USDC", -amount), Line(AccountKind.FLOAT, "USDC", amount)]
    post(entry_id=uuid7(), cell_id=cells[0].id, kind="capital", memo="float", lines=lines)
    stages.refuse_close(made.id)
    assert not Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).exists(), "tried and taken back"


def test_pulled_by_two_officers_before_the_clearing(cells: list[Cell]) -> None:
    made = world.deployed(world.series_terms(cells))
    bid = world.sealed(world.investor("a"), world.only_tranche(made), (400, 12 * MILLION))
    sale.pull(actor="desk", series_id=made.id, because="The market is closed.")
    sale.pull(actor="desk", series_id=made.id, because="The market is closed.")
    assert Order.objects.get(id=bid.order.id).state == Order.State.UNREVEALED


def test_whoever_was_still_to_pay_when_the_offering_was_pulled_failed_at_nothing(series: Series) -> None:
    world.pay(of("a"))
    world.pay(of("b"), MILLION)
    sale.pull(actor="desk", series_id=series.id, because="The market is closed.")
    found = {one.party.code: (one.state, one.paid_units) for one in Allocation.objects.all()}
    assert found["a"] == (State.PAID, 6 * MILLION)
    assert [found[name] for name in "bcd"] == [(State.LAPSED, MILLION), (State.LAPSED, 0), (State.LAPSED, 0)]
    with pytest.raises(Refusal, match="payment_late") as late, transaction.atomic():
        world.pay(of("c"))
    assert late.value.data["offering"] == Offering.State.PULLED
    assert of("c").paid_units == 0
    with pytest.raises(IntegrityError, match="transition"), transaction.atomic():
        Allocation.objects.filter(id=of("c").id).update(state=State.FAILED)


def test_who_had_its_time_to_pay_failed_also_where_the_offering_is_pulled_for_it(series: Series) -> None:
    for name in "ac":
        world.pay(of(name))
    after(series)
    offering = after(series)
    assert offering.state == Offering.State.PULLED
    assert (of("b").state, of("d").state, of("c", 2).state) == (State.FAILED, State.FAILED, State.FAILED)


def test_offering_that_is_paid_for_is_not_pulled(series: Series) -> None:
    world.pay_all(series)
    with pytest.raises(Refusal, match="paid_for_already"):
        sale.pull(actor="desk", series_id=series.id, because="approved late")
    world.book_escrow(series)
    assert stages.issue(actor="desk", series_id=series.id).state == Series.State.ON_RISK


def test_round_whose_units_were_never_allotted_fails_nobody(series: Series) -> None:
    offering = Offering.objects.get(series=series)
    late = offering.pays_until + timedelta(seconds=1)
    offering = payments.extend_round(series_id=series.id, now=late)
    assert (offering.state, offering.payment_round, of("b").state) == (Offering.State.ALLOCATED, 2, State.DUE)
    assert of("b").pay_by == plans.round_ends(offering.pays_until, offering.ends_at, 2)
    assert not payments.overdue(series.id, late)
    payments.extend_round(series_id=series.id, now=offering.ends_at - timedelta(seconds=1))
    assert of("b").pay_by == offering.ends_at
    offering = payments.extend_round(series_id=series.id, now=offering.ends_at)
    assert offering.state == Offering.State.PULLED
    assert "nobody could pay" in offering.pulled_because
    assert of("b").state == State.LAPSED


def test_cleared_book_that_nobody_allocates_is_pulled_by_the_clock(cells: list[Cell]) -> None:
    made = world.deployed(world.series_terms(cells))
    offering = world.priced(made, world.sealed(world.investor("a"), world.only_tranche(made), (400, 12 * MILLION)))
    assert not sale.advance(offering.pays_until - timedelta(seconds=1))
    with CaptureQueriesContext(connection) as queries:
        assert sale.advance(offering.pays_until) == 1
    locks = [query["sql"] for query in queries if "FOR UPDATE" in query["sql"]]
    assert [sql.split('FROM "')[1].split('"')[0] for sql in locks[:2]] == ["bonds_series", "bonds_offering"]
    assert 'OF "bonds_offering"' in locks[1], "each lock by itself, so the order is always the same"
    offering.refresh_from_db()
    assert (offering.state, "not allocated" in offering.pulled_because) == (Offering.State.PULLED, True)
