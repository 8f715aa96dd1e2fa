"""A log that one node made up, or made other than it is, loses its place once every node says so: what is there instead
is booked, once, and nothing waits for what never was."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from intermediary.models import ChainInstruction
from settlement import approver, numbers, poster, reconcile
from settlement.bindings import topic
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import Batch, ChainLog, ReconciliationBreak
from settlement.queries import deposits_seen
from settlement.signed import NotYet
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_default_and_series import approved_notice, instruct
from tests.settlement.test_witnessed import Log, Mute, finalize, stopped
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, deposit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
NOTICED = topic("MarginVault", "DefaultNoticed")


class Lying(Chain):
    """A node that tells logs otherwise while it lies: `said` makes of each answer what it says instead."""

    lies = True

    def said(self, logs: list[Log]) -> list[Log]:
        """Deposits ten times as large, in their own places."""
        return [
            one | {"data": f"0x{10 * int(one['data'], 16):064x}"} if len(one["topics"]) == 3 else one for one in logs
        ]

    def answers(self, calls: Any) -> list[dict[str, Any]]:
        found = super().answers(calls)
        for (method, _), answer in zip(calls, found, strict=True):
            if method == "eth_getLogs" and self.lies:
                answer["result"] = self.said(answer["result"])
        return found


class TwiceNoticed(Lying):
    """It says of every default notice that there is a second one, under the vault's next number."""

    def said(self, logs: list[Log]) -> list[Log]:
        return logs + [_next(one) for one in logs if one["topics"][0] == NOTICED]


class Posted(Lying):
    """It says of every deposit that the house took its next batch beside it."""

    house, number, new_head = "", 0, ""

    def said(self, logs: list[Log]) -> list[Log]:
        return logs + [self._posted(one) for one in logs if len(one["topics"]) == 3]

    def _posted(self, log: Log) -> Log:
        topics = [topic("House", "BatchPosted"), f"0x{self.number:064x}", self.new_head]
        index = hex(int(log["logIndex"], 16) + 50)
        return log | {"address": self.house, "topics": topics, "data": "0x" + "00" * 64, "logIndex": index}


def _tenfold(log: Log) -> str:
    return f"0x{10 * int(log['data'], 16):064x}"


def _next(log: Log) -> Log:
    topics = [log["topics"][0], f"0x{int(log['topics'][1], 16) + 1:064x}", *log["topics"][2:]]
    return log | {"topics": topics, "logIndex": hex(int(log["logIndex"], 16) + 50)}


def denied() -> list[ChainLog]:
    return list(ChainLog.ever_said.filter(denied=True))


def breaks_of(log: ChainLog) -> list[bool]:
    """Each break of this log, and whether it is closed."""
    place = f"{log.name} {log.transaction_hash} {log.log_index}"
    found = ReconciliationBreak.objects.filter(place=place)
    return [one.resolved_block is not None for one in found]


def test_a_deposit_that_the_first_node_falsified_is_booked_as_it_is_when_all_nodes_tell_it_alike(
    chain: Chain, who: Client
) -> None:
    liar, witness = Lying(chain.url), Chain(chain.url)
    deposit(chain, who, MILLION)
    finalize(liar, witness)
    assert (held(who), len(stopped())) == (5 * MILLION, 1)
    liar.lies = False
    finalize(liar, witness)
    assert (held(who), stopped()) == (6 * MILLION, [])
    (falsified,) = denied()
    assert (falsified.applied, int(falsified.data, 16)) == (False, 10 * MILLION)
    assert falsified.refusal.startswith(ChainLog.DISPUTED)  # as it was first said, and by whom not
    true = ChainLog.objects.get(block=falsified.block_id, log_index=falsified.log_index)
    assert (true.applied, int(true.data, 16), true.cell) == (True, MILLION, who.cell)
    assert breaks_of(falsified) == [True]
    assert who.cell.id not in deposits_seen().coming
    assert not reconcile.outflow_is_stopped()
    finalize(liar, witness)
    assert held(who) == 6 * MILLION
    assert_reconciled()


def test_a_deposit_that_a_witness_falsifies_stays_where_it_is(chain: Chain, who: Client) -> None:
    witness = Lying(chain.url)
    deposit(chain, who, MILLION)
    finalize(chain, witness)
    assert (held(who), len(stopped())) == (5 * MILLION, 1)
    witness.lies = False
    finalize(chain, witness)
    assert (held(who), stopped(), denied()) == (6 * MILLION, [], [])


def test_while_one_node_is_silent_or_stands_by_it_a_log_keeps_its_place(chain: Chain, who: Client) -> None:
    liar, other, third = Lying(chain.url), Lying(chain.url), Mute(chain.url)
    third.asked, third.mute = [], False
    deposit(chain, who, MILLION)
    other.lies = False
    finalize(liar, other, third)
    liar.lies, third.mute = False, True
    finalize(liar, other, third)
    assert (held(who), denied()) == (5 * MILLION, [])
    other.lies, third.mute = True, False
    finalize(liar, other, third)
    assert (held(who), denied()) == (5 * MILLION, [])
    other.lies = False
    finalize(liar, other, third)
    assert (held(who), len(denied()), stopped()) == (6 * MILLION, 1, [])


def test_an_invented_notice_holds_up_its_vaults_claims_until_no_node_shows_it(chain: Chain, who: Client) -> None:
    liar, witness = TwiceNoticed(chain.url), Chain(chain.url)
    evidence = approved_notice(who).hash
    notice = instruct(who.vault, who, ChainInstruction.Kind.NOTICE, MILLION, evidence=evidence)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    poster.step(chain, signers())
    finalize(liar, witness)
    with pytest.raises(NotYet):
        numbers.off_claim(notice, "ab" * 32, 2)
    liar.lies = False
    finalize(liar, witness)
    (invented,) = denied()
    assert (invented.name, breaks_of(invented), stopped()) == ("DefaultNoticed", [True], [])
    assert numbers.off_claim(notice, "ab" * 32, 2) == ""
    notice.refresh_from_db()
    assert notice.state == "FINAL"
    finalize(liar, witness)
    assert_reconciled()


def test_a_batch_that_an_invented_log_showed_goes_out_when_no_node_shows_it(chain: Chain, who: Client) -> None:
    liar, witness = Posted(chain.url), Chain(chain.url)
    debit(who, MILLION)
    poster.step(chain, signers())
    batch = Batch.objects.get(state="PACKED")
    liar.house, liar.number, liar.new_head = batch.house.address, batch.number, batch.head
    deposit(chain, who, MILLION)
    finalize(liar, witness)
    batch.refresh_from_db()
    assert batch.state == "INCLUDED"  # seen, and not final
    liar.lies = False
    finalize(liar, witness)
    batch.refresh_from_db()
    assert (batch.state, len(denied())) == ("PACKED", 1)
    settle_all()
    batch.refresh_from_db()
    assert (batch.state, held(who)) == ("FINAL", 5 * MILLION)
    assert_reconciled()


def test_a_denied_log_is_never_booked(chain: Chain, who: Client) -> None:
    for _ in range(3):
        mine(chain)
    watch(chain)
    with pytest.raises(IntegrityError, match="denied_log_is_not_booked"), transaction.atomic():
        ChainLog.objects.filter(applied=True).update(denied=True)
