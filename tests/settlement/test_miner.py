"""The demonstration chain's miner makes a block when one is of use, and none while platform time stands still."""

import time
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from intermediary import clock
from settlement.chain import Chain
from settlement.demo_chain import QUIET_BLOCK_SECONDS, Miner, fund_gas, mine
from settlement.signer import demo_wallet
from settlement.transactor import Transactor
from tests.conftest import TestDatabase


@pytest.fixture
def chain(committing_db: TestDatabase, chain_url: str) -> Chain:
    """A chain of today whose platform's clock stands still."""
    found = Chain(chain_url)
    with psycopg.connect(committing_db.url_of("owner")) as owner:
        owner.execute("SELECT platform_clock_start_replay(clock_timestamp())")
    found.call("evm_mine", hex(int(clock.now().timestamp())))
    return found


def test_a_transaction_is_mined_and_made_final_at_once(chain: Chain) -> None:
    miner = Miner(chain)
    while miner.step():
        pass
    wallet = demo_wallet(3)
    fund_gas(chain, wallet.address)
    sent = Transactor(chain, wallet).send(wallet.address, b"")
    begun, blocks = time.monotonic(), 0
    while miner.step():
        blocks += 1
    assert time.monotonic() - begun < QUIET_BLOCK_SECONDS
    assert blocks == 1 + 2, "its own block, and two on top of it"
    assert is_final(chain, sent)


def test_a_transaction_that_slips_into_a_block_unseen_is_made_final_too(chain: Chain) -> None:
    """It arrives between the miner's look at what waits and the block: afterwards nothing waits, and time stands."""
    miner = Miner(chain)
    while miner.step():
        pass
    wallet = demo_wallet(3)
    fund_gas(chain, wallet.address)
    sent = Transactor(chain, wallet).send(wallet.address, b"")
    mine(chain)
    while miner.step():
        pass
    assert is_final(chain, sent)


def is_final(chain: Chain, transaction_hash: str) -> bool:
    """Whether the transaction stands in a final block."""
    (receipt,) = chain.receipts([transaction_hash])
    final = chain.block("finalized")
    return bool(receipt and final and int(receipt["blockNumber"], 16) <= int(final["number"], 16))


def test_a_quiet_chain_follows_the_clock_and_rests_with_it(chain: Chain) -> None:
    miner = Miner(chain)
    while miner.step():
        pass
    time.sleep(QUIET_BLOCK_SECONDS)
    assert not miner.step(), "the clock stands still"
    later = clock.now() + timedelta(minutes=10)
    clock.move_to(later, rate=Decimal(0), ceiling=later)
    assert miner.step()
    latest = chain.block("latest")
    assert latest is not None
    assert int(latest["timestamp"], 16) == int(later.timestamp())
    assert not miner.step(), "one a second is enough"
