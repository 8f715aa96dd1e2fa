"""Acts carried out with keys that other processes hold, and under the logins that the processes have."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings

from intermediary.config.demo import acts
from intermediary.models import ChainTarget
from settlement import approver, poster, sender_alarms
from settlement.acts import driver, scheduling, stopping
from settlement.acts.rows import ChainAct
from settlement.acts.steps import Step
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.remote_signer import RemoteSigner
from settlement.signer import Signer, demo_signer, demo_wallet
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.settlement.test_acts import DAY, decide, delay, officers, signatures, signed_cell
from tests.settlement.test_acts import days_pass_in_an_instant as days_pass_in_an_instant  # a fixture
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_remote_signer import Files, serving
from tests.settlement.world import CAP, house_alone, pass_time

pytestmark = pytest.mark.world(build=house_alone)
Kind, State = ChainAct.Kind, ChainAct.State
Roles = Callable[[str], AbstractContextManager[None]]


def printed_policy(key: str) -> dict[str, Any]:
    out = StringIO()
    call_command("signer_policy", key, stdout=out)
    said = json.loads(out.getvalue())
    return {name: said[name] for name in said if name != "role"}


def rounds(chain: Chain, act: ChainAct, one: Callable[[], object], count: int = 12) -> tuple[str, str]:
    """Rounds of the processes, final in between; the act's state and what is said of it."""
    for _ in range(count):
        one()
        mine(chain)
        watch(chain)
    act.refresh_from_db()
    return act.state, act.said


def test_a_relationship_is_opened_with_keys_that_other_processes_hold(chain: Chain, tmp_path: Path) -> None:
    cell, terms = signed_cell("W")
    delay(chain, "ONBOARDER", "onboarder", DAY)
    watch(chain)
    act = decide(Kind.RELATIONSHIP, relationship="W", signatures=signatures(chain, terms))
    files = Files(tmp_path)
    keys: dict[str, Signer] = {
        "onboarder": RemoteSigner("onboarder", files.place("onboarder")),
        "admin": demo_signer("admin"),
    }
    assert driver.step(chain, keys) == 0
    assert list(sender_alarms.open_alarms().values_list("kind", "role")) == [("signer_away", "onboarder")]
    with serving(files, "onboarder", printed_policy("onboarder")):
        for waits_for in ("accept the USDC vault", "accept the retention"):
            assert rounds(chain, act, lambda: driver.step(chain, keys)) == (State.OPEN, driver.SCHEDULED)
            assert act.step == waits_for
            pass_time(chain, DAY + 1)
        assert rounds(chain, act, lambda: driver.step(chain, keys))[0] == State.DONE
    assert not sender_alarms.open_alarms().exists()
    assert ChainTarget.objects.filter(cell=cell, kind=ChainTarget.Kind.RETENTION).exists()
    assert (
        len(files.of("onboarder", "journal").read_text().splitlines())
        == act.transactions.filter(sender_id=demo_signer("onboarder").address).count()
    )


def test_what_a_signers_policy_does_not_allow_is_told_and_holds_up_no_other_act(chain: Chain, tmp_path: Path) -> None:
    signed_cell("W")
    watch(chain)
    policy = printed_policy("onboarder")
    calls = policy["transactions"]["calls"]
    policy["transactions"]["calls"] = [one for one in calls if "publishRulebook" in "".join(one["functions"])]
    policy["transactions"]["calls"][0]["functions"] = ["publishRulebook(bytes32,string,uint40)"]
    opening = decide(Kind.RELATIONSHIP, relationship="W")
    other = decide(Kind.RULEBOOK, hash="ab" * 32, uri="/rulebook/2/", effective="4000000000")
    with serving(Files(tmp_path), "onboarder", policy) as key:
        assert rounds(chain, other, lambda: driver.step(chain, {"onboarder": key}))[0] == State.DONE
    opening.refresh_from_db()
    assert (opening.state, "function_not_allowed" in opening.said or "address_not_allowed" in opening.said) == (
        State.OPEN,
        True,
    )
    [alarm] = sender_alarms.open_alarms()
    assert (alarm.kind, alarm.role) == ("signer_refuses", "onboarder")


