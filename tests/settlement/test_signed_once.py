"""What the approver signs once: nothing that the poster may write, nor one node's word, gets it signed again."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement import approver, packing, poster, signed
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.models import Approval, Batch, BatchMovement, ChainLog
from settlement.signer import demo_signer
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.world import MILLION, Client, debit, funded_client, move

pytestmark = pytest.mark.world(build=funded_client)


def test_poster_cannot_write_what_the_approver_trusts(chain: Chain, who: Client, as_role: Any) -> None:
    made = debit(who, MILLION)
    poster.step(chain, signers())
    asked = Approval.objects.get()
    tries = {
        "an amount": "UPDATE intermediary_chaininstruction SET amount_base_units = 2 WHERE id = %(made)s",
        "its target": "UPDATE intermediary_chaininstruction SET target_id = target_id WHERE id = %(made)s",
        "its entry": "UPDATE intermediary_chaininstruction SET entry_id = NULL WHERE id = %(made)s",
        "an instruction": "INSERT INTO intermediary_chaininstruction (id) SELECT id FROM intermediary_chaininstruction",
        "a posting": "INSERT INTO intermediary_posting SELECT * FROM intermediary_posting",
        "an entry": "INSERT INTO intermediary_journalentry SELECT * FROM intermediary_journalentry",
        "a vault": "UPDATE intermediary_chaintarget SET address = address",
        "an account": "UPDATE intermediary_account SET balance_base_units = 0",
        "a decision": "UPDATE intermediary_proposal SET state = 'APPROVED'",
        "a default": "UPDATE intermediary_defaultcase SET state = state",
        "the request": "UPDATE settlement_approval SET body = body WHERE id = %(asked)s",
        "the answer": "UPDATE settlement_approval SET signature = '0x00' WHERE id = %(asked)s",
        "where contracts are": "UPDATE settlement_deployment SET address = address",
        "a token": "UPDATE intermediary_asset SET token_address = ''",
        "what was sent": "UPDATE settlement_transactionattempt SET raw = '0x'",
        "what was signed": "INSERT INTO settlement_signedmovement SELECT * FROM settlement_signedmovement",
        "what a call is for": "UPDATE settlement_chaintransaction SET instruction_id = %(made)s",
        "what it says": "UPDATE settlement_chaintransaction SET data = '0x'",
        "the past": "DELETE FROM settlement_batchmovement",
    }
    with as_role("poster"):
        for what, statement in tries.items():
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                connection.cursor().execute(statement, {"made": made.id, "asked": asked.id})
                pytest.fail(f"the poster can write {what}")
    settle_all()


def test_nothing_is_recorded_as_signed_that_is_not_there(chain: Chain, who: Client, as_role: Any) -> None:
    made = debit(who, MILLION)
    poster.step(chain, signers())
    asked, nowhere = Approval.objects.get(), uuid7()
    with as_role("approver"):
        for approval_id, named in ((asked.id, [made.id, nowhere]), (nowhere, [made.id])):
            with pytest.raises(DatabaseError, match="signed_movements_exist"), transaction.atomic():
                signed.record(approval_id, named)
        signed.record(asked.id, [made.id])


def test_poster_that_calls_a_signed_movement_failed_does_not_get_it_signed_again(
    chain: Chain, who: Client, as_role: Any
) -> None:
    made = debit(who, MILLION)
    with as_role("poster"):
        poster.step(chain, signers())
    with as_role("approver"):
        assert approver.step(demo_signer("approver"), CHAIN_ID) == 1
    with as_role("poster"):  # all of it may be written under its login
        batch = Batch.objects.get()
        BatchMovement.objects.update(outcome="FAILED")
        Batch.objects.filter(id=batch.id).update(state="FINAL")
        ChainInstruction.objects.filter(id=made.id).update(state="DRAFT")
        assert packing.pack(batch.house, CHAIN_ID) is not None
    with as_role("approver"):
        assert approver.step(demo_signer("approver"), CHAIN_ID) == 0, "batch 1 may still move it"
    assert Approval.objects.get(signature="").refusal is None


@pytest.mark.parametrize("left_out", [1, 2])
def test_what_a_node_left_out_is_no_leave_to_sign_again(chain: Chain, who: Client, left_out: int) -> None:
    """Without its log nobody knows which batch took a number, nor what the head was after which the next one came."""
    for _ in range(2):
        made = debit(who, MILLION)
        settle_all()
    house = ChainTarget.objects.get(kind="HOUSE").address
    assert signed.twice(house, 3, [made.id]) == {str(made.id): "it was signed in batch 2 already"}
    assert signed.twice(house, 2, [made.id]) == {}, "the house takes a number once"
    gone = ChainLog.objects.get(name="BatchPosted", topics__1=f"0x{left_out:064x}")
    ChainLog.objects.filter(id=gone.id).update(name="")
    with pytest.raises(signed.NotYet):
        signed.twice(house, 3, [made.id])


@pytest.mark.parametrize("name", ["MovementFailed", "BatchPosted"])
def test_log_that_the_nodes_dispute_is_no_leave_to_sign_again(chain: Chain, who: Client, name: str) -> None:
    """A movement that failed may be signed again; that it did must not be one node's word."""
    made = move(who, ChainInstruction.Kind.CREDIT, AccountKind.FLOAT, AccountKind.CLIENT_MARGIN, 600 * MILLION)
    settle_all()
    house = ChainTarget.objects.get(kind="HOUSE").address
    assert signed.twice(house, 2, [made.id]) == {}
    ChainLog.objects.filter(name=name).update(refusal=f"{ChainLog.DISPUTED}: not shown by another")
    with pytest.raises(signed.NotYet):
        signed.twice(house, 2, [made.id])


def test_movement_that_stands_twice_in_a_batch_is_refused(chain: Chain, who: Client, as_role: Any) -> None:
    made = debit(who, MILLION)
    with as_role("poster"):
        packing.pack(ChainTarget.objects.get(kind="HOUSE"), CHAIN_ID)
        batch, first = Batch.objects.get(), BatchMovement.objects.get()
        BatchMovement.objects.create(
            batch=batch,
            position=1,
            instruction=made,
            vault=first.vault,
            contract_seq=first.contract_seq + 1,
            ref=first.ref,
            outcome="FAILED",
        )
    with as_role("approver"):
        approver.step(demo_signer("approver"), CHAIN_ID)
    assert Approval.objects.get().refusal == {str(made.id): "it stands in the batch twice"}
