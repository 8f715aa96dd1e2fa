"""A sale goes by what every node shows: one node's word books no payment, and for its silence nobody has failed."""

from datetime import timedelta

import pytest

from bonds.models import NotePayment, Offering
from intermediary.config import note_sale
from intermediary.errors import Refusal
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import mint_tokens
from settlement.models import ChainLog
from tests.bonds.test_issue_on_chain import chain as chain  # a fixture
from tests.bonds.test_issue_on_chain import clients as clients  # a fixture
from tests.bonds.test_issue_on_chain import world_of_opposite_books
from tests.bonds.test_sale_on_chain import WALLETS, allocated, allocations, pay
from tests.bonds.world import MILLION
from tests.settlement import world as chain_world
from tests.settlement.test_late_subscriptions import Subscribing, WithoutSubscriptions
from tests.settlement.test_witnessed import finalize

pytestmark = pytest.mark.world(build=world_of_opposite_books)


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


def test_nobody_fails_while_a_node_does_not_show_its_payment(chain: Chain, clients: list[chain_world.Client]) -> None:
    offering = allocated(chain, clients)
    witness = WithoutSubscriptions(chain.url)
    finalize(chain, witness)
    pay(chain, offering, "a", 6 * MILLION)
    finalize(chain, witness)
    offering.refresh_from_db()
    overdue = offering.pays_until + timedelta(seconds=1)
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
