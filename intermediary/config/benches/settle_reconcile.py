"""How long one comparison of ledger and chain takes for ten thousand vaults.

A world of its own: the platform's contracts on an anvil of its own, and 10,000 relationships whose vaults the factory
opened and which hold tokens; the ledger holds the same, posted in bulk. Measured is `reconcile.run` at a final block,
everything included: both sides read, compared, and written what clients may see. The first run, which writes a row for
every vault, is told beside the figure; every later one writes the few that changed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from django.db import transaction

from intermediary import ledger
from intermediary.canonical import sha256_hex
from intermediary.config.benches import Figure
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.ids import uuid7
from intermediary.ledger import Draft, Line
from intermediary.models import AccountKind, Asset, Cell, ChainTarget, Party
from settlement import reconcile
from settlement.bindings import contract
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of, deploy
from settlement.models import ChainBlock
from settlement.registration import VaultTerms, relationship_hash
from settlement.signer import demo_wallet, signer_for
from settlement.transactor import Transactor

VAULTS, RUNS = 10_000, 5
HELD_BASE_UNITS = 5_000_000_000  # five thousand USDC
A_BLOCK = 80  # openings of some 250,000 gas in a block of 30 million
OPENING_GAS, MINTING_GAS = 350_000, 100_000
A_POST = 500  # entries of one transaction
CAP_BASE_UNITS = 10**12
Say = Callable[[str], object]
T = TypeVar("T")


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
    usdc = Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    caps, rules = {"USDC": CAP_BASE_UNITS}, sha256_hex("the rulebook")
    deploy(chain=chain, assets=[usdc], rulebook_hash=rules, rulebook_uri="docs", outflow_caps=caps, mine=mine)
    usdc.refresh_from_db()
    addresses = list(_opened(chain, vaults))
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


def _terms(number: int) -> VaultTerms:
    """Of one relationship; one key may stand for all of them."""
    client = demo_wallet(0).address
    names = (relationship_hash(f"R-{number}"), relationship_hash("agreement"), client, client)
    return (*names, CAP_BASE_UNITS, CAP_BASE_UNITS, 24 * 3600, 5 * 24 * 3600, 3600)


def _opened(chain: Chain, vaults: int) -> Iterator[str]:
    """Open them by the factory, a block of them at a time."""
    factory, onboarder = address_of("VaultFactory", "USDC"), Transactor(chain, signer_for("onboarder"), mine)
    for numbers in _parts(range(vaults), A_BLOCK):
        listed = [_terms(number) for number in numbers]
        asked = [contract("VaultFactory").call(factory, "predict", [terms], "latest") for terms in listed]
        for terms in listed:
            onboarder.call(factory, "VaultFactory", "open", terms, gas_limit=OPENING_GAS)
        onboarder.wait()
        for answer in chain.batch(asked):
            yield str(contract("VaultFactory").decode_result("predict", bytes.fromhex(answer[2:])))


def _fill(chain: Chain, usdc: Asset, addresses: Sequence[str]) -> None:
    faucet = Transactor(chain, signer_for("faucet"), mine)
    for some in _parts(addresses, A_BLOCK):
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
    for some in _parts(cells, A_POST):
        with transaction.atomic():
            ledger.lock_cells(cell.id for cell in some)
            ledger.post_all([Draft(uuid7(), cell.id, "deposit", "bench", lines) for cell in some])


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _compare(chain: Chain, block: ChainBlock) -> float:
    """Seconds of one run; it must agree, or nothing was measured."""
    started = time.perf_counter()
    found = reconcile.run(chain, block)
    took = time.perf_counter() - started
    assert not found.breaks, "the world of the bench differs from its chain"
    return took
