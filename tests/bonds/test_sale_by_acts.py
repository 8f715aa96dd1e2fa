"""A sale where the structurer's key is held elsewhere: every call on chain is an act of two officers, held to the
books; and transfers that rest on chain as they do on the platform."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from bonds.models import Allocation, EligibleWallet, Holding, Offering, Series
from bonds.offering import payments
from bonds.servicing import suspension
from intermediary import clock, events
from intermediary.config import deliveries, note_acts, note_register, note_sale, suspensions
from intermediary.config.issuance_spec import chain_spec
from intermediary.errors import Refusal
from intermediary.ledger import settlement_asset
from intermediary.models import ChainTarget, Event
from settlement import cycle
from settlement.acts import driver, stopping
from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.signer import demo_signer, demo_wallet
from settlement.transactor import Transactor
from tests.bonds import world
from tests.bonds.test_issue_on_chain import chain as chain  # a fixture
from tests.bonds.test_issue_on_chain import clients as clients  # a fixture
from tests.bonds.test_issue_on_chain import issued, world_of_opposite_books
from tests.bonds.test_sale_on_chain import WALLETS, allocated, may_subscribe, pay, sold
from tests.bonds.test_suspension import lapsed
from tests.bonds.world import MILLION
from tests.settlement import world as chain_world
from tests.settlement.test_acts import DAY, KEYS, decide, delay, go_on, officers
from tests.settlement.test_acts import days_pass_in_an_instant as days_pass_in_an_instant  # a fixture

pytestmark = pytest.mark.world(build=world_of_opposite_books)
Kind, State = ChainAct.Kind, ChainAct.State
Clients = list[chain_world.Client]
CODE = "BLK-T"


def act_of_series(kind: ChainAct.Kind, **asked: Any) -> ChainAct:
    """As a worker proposes it for an officer, who names the series."""
    return decide(kind, **note_acts.asked_of_series(kind, {"series": CODE, **asked}))


def refusal_of(kind: ChainAct.Kind, **asked: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        act_of_series(kind, **asked)
    return found.value


def carried_out(chain: Chain, act: ChainAct) -> None:
    go_on(chain, rounds=60)
    act.refresh_from_db()
    assert act.state == State.DONE, f"{act.step}: {act.said}"
    assert act.steps_done == act.steps_known


def waits(chain: Chain, act: ChainAct) -> tuple[str, str]:
    go_on(chain, rounds=60)
    act.refresh_from_db()
    assert act.state == State.OPEN
    return act.step, act.said


def phase(chain: Chain) -> int:
    return int(read(chain, Series.objects.get().escrow_address, "SeriesEscrow", "phase"))


def all_paid(chain: Chain, offering: Offering) -> None:
    for name, units in (("a", 6), ("b", 2), ("c", 2), ("d", 2)):
        pay(chain, offering, name, units * MILLION)
    cycle.settle_all(mine=mine)
    offering.refresh_from_db()
    note_sale.book_payments(offering)


def test_two_officers_take_a_sale_from_its_contracts_to_its_issue(chain: Chain, clients: Clients) -> None:
    people = [world.newcomer(name, wallet.address) for name, wallet in WALLETS.items()]
    until = clock.now() + timedelta(days=365)
    accounts = [world.granted(person, until).wallet.address for person in people]
    moment = str(int(until.timestamp()))
    stranger = [*accounts, "0x" + "11" * 20]
    assert refusal_of(Kind.ELIGIBLE, accounts=stranger, until=moment).code == "not_granted"
    assert refusal_of(Kind.ELIGIBLE, accounts=accounts, until=str(int(moment) + 1)).code == "not_granted"
    carried_out(chain, decide(Kind.ELIGIBLE, accounts=accounts, until=moment))
    assert note_register.step(chain) == 0, "seen, and nothing sent"
    assert set(EligibleWallet.objects.values_list("state", flat=True)) == {"ENTERED"}

    offering = sold(chain, clients, people)
    delay(chain, "ONBOARDER", "structurer", DAY)
    spec = chain_spec(offering).body()
    assert refusal_of(Kind.SERIES, spec=spec | {"grace_seconds": 1}).code == "series_differs"
    setting_up = decide(Kind.SERIES, spec=spec)
    assert waits(chain, setting_up) == ("accept the escrow", "scheduled")
    assert not ChainTarget.objects.filter(kind=ChainTarget.Kind.ESCROW).exists()
    chain_world.pass_time(chain, DAY + 1)
    carried_out(chain, setting_up)
    deliveries.deliver_pending()
    assert Series.objects.get().escrow_address == ChainTarget.objects.get(kind=ChainTarget.Kind.ESCROW).address

    refused = refusal_of(Kind.CLOSE)
    assert (refused.code, refused.data["paid_base_units"], refused.data["sold_base_units"]) == (
        *("not_paid_for", 0),
        12 * MILLION,
    )
    more = [{WALLETS["b"].address: str(2 * MILLION + 1)}]
    with pytest.raises(Refusal, match="so many units") as too_much:
        decide(Kind.ALLOT, series=CODE, allotments=more)
    assert too_much.value.data["due_units"] == 2 * MILLION
    carried_out(chain, act_of_series(Kind.ALLOT))
    assert [may_subscribe(chain, offering, name) // MILLION for name in "abcd"] == [6, 2, 2, 2]
    assert refusal_of(Kind.ALLOT).code == "no_accounts", "all is allotted"

    all_paid(chain, offering)
    assert refusal_of(Kind.PULL).code == "paid_for_already"
    carried_out(chain, act_of_series(Kind.CLOSE))
    note_sale.step(chain, offering, mine)
    assert Series.objects.get().state == Series.State.ON_RISK
    assert {one.wallet.address: one.units // MILLION for one in Holding.objects.select_related("wallet")} == {
        WALLETS[name].address: units for name, units in (("a", 6), ("b", 2), ("c", 2), ("d", 2))
    }
    assert refusal_of(Kind.PULL).code == refusal_of(Kind.CLOSE).code == "wrong_offering_state"
    chain_world.assert_reconciled()


def test_two_officers_take_back_pull_and_refund(chain: Chain, clients: Clients) -> None:
    offering = allocated(chain, clients)
    pay(chain, offering, "a", 6 * MILLION)
    cycle.settle_all(mine=mine)
    assert refusal_of(Kind.REFUND).code == "wrong_offering_state"
    assert refusal_of(Kind.ALLOT).code == "no_accounts", "all is allotted, and there is time to pay"
    note_sale.book_payments(offering)
    Allocation.objects.filter(state="DUE").update(pay_by=clock.now() - timedelta(seconds=1))
    carried_out(chain, act_of_series(Kind.ALLOT))
    assert [may_subscribe(chain, offering, name) for name in "abcd"] == [0, 0, 0, 0]
    carried_out(chain, act_of_series(Kind.PULL))
    assert phase(chain) == note_sale.PULLED
    note_sale.step(chain, offering)
    offering.refresh_from_db()
    assert (offering.state, offering in note_sale.open_sales()) == (Offering.State.PULLED, True)
    carried_out(chain, act_of_series(Kind.REFUND))
    token = settlement_asset().token_address
    assert read(chain, token, "DemoUSDC", "balanceOf", WALLETS["a"].address) == 6 * MILLION
    cycle.settle_all(mine=mine)
    assert offering not in note_sale.open_sales(), "all are refunded"
    chain_world.assert_reconciled()


def test_a_close_that_the_books_do_not_bear_out_any_more_is_not_sent(chain: Chain, clients: Clients) -> None:
    offering = allocated(chain, clients)
    all_paid(chain, offering)
    assert payments.is_paid(offering.series_id)
    act = act_of_series(Kind.CLOSE)
    with transaction.atomic():
        world.notice(clients[0].cell)
    driver.step(chain, {name: demo_signer(name) for name in KEYS})
    act.refresh_from_db()
    assert act.said.startswith("the books refuse: covered_default: Default of R1 before the issue")
    assert (act.transactions.count(), phase(chain)) == (0, note_sale.OFFERING)
    offering.refresh_from_db()
    assert offering.state == Offering.State.PULLED, "given up by whoever would have closed it"
    with transaction.atomic():
        stopping.ask(officer=officers()[0], act_id=act.id, reason="it defaulted")
    go_on(chain)
    act.refresh_from_db()
    assert act.state == State.STOPPED


def lapse(clients: Clients, index: int) -> None:
    suspension.on_call_lapsed(lapsed(clients[index].cell))


def the_due() -> list[tuple[str, bool]]:
    return [(one.series, one.until is not None) for one in suspensions.due(clock.now())]


def test_notes_rest_on_chain_from_a_lapsed_call_to_its_notice(chain: Chain, clients: Clients) -> None:
    issued(chain, clients)
    note = world.only_tranche(Series.objects.get()).note_address
    delay(chain, "ENFORCER", "enforcer", DAY)
    fund_gas(chain, demo_signer("enforcer").address)
    keys = {"enforcer": demo_signer("enforcer")}
    assert (the_due(), refusal_of(Kind.SUSPEND, until="2000000000").code) == ([], "transfers_go_on")

    with transaction.atomic():
        lapse(clients, 0)
    [due] = suspensions.due(clock.now())
    assert due.until is not None
    assert refusal_of(Kind.SUSPEND, until="0").code == "transfers_rest"
    assert refusal_of(Kind.SUSPEND, until=str(int(due.moment) + 1)).code == "transfers_go_on"
    stale = decide(Kind.SUSPEND, series=CODE, until=due.moment)
    assert the_due() == [], "it is under way"
    assert send_all(chain, keys, stale) == ("suspend class 1", "scheduled")
    with transaction.atomic():
        world.notice(clients[0].cell)
        suspension.on_default_noticed(Event.objects.get(kind=events.DEFAULT_NOTICED))
    chain_world.pass_time(chain, DAY + 1)
    assert send_all(chain, keys, stale)[1].startswith("the books refuse: transfers_go_on")
    with transaction.atomic():
        stopping.ask(officer=officers()[0], act_id=stale.id, reason="it was noticed")
    go_on(chain)
    assert read(chain, note, "TrancheNote", "suspendedUntil") == 0

    with transaction.atomic():
        lapse(clients, 1)
    [due] = suspensions.due(clock.now())
    act = decide(Kind.SUSPEND, series=CODE, until=due.moment)
    assert send_all(chain, keys, act) == ("suspend class 1", "scheduled")
    chain_world.pass_time(chain, DAY + 1)
    assert send_all(chain, keys, act) == ("", "")
    assert read(chain, note, "TrancheNote", "suspendedUntil") == int(due.moment)
    assert the_due() == []
    sender = Transactor(chain, demo_wallet(40), mine)
    to = demo_wallet(41).address
    with pytest.raises(Refusal, match="ERC7943CannotTransfer"):
        sender.call(note, "TrancheNote", "transfer", to, MILLION)

    with transaction.atomic():
        world.notice(clients[1].cell)
        suspension.on_default_noticed(Event.objects.filter(kind=events.DEFAULT_NOTICED).latest("id"))
    assert the_due() == [(CODE, False)]
    lifting = decide(Kind.SUSPEND, series=CODE, until="0")
    assert send_all(chain, keys, lifting) == ("let class 1 go on", "scheduled")
    chain_world.pass_time(chain, DAY + 1)
    assert send_all(chain, keys, lifting) == ("", "")
    assert the_due() == []
    sender.call(note, "TrancheNote", "transfer", to, MILLION)
    sender.wait()


def send_all(chain: Chain, keys: dict[str, Any], act: ChainAct) -> tuple[str, str]:
    """What the enforcer's machine can do now; the act's next step, and what is said of it."""
    for _ in range(6):
        if not driver.step(chain, keys):
            cycle.settle_all(mine=mine)
        mine(chain)
    act.refresh_from_db()
    return act.step, act.said
