"""An offering from structure to risk: what is refused, what clears, what investors end up with."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from bonds.models import Allocation, Holding, Offering, Order, Series, SeriesEvent
from bonds.offering import clearing, eligibility, orders, sale, stages
from bonds.offering import plan as plans
from bonds.offering.plan import OfferingPlan
from bonds.offering.terms import SeriesTerms
from intermediary import clock, ledger
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, Affiliation, Layer, Party, Wallet
from tests.bonds import world
from tests.bonds.world import MILLION, USD
from tests.intermediary.builders import assets

DENOMINATION = 1_000 * USD


@pytest.fixture
def terms(db: object) -> SeriesTerms:
    assets()
    return world.series_terms([world.covered_cell("R1"), world.covered_cell("R2")])


@pytest.fixture
def offered(terms: SeriesTerms) -> Series:
    return world.deployed(terms)


def befriend(series: Series, friend: Party) -> None:
    covered = series.slices.all()[1].cell.party
    assert covered is not None
    Affiliation.objects.create(party=friend, affiliate=covered)


def test_covered_client_and_affiliates_are_barred(offered: Series) -> None:
    friend = world.investor("friend")
    befriend(offered, world.party_of(friend))
    with pytest.raises(Refusal, match="barred_from_series"):
        world.sealed(friend, world.only_tranche(offered), (400, MILLION))
    wallet = world.party_of(friend).wallets.get()
    with pytest.raises(IntegrityError, match="covered_parties_are_barred"), transaction.atomic():
        tranche, party = world.only_tranche(offered), world.party_of(friend)
        Holding.objects.create(tranche=tranche, party=party, wallet=wallet, units=1)


def test_declared_affiliate_is_barred_and_other_conflicts_are_kept(offered: Series) -> None:
    user, tranche = world.investor("a"), world.only_tranche(offered)
    with pytest.raises(Refusal, match="barred_from_series"):
        orders.commit(user=user, tranche_id=tranche.id, commitment="1" * 64, conflicts=["AFFILIATE"])
    with pytest.raises(BadInput, match="conflict_unknown"):
        orders.commit(user=user, tranche_id=tranche.id, commitment="1" * 64, conflicts=["COUSIN"])
    order = orders.commit(user=user, tranche_id=tranche.id, commitment="1" * 64, conflicts=["EXPOSURE"])
    assert order.conflicts == ["EXPOSURE"]


def test_affiliate_that_appears_after_its_bid_is_barred_at_reveal_and_at_clearing(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    early, late = world.investor("early"), world.investor("late")
    bids = [world.sealed(one, tranche, (400, 12 * MILLION)) for one in (early, late)]
    other = world.sealed(world.investor("c"), tranche, (450, 12 * MILLION))
    befriend(offered, world.party_of(early))
    world.close(offered)
    with pytest.raises(Refusal, match="barred_from_series"):
        world.revealed(bids[0])
    world.revealed(bids[1], other)
    befriend(offered, world.party_of(late))
    offering = world.priced(offered)
    assert Order.objects.get(id=bids[1].order.id).state == Order.State.BARRED
    clearing.allocate(actor="desk", series_id=offered.id, report_hash=offering.report_hash)
    assert [one.party.code for one in Allocation.objects.all()] == ["c"]


def test_bid_is_made_in_the_wallet_that_may_hold_notes_not_in_the_first_one(offered: Series) -> None:
    two = world.newcomer("two")
    second = Wallet.objects.create(party=world.party_of(two), address=world.address(), proof="0x")
    grant = world.granted(two, address=second.address)
    eligibility.entered(grant_id=grant.id, transaction_hash="0x1")
    assert world.sealed(two, world.only_tranche(offered), (400, MILLION)).order.wallet_id == second.id


def test_bid_of_a_wallet_that_may_hold_nothing_is_refused(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    with pytest.raises(Refusal, match="not_eligible"):
        world.sealed(world.newcomer("new"), tranche, (400, MILLION))
    expired = world.newcomer("expired")
    grant = world.granted(expired, clock.now() + timedelta(seconds=1))
    eligibility.entered(grant_id=grant.id, transaction_hash="0x1")
    connection.cursor().execute("SELECT pg_sleep(1.1)")
    with pytest.raises(Refusal, match="eligibility_expired"):
        world.sealed(expired, tranche, (400, MILLION))
    assert not Order.objects.exists()


def test_bid_before_the_opening_and_after_the_close_is_refused(terms: SeriesTerms) -> None:
    series = world.announced(terms)
    user, tranche = world.investor("a"), world.only_tranche(series)
    with pytest.raises(Refusal, match="book_not_open"):
        world.sealed(user, tranche, (400, MILLION))
    sale.guide(actor="desk", series_id=series.id, guidance_bps={tranche.id: 400})
    sale.advance(clock.now())
    kept = world.sealed(user, tranche, (400, 12 * MILLION))
    world.close(series)
    with pytest.raises(Refusal, match="book_not_open"):
        world.sealed(user, tranche, (400, MILLION))
    with pytest.raises(Refusal, match="book_not_open"):
        orders.withdraw_order(user=user, order_id=kept.order.id)
    with pytest.raises(IntegrityError, match="book_is_closed"), transaction.atomic():
        wallet = world.party_of(user).wallets.get()
        Order.objects.create(tranche=tranche, party=wallet.party, wallet=wallet, commitment="2" * 64)


def test_no_row_holds_an_amount_before_the_close(offered: Series) -> None:
    kept = world.sealed(world.investor("a"), world.only_tranche(offered), (417, 7_777_000 * USD))
    order = Order.objects.values().get(id=kept.order.id)
    assert order["opening"] == order["nonce"] == ""
    with connection.cursor() as cursor:
        tables = ("bonds_order", "bonds_seriesevent", "intermediary_auditrecord", "intermediary_commandrequest")
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table} AS row WHERE row::text LIKE '%7777000%'")
            assert cursor.fetchone() == (0,), table
    with pytest.raises(Refusal, match="not_the_time_to_reveal"):
        world.revealed(kept)
    with pytest.raises(IntegrityError, match="bids_are_sealed"), transaction.atomic():
        Order.objects.filter(id=kept.order.id).update(opening=kept.opening)


def test_reveal_that_is_not_what_was_sealed_is_refused_and_changes_nothing(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    a, b = (world.sealed(world.investor(name), tranche, (400, 12 * MILLION)) for name in "ab")
    world.close(offered)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: reveal(a, opening=a.opening.replace("400", "300")), "reveal_does_not_match"),
        (lambda: reveal(a, opening=b.opening, nonce=b.nonce), "reveal_does_not_match"),
        (lambda: reveal(a, nonce="0" * 64), "reveal_of_another_bidder"),
        (lambda: reveal(a, opening="{}"), "opening_unreadable"),
        (lambda: reveal(a, opening=a.opening + " "), "opening_unreadable"),
        (lambda: orders.reveal(user=b.user, order_id=a.order.id, opening=a.opening, nonce=a.nonce), "not_found"),
    ]
    for act, code in cases:
        with pytest.raises(Refusal, match=code):
            act()
    assert Order.objects.get(id=a.order.id).state == Order.State.PLACED
    with pytest.raises(IntegrityError, match="reveal_does_not_match"), transaction.atomic():
        Order.objects.filter(id=a.order.id).update(opening=b.opening)
    world.revealed(a, a)
    assert Order.objects.get(id=a.order.id).state == Order.State.REVEALED


def reveal(kept: world.Secret, *, opening: str = "", nonce: str = "") -> Order:
    return orders.reveal(
        user=kept.user, order_id=kept.order.id, opening=opening or kept.opening, nonce=nonce or kept.nonce
    )


def test_copied_commitment_cannot_be_opened_by_the_copyist(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    kept = world.sealed(world.investor("a"), tranche, (400, 12 * MILLION))
    with pytest.raises(Refusal, match="commitment_used"):
        orders.commit(user=world.investor("b"), tranche_id=tranche.id, commitment=kept.order.commitment)


@pytest.mark.parametrize(
    ("steps", "minimum", "code"),
    [
        (((400, DENOMINATION + 1),), 0, "off_denomination"),
        (((400, DENOMINATION),), 1, "off_denomination"),
        (((400, DENOMINATION), (390, DENOMINATION)), 0, "ladder_out_of_order"),
        (((10_001, DENOMINATION),), 0, "spread_out_of_range"),
        (((400, DENOMINATION),), 2 * DENOMINATION, "minimum_fill_too_large"),
        ((), 0, "ladder_out_of_order"),
    ],
)
def test_bad_ladder_is_refused_at_reveal(
    offered: Series, steps: tuple[tuple[int, int], ...], minimum: int, code: str
) -> None:
    kept = world.sealed(world.investor("a"), world.only_tranche(offered), *steps, minimum_fill=minimum)
    world.close(offered)
    with pytest.raises(BadInput, match=code):
        world.revealed(kept)
    assert Order.objects.get(id=kept.order.id).state == Order.State.PLACED


def test_unrevealed_bid_is_no_bid(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    forgotten = world.sealed(world.investor("a"), tranche, (300, 12 * MILLION))
    shown = world.sealed(world.investor("b"), tranche, (420, 12 * MILLION))
    offering = world.priced(offered, shown)
    assert Order.objects.get(id=forgotten.order.id).state == Order.State.UNREVEALED
    clearing.allocate(actor="desk", series_id=offered.id, report_hash=offering.report_hash)
    assert [(one.party.code, one.spread_bps) for one in Allocation.objects.all()] == [("b", 420)]


def test_series_of_other_terms_may_not_take_the_code(offered: Series) -> None:
    terms = world.series_terms([world.covered_cell("R3")])
    with pytest.raises(Refusal, match="series_exists"):
        stages.structure(actor="desk", terms=terms)


def test_terms_and_times_cannot_be_altered(offered: Series) -> None:
    later = timedelta(days=1)
    with pytest.raises(IntegrityError, match="series_is_fixed"), transaction.atomic():
        Series.objects.filter(id=offered.id).update(scheduled_maturity=offered.scheduled_maturity + later)
    with pytest.raises(IntegrityError, match="offering_is_fixed"), transaction.atomic():
        Offering.objects.update(ends_at=offered.offering.ends_at + later)
    with pytest.raises(IntegrityError, match="transition_not_listed"), transaction.atomic():
        Offering.objects.update(state=Offering.State.PRICED)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"commits_until": timedelta(minutes=5)}, "offering.times"),
        ({"limit": 13 * MILLION}, "offering.limit"),
        ({"limit": 12 * MILLION + 1}, "off_denomination"),
        ({"cap": 5 * MILLION, "bidders_min": 2}, "offering.cap"),
    ],
)
def test_plan_that_cannot_be_kept_is_refused(terms: SeriesTerms, change: dict[str, Any], code: str) -> None:
    series = stages.structure(actor="desk", terms=terms)
    with pytest.raises(BadInput, match=code):
        sale.announce(actor="desk", series_id=series.id, plan=changed(terms, **change))
    assert Series.objects.get().state == Series.State.STRUCTURING
    assert not Offering.objects.exists()


def changed(
    terms: SeriesTerms,
    *,
    limit: int = 12 * MILLION,
    cap: int = 12 * MILLION,
    bidders_min: int = 1,
    commits_until: timedelta = timedelta(hours=1),
) -> OfferingPlan:
    opens, hour = clock.now(), timedelta(hours=1)
    return OfferingPlan(
        opens_at=opens,
        commits_until=opens + commits_until,
        reveals_until=opens + 2 * hour,
        pays_until=opens + 3 * hour,
        ends_at=opens + 5 * hour,
        classes=(plans.ClassPlan(terms.classes[0].symbol, limit, cap, bidders_min),),
    )


def test_offering_without_guidance_in_time_is_pulled(terms: SeriesTerms) -> None:
    series = world.announced(terms)
    sale.advance(series.offering.commits_until)
    series.refresh_from_db()
    assert series.state == Series.State.PULLED


def test_someone_else_s_order_cannot_be_withdrawn(offered: Series) -> None:
    kept = world.sealed(world.investor("a"), world.only_tranche(offered), (400, 2 * MILLION))
    with pytest.raises(NotAllowed):
        orders.withdraw_order(user=world.investor("b"), order_id=kept.order.id)


def test_later_bid_replaces_the_one_in_the_book(offered: Series) -> None:
    user, tranche = world.investor("a"), world.only_tranche(offered)
    first, second = (world.sealed(user, tranche, (spread, 2 * MILLION)) for spread in (400, 450))
    assert Order.objects.get(id=first.order.id).state == Order.State.WITHDRAWN
    assert list(Order.objects.filter(state=Order.State.PLACED)) == [second.order]
    kinds = list(SeriesEvent.objects.values_list("kind", flat=True))
    assert kinds[-3:] == ["SEALED", "UNSEALED", "SEALED"]


def test_book_that_does_not_cover_pulls_the_series(offered: Series) -> None:
    offering = world.priced(
        offered, world.sealed(world.investor("a"), world.only_tranche(offered), (400, 11 * MILLION))
    )
    offered.refresh_from_db()
    assert (offering.state, offered.state) == (Offering.State.PULLED, Series.State.PULLED)
    assert "do not cover" in offering.pulled_because
    assert offering.report, "who bid can check that the book was not covered"
    assert not Allocation.objects.exists()


def test_one_spread_clears_and_better_bids_are_filled_in_full(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    a, b, c = (world.investor(name) for name in "abc")
    bids = [
        world.sealed(a, tranche, (375, 6 * MILLION)),
        world.sealed(b, tranche, (400, 5 * MILLION)),
        world.sealed(c, tranche, (400, 5 * MILLION)),
    ]
    world.allocated(offered, *bids)
    got = {one.party.code: (one.units, one.spread_bps) for one in Allocation.objects.select_related("party")}
    assert got == {"a": (6 * MILLION, 400), "b": (3 * MILLION, 400), "c": (3 * MILLION, 400)}
    tranche.refresh_from_db()
    assert tranche.spread_bps == 400


def test_allocation_is_bound_to_the_report(offered: Series) -> None:
    offering = world.priced(
        offered, world.sealed(world.investor("a"), world.only_tranche(offered), (400, 12 * MILLION))
    )
    with pytest.raises(Refusal, match="report_differs"):
        clearing.allocate(actor="desk", series_id=offered.id, report_hash="0" * 64)
    with pytest.raises(IntegrityError, match="offering_is_fixed"), transaction.atomic():
        Offering.objects.update(report=offering.report.replace("400", "399"))
    for _ in range(2):
        clearing.allocate(actor="desk", series_id=offered.id, report_hash=offering.report_hash)
    assert Allocation.objects.count() == 1


def test_series_is_not_on_risk_before_it_is_paid_for_and_its_principal_is_in_escrow(offered: Series) -> None:
    world.allocated(offered, world.sealed(world.investor("a"), world.only_tranche(offered), (400, 12 * MILLION)))
    with pytest.raises(Refusal, match="not_paid_for"):
        stages.issue(actor="desk", series_id=offered.id)
    world.pay_all(offered)
    with pytest.raises(Refusal, match="escrow_not_funded"):
        stages.issue(actor="desk", series_id=offered.id)


def test_issue_funds_the_tail_layers_and_gives_holdings(offered: Series) -> None:
    tranche = world.only_tranche(offered)
    bids = [
        world.sealed(world.investor("a"), tranche, (380, 7 * MILLION)),
        world.sealed(world.investor("b"), tranche, (420, 5 * MILLION)),
    ]
    world.allocated(offered, *bids)
    world.pay_all(offered)
    world.book_escrow(offered)
    series = stages.issue(actor="desk", series_id=offered.id)
    assert series.state == Series.State.ON_RISK
    assert Offering.objects.get().state == Offering.State.SETTLED
    assert Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).count() == 2
    assert sorted(Holding.objects.values_list("party__code", "units")) == [("a", 7 * MILLION), ("b", 5 * MILLION)]
    for item in series.slices.all():
        assert ledger.balance(item.cell_id, AccountKind.ESCROW, "USDC") == 6 * MILLION
    kinds = list(SeriesEvent.objects.exclude(kind="SEALED").values_list("kind", flat=True))
    told = ["STRUCTURED", "ANNOUNCED", "GUIDANCE", "OPENED", "CLOSED", "CLEARED", "PRICED", "DEPLOYED", "ISSUED"]
    assert kinds == told


def test_slice_unlike_the_approved_layer_is_not_issued(offered: Series) -> None:
    world.allocated(offered, world.sealed(world.investor("a"), world.only_tranche(offered), (400, 12 * MILLION)))
    world.pay_all(offered)
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