def test_the_administrator_that_makes_contracts_is_told_that_no_remote_signer_does(
    chain: Chain, tmp_path: Path
) -> None:
    signed_cell("W")
    watch(chain)
    act = decide(Kind.RELATIONSHIP, relationship="W")
    manager = {"to": [address_of("AccessManager")], "functions": ["setTargetFunctionRole(address,bytes4[],uint64)"]}
    limits = {"gas_limit": 10**7, "fee_cap_wei": 10**12, "wei_a_day": 10**20}
    policy = {"transactions": {"chain_ids": [CHAIN_ID], "calls": [manager], **limits}}
    with ExitStack() as running:
        keys: dict[str, Signer] = {
            "onboarder": demo_signer("onboarder"),
            "admin": running.enter_context(serving(Files(tmp_path), "admin", policy)),
        }
        state, said = rounds(chain, act, lambda: driver.step(chain, keys), 8)
    assert (state, act.step, "creation_refused" in said) == (State.OPEN, "make the USDC retention", True)
    assert list(sender_alarms.open_alarms().values_list("kind", "role")) == [("signer_refuses", "admin")]
    assert rounds(chain, act, lambda: driver.step(chain, keys | {"admin": demo_signer("admin")}))[0] == State.DONE
    assert not sender_alarms.open_alarms().exists(), "a keystore has made it"


def test_a_key_that_another_process_uses_is_left_alone_until_that_is_final(chain: Chain) -> None:
    signed_cell("W")
    watch(chain)
    act = decide(Kind.RELATIONSHIP, relationship="W")
    keys = {"onboarder": demo_signer("onboarder")}
    Transactor(chain, keys["onboarder"]).send(demo_wallet(7).address, b"")
    assert driver.step(chain, keys) == 0, "it is in the pool"
    mine(chain)
    assert driver.step(chain, keys) == 0, "it is not final"
    for _ in range(2):
        mine(chain)
    assert driver.step(chain, keys) == 1
    assert act.transactions.get().nonce == 1


def processes(chain: Chain, as_role: Roles) -> None:
    """One step of each, under its own login."""
    with as_role("poster"):
        poster.step(chain, signers())
    with as_role("approver"):
        approver.step(demo_signer("approver"), CHAIN_ID)


def test_the_poster_carries_out_the_operators_acts_under_its_own_login(chain: Chain, as_role: Roles) -> None:
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    desk, house = demo_wallet(7).address, address_of("House", "USDC")
    act = decide(Kind.CALL, contract="House", to=house, function="setDisposalDesk", arguments=[desk], key="operator")
    at_once = decide(Kind.CAP_NOW, asset="USDC", cap_base_units=str(3 * CAP))
    assert rounds(chain, act, lambda: processes(chain, as_role)) == (State.OPEN, driver.SCHEDULED)
    at_once.refresh_from_db()
    assert (at_once.state, read(chain, house, "House", "outflowCap")) == (State.DONE, 3 * CAP)
    pass_time(chain, 2 * DAY + 1)
    assert rounds(chain, act, lambda: processes(chain, as_role))[0] == State.DONE
    assert read(chain, house, "House", "disposalDesk") == desk


def test_the_poster_stops_an_act_under_its_own_login(chain: Chain, as_role: Roles) -> None:
    """Asked for by an officer, with the operator's key alone; and where a guardian took it back on chain."""
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    asked, taken = (decide(Kind.CAP, asset="USDC", cap_base_units=str(cap)) for cap in (2 * CAP, 3 * CAP))
    rounds(chain, asked, lambda: processes(chain, as_role))
    with transaction.atomic():
        stopping.ask(officer=officers()[0], act_id=asked.id, reason="not today")
    found = driver.look(chain, taken).step
    assert isinstance(found, Step)
    admin = Transactor(chain, demo_signer("admin"), mine)
    call = scheduling.cancel(demo_signer("operator").address, found.to, found.calldata())
    admin.send(address_of("AccessManager"), call)
    admin.wait()
    assert rounds(chain, taken, lambda: processes(chain, as_role))[0] == State.STOPPED
    asked.refresh_from_db()
    assert (asked.state, asked.transactions.filter(step__contains="take back").count()) == (State.STOPPED, 1)
    pass_time(chain, 2 * DAY + 1)
    rounds(chain, asked, lambda: processes(chain, as_role), 3)
    assert read(chain, address_of("House", "USDC"), "House", "outflowCap") == CAP


def test_a_demonstrations_worker_carries_out_what_is_not_the_operators(chain: Chain) -> None:
    cell, _ = signed_cell("W")
    watch(chain)
    assert acts.step_if_any() == 0
    act = decide(Kind.RELATIONSHIP, relationship="W")
    with override_settings(MODE="production"):
        assert acts.step_if_any() == 0, "its keys are elsewhere"
    assert rounds(chain, act, acts.step_if_any)[0] == State.DONE
    assert ChainTarget.objects.filter(cell=cell).count() == 2
