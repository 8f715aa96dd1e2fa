"""A database from an older backup makes no step of an act again, also where only a row told of it."""

from datetime import UTC, datetime

import pytest

from intermediary.config.services import Services
from intermediary.models import ChainTarget
from settlement import fence, rebuild
from settlement.acts import driver
from settlement.acts.recalled import created_at
from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.series import set_eligible
from settlement.signer import demo_signer, demo_wallet
from settlement.watcher import step as watch
from tests.conftest import TestDatabase
from tests.settlement.test_acts import decide, delay, signed_cell
from tests.settlement.test_default_and_series import issued_series
from tests.settlement.test_restore import Backup
from tests.settlement.world import MILLION, Client, debit, funded_client, pass_time

Kind = ChainAct.Kind
KEYS = ("admin", "enforcer", "onboarder", "structurer")
DAY = 86_400
pytestmark = pytest.mark.world(build=funded_client)


@pytest.fixture(autouse=True)
def days_pass_in_an_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "REST_SECONDS", 0.0)


def go_on(chain: Chain, act: ChainAct, rounds: int = 30) -> str:
    """Rounds of everybody's processes until the act is over, or nothing moves; its state."""
    keys = {name: demo_signer(name) for name in KEYS}
    for _ in range(rounds):
        driver.step(chain, keys)
        mine(chain)
        watch(chain)
        act.refresh_from_db()
        if act.state == ChainAct.State.DONE:
            break
    return act.state


def forced(note: str, units: int) -> ChainAct:
    """An order of a court: units go from the holder to its heir."""
    arguments = [demo_wallet(50).address, demo_wallet(51).address, str(units)]
    return decide(
        Kind.CALL, contract="TrancheNote", to=note, function="forcedTransfer", arguments=arguments,
        key="enforcer",
    )  # fmt: skip


@pytest.fixture
def note(chain: Chain, committing_db: TestDatabase, who: Client) -> str:
    """A class of a series that is on risk, and an heir that may hold it."""
    series = issued_series(chain, who)
    heir = [demo_wallet(51).address]
    set_eligible(chain=chain, accounts=heir, until=datetime(2040, 1, 1, tzinfo=UTC), mine=mine)
    fund_gas(chain, *(demo_signer(key).address for key in KEYS))
    settle_all()
    return series.notes[0].address


def units_of_heir(chain: Chain, note: str) -> int:
    found: int = read(chain, note, "TrancheNote", "balanceOf", demo_wallet(51).address)
    return found


@pytest.mark.parametrize("scheduled", [False, True])
def test_units_are_moved_by_order_of_a_court_once(
    postgres: Services, chain: Chain, committing_db: TestDatabase, who: Client, note: str, scheduled: bool
) -> None:
    delay(chain, "ENFORCER", "enforcer", DAY)
    act = forced(note, 100)
    rounds_of = [4, 0] if scheduled else [0, 4]
    go_on(chain, act, rounds_of[0])
    backup = Backup(postgres, committing_db)
    go_on(chain, act, rounds_of[1])
    pass_time(chain, DAY + 1)
    assert go_on(chain, act) == "DONE"
    assert units_of_heir(chain, note) == 100
    backup.restore()
    act.refresh_from_db()
    assert act.state == "OPEN"
    assert go_on(chain, act) == "DONE"
    pass_time(chain, DAY + 1)
    go_on(chain, act, rounds=4)
    assert units_of_heir(chain, note) == 100
    assert act.transactions.filter(step="make the call").count() == 1


def test_an_order_that_is_carried_out_again_by_a_later_decision_moves_units_again(
    chain: Chain, who: Client, note: str
) -> None:
    for moved in (100, 200):
        assert go_on(chain, forced(note, 100)) == "DONE"
        assert units_of_heir(chain, note) == moved


def test_a_contract_is_made_once(postgres: Services, chain: Chain, committing_db: TestDatabase, who: Client) -> None:
    signed_cell("V", 1)
    fund_gas(chain, *(demo_signer(key).address for key in KEYS))
    settle_all()
    act = decide(Kind.RELATIONSHIP, relationship="V")
    backup = Backup(postgres, committing_db)
    assert go_on(chain, act) == "DONE"
    retention = ChainTarget.objects.get(cell__code="V", kind="RETENTION").address
    backup.restore()
    act.refresh_from_db()
    assert (act.state, act.transactions.count()) == ("OPEN", 0)
    assert go_on(chain, act) == "DONE"
    assert ChainTarget.objects.get(cell__code="V", kind="RETENTION").address == retention
    assert act.transactions.get().step == "make the USDC retention", "all else showed on its contracts"


def test_an_order_decided_after_the_backup_keeps_the_fence_up_for_people(
    postgres: Services, chain: Chain, committing_db: TestDatabase, who: Client, note: str
) -> None:
    known = forced(note, 100)
    backup = Backup(postgres, committing_db)
    assert go_on(chain, known) == "DONE"
    assert go_on(chain, forced(note, 7)) == "DONE"
    debit(who, MILLION)
    settle_all()
    backup.restore()
    sentry = fence.Sentry([])
    sentry.step(chain)
    assert fence.is_up(), "also where acts are carried out, before the poster was started"
    made = rebuild.rebuild(chain)
    [unexplained] = made.unexplained
    assert demo_signer("enforcer").address in unexplained
    assert not made.is_lifted
    known.refresh_from_db()
    assert known.transactions.get().transaction_hash not in unexplained
    assert driver.step(chain, {name: demo_signer(name) for name in KEYS}) == 0
    assert units_of_heir(chain, note) == 107


def test_the_address_of_a_contract_follows_from_its_makers_nonce() -> None:
    maker = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"  # the example that every implementation is tried with
    assert created_at(maker, 0).lower() == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert created_at(maker, 1).lower() == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"
