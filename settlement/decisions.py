"""What two people decide about an instruction that does not get on chain: try it again, or let it fail.

Three kinds wait for that: a single call that the chain refuses for good (`settlement.holding`), a movement that the
approver refused, and a movement of a signed batch that the chain does not take. Each shows as a break until then. A
signature stays good until its number is used. So a movement of a signed batch is taken out of it first, by one
decision, and its tokens stay in transit; it fails by a second one, when another batch of that number is final.
Nothing here can send anything: what is tried again is derived, approved and checked like any other.
"""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from intermediary import approvals, audit, events, ledger, outbox
from intermediary.errors import Refusal
from intermediary.models import ChainInstruction, Proposal
from settlement import holding, packing
from settlement.models import BatchMovement, HeldCall

Kind, State, Outcome = ChainInstruction.Kind, ChainInstruction.State, BatchMovement.Outcome
AGAIN, FAIL = "again", "fail"
# Books stand on these already (a layer's loss, a slice's act): they are to be made possible and tried again.
NEVER_FAIL = frozenset(
    {Kind.APPLY, Kind.RESTORE, Kind.NOTICE_LOSS, Kind.APPLY_LOSS, Kind.WRITE_UP, Kind.COUPON, Kind.REPAY}
)


def propose(*, maker: User, instruction_id: UUID, act: str, reason: str) -> Proposal:
    """Lay one of the two before a second officer. Refuses `nothing_to_decide`, `must_be_tried_again`,
    `still_postable`."""
    instruction = ChainInstruction.objects.get(id=instruction_id)
    _refuse_unless_open(instruction, act)
    body = {
        "instruction": str(instruction.id),
        "what": instruction.get_kind_display(),
        "amount_base_units": str(instruction.amount_base_units),
        "act": act,
    }
    kind = Proposal.Kind.CHAIN_CALL
    return approvals.propose(maker=maker, kind=kind, cell_id=instruction.cell_id, body=body, reason=reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> ChainInstruction:
    """Do what was proposed, if it is still to be decided."""
    assert connection.in_atomic_block, "a decision belongs to a transaction"
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=Proposal.Kind.CHAIN_CALL, seen_hash=seen_hash, reason=reason
    )
    body = approvals.body_of(proposal)
    ledger.lock_cells([proposal.cell_id])
    instruction = ChainInstruction.objects.select_for_update().get(id=UUID(body["instruction"]))
    _refuse_unless_open(instruction, body["act"])
    failure = f"given up: {reason}"[:200] if body["act"] == FAIL else ""
    _carry_out(instruction, failure)
    audit.record(actor=checker.get_username(), action=f"chain_call.{body['act']}", subject=instruction.id)
    events.notify(events.OUTBOX_CHANNEL)
    return instruction


def waiting() -> QuerySet[ChainInstruction]:
    """Every instruction that waits for two people, oldest first."""
    live = BatchMovement.objects.filter(instruction=OuterRef("pk"), is_live=True)
    refused = Q(is_open=True, state=State.BATCHED, kind__in=packing.MOVEMENTS) & ~Exists(live)
    held = Q(id__in=holding.for_a_person().values("instruction"))
    stuck = Q(id__in=_in_stuck_batches().values("instruction"))
    found = ChainInstruction.objects.filter(refused | held | stuck).select_related("cell", "target__asset", "held")
    return found.order_by("recorded_at", "id")


def why(instruction: ChainInstruction) -> str:
    """What the chain, a node or the approver said last."""
    if instruction.state == State.DRAFT:
        return instruction.held.reason
    last = instruction.movements.select_related("batch").latest("id")
    return last.reason or last.batch.refusal


def _refuse_unless_open(instruction: ChainInstruction, act: str) -> None:
    if not waiting().contains(instruction):
        raise Refusal("nothing_to_decide", "This instruction does not wait for a decision.", state=instruction.state)
    if act not in (AGAIN, FAIL) or (act == FAIL and instruction.kind in NEVER_FAIL):
        raise Refusal("must_be_tried_again", "The books stand on this: make it possible, then try it again.")
    if act == FAIL and not _in_stuck_batches().filter(instruction=instruction).exists():
        signed = packing.still_postable(instruction.id)
        if signed is not None:
            number = signed.number
            raise Refusal(
                "still_postable",
                f"It is signed in a batch {number}, and can fail once another batch {number} is final.",
                batch=number,
            )


def _in_stuck_batches() -> QuerySet[BatchMovement]:
    return BatchMovement.objects.filter(batch__in=holding.stuck_batches())


def _carry_out(instruction: ChainInstruction, failure: str) -> None:
    if instruction.state == State.DRAFT:
        HeldCall.objects.filter(instruction=instruction).update(
            given_up=False, tries=0, reason="", next_try_at=Now(), released_at=Now()
        )
        if not failure:
            return
        ChainInstruction.objects.filter(id=instruction.id).update(state=State.BATCHED)
    stuck = holding.stuck_batches().filter(movements__instruction=instruction).select_related("house").first()
    if stuck is not None:
        taken_out = f"taken out of signed batch {stuck.number}: can fail once another batch {stuck.number} is final"
        if not packing.take_apart(stuck, {str(instruction.id): taken_out} if failure else {}):
            raise Refusal("batch_has_gone_out", "The chain has taken this batch meanwhile.", batch=stuck.number)
        return
    if failure:
        outbox.mark_failed(instruction.id, failure=failure)
    else:
        ChainInstruction.objects.filter(id=instruction.id).update(state=State.DRAFT)
