"""A sale whose payers fail, on a real chain: taken back, handed on, paid by others; or pulled and refunded."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from bonds.models import Allocation, Holding, NotePayment, Offering, Series
from bonds.offering import clearing, payments, stages
from intermediary.config import issuance, note_register, note_sale
from intermediary.errors import Refusal
from intermediary.ledger import settlement_asset
from intermediary.models import Affiliation, AuditRecord
from settlement import cycle
from settlement import series as on_chain
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import mint_tokens
from settlement.signer import Signer, demo_wallet
from settlement.transactor import Transactor
from tests.bonds import world
from tests.bonds.test_issue_on_chain import chain as chain  # a fixture
from tests.bonds.test_issue_on_chain import clients as clients  # a fixture
from tests.bonds.test_issue_on_chain import tick, world_of_opposite_books
from tests.bonds.world import MILLION
from tests.settlement import world as chain_world

pytestmark = pytest.mark.world(build=world_of_opposite_books)
WALLETS: dict[str, Signer] = {name: demo_wallet(60 + index) for index, name in enumerate("abcd")}


def allocated(chain: Chain, clients: list[chain_world.Client], steps: int = 2) -> Offering:
    """Six million to a; two million each to b, c and d, who asked for six at the margin. By the first step contracts
    stand, by the second all is allotted."""
    people = [world.newcomer(name, wallet.address) for name, wallet in WALLETS.items()]
    for person in people:
        world.granted(person)
    note_register.enter_all(chain, mine)
    offering = sold(chain, clients, people)
    for _ in range(steps):
        note_sale.step(chain, offering, mine)
    return offering


def sold(chain: Chain, clients: list[chain_world.Client], people: list[User]) -> Offering:
    """The same, before anything of it is on chain."""
    tick()
    terms = world.series_terms([who.cell for who in clients])
    with transaction.atomic():
        series = stages.structure(actor="desk", terms=terms)
    issuance._open_book(terms, series, {})
    offering = Offering.objects.select_related("series").get()
    spreads = (0, 25, 25, 25)
    bids = [
        issuance.Bid(person, wallet, 0, 6 * MILLION, spread)
        for person, wallet, spread in zip(people, WALLETS.values(), spreads, strict=True)
    ]
    issuance._take_bids(offering, bids)
    offering.refresh_from_db()
    with transaction.atomic():
        clearing.allocate(actor="desk", series_id=series.id, report_hash=offering.report_hash)
    fund_gas(chain, *(wallet.address for wallet in WALLETS.values()))
    return offering


def pay(chain: Chain, offering: Offering, name: str, units: int) -> None:
    """What a wallet does by itself."""
    escrow = Series.objects.get(id=offering.series_id).escrow_address
    mint_tokens(chain=chain, asset="USDC", to=WALLETS[name].address, amount_base_units=units, mine=mine)
    on_chain.subscribe(chain=chain, escrow=escrow, investor=WALLETS[name], tranche=0, units=units, mine=mine)


def may_subscribe(chain: Chain, offering: Offering, name: str) -> int:
    escrow = Series.objects.get(id=offering.series_id).escrow_address
    return int(read(chain, escrow, "SeriesEscrow", "allotment", 0, WALLETS[name].address))


def go_on(chain: Chain, offering: Offering, later: timedelta = timedelta()) -> Offering:
    """Steps until nothing changes; `later` than the end of the first round's payment where it is said."""
    offering.refresh_from_db()
    now = offering.pays_until + later if later else None
    for _ in range(5):
        cycle.settle_all(mine=mine)
        if offering.state in (Offering.State.SETTLED, Offering.State.PULLED):
            break
        note_sale.step(chain, offering, mine, now)
        offering.refresh_from_db()
    return offering


def allocations() -> dict[tuple[str, int], tuple[int, int, str]]:
    rows = Allocation.objects.select_related("party")
    return {(one.party.code, one.payment_round): (one.units, one.paid_units, one.state) for one in rows}


