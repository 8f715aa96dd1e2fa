"""What another database sent with our keys: seen in the node's pool, under a nonce of ours, or in blocks read back."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from intermediary import outbox
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement import fence, poster
from settlement.bindings import contract
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.models import ChainTransaction, Fence
from settlement.signer import demo_signer
from settlement.transactor import Transactor
from tests.settlement.test_crashes import signers
from tests.settlement.world import MILLION, Client, funded_client, give

pytestmark = pytest.mark.world(build=funded_client)
KEYS = ("poster", "operator")


@pytest.fixture(autouse=True)
def empty_pool(chain: Chain) -> Iterator[None]:
    """What no block took stays in the node's pool, whatever state it is given: not for the next test."""
    yield
    chain.call("anvil_dropAllTransactions")


def fund(chain: Chain, who: Client, amount: int) -> ChainInstruction:
    """A retention to be funded out of the house, which can pay it."""
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    settle_all()
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=ChainInstruction.Kind.FUND,
            source=AccountKind.FLOAT,
            destination=AccountKind.FIRST_LOSS,
            amount_base_units=amount,
            memo="fund",
        )


def sent_elsewhere(chain: Chain, function: str, arguments: Sequence[Any]) -> str:
    """What a database that we know nothing of has the operator's key send to the house; no block has it yet."""
    house = ChainTarget.objects.get(kind="HOUSE").address
    return Transactor(chain, demo_signer("operator")).send(house, contract("House").encode(function, arguments))


def addresses() -> list[str]:
    return [demo_signer(role).address for role in KEYS]


def test_what_only_the_pool_knows_of_puts_the_fence_up(chain: Chain, who: Client) -> None:
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    assert not fence.check(chain, addresses())
    sent_elsewhere(chain, "fundRetention", (who.targets["RETENTION"].address, 0, MILLION, bytes(32)))
    assert fence.check(chain, addresses())
    assert demo_signer("operator").address in Fence.objects.get().reason


def test_the_chain_is_asked_again_when_a_fence_has_come_down(chain: Chain, who: Client) -> None:
    sentry = fence.Sentry(addresses())
    sentry.step(chain)
    fence.put_up("by hand")
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    sent_elsewhere(chain, "fundRetention", (who.targets["RETENTION"].address, 0, MILLION, bytes(32)))
    sentry.step(chain)
    assert Fence.objects.get().reason == "by hand"
    Fence.objects.update(lifted_at=timezone.now())
    sentry.step(chain)
    assert fence.is_up()
    assert poster.step(chain, signers()) == 0
    assert not ChainTransaction.objects.exists()
