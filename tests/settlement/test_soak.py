"""The randomised soak on real processes: what it ends with, whatever happened on the way."""

import os
import random
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Count

from intermediary import calls
from intermediary.models import AccountKind, ChainInstruction, ClockStop, JournalEntry
from settlement import packing
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all, unfinished
from settlement.demo_chain import mine
from settlement.models import BatchMovement, ChainBlock, ChainLog, ChainTransaction, Lookout, ReconciliationRun
from tests.intermediary.margin_world import Client as Relationship
from tests.intermediary.margin_world import assess, value
from tests.settlement.faults.processes import Platform, until
from tests.settlement.faults.soak import CONFIRMATIONS, Report, Soak
from tests.settlement.test_deposits_always import relationship_with_terms
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    client,
    deposit,
    give,
    held,
    house_with_contracts,
    on_chain,
)

SHORT_SEED, SHORT_SECONDS = 20251010, 8
DEEP_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
World = tuple[list[Client], Client, Relationship]
Kind = ChainInstruction.Kind


def busy_house() -> tuple[str, World]:
    """A world of two clients that move money, one that has a call to answer, and a house that can pay."""

    def build(chain: Chain) -> World:
        house = house_with_contracts(chain.url)
        busy = [client(house, code, index) for index, code in enumerate(("W", "M"), start=1)]
        for who in busy:
            deposit(chain, who, 50 * MILLION)
            give(chain, who.key.address, 50 * MILLION)
        called, relationship = relationship_with_terms(chain)
        settle_all(chain=chain)
        return busy, called, relationship

    return on_chain(build)


@pytest.mark.deep
@pytest.mark.timeout(DEEP_SECONDS + 300)
@pytest.mark.world(build=busy_house)
def test_soak(chain: Chain, built_world: tuple[str, World], platform: Platform, capsys: Any) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**9))
    with capsys.disabled():
        os.write(1, f"\nsoak: seed {seed} (SOAK_SEED), {DEEP_SECONDS:.0f} s\n".encode())
        report = soaked(chain, built_world[1], platform, seed, DEEP_SECONDS)
        os.write(1, f"soak: {report}\n".encode())
    assert report.peak_mb() < 300
    assert max(report.growth_mb().values()) < 10, str(report)


@pytest.mark.world(build=busy_house)
def test_short_soak_of_a_fixed_seed(chain: Chain, built_world: tuple[str, World], platform: Platform) -> None:
    soaked(chain, built_world[1], platform, SHORT_SEED, SHORT_SECONDS)


def soaked(chain: Chain, world: World, platform: Platform, seed: int, seconds: float) -> Report:
    """Run it, let everything settle, and look at everything."""
    busy, called, relationship = world
    with transaction.atomic():
        assess(relationship, value(50_000), 7 * MILLION)
    call = calls.current(called.cell.id)
    assert call is not None
    soak = Soak(chain, platform, busy, seed)
    report = soak.run(seconds)
    settle(chain, platform, seed)
    for who in (*busy, called):
        assert_moved_exactly(chain, who, report)
    states = ChainInstruction.objects.filter(id__in=[made.id for made in report.made]).values_list("state", flat=True)
    assert len(states) == len(report.made), f"seed {seed}"
    assert set(states) <= {"FINAL", "FAILED"}, f"seed {seed}"
    carried = ChainTransaction.objects.filter(succeeded=True).exclude(batch=None).values("batch")
    assert not carried.annotate(times=Count("id")).filter(times__gt=1).exists(), f"seed {seed}: a batch twice"
    assert_reconciled()
    stops = list(ClockStop.objects.all())
    assert all(stop.ended_at is not None for stop in stops), f"seed {seed}: a clock still stands"
    was = call.deliver_by
    call.refresh_from_db()
    stood = sum(((stop.ended_at - stop.started_at) for stop in stops if stop.ended_at), was - was)
    assert call.deliver_by == was + stood, f"seed {seed}: the call's clock"
    tip = ChainBlock.objects.filter(canonical=True).latest("number")
    assert Lookout.objects.get().read_until == tip.block_time, f"seed {seed}"
    return report


def settle(chain: Chain, platform: Platform, seed: int) -> None:
    """Blocks come until nothing is open; then once more a comparison, and everybody ends well."""

    def is_settled() -> bool:
        mine(chain)
        platform.revive()
        return unfinished() == 0 and not int(chain.call("txpool_status")["pending"], 16)

    until(is_settled, f"seed {seed}: nothing open", 240, said=platform.said)
    head = chain.head()
    for _ in range(CONFIRMATIONS + 2):
        mine(chain)
    until(
        lambda: (
            ReconciliationRun.objects.filter(block_number__gte=head).exists()
            and ChainBlock.objects.filter(number=chain.head(), canonical=True).exists()
        ),
        f"seed {seed}: compared at the end",
        120,
        said=platform.said,
    )
    platform.stop()


def assert_moved_exactly(chain: Chain, who: Client, report: Report) -> None:
    """Ledger and chain agree on this vault to the base unit, and every movement stands once wherever it stands."""
    said = f"seed {report.seed}, vault of {who.cell.code}"
    vault = who.vault
    balance = read(chain, vault.asset.token_address, "DemoUSDC", "balanceOf", vault.address)
    assert held(who) + held(who, AccountKind.SUSPENSE) == balance, said
    assert held(who, AccountKind.IN_TRANSIT) == 0, said
    movements = ChainInstruction.objects.filter(target=vault, kind__in=packing.MOVEMENTS)
    final = movements.filter(state="FINAL").count()
    shown = ChainLog.objects.filter(name="Moved", address=vault.address, block__canonical=True)
    settled = BatchMovement.objects.filter(vault=vault, outcome="SETTLED").count()
    numbers = (read(chain, vault.address, "MarginVault", "seq"), shown.count(), settled, final)
    assert len(set(numbers)) == 1, f"{said}: contract, logs, batches, instructions {numbers}"
    arrived = JournalEntry.objects.filter(cell=who.cell, kind__endswith="_settled").count()
    assert arrived == movements.exclude(entry=None).count(), f"{said}: every movement arrived, or went back, once"
    deposits = ChainLog.objects.filter(name="Transfer", cell=who.cell, block__canonical=True, block__finalized=True)
    from_outside = [log for log in deposits if log.topics[1][-40:].lower() == who.key.address[2:].lower()]
    into_vault = [log for log in from_outside if log.topics[2][-40:].lower() == vault.address[2:].lower()]
    assert JournalEntry.objects.filter(cell=who.cell, kind="deposit").count() == len(into_vault), said
