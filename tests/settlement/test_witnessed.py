"""Logs of final blocks are booked when every node shows them: one node alone may say anything in a true block."""

from typing import Any

import pytest

from intermediary.models import ChainInstruction
from settlement import approver, poster, reconcile, views, witnessed
from settlement.backfill import backfill
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.models import ChainBlock, ChainLog, ChainTransaction, ReadBack, ReconciliationBreak, Witnessed
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.conftest import RoleSwitch
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


class Mute(Forgetful):
    """A node that answers for blocks, and while it is mute refuses every question about logs."""

    mute = True
    asked: list[int]  # how many blocks, question by question

    def answers(self, calls: Any) -> list[dict[str, Any]]:
        found = super().answers(calls)
        for (method, parameters), answer in zip(calls, found, strict=True):
            if method == "eth_getLogs":
                within = parameters[0]
                self.asked.append(int(within["toBlock"], 16) - int(within["fromBlock"], 16) + 1)
                if self.mute:
                    answer.pop("result")
                    answer["error"] = {"code": -32005, "message": "limit exceeded"}
        return found


class Rewriting(Chain):
    """A node that says the vault holds ten million more, and when asked for a range of blocks again shows a deposit of
    as much in one of them."""

    vault, token, like = "", "", dict[str, Any]()

    def answers(self, calls: Any) -> list[dict[str, Any]]:
        found = super().answers(calls)
        for (method, parameters), answer in zip(calls, found, strict=True):
            if method == "eth_getLogs" and "fromBlock" in parameters[0] and self.like:
                in_range = int(parameters[0]["fromBlock"], 16) <= int(self.like["blockNumber"], 16)
                is_arriving = len(parameters[0].get("topics", [])) == 3
                answer["result"] += [_larger(self.like)] if in_range and is_arriving else []
            if method == "eth_call" and "to" not in parameters[0] and self.like:
                answer["result"] = self._richer(parameters[0]["data"], answer["result"])
        return found

    def _richer(self, asked: str, said: str) -> str:
        """More in the word that answers for the vault's balance, of the many that `settlement.views` asks for."""
        listed, words = bytes.fromhex(asked[2:])[len(views._CODE) :], bytearray.fromhex(said[2:])
        for place in range(len(listed) // 56):
            entry = listed[place * 56 : place * 56 + 56]
            if entry[:20].hex() == self.token[2:].lower() and entry[36:56].hex() == self.vault[2:].lower():
                word = slice(1 + place * 33, 33 + place * 33)
                words[word] = (int.from_bytes(words[word], "big") + 10 * MILLION).to_bytes(32, "big")
        return "0x" + words.hex()


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


def mute(chain: Chain, *, hidden: str = "") -> Mute:
    made = Mute(chain.url)
    made.asked, made.hidden = [], hidden
    return made


def test_a_witness_that_falls_silent_settles_no_dispute(chain: Chain, who: Client) -> None:
    witness = mute(chain, hidden=deposit(chain, who, MILLION))
    witness.mute = False
    finalize(chain, witness)
    assert (held(who), len(stopped())) == (5 * MILLION, 1)
    witness.mute = True
    finalize(chain, witness)
    assert (held(who), len(stopped()), reconcile.outflow_is_stopped()) == (5 * MILLION, 1, True)
    deposit(chain, who, 2 * MILLION)
    finalize(chain, witness)
    assert (held(who), len(stopped())) == (7 * MILLION, 1)  # silence holds up nothing new
    witness.mute = False
    finalize(chain, witness)
    assert (held(who), len(stopped())) == (7 * MILLION, 1)  # it says the same as before
    witness.hidden = ""
    finalize(chain, witness)
    assert (held(who), stopped()) == (8 * MILLION, [])
    assert_reconciled()


def test_a_node_that_never_answers_for_logs_is_a_break_and_the_range_asked_for_is_bounded(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnessed, "BACKLOG_BLOCKS", 10)
    monkeypatch.setattr(witnessed, "SILENT_BLOCKS", 6)
    witness, answering = mute(chain), Chain(chain.url)
    witness.mute = False
    finalize(chain, witness, answering)
    witness.mute = True
    finalize(chain, witness, answering)
    assert stopped() == []  # a node may be restarted
    deposit(chain, who, MILLION)
    for _ in range(6):
        finalize(chain, witness, answering)
    assert (held(who), reconcile.outflow_is_stopped()) == (6 * MILLION, True)
    assert [place[:31] for place in stopped()] == ["answers about logs by node 2, 1"]
    witness.asked.clear()
    witness.mute = False
    final = chain.head_and_final()[1]
    while Witnessed.objects.get().block_number < final:
        finalize(chain, witness, answering)
    assert max(witness.asked) <= witnessed.BACKLOG_BLOCKS + 3  # the last time with those about to be booked
    assert stopped() == []
    assert_reconciled()


def test_what_is_read_again_is_booked_when_every_node_shows_it(chain: Chain, who: Client) -> None:
    """A first node says that more lies in the vault, and when its logs are asked for again, that it was paid in."""
    liar, witness = Rewriting(chain.url), Chain(chain.url)
    liar.vault, liar.token = who.vault.address, who.vault.asset.token_address
    finalize(liar, witness)
    sent = deposit(chain, who, MILLION)
    mine(chain)
    receipt = chain.receipts([sent])[0]
    assert receipt is not None
    liar.like = next(one for one in receipt["logs"] if len(one["topics"]) == 3)
    finalize(liar, witness)
    assert held(who) == 6 * MILLION
    invented = ChainLog.objects.get(refusal__startswith=ChainLog.DISPUTED)
    assert (invented.applied, int(invented.data, 16)) == (False, 10 * MILLION)
    assert Witnessed.objects.get().block_number >= ChainBlock.objects.get(logs=invented).number
    finalize(liar, witness)
    assert (held(who), len(stopped())) == (6 * MILLION, 1)
    liar.like = {}
    finalize(liar, witness)
    assert (held(who), stopped()) == (6 * MILLION, [])  # all nodes agree: there is no such log
    invented.refresh_from_db()
    assert (invented.applied, invented.denied) == (False, True)


@pytest.mark.parametrize("is_invented", [True, False])
def test_deposits_of_before_a_vault_was_recorded_are_booked_when_every_node_shows_them(
    chain: Chain, who: Client, is_invented: bool, as_role: RoleSwitch
) -> None:
    finalize(chain, Chain(chain.url))
    deposit(chain, who, MILLION)
    finalize(chain, Chain(chain.url))
    with as_role("owner"):  # as if the vault were recorded only now
        ChainLog.objects.filter(block__number__gt=Witnessed.objects.get().block_number - 3).delete()
        ReadBack.objects.all().delete()
    first = Inventive(chain.url) if is_invented else chain
    finalize(first, Chain("http://127.0.0.1:9"))
    waiting = ChainLog.objects.filter(refusal__startswith=ChainLog.DISPUTED)
    assert {int(row.data, 16) // MILLION for row in waiting} == ({1, 10, 50} if is_invented else {1})
    finalize(first, Chain(chain.url))
    assert {int(row.data, 16) // MILLION for row in waiting.all()} == ({10, 50} if is_invented else set())
    assert (held(who), len(stopped())) == (6 * MILLION, is_invented)


def test_a_log_that_one_witness_invents_is_not_booked_by_reading_again(chain: Chain, who: Client) -> None:
    finalize(chain, Chain(chain.url))
    deposit(chain, who, MILLION)
    finalize(chain, Chain(chain.url))
    made = backfill(chain, [Inventive(chain.url)], 0)
    assert [row.applied for row in made.found] == [False] * len(made.found)
    assert made.found
    assert held(who) == 6 * MILLION
    finalize(chain, Inventive(chain.url))
    assert (held(who), len(stopped())) == (6 * MILLION, 1)
    finalize(chain, Chain(chain.url))
    assert (held(who), stopped()) == (6 * MILLION, [])
    assert not ChainLog.objects.filter(refusal__startswith=ChainLog.DISPUTED).exists()
    assert ChainLog.ever_said.filter(denied=True).count() == len(made.found)
