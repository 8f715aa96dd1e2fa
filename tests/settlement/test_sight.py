"""Clocks of margin calls stand still while the chain or its watcher is silent, and the stop is recorded; a deposit that
was on chain in time is waited for (D7)."""

import signal
import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from django.db.models import F

from intermediary import calls, clock
from intermediary.config import clockwork, sight
from intermediary.models import Asset, ChainTarget, ClockStop, MarginCall
from settlement import finality, lookout, reconcile
from settlement.bindings import topic
from settlement.chain import Chain
from settlement.models import ChainBlock, ChainLog, Deployment, Lookout
from tests.conftest import TestDatabase
from tests.intermediary.margin_world import HOUR, MILLION, Client, assess, client, value
from tests.settlement.test_processes import start, until

TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def let_the_last_look_be(ago: timedelta) -> None:
    Lookout.objects.update(seen_at=F("seen_at") - ago, at=F("at") - ago)


def contracts_are_deployed() -> None:
    Deployment.objects.create(name="House", address=TOKEN, block_number=0)


def overdue_call(who: Client, by: timedelta) -> MarginCall:
    """A call whose only increment was due so long ago."""
    assess(who, value(50_000), 2 * MILLION)
    call = calls.current(who.cell.id)
    assert call is not None
    due = clock.now() - by
    call.increments.update(at=due - HOUR, deliver_by=due)
    call.deliver_by = due
    call.save(update_fields=["deliver_by"])
    return call


@pytest.mark.django_db
def test_nothing_is_stopped_where_the_chain_is_read_or_no_watcher_ever_ran() -> None:
    sight.stop_clocks_unless_seen()
    sight.seen()
    let_the_last_look_be(timedelta(seconds=20))
    sight.stop_clocks_unless_seen()
    assert not ClockStop.objects.exists()


@pytest.mark.django_db
def test_a_call_that_came_due_unseen_does_not_lapse_and_gets_its_time_back() -> None:
    call = overdue_call(client("D"), timedelta(minutes=2))
    sight.seen()
    let_the_last_look_be(timedelta(minutes=10))
    clockwork.step()
    clockwork.step()
    stop = ClockStop.objects.get()
    assert (stop.reason, stop.ended_at) == (sight.REASON, None)
    assert abs(clock.now() - stop.started_at - timedelta(minutes=10)) < timedelta(seconds=30), "since the last look"
    call.refresh_from_db()
    assert call.state == MarginCall.State.ISSUED
    sight.seen()
    stop.refresh_from_db()
    call.refresh_from_db()
    assert stop.ended_at is not None
    assert abs(call.deliver_by - clock.now() - timedelta(minutes=8)) < timedelta(seconds=30), "10 min stood still"


@pytest.mark.django_db
def test_a_call_that_was_overdue_before_the_last_look_lapses_when_the_chain_is_read_again() -> None:
    call = overdue_call(client("D"), timedelta(minutes=20))
    sight.seen()
    let_the_last_look_be(timedelta(minutes=10))
    clockwork.step()
    sight.seen()
    with transaction.atomic():
        assert [lapsed.id for lapsed in calls.lapse_due(clock.now())] == [call.id]


def seen_transfer(who: Client, amount: int, at: datetime) -> ChainBlock:
    """A transfer into the client's vault, read from a block of that time that is not final yet."""
    Asset.objects.filter(code="USDC").update(token_address=TOKEN)
    number = 1 + ChainBlock.objects.count()
    block = ChainBlock.objects.create(
        number=number, hash=f"0x{number:064x}", parent_hash=f"0x{number - 1:064x}", block_time=at
    )
    padded = ["0x" + address[2:].lower().rjust(64, "0") for address in (who.key.address, who.vault().address)]
    ChainLog.objects.create(
        block=block, block_hash=block.hash, log_index=0, transaction_hash=f"0x{number:064x}", address=TOKEN,
        topics=[topic("DemoUSDC", "Transfer"), *padded], data=f"0x{amount:064x}", name="Transfer", cell=who.cell,
    )  # fmt: skip
    return block


def state_of(call: MarginCall) -> str:
    """As it stands after whatever is due has been done."""
    clockwork.step()
    call.refresh_from_db()
    return call.state


@pytest.mark.django_db
def test_a_call_whose_deposit_was_on_chain_in_time_waits_for_it_to_be_final() -> None:
    who = client("D")
    call = overdue_call(who, timedelta(minutes=2))
    block = seen_transfer(who, 2 * MILLION, call.deliver_by)
    assert state_of(call) == MarginCall.State.ISSUED
    finality.finalize([block])
    assert state_of(call) == MarginCall.State.SETTLED


