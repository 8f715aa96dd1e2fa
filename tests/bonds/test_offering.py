"""An offering from structure to risk: what is refused, what clears, what investors end up with."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, ProgrammingError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from bonds.models import Allocation, Holding, Order, Series, SeriesEvent, Tranche
from bonds.offering import book, orders, stages
from intermediary import ledger
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, Affiliation, Layer
from tests.bonds import world
from tests.bonds.world import MILLION, USD
from tests.intermediary.builders import assets

DENOMINATION = 1_000 * USD


def bid(user: User, tranche: Tranche, millions: int, spread: int) -> Order:
    return orders.place_order(
        user=user, tranche_id=tranche.id, amount_base_units=millions * MILLION, minimum_spread_bps=spread
    )


@pytest.fixture
def offered(db: object) -> Series:
    assets()
    return world.deployed(world.series_terms([world.covered_cell("R1"), world.covered_cell("R2")]))


def test_covered_client_and_affiliates_are_barred(offered: Series) -> None:
    friend = world.investor("friend")
    covered = offered.slices.all()[0].cell.party
    assert covered is not None
    Affiliation.objects.create(party=covered, affiliate=world.party_of(friend))
    with pytest.raises(Refusal, match="barred_from_series"):
        bid(friend, world.only_tranche(offered), 1, 400)
    wallet = world.party_of(friend).wallets.get()
    with pytest.raises(IntegrityError, match="covered_parties_are_barred"), transaction.atomic():
        tranche, party = world.only_tranche(offered), world.party_of(friend)
        Holding.objects.create(tranche=tranche, party=party, wallet=wallet, units=1)


def test_affiliate_that_appears_after_its_order_is_barred_at_the_close(offered: Series) -> None:
    friend = world.investor("friend")
    bid(friend, world.only_tranche(offered), 12, 400)
    covered = offered.slices.all()[1].cell.party
    assert covered is not None
    Affiliation.objects.create(party=world.party_of(friend), affiliate=covered)
    with pytest.raises(Refusal, match="barred_from_series"):
        orders.allocate(actor="desk", series_id=offered.id)


def test_order_off_the_denomination_is_refused(offered: Series) -> None:
    with pytest.raises(BadInput, match="off_denomination"):
        orders.place_order(
            user=world.investor("a"),
            tranche_id=world.only_tranche(offered).id,
            amount_base_units=DENOMINATION + 1,
            minimum_spread_bps=400,
        )


def test_series_of_other_terms_may_not_take_the_code(offered: Series) -> None:
    terms = world.series_terms([world.covered_cell("R3")])
    with pytest.raises(Refusal, match="series_exists"):
        stages.structure(actor="desk", terms=terms)


def test_terms_cannot_be_altered(offered: Series) -> None:
    with pytest.raises(IntegrityError, match="series_is_fixed"), transaction.atomic():
        Series.objects.filter(id=offered.id).update(scheduled_maturity=offered.scheduled_maturity + timedelta(days=1))


def test_someone_else_s_order_cannot_be_withdrawn(offered: Series) -> None:
    order = bid(world.investor("a"), world.only_tranche(offered), 2, 400)
    with pytest.raises(NotAllowed):
        orders.withdraw_order(user=world.investor("b"), order_id=order.id)


def test_later_bid_replaces_the_one_in_the_book(offered: Series) -> None:
    user, tranche = world.investor("a"), world.only_tranche(offered)
    first, second = bid(user, tranche, 2, 400), bid(user, tranche, 3, 450)
    assert Order.objects.get(id=first.id).state == Order.State.WITHDRAWN
    assert list(Order.objects.filter(state=Order.State.PLACED)) == [second]


def test_book_that_does_not_cover_pulls_the_series(offered: Series) -> None:
    bid(world.investor("a"), world.only_tranche(offered), 11, 400)
    assert orders.allocate(actor="desk", series_id=offered.id).state == Series.State.PULLED
    assert not Allocation.objects.exists()


def test_one_spread_clears_and_better_bids_are_filled_in_full(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    a, b, c = (world.investor(name) for name in "abc")
    bid(a, tranche, 6, 375)
    bid(b, tranche, 5, 400)
    bid(c, tranche, 5, 400)
    orders.allocate(actor="desk", series_id=offered.id)
    got = {one.party.code: (one.units, one.spread_bps) for one in Allocation.objects.select_related("party")}
    assert got == {"a": (6 * MILLION, 400), "b": (3 * MILLION, 400), "c": (3 * MILLION, 400)}
    tranche.refresh_from_db()
    assert tranche.spread_bps == 400


def test_series_is_not_on_risk_before_its_principal_is_in_escrow(offered: Series) -> None:
    bid(world.investor("a"), world.only_tranche(offered), 12, 400)
    orders.allocate(actor="desk", series_id=offered.id)
    with pytest.raises(Refusal, match="escrow_not_funded"):
        stages.issue(actor="desk", series_id=offered.id)


def test_issue_funds_the_tail_layers_and_gives_holdings(offered: Series) -> None:
    a, b = world.investor("a"), world.investor("b")
    bid(a, world.only_tranche(offered), 7, 380)
    bid(b, world.only_tranche(offered), 5, 420)
    orders.allocate(actor="desk", series_id=offered.id)
    world.book_escrow(offered)
    series = stages.issue(actor="desk", series_id=offered.id)
    assert series.state == Series.State.ON_RISK
    assert Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).count() == 2
    assert sorted(Holding.objects.values_list("party__code", "units")) == [("a", 7 * MILLION), ("b", 5 * MILLION)]
    for item in series.slices.all():
        assert ledger.balance(item.cell_id, AccountKind.ESCROW, "USDC") == 6 * MILLION
    kinds = list(SeriesEvent.objects.values_list("kind", flat=True))
    assert kinds == ["STRUCTURED", "DEPLOYED", "OPENED", "PRICED", "ISSUED"]


def test_slice_unlike_the_approved_layer_is_not_issued(offered: Series) -> None:
    bid(world.investor("a"), world.only_tranche(offered), 12, 400)
    orders.allocate(actor="desk", series_id=offered.id)
    world.book_escrow(offered)
    layer = Layer.objects.filter(kind=Layer.Kind.TAIL).first()
    assert layer is not None
    Layer.objects.filter(id=layer.id).update(slice_id=uuid7())
    with pytest.raises(Refusal, match="layer_differs"):
        stages.issue(actor="desk", series_id=offered.id)


def test_timeline_and_marks_are_append_only(offered: Series) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        SeriesEvent.objects.update(text="it never happened")
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        connection.cursor().execute("DELETE FROM bonds_seriesevent")


ORDERS = st.builds(book.Bid, st.uuids(), st.integers(1, 50).map(lambda n: n * 10), st.integers(0, 8))
BIDS = st.lists(ORDERS, min_size=1, max_size=8, unique_by=lambda one: one.order_id)


@given(BIDS, st.integers(1, 100).map(lambda n: n * 10))
def test_fills_are_within_orders_and_sum_to_the_target(bids: list[book.Bid], target: int) -> None:
    clearing = book.clear(target, bids, 10)
    if clearing is None:
        assert sum(one.amount_base_units for one in bids) < target
        return
    assert sum(clearing.fills_base_units.values()) == target
    for one in bids:
        fill = clearing.fills_base_units[one.order_id]
        assert 0 <= fill <= one.amount_base_units
        assert fill % 10 == 0
        assert not fill or clearing.spread_bps >= one.minimum_spread_bps
    assert book.clear(target, bids[::-1], 10) == clearing


@given(BIDS, st.integers(1, 60).map(lambda n: n * 10), st.integers(0, 7), st.integers(1, 8))
def test_asking_for_less_never_gets_less(bids: list[book.Bid], target: int, which: int, cut: int) -> None:
    before = book.clear(target, bids, 10)
    if before is None:
        return
    mine = bids[which % len(bids)]
    cheaper = book.Bid(mine.order_id, mine.amount_base_units, max(0, mine.minimum_spread_bps - cut))
    after = book.clear(target, [cheaper if one is mine else one for one in bids], 10)
    assert after is not None
    assert after.fills_base_units[mine.order_id] >= before.fills_base_units[mine.order_id] - 10
