"""A fence that nothing takes down by itself, lifted by two people.

What a restored database cannot explain stays unexplained: it says what happened on chain, not why. Somebody who knows
(a second record of the desk, the other side of a payment) books it, and two people then say that this is all. They
decide on the very list that the last reading back found (`settlement.rebuild`); a new one needs a new decision. A count
that the chain is ahead by is no matter of opinion and is never lifted: the next look would put the fence up again.
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from intermediary import approvals, audit, events
from intermediary.errors import Refusal
from intermediary.models import Cell, Proposal
from settlement import chains
from settlement.models import Fence

KIND = Proposal.Kind.LIFT_FENCE


def propose(*, maker: User, fence_id: UUID, reason: str) -> Proposal:
    """Lay it before a second officer, with what keeps the fence up. Refuses `not_read_back`, `still_ahead`."""
    fence = _standing(fence_id)
    cell = Cell.objects.get(kind=Cell.Kind.HOUSE)
    return approvals.propose(maker=maker, kind=KIND, cell_id=cell.id, body=_body(fence), reason=reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Fence:
    """Take it down, if it is still what was decided on. Refuses `fence_has_changed`. The poster looks at the chain once
    more before it sends anything."""
    assert connection.in_atomic_block, "a decision belongs to a transaction"
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    body = approvals.body_of(proposal)
    known = Fence.objects.filter(lifted_by=proposal).first()
    if known is not None:
        return known
    fence = _standing(UUID(body["fence"]))
    if _body(fence) != body:
        raise Refusal("fence_has_changed", "Something else keeps the fence up by now: propose it again.")
    Fence.objects.filter(id=fence.id).update(lifted_at=Now(), lifted_by=proposal)
    audit.record(
        actor=checker.get_username(),
        action="fence.lifted",
        subject=fence.chain,
        proposal=proposal.hash,
        unexplained=body["unexplained"],
        differs=body["differs"],
    )
    events.notify(events.OUTBOX_CHANNEL)
    fence.refresh_from_db()
    return fence


def _standing(fence_id: UUID) -> Fence:
    fence = Fence.objects.select_for_update().filter(id=fence_id, lifted_at=None).first()
    if fence is None:
        raise Refusal("no_fence", "This fence does not stand any more.")
    if fence.looked_at is None or not fence.found:
        raise Refusal("not_read_back", "Run rebuild_from_chain first: it says what keeps the fence up.")
    if fence.found["ahead"]:
        raise Refusal(
            "still_ahead",
            f"The chain is still ahead of the database: {'; '.join(fence.found['ahead'])}. Read it back first.",
            ahead=fence.found["ahead"],
        )
    return fence


def _body(fence: Fence) -> dict[str, Any]:
    return {
        "fence": str(fence.id),
        "chain": fence.chain or chains.here(),
        "reason": fence.reason,
        "unexplained": fence.found["unexplained"],
        "differs": fence.found["differs"],
    }
