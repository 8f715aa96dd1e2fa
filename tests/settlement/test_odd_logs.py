"""Final events that nothing here stands behind: each is kept with its reason and shows; none stops the watcher."""

import pytest
from django.db import transaction

from intermediary import outbox
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction
from settlement import arrivals, closed, finality
from settlement.bindings import topic
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.models import ChainBlock, ChainLog, ChainSender, ChainTransaction, ReconciliationBreak
from settlement.signer import demo_signer
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.settlement.test_default_and_series import approved_notice
from tests.settlement.world import MILLION, Client, client, deposit, funded_client, held, pass_time

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind
PAYLOAD_OF_A_CURE_BY_NOTHING = "0x" + "00" * 32


def test_a_seizure_that_was_not_sent_from_here_is_a_break_and_stops_no_deposit(chain: Chain, who: Client) -> None:
    seized, other = who, client(chain, "M", 1)
    with transaction.atomic():
        outbox.instruct(
            target=seized.vault,
            cell_id=seized.cell.id,
            kind=Kind.NOTICE,
            amount_base_units=4 * MILLION,
            evidence=approved_notice(seized).hash,
        )
    settle_all()
    pass_time(chain, seized.terms.cure_minutes * 60)
    by_hand = Transactor(chain, demo_signer("operator"), mine)
    by_hand.call(address_of("House", "USDC"), "House", "seize", seized.vault.address)
    by_hand.wait()
    deposit(chain, other, MILLION)
    for _ in range(4):
        mine(chain)
        watch(chain)
    assert held(other) == MILLION
    assert ChainLog.objects.get(name="Seized").refusal.startswith("missing_in_ledger")
    assert ReconciliationBreak.objects.filter(kind="missing_in_ledger", cell=seized.cell, resolved_block=None).exists()


def test_a_log_whose_handler_breaks_is_kept_with_the_reason_and_tried_again(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit(chain, who, MILLION)
    with monkeypatch.context() as patched:
        patched.setattr("settlement.finality.credit_deposit", odd)
        for _ in range(3):
            mine(chain)
            watch(chain)
        assert "KeyError" in ChainLog.objects.get(name="Transfer", cell=who.cell, applied=False).refusal
        assert held(who) == 5 * MILLION
    settle_all()
    assert held(who) == 6 * MILLION


def test_what_another_process_booked_meanwhile_stays_booked(chain: Chain, who: Client) -> None:
    """A backfill beside the watcher: both have read that the client took everything out, and one has booked it."""
    wallet = Transactor(chain, who.key, mine)
    wallet.call(who.vault.address, "MarginVault", "requestWithdraw", 5 * MILLION)
    wallet.wait()
    pass_time(chain, who.terms.answer_minutes * 60)
    wallet.call(who.vault.address, "MarginVault", "withdraw")
    wallet.wait()
    watch(chain)
    read_before = arrivals.seen(ChainLog.objects.filter(applied=False))
    settle_all()
    finality._apply_all(read_before)
    assert held(who) == 0
    booked = ChainLog.objects.get(name="Withdrawn")
    assert (booked.applied, booked.refusal) == (True, "")


def test_reverted_call_is_made_ready_again_once_by_two_processes(chain: Chain, who: Client) -> None:
    """The slower one must not undo that the call is on its way anew: it would go out twice."""
    made = ChainInstruction.objects.create(
        target=who.targets["RETENTION"], cell=who.cell, kind=Kind.APPLY, seq=1, amount_base_units=0, state="BATCHED"
    )
    key = ChainSender.objects.create(address="0x" + "11" * 20, role="operator")
    found = ChainTransaction.objects.create(
        sender=key, nonce=0, instruction=made, to=made.target.address, data="0x", gas_limit=1, state="INCLUDED",
        succeeded=False,
    )  # fmt: skip
    read_before = ChainTransaction.objects.get(id=found.id)
    closed.close(found)
    assert ChainInstruction.objects.get(id=made.id).state == "DRAFT"
    ChainInstruction.objects.filter(id=made.id).update(state="BATCHED")
    closed.close(read_before)
    assert ChainInstruction.objects.get(id=made.id).state == "BATCHED"


def test_transaction_of_another_contract_makes_no_instruction_final(chain: Chain, who: Client) -> None:
    """Whoever holds the poster's login may say what a transaction was for."""
    retention = who.targets["RETENTION"]
    made = ChainInstruction.objects.create(
        target=retention, cell=who.cell, kind=Kind.FUND, seq=1, amount_base_units=0, state="BATCHED"
    )
    key = ChainSender.objects.create(address="0x" + "11" * 20, role="operator")
    said = ChainTransaction.objects.create(
        sender=key, nonce=0, instruction=made, to=retention.address, data="0x", gas_limit=1, state="SENT"
    )
    said.attempts.create(hash=deposit(chain, who, MILLION), raw="0x", max_fee_wei=1, priority_fee_wei=1)
    for _ in range(3):
        mine(chain)
        watch(chain)
    assert held(who) == 6 * MILLION
    said.refresh_from_db()
    assert (said.state, ChainInstruction.objects.get(id=made.id).state) == ("SENT", "BATCHED")


class Lagging(Chain):
    """A node that calls less final than others do."""

    final = 0

    def head_and_final(self) -> tuple[int, int]:
        return super().head_and_final()[0], self.final


def test_what_one_node_alone_calls_final_is_not_booked(chain: Chain, who: Client) -> None:
    lagging, silent = Lagging(chain.url), Chain("http://127.0.0.1:9")
    lagging.final = chain.head()
    deposit(chain, who, MILLION)
    for _ in range(3):
        mine(chain)
    assert watch(chain, [silent, lagging]).finalized == lagging.final
    assert held(who) == 5 * MILLION
    lagging.final = chain.head()
    watch(chain, [silent, lagging])
    assert held(who) == 6 * MILLION


def odd(**_: object) -> None:
    raise KeyError("nobody thought of this")


def test_a_cure_by_nothing_moves_nothing_and_is_done_with(who: Client) -> None:
    settle_all()
    block = ChainBlock.objects.filter(canonical=True).latest("number")
    row = ChainLog.objects.create(
        block=block,
        block_hash=block.hash,
        log_index=99,
        transaction_hash="0x" + uuid7().hex * 2,
        address=who.vault.address,
        topics=[topic("MarginVault", "Cured"), "0x" + "00" * 31 + "01"],
        data=PAYLOAD_OF_A_CURE_BY_NOTHING,
        name="Cured",
        cell=who.cell,
    )
    settle_all()
    row.refresh_from_db()
    assert (row.applied, row.refusal) == (True, "")
    assert held(who, AccountKind.HOUSE) == 0
