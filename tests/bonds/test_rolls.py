"""Rolling forward: elected, noted with each repayment, bid under seal, decided by what was paid for the next notes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction

from bonds.models import (
    Allocation,
    CouponRun,
    HolderNotice,
    Holding,
    Offering,
    Order,
    Redemption,
    RollForward,
    Series,
    SlicePart,
    Tranche,
)
from bonds.offering import eligibility, orders, sale, stages
from bonds.portal import book_queries, rolled, statements
from bonds.portal.held import BEGINNING
from bonds.servicing import due, redemptions, rolls
from bonds.servicing.account import Kind
from intermediary import clock
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Affiliation, Cell
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.world import MILLION, Secret

pytestmark = pytest.mark.world(build=life.serviced)
State = RollForward.State


def holder(name: str = "a") -> User:
    return User.objects.get(username=name)


def held(name: str = "a") -> Holding:
    return Holding.objects.select_related("wallet", "tranche").get(party__code=name, tranche__symbol="BLKT0")


def elected(into: Tranche, name: str = "a", **changes: Any) -> RollForward:
    one = held(name)
    asked: dict[str, Any] = {
        "tranche_id": one.tranche_id,
        "address": one.wallet.address,
        "into_id": into.id,
        "minimum_spread_bps": 400,
    }
    return rolls.elect(user=holder(name), **(asked | changes))


def bid_from(election: RollForward, *steps: tuple[int, int]) -> Secret:
    """A sealed bid that is made from an election."""
    user = User.objects.get(memberships__party=election.party)
    into = election.into
    kept = world.opening_of(user, into, *steps)
    order = orders.commit(user=user, tranche_id=into.id, commitment=kept.commitment, roll_forward=election.id)
    return Secret(user, order, kept.opening.text, kept.nonce)


def new_money(into: Tranche, units: int, name: str = "b") -> Secret:
    return world.sealed(holder(name), into, (400, units))


def on_the_last_day(series: Series) -> None:
    """The day on which the series is repaid has begun; its holders' eligibility is renewed."""
    CouponRun.objects.update(state=CouponRun.State.CANCELLED)
    last = CouponRun.objects.order_by("-number")[0].payment_date
    day = max(series.scheduled_maturity, last)
    life.live_until(datetime(day.year, day.month, day.day, 0, 30, tzinfo=UTC))
    for name in "abc":
        eligibility.entered(grant_id=world.granted(holder(name)).id, transaction_hash="0x2")


def repaid(series: Series) -> None:
    life.live_until(clock.now() + timedelta(minutes=5))
    life.serve()


def issued(into: Tranche) -> None:
    """Everybody who has to has paid: the next series begins."""
    world.book_escrow(into.series)
    stages.issue(actor="desk", series_id=into.series_id)


def decided(election: RollForward) -> tuple[str, int, int]:
    election.refresh_from_db()
    return election.state, election.amount_base_units, election.rolled_base_units


def notices(kind: str) -> list[HolderNotice]:
    return list(HolderNotice.objects.filter(kind=kind).order_by("id"))


def test_the_same_election_is_one_and_another_is_refused_with_what_stands(series: Series) -> None:
    into = world.next_class()
    first = elected(into)
    assert elected(into) == first
    with pytest.raises(Refusal) as refusal:
        elected(into, minimum_spread_bps=500)
    assert refusal.value.code == "elected_already"
    assert refusal.value.data == {"into": "BLKN0", "minimum_spread_bps": 400}
    for _ in range(2):
        assert rolls.withdraw(user=holder(), election_id=first.id).state == State.WITHDRAWN
    assert elected(into, minimum_spread_bps=500) != first


def test_what_is_refused_changes_nothing(series: Series, cells: list[Cell]) -> None:
    into, stranger = world.next_class(), world.investor("z")
    with pytest.raises(NotAllowed):
        rolls.elect(
            user=stranger, tranche_id=held().tranche_id, address=held().wallet.address, into_id=into.id,
            minimum_spread_bps=0,
        )  # fmt: skip
    with pytest.raises(NotAllowed):
        elected(into, address=held("b").wallet.address)
    with pytest.raises(BadInput) as asked:
        elected(into, minimum_spread_bps=10_001)
    assert asked.value.data == {"asked_bps": 10_001, "most_bps": 10_000}
    with pytest.raises(Refusal, match="book_not_open"):
        elected(held().tranche)
    covered = Cell.objects.get(code="R3").party
    assert covered is not None
    Affiliation.objects.create(party=held("b").party, affiliate=covered)
    with pytest.raises(Refusal, match="barred_from_series"):
        elected(into, "b")
    life.live_until(Offering.objects.get(series=into.series).commits_until)
    with pytest.raises(Refusal, match="book_is_closed"):
        elected(into)
    assert not RollForward.objects.exists()


