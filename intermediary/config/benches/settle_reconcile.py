"""How long one comparison of ledger and chain takes for ten thousand vaults.

A world of its own: the platform's contracts on an anvil of its own, and 10,000 relationships whose vaults the factory
opened and which hold tokens; the ledger holds the same, posted in bulk. Measured is `reconcile.run` at a final block,
everything included: both sides read, compared, and written what clients may see. The first run, which writes a row for
every vault, is told beside the figure; every later one writes the few that changed.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from django.db import transaction

from intermediary import ledger
from intermediary.config.benches import Figure
from intermediary.config.benches.settle_world import A_BLOCK, deployed, opened, parts
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.ids import uuid7
from intermediary.ledger import Draft, Line
from intermediary.models import AccountKind, Asset, Cell, ChainTarget, Party
from settlement import reconcile
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.models import ChainBlock
from settlement.signer import signer_for
from settlement.transactor import Transactor

VAULTS, RUNS = 10_000, 5
HELD_BASE_UNITS = 5_000_000_000  # five thousand USDC
MINTING_GAS = 100_000
A_POST = 500  # entries of one transaction
Say = Callable[[str], object]


def run(say: Say, vaults: int = VAULTS) -> dict[str, Figure]:
    """Build the world, compare once, compare again several times."""
    with scratch_services("anvil") as running, migrated_database(running, "bench_reconcile"):
        chain = Chain(running.anvil_url)
        say(f"{vaults} vaults on a chain of its own")
        block = build(chain, vaults)
        first = _compare(chain, block)
        again = [_compare(chain, block) for _ in range(RUNS)]
    say(f"the first run {first:.2f} s, then {', '.join(f'{seconds:.2f}' for seconds in again)} s")
    of = f"{vaults} vaults with tokens, all of a run, median of {RUNS} after a first of {first:.1f} s"
    return {"reconcile_10k_s": Figure(sorted(again)[RUNS // 2], "s", of)}


def build(chain: Chain, vaults: int) -> ChainBlock:
    """The world; the block at which ledger and chain hold the same."""
    usdc = deployed(chain)
    addresses = list(opened(chain, vaults))
    _fill(chain, usdc, addresses)
    _record(usdc, addresses)
    head = chain.block("latest")
    assert head is not None, "every chain has a latest block"
    return ChainBlock.objects.create(
        number=int(head["number"], 16),
        hash=head["hash"],
        parent_hash=head["parentHash"],
        block_time=datetime.fromtimestamp(int(head["timestamp"], 16), UTC),
        finalized=True,
    )


def _fill(chain: Chain, usdc: Asset, addresses: Sequence[str]) -> None:
    faucet = Transactor(chain, signer_for("faucet"), mine)
    for some in parts(addresses, A_BLOCK):
        for address in some:
            faucet.call(usdc.token_address, "DemoUSDC", "mint", address, HELD_BASE_UNITS, gas_limit=MINTING_GAS)
        faucet.wait()


def _record(usdc: Asset, addresses: Sequence[str]) -> None:
    """The same in the ledger: a relationship, its vault, its deposit."""
    parties = Party.objects.bulk_create(
        Party(legal_name=f"Client {number}", code=f"P-{number}", kind=Party.Kind.FUND, jurisdiction="KY")
        for number in range(len(addresses))
    )
    cells = Cell.objects.bulk_create(
        Cell(code=f"R-{number}", kind=Cell.Kind.CLIENT, party=party) for number, party in enumerate(parties)
    )
    ChainTarget.objects.bulk_create(
        ChainTarget(kind=ChainTarget.Kind.VAULT, cell=cell, asset=usdc, address=address, opened=True)
        for cell, address in zip(cells, addresses, strict=True)
    )
    lines = (
        Line(AccountKind.OUTSIDE, usdc.code, -HELD_BASE_UNITS),
        Line(AccountKind.CLIENT_MARGIN, usdc.code, HELD_BASE_UNITS),
    )
    for some in parts(cells, A_POST):
        with transaction.atomic():
            ledger.lock_cells(cell.id for cell in some)
            ledger.post_all([Draft(uuid7(), cell.id, "deposit", "bench", lines) for cell in some])


def _compare(chain: Chain, block: ChainBlock) -> float:
    """Seconds of one run; it must agree, or nothing was measured."""
    started = time.perf_counter()
    found = reconcile.run(chain, block)
    took = time.perf_counter() - started
    assert not found.breaks, "the world of the bench differs from its chain"
    return took
