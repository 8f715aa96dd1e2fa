"""A sale goes by what every node shows: one node's word books no payment, and for its silence nobody has failed."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from bonds.models import NotePayment, Offering
from intermediary.config import note_sale
from intermediary.errors import Refusal
from settlement import series as on_chain
from settlement.bindings import topic
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import mint_tokens
from settlement.models import ChainLog
from tests.bonds.test_issue_on_chain import chain as chain  # a fixture
from tests.bonds.test_issue_on_chain import clients as clients  # a fixture
from tests.bonds.test_issue_on_chain import world_of_opposite_books
from tests.bonds.test_sale_on_chain import WALLETS, allocated, allocations, may_subscribe, pay
from tests.bonds.world import MILLION
from tests.settlement import world as chain_world
from tests.settlement.test_denied_logs import Lying
from tests.settlement.test_late_subscriptions import Subscribing, WithoutSubscriptions
from tests.settlement.test_witnessed import Log, finalize

pytestmark = pytest.mark.world(build=world_of_opposite_books)
ALLOTTED = topic("SeriesEscrow", "Allotted")


class Allotting(Lying):
    """A node that says of every allotment that b was allotted two million beside it."""

    def said(self, logs: list[Log]) -> list[Log]:
        return logs + [self._allotted(one) for one in logs if one["topics"][0] == ALLOTTED]

    def call(self, method: str, *parameters: Any) -> Any:
        return self.batch([(method, list(parameters))])[0]

    def _allotted(self, log: Log) -> Log:
        topics = [*log["topics"][:2], "0x" + WALLETS["b"].address[2:].lower().rjust(64, "0")]
        return log | {
            "topics": topics,
            "data": f"0x{2 * MILLION:064x}",
            "logIndex": hex(int(log["logIndex"], 16) + 50),
        }


def allot(chain: Chain, units: int, *names: str) -> None:
    escrow = Offering.objects.select_related("series").get().series.escrow_address
    units_of = {WALLETS[name].address: units for name in names}
    on_chain.allot(chain=chain, escrow=escrow, tranche=0, units_of=units_of, mine=mine)


def over(offering: Offering) -> datetime:
    """When the time to pay for it is over."""
    offering.refresh_from_db()
    assert offering.pays_until is not None
    return offering.pays_until + timedelta(seconds=1)


def test_a_subscription_that_one_node_makes_up_is_no_payment(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients)
    liar, honest = Subscribing(chain.url), Chain(chain.url)
    liar.escrow = Offering.objects.select_related("series").get().series.escrow_address
    mint_tokens(chain=chain, asset="USDC", to=WALLETS["b"].address, amount_base_units=2 * MILLION, mine=mine)
    chain_world.transfer(chain, WALLETS["b"], liar.escrow, 2 * MILLION)
    finalize(liar, honest)
    offering = Offering.objects.select_related("series").get()
    assert ChainLog.objects.filter(name="Subscribed", refusal__startswith=ChainLog.DISPUTED).exists()
    assert (note_sale.book_payments(offering), NotePayment.objects.count()) == (1, 0)
    liar.lies = False
    finalize(liar, honest)
    assert (note_sale.book_payments(offering), NotePayment.objects.count()) == (0, 0)


def test_nobody_fails_over_an_allotment_that_one_node_makes_up(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients, steps=1)
    liar, honest = Allotting(chain.url), Chain(chain.url)
    allot(chain, 6 * MILLION, "a")
    finalize(liar, honest)
    note_sale.step(chain, offering, mine)
    assert [may_subscribe(chain, offering, name) for name in "bc"] == [0, 2 * MILLION], "not twice, if it is one"
    overdue = over(offering)
    finalize(liar, honest)
    with pytest.raises(Refusal, match="allotments_disputed"):
        note_sale.step(chain, offering, mine, overdue)
    assert allocations()["b", 1][2] == "DUE"
    liar.lies = False
    finalize(liar, honest)
    note_sale.step(chain, offering, mine, overdue)
    note_sale.step(chain, offering, mine)
    assert [may_subscribe(chain, offering, name) for name in "ab"] == [6 * MILLION, 2 * MILLION]
    assert allocations()["b", 1][2] == "DUE"


def test_nobody_fails_over_an_allotment_that_is_not_final(chain: Chain, clients: list[chain_world.Client]) -> None:
    """One node may say anything of its newest blocks."""
    offering = allocated(chain, clients, steps=1)
    for units in (2 * MILLION, 0):
        allot(chain, units, "a", "c", "d")
    finalize(chain)
    allot(chain, 0, "a")
    note_sale.step(Allotting(chain.url), offering, mine, over(offering))
    assert allocations()["b", 1][2] == "DUE"


def test_nobody_fails_while_a_node_does_not_show_its_payment(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients)
    witness = WithoutSubscriptions(chain.url)
    finalize(chain, witness)
    pay(chain, offering, "a", 6 * MILLION)
    finalize(chain, witness)
    overdue = over(offering)
    note_sale.step(chain, offering, mine, overdue)  # takes back what is unpaid
    finalize(chain, witness)
    with pytest.raises(Refusal, match="payments_not_booked"):
        note_sale.step(chain, offering, mine, overdue)
    assert (allocations()["a", 1][2], NotePayment.objects.count()) == ("DUE", 0)
    witness.lies = False
    finalize(chain, witness)
    note_sale.step(chain, offering, mine, overdue)
    assert allocations()["a", 1] == (6 * MILLION, 6 * MILLION, "PAID")
    assert allocations()["b", 1][2] == "FAILED"
