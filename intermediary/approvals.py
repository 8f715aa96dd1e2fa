"""Two pairs of eyes (D11): somebody proposes exactly what is to happen, somebody else decides on exactly that.

A decision names the hash of the body that the checker saw. The database enforces the same rules by itself (maker is
not checker, bound hash, once, in time, nobody of the client); what it refuses comes back as a named refusal.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from intermediary import access, audit, clock
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import BadInput, Refusal
from intermediary.models import CommandRequest, Proposal

TIME_TO_DECIDE = timedelta(hours=48)  # an older proposal was made on another day's numbers

# What the database says, and what that means to a person.
DATABASE_RULES = {
    "maker_is_not_checker": "Whoever proposed this cannot decide on it.",
    "proposal_not_by_the_client": "A person who acts for the client takes no part in decisions on it.",
    "proposal_expired": "The time to decide on this proposal is over.",
    "proposal_decided_once": "This proposal is decided already.",
    "proposal_is_fixed": "A proposal cannot be altered; make a new one.",
    "approval_binds_the_hash": "This is not the proposal that you saw.",
    "decision_has_checker_and_reason": "A decision has a person and a reason.",
}


def propose(
    *,
    maker: User,
    kind: Proposal.Kind,
    cell_id: UUID,
    body: dict[str, Any],
    reason: str,
    time_to_decide: timedelta = TIME_TO_DECIDE,
) -> Proposal:
    """Lay a decision before a second officer. `body` says all that would happen: no floats, it is hashed."""
    assert connection.in_atomic_block, "a proposal belongs to a transaction"
    access.require_officer(maker)
    if not reason.strip():
        raise BadInput("reason_missing", "Say why.")
    text = canonical_json(body)
    with _database_refusals():
        proposal = Proposal.objects.create(
            kind=kind,
            cell_id=cell_id,
            body=text,
            hash=sha256_hex(text),
            maker=maker,
            reason=reason,
            expires_at=clock.now() + time_to_decide,
        )
    audit.record(actor=maker.get_username(), action=f"{kind.lower()}.propose", subject=proposal.id, hash=proposal.hash)
    return proposal


def decide(
    *, checker: User, proposal_id: UUID, kind: Proposal.Kind, seen_hash: str, approve: bool, reason: str
) -> Proposal:
    """Approve or reject what the checker saw. The same decision by the same person again is harmless."""
    assert connection.in_atomic_block, "a decision belongs to a transaction"
    access.require_officer(checker)
    proposal = Proposal.objects.select_for_update().filter(id=proposal_id, kind=kind).first()
    if proposal is None:
        raise access.not_found()
    state = Proposal.State.APPROVED if approve else Proposal.State.REJECTED
    if (proposal.state, proposal.checker_id, proposal.hash) == (state, checker.pk, seen_hash):
        return proposal
    if proposal.state != Proposal.State.PROPOSED:
        raise _refusal("proposal_decided_once", state=proposal.state)
    if proposal.hash != seen_hash:
        raise _refusal("approval_binds_the_hash", hash=proposal.hash, seen_hash=seen_hash)
    if proposal.maker_id == checker.pk:
        raise _refusal("maker_is_not_checker")
    if not reason.strip():
        raise BadInput("reason_missing", "Say why.")
    proposal.state, proposal.checker, proposal.approved_hash = state, checker, seen_hash if approve else ""
    proposal.decided_at, proposal.decision_reason = clock.now(), reason
    with _database_refusals():
        proposal.save(update_fields=["state", "checker", "approved_hash", "decided_at", "decision_reason"])
    audit.record(
        actor=checker.get_username(), action=f"{kind.lower()}.{state.lower()}", subject=proposal.id, hash=seen_hash
    )
    return proposal


def approve(*, checker: User, proposal_id: UUID, kind: Proposal.Kind, seen_hash: str, reason: str) -> Proposal:
    """Approve exactly the proposal with this hash."""
    return decide(checker=checker, proposal_id=proposal_id, kind=kind, seen_hash=seen_hash, approve=True, reason=reason)


def reject(*, checker: User, proposal_id: UUID, kind: Proposal.Kind, seen_hash: str, reason: str) -> Proposal:
    """Reject exactly the proposal with this hash."""
    return decide(
        checker=checker, proposal_id=proposal_id, kind=kind, seen_hash=seen_hash, approve=False, reason=reason
    )


def decision_of(request: CommandRequest) -> dict[str, Any]:
    """Who decides on which proposal, as seen and why: what the command that carries out this wish asks for."""
    return {
        "checker": request.user,
        "proposal_id": UUID(request.body["proposal_id"]),
        "seen_hash": request.body["seen_hash"],
        "reason": request.body["reason"],
    }


def body_of(proposal: Proposal) -> dict[str, Any]:
    """The proposed body as a JSON value."""
    body: dict[str, Any] = json.loads(proposal.body)
    return body


def lapse_due(now: datetime) -> int:
    """Proposals that nobody decided on in time lapse; how many."""
    waiting = Proposal.objects.filter(state=Proposal.State.PROPOSED, expires_at__lt=now)
    return waiting.update(state=Proposal.State.LAPSED)


@contextmanager
def _database_refusals() -> Iterator[None]:
    """What the database refuses by a rule of ours becomes a named refusal; the caller's transaction lives on."""
    try:
        with transaction.atomic():
            yield
    except DatabaseError as error:
        for code in DATABASE_RULES:
            if code in str(error):
                raise _refusal(code) from error
        raise


def _refusal(code: str, **data: Any) -> Refusal:
    return Refusal(code, DATABASE_RULES[code], **data)
