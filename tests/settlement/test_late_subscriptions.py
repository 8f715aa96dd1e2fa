"""A subscription that a node left out, or made up: what its subscriber paid counts as paid, and a stranger's tokens as
a stranger's, whenever that becomes known."""

from importlib import import_module

import pytest
from django.db import connection

from intermediary.models import AccountKind
from settlement.backfill import backfill
from settlement.bindings import topic
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import ChainLog, Stray
from settlement.series import close_offering, subscribe
from tests.people import as_owner
from tests.settlement.test_denied_logs import Lying
from tests.settlement.test_strays import offered, strange
from tests.settlement.test_witnessed import Log, finalize, stopped
from tests.settlement.world import MILLION, Client, assert_reconciled, funded_client, held, transfer

pytestmark = pytest.mark.world(build=funded_client)
SUBSCRIBED = topic("SeriesEscrow", "Subscribed")


class WithoutSubscriptions(Lying):
    """A node whose index of logs has no subscription."""

    def said(self, logs: list[Log]) -> list[Log]:
        return [one for one in logs if one["topics"][0] != SUBSCRIBED]


class Subscribing(Lying):
    """A node that says of every transfer to the escrow that it pays a subscription."""

    escrow = ""

    def said(self, logs: list[Log]) -> list[Log]:
        to = "0x" + self.escrow[2:].lower().rjust(64, "0")
        return logs + [self._subscribed(one) for one in logs if len(one["topics"]) == 3 and one["topics"][2] == to]

    def _subscribed(self, log: Log) -> Log:
        topics = [SUBSCRIBED, "0x" + "00" * 32, log["topics"][1]]
        return log | {"address": self.escrow, "topics": topics, "logIndex": hex(int(log["logIndex"], 16) + 50)}


def strays() -> list[int]:
    return list(Stray.objects.order_by("id").values_list("amount_base_units", flat=True))


def paid(chain: Chain, who: Client) -> str:
    """A subscriber pays for everything that is offered; the escrow."""
    escrow, investor = offered(chain, who)
    subscribe(chain=chain, escrow=escrow, investor=investor, tranche=0, units=2 * MILLION, mine=mine)
    return escrow


def test_a_payment_whose_subscription_a_node_left_out_is_no_stray_once_it_is_read(chain: Chain, who: Client) -> None:
    first = WithoutSubscriptions(chain.url)
    escrow = paid(chain, who)
    settle_all(chain=first)
    strange(chain, escrow, 7)
    settle_all(chain=first)
    assert strays() == [2 * MILLION, 7]
    first.lies = False
    backfill(first, [], 0)
    assert strays() == [2 * MILLION, 7, -2 * MILLION]
    close_offering(chain=chain, escrow=escrow, mine=mine)
    settle_all(chain=first)
    assert (held(who, AccountKind.ESCROW), strays()) == (2 * MILLION, [2 * MILLION, 7, -2 * MILLION])
    assert_reconciled()


def test_of_payments_alike_as_many_are_strays_as_nobody_subscribed(chain: Chain, who: Client) -> None:
    first = WithoutSubscriptions(chain.url)
    escrow, investor = offered(chain, who)
    subscribe(chain=chain, escrow=escrow, investor=investor, tranche=0, units=2 * MILLION, mine=mine)
    transfer(chain, investor, escrow, 2 * MILLION)
    settle_all(chain=first)
    first.lies = False
    backfill(first, [], 0)
    assert strays() == [2 * MILLION, 2 * MILLION, -2 * MILLION]
    backfill(first, [], 0)
    assert sum(strays()) == 2 * MILLION


@pytest.mark.parametrize("is_first", [True, False])
def test_a_subscription_that_one_node_makes_up_pays_for_nothing(chain: Chain, who: Client, is_first: bool) -> None:
    liar, honest = Subscribing(chain.url), Chain(chain.url)
    escrow, _ = offered(chain, who)
    liar.escrow = escrow
    strange(chain, escrow, 7)
    nodes = (liar, honest) if is_first else (honest, liar)
    finalize(*nodes)
    assert (strays(), len(stopped())) == ([7], 1)
    liar.lies = False
    finalize(*nodes)
    assert (strays(), stopped()) == ([7], [])


def test_a_subscription_that_a_witness_shows_late_takes_its_payment_out_of_strays(chain: Chain, who: Client) -> None:
    witness = WithoutSubscriptions(chain.url)
    paid(chain, who)
    finalize(chain, witness)
    assert (strays(), len(stopped())) == ([2 * MILLION], 1)
    witness.lies = False
    finalize(chain, witness)
    assert (strays(), stopped()) == ([2 * MILLION, -2 * MILLION], [])


def test_subscriptions_that_became_known_before_are_looked_at_by_the_migration(chain: Chain, who: Client) -> None:
    first = WithoutSubscriptions(chain.url)
    paid(chain, who)
    settle_all(chain=first)
    first.lies = False
    backfill(first, [], 0)
    with as_owner(), connection.cursor() as cursor:
        Stray.objects.filter(amount_base_units__lt=0).delete()
        cursor.execute(import_module("settlement.migrations.0031_subscribed_strays").AGAIN)
    assert ChainLog.objects.filter(name="Subscribed", applied=False).exists()
    settle_all(chain=first)
    assert strays() == [2 * MILLION, -2 * MILLION]