@pytest.mark.django_db
def test_a_call_whose_deposit_was_on_chain_in_time_and_is_read_after_the_deadline_does_not_lapse() -> None:
    contracts_are_deployed()
    who = client("D")
    call = overdue_call(who, timedelta(seconds=20))
    sight.seen()
    assert state_of(call) == MarginCall.State.ISSUED, "the nodes have not agreed on any block yet"
    sight.seen(call.deliver_by)
    assert state_of(call) == MarginCall.State.ISSUED, "another block of that second may follow"
    block = seen_transfer(who, 2 * MILLION, call.deliver_by)
    sight.seen(call.deliver_by + timedelta(seconds=1))
    assert state_of(call) == MarginCall.State.ISSUED
    finality.finalize([block])
    assert state_of(call) == MarginCall.State.SETTLED


@pytest.mark.django_db
def test_a_call_lapses_when_the_chain_was_read_past_its_deadline_and_not_while_that_part_is_read_again() -> None:
    contracts_are_deployed()
    call = overdue_call(client("D"), timedelta(seconds=20))
    sight.seen(call.deliver_by + timedelta(seconds=1))
    lookout.back_to(call.deliver_by - timedelta(seconds=1))
    assert state_of(call) == MarginCall.State.ISSUED
    sight.seen(call.deliver_by + timedelta(seconds=2))
    assert state_of(call) == MarginCall.State.LAPSED


@pytest.mark.django_db
def test_how_far_the_chain_was_read_is_how_far_every_node_knows_it(chain_url: str) -> None:
    witness, at = Chain(chain_url), clock.now()
    assert reconcile.agreed_until([], None) is None
    header = witness.block("latest")
    assert header is not None
    number = int(header["number"], 16)
    theirs = ChainBlock.objects.create(number=number, hash=header["hash"], parent_hash="0x", block_time=at)
    ahead = ChainBlock(number=number + 1, hash="0xa", parent_hash=theirs.hash, block_time=at + HOUR)
    assert reconcile.agreed_until([], ahead) == at + HOUR
    assert reconcile.agreed_until([witness], ahead) == at, "the other node has not read so far"
    assert reconcile.agreed_until([witness, Chain("http://127.0.0.1:9")], theirs) is None, "it does not answer"
    ChainBlock.objects.filter(id=theirs.id).update(hash="0xb")
    assert reconcile.agreed_until([witness], ahead) is None, "it has another block"


@pytest.mark.django_db
def test_clocks_stand_still_while_the_chain_makes_no_blocks_although_its_node_answers() -> None:
    last = clock.now() - timedelta(minutes=3)
    sight.seen(last)
    sight.stop_clocks_unless_seen()
    assert not ClockStop.objects.exists(), "it was read just now"
    Lookout.objects.update(moved_at=F("moved_at") - timedelta(minutes=3))
    sight.seen(last)
    sight.stop_clocks_unless_seen()
    sight.seen(last)
    assert ClockStop.objects.get(ended_at=None).started_at == last
    sight.seen(clock.now())
    assert not calls.clocks_stopped()


@pytest.mark.django_db
def test_a_deposit_in_time_of_too_little_holds_the_call_until_it_is_booked() -> None:
    who = client("D")
    call = overdue_call(who, timedelta(minutes=2))
    block = seen_transfer(who, 1, call.deliver_by)
    assert state_of(call) == MarginCall.State.ISSUED
    finality.finalize([block])
    assert state_of(call) == MarginCall.State.LAPSED


@pytest.mark.django_db
def test_what_does_not_arrive_in_time_holds_no_call() -> None:
    """Too late, in a block that the chain dropped, into another's vault, or the house's own payment."""
    who, other = client("D"), client("W")
    call = overdue_call(who, timedelta(minutes=2))
    seen_transfer(who, 2 * MILLION, call.deliver_by + timedelta(seconds=1))
    dropped = seen_transfer(who, 2 * MILLION, call.deliver_by)
    ChainBlock.objects.filter(id=dropped.id).update(canonical=False)
    seen_transfer(other, 2 * MILLION, call.deliver_by)
    ChainTarget.objects.create(kind=ChainTarget.Kind.HOUSE, cell=other.cell, asset_id="USDC", address=other.key.address)
    seen_transfer(replace(who, key=other.key), 2 * MILLION, call.deliver_by)
    assert state_of(call) == MarginCall.State.LAPSED


def test_a_watcher_that_stands_still_is_noticed_and_one_that_goes_on_ends_the_stop(
    committing_db: TestDatabase, chain_url: str
) -> None:
    """The process itself: stopped like a machine that hangs, then let go on."""
    watcher = start("watcher", "worker", committing_db, chain_url)
    try:
        until(Lookout.objects.exists, 60)
        watcher.send_signal(signal.SIGSTOP)
        time.sleep(2 * 0.5)  # what it was just doing reaches the database
        let_the_last_look_be(timedelta(minutes=1))
        assert lookout.unseen_since(sight.BLIND_SECONDS) is not None
        sight.stop_clocks_unless_seen()
        assert calls.clocks_stopped()
        watcher.send_signal(signal.SIGCONT)
        until(lambda: not calls.clocks_stopped(), 30)
    finally:
        watcher.send_signal(signal.SIGCONT)
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(timeout=10) == 0
