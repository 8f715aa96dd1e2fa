"""Logs of final blocks are booked when every node shows them: one node alone may say anything in a true block."""

from typing import Any

import pytest

from intermediary.models import ChainInstruction
from settlement import approver, poster, reconcile
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.models import ChainLog, ChainTransaction, ReconciliationBreak, Witnessed
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_default_and_series import approved_notice, instruct
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, deposit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
Log = dict[str, Any]


class Forgetful(Chain):
    """A node whose index of logs has none of this transaction's."""

    hidden = ""

    def answers(self, calls: Any) -> list[dict[str, Any]]:
        found = super().answers(calls)
        for (method, _), answer in zip(calls, found, strict=True):
            if method == "eth_getLogs":
                answer["result"] = [one for one in answer["result"] if one["transactionHash"] != self.hidden]
        return found


class Inventive(Chain):
    """A node that says every deposit it shows twice: once more in the same block, ten times as large."""

    def answers(self, calls: Any) -> list[dict[str, Any]]:
        found = super().answers(calls)
        for (method, _), answer in zip(calls, found, strict=True):
            if method == "eth_getLogs":
                answer["result"] += [_larger(one) for one in answer["result"] if len(one["topics"]) == 3]
        return found


def _larger(log: Log) -> Log:
    return log | {"data": f"0x{10 * int(log['data'], 16):064x}", "logIndex": hex(int(log["logIndex"], 16) + 50)}


def finalize(node: Chain, *witnesses: Chain) -> None:
    for _ in range(3):
        mine(node)
    watch(node, witnesses)


def stopped() -> list[str]:
    return list(
        ReconciliationBreak.objects.filter(resolved_block=None, kind="witnesses").values_list("place", flat=True)
    )


def test_a_deposit_that_only_the_first_node_shows_is_not_booked_and_stops_what_leaves(
    chain: Chain, who: Client
) -> None:
    liar = Inventive(chain.url)
    debit(who, MILLION)
    deposit(chain, who, MILLION)
    finalize(liar, Chain(chain.url))
    assert held(who) == 5 * MILLION  # five and one came, and one is in transit
    invented = ChainLog.objects.get(refusal__startswith=ChainLog.DISPUTED)
    assert (invented.applied, int(invented.data, 16)) == (False, 10 * MILLION)
    assert len(stopped()) == 1
    assert reconcile.outflow_is_stopped()
    assert poster.step(chain, signers()) == 0
    deposit(chain, who, 2 * MILLION)
    finalize(liar, Chain(chain.url))
    assert held(who) == 7 * MILLION  # deposits that all nodes show are booked meanwhile


def test_a_deposit_that_a_witness_does_not_show_yet_is_booked_when_it_does(chain: Chain, who: Client) -> None:
    witness = Forgetful(chain.url)
    witness.hidden = deposit(chain, who, MILLION)
    finalize(chain, witness)
    assert (held(who), len(stopped())) == (5 * MILLION, 1)
    witness.hidden = ""
    finalize(chain, witness)
    assert (held(who), stopped()) == (6 * MILLION, [])
    assert_reconciled()


def test_a_log_that_only_a_witness_shows_is_asked_of_the_first_node_again(chain: Chain, who: Client) -> None:
    first = Forgetful(chain.url)
    first.hidden = deposit(chain, who, MILLION)
    for _ in range(3):
        mine(chain)
    watch(first, [Chain(chain.url)])
    assert (held(who), len(stopped())) == (5 * MILLION, 1)
    first.hidden = ""
    finalize(first, Chain(chain.url))
    assert (held(who), stopped()) == (6 * MILLION, [])
    assert Witnessed.objects.get().block_number == chain.head_and_final()[1]


def test_what_was_booked_while_a_witness_was_silent_is_compared_when_it_answers(chain: Chain, who: Client) -> None:
    finalize(chain, Chain(chain.url))
    before = Witnessed.objects.get().block_number
    deposit(chain, who, MILLION)
    finalize(chain, Chain("http://127.0.0.1:9"))
    assert (held(who), Witnessed.objects.get().block_number) == (6 * MILLION, before)
    asked: list[str] = []

    class Listening(Chain):
        def answers(self, calls: Any) -> list[dict[str, Any]]:
            asked.extend(parameters[0]["fromBlock"] for method, parameters in calls if method == "eth_getLogs")
            return super().answers(calls)

    finalize(chain, Listening(chain.url))
    assert asked == [hex(before + 1)] * 2  # one batch of two calls, from the last block that was witnessed
    assert Witnessed.objects.get().block_number == chain.head_and_final()[1]


def test_that_a_call_left_no_log_is_believed_when_every_node_says_so(chain: Chain, who: Client) -> None:
    first = Forgetful(chain.url)
    finalize(first, Chain(chain.url))
    notice = instruct(who.vault, who, ChainInstruction.Kind.NOTICE, MILLION, evidence=approved_notice(who).hash)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    poster.step(chain, signers())
    sent = ChainTransaction.objects.get(instruction=notice)
    first.hidden = sent.attempts.get().hash
    mine(chain)
    poster.step(chain, signers())
    ChainTransaction.objects.filter(id=sent.id).update(
        succeeded=False
    )  # as a node says that lies about the receipt too
    finalize(first, Chain(chain.url))
    sent.refresh_from_db()
    notice.refresh_from_db()
    assert (sent.state, notice.state) == ("INCLUDED", "INCLUDED")  # not made again
    first.hidden = ""
    finalize(first, Chain(chain.url))
    sent.refresh_from_db()
    assert (sent.state, stopped()) == ("FINAL", [])
