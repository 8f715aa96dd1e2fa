"""`manage.py bench settlement`: from the ledger to the chain and back, by the processes that do it in life.

Poster, approver, watcher and miner are started as the supervisor starts them, each under its own login, and stopped
before their next step. A backlog of movements is written into the ledger, they go on, and the clock runs until the
last movement is final and booked. What the contracts cost is read from the gas figures that their tests hold.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from intermediary import outbox
from intermediary.config.benches import Figure, settle_reconcile, settle_world
from intermediary.config.benches.settle_world import SettlementWorld
from intermediary.config.benches.tick import Say, peak_mb
from intermediary.config.scratch import OWNER, connected, migrated_database, scratch_services
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction
from settlement.models import ChainBlock, ChainLog, ReconciliationBreak
from settlement.packing import BATCH_LIMIT
from settlement.watcher import read_again

GAS = Path(settings.BASE_DIR) / "settlement" / "contracts" / "snapshots" / "Settlement.json"
ROUNDS = 60  # batches of the backlog: what it takes to begin and to end is some hundredths of it then
# The processes of settlement and the database role of each, as the supervisor has them.
PROCESSES = {"poster": "poster", "approver": "approver", "watcher": "worker", "mine": "worker"}
STEADY_S = 5.0  # until every process has taken its first steps with nothing to do
PATIENCE_S = 300  # a backlog takes seconds; on a busy machine several times that
LOOK_S = 0.05  # some hundredth of what is measured; a look takes a processor from those that are
USD = 10**6


@dataclass(frozen=True)
class Settled:
    """How long the backlog took, and the largest process."""

    seconds: float
    peak_mb: float


def run(say: Say) -> dict[str, Figure]:
    """Build the vaults, let the backlog go through, read the blocks again."""
    with scratch_services("anvil") as running, migrated_database(running, "bench_settlement") as urls:
        say(f"{BATCH_LIMIT} vaults")
        world = settle_world.build(BATCH_LIMIT)
        say(f"{ROUNDS * BATCH_LIMIT} movements")
        settled = _settle(world, urls, running.state.root)
        _refuse_unless_agreed()
        logs, seconds = _read_again(world, urls)
    say(f"settled in {settled.seconds:.2f} s; {logs} logs read again in {seconds:.2f} s")
    movements = ROUNDS * BATCH_LIMIT
    of = f"{movements} movements of {BATCH_LIMIT} vaults, {BATCH_LIMIT} a batch, until all are final and booked"
    return (
        _gas()
        | settle_reconcile.run(say)
        | {
            "movements_per_s": Figure(movements / settled.seconds, "1/s", of),
            "backfill_logs_per_s": Figure(logs / seconds, "1/s", f"{logs} logs of final blocks, read and stored"),
            "process_peak_mb": Figure(settled.peak_mb, "MB", "the largest process of settlement meanwhile"),
        }
    )


def _gas() -> dict[str, Figure]:
    gas = {name: int(found) for name, found in json.loads(GAS.read_text()).items()}
    return {
        "debit_gas_marginal": Figure(gas["debit_gas_marginal"], "gas", "one more DEBIT in a warm batch"),
        "credit_gas_marginal": Figure(gas["credit_gas_marginal"], "gas", "one more CREDIT in a warm batch"),
        "batch_200_gas": Figure(gas["batch_200_gas"], "gas", "a batch of 200 movements"),
    }


def _settle(world: SettlementWorld, urls: Mapping[str, str], log: Path) -> Settled:
    with _processes(urls, log) as running:
        time.sleep(STEADY_S)
        for one in running:
            one.send_signal(signal.SIGSTOP)
        for number in range(ROUNDS):
            _draft(world, ChainInstruction.Kind.CREDIT if number % 2 else ChainInstruction.Kind.DEBIT)
        began = time.perf_counter()
        for one in running:
            one.send_signal(signal.SIGCONT)
        while ChainInstruction.objects.filter(is_open=True).exists():
            if time.perf_counter() - began > PATIENCE_S or any(one.poll() is not None for one in running):
                raise RuntimeError(f"the backlog does not become final; see {log}")
            time.sleep(LOOK_S)
        seconds = time.perf_counter() - began
        if ChainInstruction.objects.exclude(state=ChainInstruction.State.FINAL).exists():
            raise RuntimeError(f"some movements failed; see {log}")
        return Settled(seconds, max(peak_mb(one.pid) for one in running))


def _draft(world: SettlementWorld, kind: ChainInstruction.Kind) -> None:
    """One movement of a dollar for each vault, in the ledger and on its way."""
    sides = {"source": AccountKind.CLIENT_MARGIN.value, "destination": AccountKind.FLOAT.value}
    if kind == ChainInstruction.Kind.CREDIT:
        sides = {"source": sides["destination"], "destination": sides["source"]}
    made = [
        ChainInstruction(
            target=vault,
            cell_id=vault.cell_id,
            kind=kind,
            amount_base_units=USD,
            required_base_units=USD,
            entry_id=uuid7(),
            arguments=dict(sides),
        )
        for vault in world.vaults
    ]
    with transaction.atomic():
        outbox.move_all(made, memo="benchmark")


@contextmanager
def _processes(urls: Mapping[str, str], logs: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, role in PROCESSES.items():
            environment = {**os.environ, **urls, "DATABASE_ROLE": role}
            with (logs / f"{name}.log").open("wb") as output:
                command = [sys.executable, "manage.py", name]
                started.append(
                    subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=output, stderr=output)
                )
        yield started
    finally:
        for one in started:
            one.send_signal(signal.SIGCONT)
            one.terminate()
        for one in started:
            one.wait(timeout=30)


def _refuse_unless_agreed() -> None:
    off = list(ReconciliationBreak.objects.filter(resolved_block=None).values_list("kind", "place"))
    if off:
        raise RuntimeError(f"ledger and chain differ: {off[:5]}")


def _read_again(world: SettlementWorld, urls: Mapping[str, str]) -> tuple[int, float]:
    """As if a node had left every log out: they are read and stored anew; how many, and the seconds."""
    with connected(dict(urls), OWNER):
        ChainLog.objects.all().delete()
    last = ChainBlock.objects.filter(finalized=True).latest("number").number
    began = time.perf_counter()
    found = read_again(world.chain, 0, last)
    return found, time.perf_counter() - began
