"""The chain's processes as they run live: each its own role, its own key, its own process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import ProgrammingError, transaction

from intermediary.models import ChainInstruction, ChainTarget
from settlement import approver, packing, poster
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.models import Approval, Batch, ReconciliationRun
from settlement.signer import demo_signer
from tests.conftest import RoleSwitch, TestDatabase
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
CHAIN_ID = 31337


def test_each_step_works_under_its_own_role_and_no_further(chain: Chain, who: Client, as_role: RoleSwitch) -> None:
    debit(who, MILLION)
    signers = {role: demo_signer(role) for role in ("poster", "operator")}
    with as_role("poster"):
        poster.step(chain, signers)
        asked = Approval.objects.get()
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            Approval.objects.filter(id=asked.id).update(signature="0x00")
    with as_role("approver"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            packing.pack(ChainTarget.objects.get(kind="HOUSE"), CHAIN_ID)
            Batch.objects.update(number=7)
        assert approver.step(demo_signer("approver"), CHAIN_ID) == 1
    with as_role("poster"):
        assert poster.step(chain, signers) == 1
    settle_all()
    assert held(who) == 4 * MILLION


@contextmanager
def processes(database: TestDatabase, url: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Poster, approver, watcher and miner, ended whatever happens."""
    roles = {"poster": "poster", "approver": "approver", "watcher": "worker", "mine": "worker"}
    started = {name: start(name, role, database, url) for name, role in roles.items()}
    try:
        yield started
    finally:
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(timeout=10) for name, process in started.items()}
    assert codes == dict.fromkeys(roles, 0)


def start(name: str, role: str, database: TestDatabase, url: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"DATABASE_ROLE": role, "CHAIN_RPC_URLS": url, "BULKHEAD_MODE": "test", **database.urls}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    return subprocess.Popen([sys.executable, "manage.py", name], env=environment)


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_processes_settle_a_movement_even_when_the_poster_is_killed(
    chain: Chain, who: Client, committing_db: TestDatabase
) -> None:
    made = debit(who, MILLION)
    with processes(committing_db, chain.url) as running:
        until(lambda: ChainInstruction.objects.get(id=made.id).state == "FINAL", 120)
        running["poster"].kill()
        running["poster"].wait()
        later = debit(who, MILLION)
        running["poster"] = start("poster", "poster", committing_db, chain.url)
        until(lambda: ChainInstruction.objects.get(id=later.id).state == "FINAL", 120)
        final = ReconciliationRun.objects.first()
        assert final is not None
        until(lambda: ReconciliationRun.objects.filter(block_number__gt=final.block_number).exists(), 30)
    assert held(who) == 3 * MILLION
    assert_reconciled()