def test_unpaid_notes_are_taken_back_and_handed_on(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients)
    assert [may_subscribe(chain, offering, name) for name in "abcd"] == [
        6 * MILLION,
        2 * MILLION,
        2 * MILLION,
        2 * MILLION,
    ]
    for name, units in (("a", 6), ("b", 2), ("c", 1)):
        pay(chain, offering, name, units * MILLION)
    go_on(chain, offering)
    assert allocations()["c", 1] == (2 * MILLION, MILLION, "DUE")
    offering = go_on(chain, offering, timedelta(seconds=1))
    assert (offering.state, offering.payment_round) == (Offering.State.ALLOCATED, 2)
    assert allocations()["c", 1] == (2 * MILLION, MILLION, "FAILED")
    assert allocations()["d", 1] == (2 * MILLION, 0, "FAILED")
    assert allocations()["b", 2] == (3 * MILLION, 0, "DUE")
    assert [may_subscribe(chain, offering, name) for name in "abcd"] == [0, 3 * MILLION, 0, 0]
    pay(chain, offering, "b", 3 * MILLION)
    offering = go_on(chain, offering)
    assert offering.state == Offering.State.SETTLED
    note = world.only_tranche(offering.series).note_address
    held = {one.wallet.address: one.units for one in Holding.objects.select_related("wallet")}
    assert held == {WALLETS["a"].address: 6 * MILLION, WALLETS["b"].address: 5 * MILLION, WALLETS["c"].address: MILLION}
    for address, units in held.items():
        assert int(read(chain, note, "TrancheNote", "balanceOf", address)) == units
    assert sum(NotePayment.objects.values_list("units", flat=True)) == 12 * MILLION
    chain_world.assert_reconciled()


def test_offering_that_is_not_paid_for_is_pulled_and_refunded(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients)
    pay(chain, offering, "a", 6 * MILLION)
    note = world.only_tranche(offering.series).note_address
    sender = Transactor(chain, WALLETS["a"], mine)
    sender.call(note, "TrancheNote", "transfer", WALLETS["b"].address, MILLION)
    sender.wait()
    offering = go_on(chain, offering, timedelta(seconds=1))
    assert offering.state == Offering.State.PULLED
    assert offering.pulled_because
    assert offering in note_sale.open_sales()
    for _ in range(2):
        note_sale.step(chain, offering, mine)
        cycle.settle_all(mine=mine)
    token = settlement_asset().token_address
    cash = [int(read(chain, token, "DemoUSDC", "balanceOf", WALLETS[name].address)) for name in "ab"]
    assert cash == [5 * MILLION, MILLION], "to whoever holds the notes by then"
    assert offering not in note_sale.open_sales()
    chain_world.assert_reconciled()


def test_escrow_that_is_sold_out_is_not_pulled_and_one_pulled_on_chain_is_followed(
    chain: Chain, clients: list[chain_world.Client]
) -> None:
    offering = allocated(chain, clients)
    pay(chain, offering, "a", 6 * MILLION)
    cycle.settle_all(mine=mine)
    note_sale.refuse_sold_out(offering.series_id)
    for name in "bcd":
        pay(chain, offering, name, 2 * MILLION)
    cycle.settle_all(mine=mine)
    assert not payments.is_paid(offering.series_id), "nothing but the chain knows yet"
    with pytest.raises(Refusal, match="paid_for_already"):
        note_sale.refuse_sold_out(offering.series_id)
    escrow = Series.objects.get(id=offering.series_id).escrow_address
    on_chain.pull_offering(chain=chain, escrow=escrow, mine=mine)
    offering = go_on(chain, offering)
    assert (offering.state, offering.pulled_because) == (Offering.State.PULLED, "The escrow was pulled on chain.")
    for _ in range(2):
        note_sale.step(chain, offering, mine)
        cycle.settle_all(mine=mine)
    assert offering not in note_sale.open_sales(), "all are refunded"


def test_nobody_fails_for_notes_that_were_never_allotted(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients, steps=1)
    offering.refresh_from_db()
    late = offering.pays_until + timedelta(seconds=1)
    note_sale.step(chain, offering, mine, late)
    note_sale.step(chain, offering, mine, late)
    offering.refresh_from_db()
    assert (offering.state, offering.payment_round) == (Offering.State.ALLOCATED, 2)
    assert {state for _, _, state in allocations().values()} == {"DUE"}
    assert may_subscribe(chain, offering, "b") == 2 * MILLION, "allotted late, and there is time to pay"


def test_payment_that_cannot_be_booked_holds_up_no_other(
    chain: Chain, clients: list[chain_world.Client], caplog: pytest.LogCaptureFixture
) -> None:
    offering = allocated(chain, clients)
    barred, covered = Allocation.objects.get(party__code="b").party, clients[0].cell.party
    assert covered is not None
    Affiliation.objects.create(party=barred, affiliate=covered)
    for name, units in (("b", 2), ("a", 6)):
        pay(chain, offering, name, units * MILLION)
    with pytest.raises(Refusal, match="payments_not_booked"):
        go_on(chain, offering, timedelta(seconds=1))
    assert allocations()["a", 1] == (6 * MILLION, 6 * MILLION, "PAID")
    assert {allocations()[name, 1][2] for name in "bcd"} == {"DUE"}, "no round ends while a payment is not booked"
    assert AuditRecord.objects.filter(action="payment_not_booked").count() == 1
    assert "covered_parties_are_barred" in caplog.text
