"""A database from an older backup: nothing leaves before what the chain knows has been read back and agrees."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connections, transaction

from intermediary import outbox
from intermediary.config.services import Services
from intermediary.config.supervisor import database_roles
from intermediary.ids import uuid7
from intermediary.models import AccountKind, AuditRecord, ChainInstruction, ChainTarget, DefaultCase, JournalEntry
from settlement import approver, fence, poster, rebuild
from settlement.bindings import read
from settlement.calls import FIRST_LOSS_LAYER
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import Batch, BatchMovement, ChainTransaction, Fence, ReconciliationBreak, ReconciliationRun
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.conftest import TestDatabase
from tests.settlement.faults.processes import Platform, until
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_late_cures import cure_in_ledger, cure_on_chain
from tests.settlement.test_strays import SEIZED, STRANGERS, noticed, off, strange
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    debit,
    deposit,
    funded_client,
    give,
    held,
    move,
    required_of,
)

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind


class Backup:
    """The database as it was, to go back to under its own name."""

    def __init__(self, running: Services, database: TestDatabase) -> None:
        self._running, self._database, self._copy = running, database, f"{database.name}_backup"
        self._copied(self._copy, database.name)

    def restore(self) -> None:
        database_roles.drop_database(self._running.postgres_admin_url, self._database.name)
        self._copied(self._database.name, self._copy)
        database_roles.drop_database(self._running.postgres_admin_url, self._copy)

    def _copied(self, name: str, template: str) -> None:
        connections["default"].close()
        database_roles.create_database(self._running.postgres_admin_url, name, template=template)


@pytest.fixture
def backup(postgres: Services, chain: Chain, committing_db: TestDatabase, who: Client) -> Backup:
    """Taken while one movement and one single call wait to be sent."""
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    settle_all()
    debit(who, MILLION)
    settle_all()
    debit(who, MILLION)
    with transaction.atomic():
        outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=Kind.FUND,
            source=AccountKind.FLOAT,
            destination=AccountKind.FIRST_LOSS,
            amount_base_units=2 * MILLION,
            memo="fund",
        )
    return Backup(postgres, committing_db)


def happens_after_the_backup(chain: Chain, who: Client) -> None:
    """What waited is sent, more is instructed and moves both ways, a movement fails, and the client pays in."""
    settle_all()
    move(who, Kind.CREDIT, AccountKind.FLOAT, AccountKind.CLIENT_MARGIN, 300)
    settle_all()
    move(who, Kind.CREDIT, AccountKind.FLOAT, AccountKind.CLIENT_MARGIN, 600 * MILLION)  # more than the house may pay
    debit(who, 77)
    settle_all()
    deposit(chain, who, MILLION)
    settle_all()


def on_chain(chain: Chain, who: Client) -> tuple[int, int, int]:
    """Movements and tokens of the vault, and the first loss that was funded."""
    token, vault = who.vault.asset.token_address, who.vault.address
    retention = who.targets["RETENTION"].address
    return (
        read(chain, vault, "MarginVault", "seq"),
        read(chain, token, "DemoUSDC", "balanceOf", vault),
        read(chain, retention, "Retention", "held", FIRST_LOSS_LAYER),
    )


def test_an_older_backup_sends_nothing_until_the_chain_has_been_read_back(
    chain: Chain, who: Client, backup: Backup
) -> None:
    happens_after_the_backup(chain, who)
    was, left = on_chain(chain, who), held(who)
    backup.restore()
    assert fence.check(chain)
    for _ in range(3):
        assert poster.step(chain, signers()) == 0
        approver.step(demo_signer("approver"), CHAIN_ID)
        mine(chain)
        watch(chain)
    assert on_chain(chain, who) == was
    assert ReconciliationBreak.objects.filter(place__startswith="fence", resolved_block=None).exists()
    made = rebuild.rebuild(chain)
    assert (made.differs, made.unexplained, made.is_lifted) == ([], [], True)
    assert (made.batches, made.settled, made.booked_anew) == (4, 2, 3)
    settle_all()
    assert on_chain(chain, who) == was, "nothing was done a second time"
    assert (held(who), held(who, AccountKind.FIRST_LOSS)) == (left, was[2]) == (was[1], 2 * MILLION)
    assert held(who, AccountKind.HOUSE) == 77 - 300, "for officers to allocate: the chain does not say what it was for"
    assert BatchMovement.objects.filter(vault=who.vault, outcome="SETTLED").count() == was[0]
    assert JournalEntry.objects.filter(cell=who.cell, kind="deposit").count() == 2
    assert set(ChainInstruction.objects.values_list("state", flat=True)) == {"FINAL", "FAILED"}
    assert AuditRecord.objects.filter(action="fence.lifted").count() == 1
    assert_reconciled()
    debit(who, 5)
    settle_all()
    assert on_chain(chain, who)[:2] == (was[0] + 1, was[1] - 5), "and life goes on"
    assert_reconciled()


def test_what_a_cure_after_the_backup_gave_back_is_not_given_back_again(
    postgres: Services, chain: Chain, committing_db: TestDatabase, who: Client
) -> None:
    """The margin's part to the margin, and a stranger's into suspense, as the chain has it."""
    noticed(who, 5 * MILLION + 1)
    case = required_of(who, 5 * MILLION)
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 20 * MILLION)
    settle_all()
    backup = Backup(postgres, committing_db)
    strange(chain, who.vault.address, 2)
    cure_on_chain(chain, who)
    settle_all()
    cure_in_ledger(case)
    settle_all()
    left = [held(who, kind) for kind in (*SEIZED, *STRANGERS)]
    assert left == [5 * MILLION, 0, 2, 0]
    backup.restore()
    assert fence.check(chain)
    made = rebuild.rebuild(chain)
    assert (made.differs, made.booked_anew, made.is_lifted) == ([], 2, True)
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == left
    cure_in_ledger(DefaultCase.objects.get())
    settle_all()
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == left
    assert not off()


def test_a_chain_that_is_not_ahead_meets_no_fence(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    settle_all()
    assert not fence.check(chain)
    assert not Fence.objects.exists()


class OtherBlocks(Chain):
    """A node that has other blocks than ours."""

    def block(self, which: int | str) -> dict[str, Any] | None:
        found = super().block(which)
        return found | {"hash": "0x" + "11" * 32} if found and isinstance(which, int) else found


def test_reading_back_does_not_settle_what_the_nodes_disagree_about(chain: Chain, who: Client) -> None:
    disagreement = ReconciliationBreak.objects.filter(kind=ReconciliationBreak.Kind.WITNESSES, resolved_block=None)
    other = OtherBlocks(chain.url)
    for _ in range(3):
        mine(chain)
    watch(chain, [other])
    assert disagreement.exists()
    mine(chain)
    rebuild.rebuild(chain, [other])
    assert disagreement.exists()


def test_a_call_that_nothing_here_explains_keeps_the_fence_up(chain: Chain, who: Client, backup: Backup) -> None:
    settle_all()
    with transaction.atomic():
        outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=Kind.FUND,
            source=AccountKind.FLOAT,
            destination=AccountKind.SENIOR_RETENTION,
            amount_base_units=9,
            memo="fund",
        )
    settle_all()
    backup.restore()
    assert fence.check(chain)
    for _ in range(2):
        made = rebuild.rebuild(chain)
        assert len(made.differs) == 2, "retention and house"
        assert not made.is_lifted
    assert fence.is_up()
    assert poster.step(chain, signers()) == 0


@pytest.mark.deep
def test_the_poster_puts_the_fence_up_and_the_command_takes_it_down(
    chain: Chain, who: Client, backup: Backup, platform: Platform, committing_db: TestDatabase
) -> None:
    """The drill, with the real processes."""
    happens_after_the_backup(chain, who)
    was = on_chain(chain, who)
    backup.restore()
    platform.start("poster", "approver", "watcher")
    until(fence.is_up, "the fence", said=platform.said)
    mine(chain)
    until(lambda: ReconciliationRun.objects.filter(breaks__gt=0).exists(), "it shows", said=platform.said)
    assert (on_chain(chain, who), ChainTransaction.objects.exclude(state="FINAL").count()) == (was, 0)
    environment = os.environ | {"DATABASE_ROLE": "worker", "CHAIN_RPC_URLS": chain.url, "BULKHEAD_MODE": "test"}
    environment |= {"DJANGO_SETTINGS_MODULE": "tests.settings", **committing_db.urls}
    command = [sys.executable, "manage.py", "rebuild_from_chain"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["is_lifted"]
    made = debit(who, 5)

    def is_final() -> bool:
        mine(chain)
        return ChainInstruction.objects.get(id=made.id).state == "FINAL"

    until(is_final, "the poster goes on", said=platform.said)
    platform.stop()
    assert on_chain(chain, who) == (was[0] + 1, was[1] - 5, was[2])
    assert Batch.objects.filter(state="FINAL").count() == read(
        chain, ChainTarget.objects.get(kind="HOUSE").address, "House", "batchId"
    )