def test_a_wallet_that_may_not_hold_notes_elects_nothing(series: Series) -> None:
    into = world.next_class()
    maker, checker = (User.objects.get(username=name) for name in ("maker", "checker"))
    asked = eligibility.propose_end(maker=maker, wallet_id=held().wallet_id, reason="list")
    eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    life.live_until(clock.now() + timedelta(minutes=1))
    with pytest.raises(Refusal, match="eligibility_expired"):
        elected(into)


def test_what_is_repaid_is_noted_and_what_is_allocated_and_paid_of_it_rolls(series: Series) -> None:
    """a gets four million back, is allocated five and pays them: four have rolled, one is new money."""
    on_the_last_day(series)
    into = world.next_class()
    election = elected(into)
    kept = bid_from(election, (400, 5 * MILLION))
    other = new_money(into, MILLION)
    repaid(series)
    assert decided(election) == (State.ELECTED, 4 * MILLION, 0)
    told = notices(rolls.TOLD)
    assert [(one.party.code, one.data["repaid_base_units"]) for one in told][-1] == ("a", str(4 * MILLION))
    assert len(told) == 2, "one a slice"
    world.allocated(into.series, kept, other)
    found = rolled.netted(book_queries.own_order(holder(), kept.order.id))
    assert found is not None
    assert (found.due_base_units, found.rolls_base_units, found.new_money_base_units) == (
        5 * MILLION,
        4 * MILLION,
        MILLION,
    )
    world.pay(Allocation.objects.get(order=kept.order), 2 * MILLION)
    found = rolled.netted(book_queries.own_order(holder(), kept.order.id))
    assert found is not None
    assert (found.rolls_base_units, found.new_money_base_units) == (2 * MILLION, MILLION), "two million are used"
    world.pay(Allocation.objects.get(order=kept.order), 3 * MILLION)
    world.pay(Allocation.objects.get(order=other.order))
    issued(into)
    assert decided(election) == (State.APPLIED, 4 * MILLION, 4 * MILLION)
    assert election.applied_at == clock.now()
    assert [one.data["rolled_base_units"] for one in notices("ROLLED")] == [str(4 * MILLION)]
    with pytest.raises(Refusal) as refusal:
        rolls.withdraw(user=holder(), election_id=election.id)
    assert refusal.value.code == "election_is_over"
    assert refusal.value.data["rolled_base_units"] == 4 * MILLION
    accounts = statements.accounts_of(held().party, BEGINNING, clock.now() + statements.DAY)
    lines = [line for one in accounts for line in one.account.lines if line.kind == Kind.ROLLED]
    assert [(line.cash, line.units, line.principal, line.note) for line in lines] == [
        (4 * MILLION, 0, 0, "into BLKN0, at its issue")
    ]


def test_what_is_kept_back_does_not_roll(series: Series, cells: list[Cell]) -> None:
    """A default on R1 that nobody has estimated keeps its six million back: a gets two of its four."""
    (calm,) = rolled.rollable_of(holder())
    assert (calm.reserved_base_units, calm.unreserved_base_units) == (0, 4 * MILLION)
    life.live_until(series.risk_until - timedelta(hours=1))
    world.notice(cells[0])
    (before,) = rolled.rollable_of(holder())
    assert (before.is_kept, before.reserved_base_units, before.unreserved_base_units) == (
        False,
        2 * MILLION,
        2 * MILLION,
    )
    on_the_last_day(series)
    into = world.next_class()
    election = elected(into)
    kept = bid_from(election, (400, 4 * MILLION))
    other = new_money(into, 2 * MILLION)
    life.live_until(clock.now() + timedelta(minutes=5))
    due.serve(clock.now())
    (moving,) = rolled.rollable_of(holder())
    assert (moving.is_kept, moving.reserved_base_units, moving.unreserved_base_units) == (
        True,
        2 * MILLION,
        2 * MILLION,
    )
    world.settle()
    (after,) = rolled.rollable_of(holder())
    assert (after.reserved_base_units, after.unreserved_base_units) == (2 * MILLION, 0)
    world.allocated(into.series, kept, other)
    world.pay_all(into.series)
    issued(into)
    assert decided(election) == (State.APPLIED, 2 * MILLION, 2 * MILLION)
    later = SlicePart.objects.get(slice__relationship="R1")
    redemptions.record_done(later, later.outstanding_base_units, Redemption.Reason.ON_CHAIN)
    assert decided(election) == (State.APPLIED, 2 * MILLION, 2 * MILLION), "what is released later is cash"


