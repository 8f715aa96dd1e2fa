"""Drafts of series between officers: given up, turned down, open again. What judges them is in `structuring`; this
file loads no numeric library, so that a clock may use it."""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from bonds.models import SeriesDraft
from intermediary import access, approvals, audit
from intermediary.errors import NotAllowed, Refusal
from intermediary.models import Proposal

State = SeriesDraft.State
KIND = Proposal.Kind.SERIES


def drop_draft(*, maker: User, draft_id: UUID) -> SeriesDraft:
    """Give up an open draft; its code is free again."""
    access.require_officer(maker)
    draft = locked(draft_id, State.DRAFT)
    draft.state = State.DROPPED
    draft.save(update_fields=["state"])
    audit.record(actor=maker.get_username(), action="series_draft_dropped", subject=draft.code)
    return draft


def reject_series(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> SeriesDraft:
    """Turn proposed terms down; the draft is open again."""
    access.require_officer(checker)
    approvals.reject(checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason)
    return _reopen(SeriesDraft.objects.select_for_update(of=("self",)).get(proposal_id=proposal_id))


def reopen_lapsed() -> int:
    """Drafts whose proposal nobody decided on in time are open again; how many."""
    lapsed = SeriesDraft.objects.filter(state=State.PROPOSED, proposal__state=Proposal.State.LAPSED)
    return len([_reopen(draft) for draft in lapsed.select_for_update(of=("self",))])


def locked(draft_id: UUID, *states: SeriesDraft.State) -> SeriesDraft:
    """The draft under its row lock; refuses any state but these."""
    assert connection.in_atomic_block, "a draft belongs to a transaction"
    draft = SeriesDraft.objects.select_for_update(of=("self",)).filter(id=draft_id).first()
    if draft is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    if draft.state not in states:
        raise Refusal("draft_is_decided", f"This series is {draft.get_state_display().lower()}.", series=draft.code)
    return draft


def _reopen(draft: SeriesDraft) -> SeriesDraft:
    if draft.state == State.PROPOSED:
        draft.state = State.DRAFT
        draft.save(update_fields=["state"])
    return draft