def test_a_holder_that_sends_its_notes_away_is_noted_for_what_it_holds(series: Series) -> None:
    election = elected(world.next_class())
    one = held()
    one.units = MILLION
    one.save()
    part = SlicePart.objects.order_by("id")[0]
    redemptions.record_done(part, 3 * MILLION + 1, Redemption.Reason.ON_CHAIN)
    assert decided(election) == (State.ELECTED, (3 * MILLION + 1) // 12, 0)
    one.units = 0
    one.save()
    redemptions.record_done(part, MILLION, Redemption.Reason.ON_CHAIN)
    assert decided(election) == (State.ELECTED, (3 * MILLION + 1) // 12, 0)


def _no_bid(election: RollForward) -> list[Secret]:
    return []


def _withdrawn(election: RollForward) -> list[Secret]:
    made = bid_from(election, (400, MILLION))
    orders.withdraw_order(user=made.user, order_id=made.order.id)
    return []


def _unrevealed(election: RollForward) -> list[Secret]:
    bid_from(election, (400, MILLION))
    return []


def _replaced(election: RollForward) -> list[Secret]:
    bid_from(election, (400, MILLION))
    return [world.sealed(holder(), election.into, (500, MILLION))]


def _unfilled(election: RollForward) -> list[Secret]:
    return [bid_from(election, (900, MILLION))]


def _nothing_repaid(election: RollForward) -> list[Secret]:
    return [bid_from(election, (300, MILLION))]


@pytest.mark.parametrize(
    ("bids", "why", "when"),
    [
        (_no_bid, "No bid was made from it.", "PRICED"),
        (_withdrawn, "No bid was made from it.", "PRICED"),
        (_replaced, "No bid was made from it.", "PRICED"),
        (_unrevealed, "Its bid was not revealed in time.", "PRICED"),
        (_unfilled, "Its bid was not filled.", "SETTLED"),
        (_nothing_repaid, "Nothing was repaid before the new notes were issued.", "SETTLED"),
    ],
)
def test_an_election_lapses_and_says_why(series: Series, bids: Any, why: str, when: str) -> None:
    into = world.next_class()
    election = elected(into)
    secrets = [*bids(election), new_money(into, 6 * MILLION, "b")]
    world.allocated(into.series, *secrets)
    expected = (State.LAPSED if when == "PRICED" else State.ELECTED, 0, 0)
    assert decided(election) == expected
    world.pay_all(into.series)
    issued(into)
    assert decided(election) == (State.LAPSED, 0, 0)
    (told,) = notices("ROLL_LAPSED")
    assert (told.party.code, told.text) == ("a", f"Rolling BLKT0 into BLKN0 has lapsed: {why}")


def test_with_the_offering_every_election_into_it_lapses(series: Series) -> None:
    into = world.next_class()
    made = [elected(into, name) for name in "ab"]
    kept = bid_from(made[0], (400, MILLION))
    offering = world.priced(into.series, kept)
    assert offering.state == Offering.State.PULLED, "one of six million is bid for"
    assert {decided(one)[0] for one in made} == {State.LAPSED}
    assert all(one.text.endswith("The offering of BLK-N was pulled.") for one in notices("ROLL_LAPSED"))
    sale.pull(actor="desk", series_id=into.series_id, because="again")
    assert len(notices("ROLL_LAPSED")) == 2


def test_two_classes_behind_one_bid_roll_in_their_order(series: Series, cells: list[Cell]) -> None:
    """The wallet also holds a class of another series; five of the eight million that both repaid are paid in."""
    older = held().tranche
    middle = world.next_class(world.covered_cell("R4", series="BLK-M"), "BLK-M", "BLKM0")
    world.allocated(middle.series, world.sealed(holder(), middle, (400, 6 * MILLION)))
    world.pay_all(middle.series)
    issued(middle)
    into = world.next_class()
    first, second = elected(into), elected(into, tranche_id=middle.id)
    kept = bid_from(second, (400, 5 * MILLION))
    assert set(kept.order.roll_forwards.all()) == {first, second}, "a bid is of all that its wallet means for the class"
    for tranche in (older, middle):
        part = SlicePart.objects.filter(tranche=tranche).order_by("id")[0]
        redemptions.record_done(part, 6 * MILLION, Redemption.Reason.ON_CHAIN)
    assert [decided(one)[1] for one in (first, second)] == [2 * MILLION, 6 * MILLION]
    (offer,) = rolled.offers_for(holder(), into)
    assert (offer.expected_base_units, offer.minimum_spread_bps) == (10 * MILLION, 400)
    assert offer.bid_text == "6,000,000", "no more than the class has"
    world.allocated(into.series, kept, new_money(into, MILLION))
    world.pay_all(into.series)
    issued(into)
    assert decided(first) == (State.APPLIED, 2 * MILLION, 2 * MILLION)
    assert decided(second) == (State.APPLIED, 6 * MILLION, 3 * MILLION)


def test_a_bid_names_an_election_of_its_own_into_its_class(series: Series) -> None:
    into = world.next_class()
    mine, other = elected(into), elected(into, "b")
    opening = world.opening_of(holder(), into, (400, MILLION))
    asked: dict[str, Any] = {"user": holder(), "tranche_id": into.id, "commitment": opening.commitment}
    with pytest.raises(NotAllowed):
        orders.commit(**asked, roll_forward=other.id)
    first = orders.commit(**asked, roll_forward=mine.id)
    assert orders.commit(**asked, roll_forward=mine.id) == first
    with pytest.raises(Refusal, match="commitment_used"), transaction.atomic():
        orders.commit(**asked)  # the same ladder as new money alone is another bid
    rolls.withdraw(user=holder(), election_id=mine.id)
    first.refresh_from_db()
    assert first.state == Order.State.PLACED, "the bid stands by itself"
    with pytest.raises(Refusal, match="election_is_over"):
        orders.commit(**asked, roll_forward=mine.id)


def test_a_bid_from_an_election_is_of_its_wallet(series: Series) -> None:
    """The first wallet of a party bids unless an election names another."""
    party = held().party
    second = party.wallets.create(address=world.address(), proof="0x")
    grant = world.granted(holder(), address=second.address)
    eligibility.entered(grant_id=grant.id, transaction_hash="0x3")
    Holding.objects.create(tranche=held().tranche, party=party, wallet=second, units=MILLION)
    into = world.next_class()
    one = Holding.objects.get(wallet=second)
    election = rolls.elect(
        user=holder(), tranche_id=one.tranche_id, address=second.address, into_id=into.id, minimum_spread_bps=0
    )
    assert world.sealed(holder(), into, (400, MILLION)).order.wallet != second
    assert bid_from(election, (400, MILLION)).order.wallet == second


def test_the_database_keeps_elections_as_they_were(series: Series) -> None:
    into = world.next_class()
    election, strangers = elected(into), elected(into, "b")
    order = bid_from(strangers, (400, MILLION)).order
    changes: list[dict[str, Any]] = [
        {"minimum_spread_bps": 1},
        {"wallet": held("b").wallet_id},
        {"rolled_base_units": 1},
        {"order": order.id},
        {"amount_base_units": 5, "rolled_base_units": 5, "state": State.APPLIED, "applied_at": clock.now()},
    ]
    for change in changes:
        with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
            RollForward.objects.filter(id=election.id).update(**change)
    rolls.withdraw(user=holder(), election_id=election.id)
    with pytest.raises(DatabaseError), transaction.atomic():
        RollForward.objects.filter(id=election.id).update(amount_base_units=7)
