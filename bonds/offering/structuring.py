"""Structuring a series: an officer drafts and proposes, a second one approves, and only then it stands.

A draft may be saved with problems and binds nobody. What is proposed are whole terms with their hash and the figures
that the officer saw; approving them runs every check once more and writes the series. Nobody who acts for a covered
client takes part (D11). Runs in a worker.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from bonds.marking import preview
from bonds.models import Document, Series, SeriesDocument, SeriesDraft
from bonds.offering import stages
from bonds.offering.composing import Composed, Problem, compose
from bonds.offering.drafts import KIND, State, locked
from bonds.offering.terms import SeriesTerms, terms_from
from intermediary import access, approvals, audit
from intermediary.canonical import canonical_json
from intermediary.errors import BadInput, Refusal
from intermediary.models import Cell, Membership, Proposal


def save_draft(*, maker: User, code: str, body: Mapping[str, Any]) -> SeriesDraft:
    """Keep what an officer filled in, with its problems and, when it is whole, its figures at the last valuation."""
    assert connection.in_atomic_block, "a draft belongs to a transaction"
    access.require_officer(maker)
    draft = SeriesDraft.objects.select_for_update().filter(code=code).exclude(state=State.DROPPED).first()
    if draft is not None and draft.state != State.DRAFT:
        raise Refusal("draft_is_decided", f"This series is {draft.get_state_display().lower()}.", series=code)
    found = compose(code, body)
    figures = _figures(found)
    draft = draft or SeriesDraft(code=code, revision=0)
    draft.revision += 1
    draft.body, draft.figures, draft.saved_by = dict(body), figures, maker
    draft.problems = [problem.as_data() for problem in found.problems]
    draft.terms_hash = found.terms.hash if found.terms else ""
    draft.save()
    audit.record(
        actor=maker.get_username(), action="series_drafted", subject=draft.code, revision=draft.revision,
        terms_hash=draft.terms_hash,
    )  # fmt: skip
    return draft


def propose_series(*, maker: User, draft_id: UUID, seen_hash: str, reason: str) -> Proposal:
    """Ask a second officer for exactly these terms. Refuses a draft with problems, and one that changed since."""
    access.require_officer(maker)
    draft = locked(draft_id, State.DRAFT)
    found = compose(draft.code, draft.body)
    if found.terms is None:
        _refuse_problems(found.problems)
    assert found.terms is not None
    if found.terms.hash != seen_hash:
        raise Refusal(
            "draft_changed", "The terms are not those on the page.", hash=found.terms.hash, seen_hash=seen_hash
        )
    _refuse_partial(maker, found.terms)
    body = {"terms": found.terms.body(), "terms_hash": found.terms.hash, "draft": draft.id, "figures": _figures(found)}
    proposal = approvals.propose(maker=maker, kind=KIND, cell_id=_house().id, body=body, reason=reason)
    draft.state, draft.proposal, draft.terms_hash = State.PROPOSED, proposal, found.terms.hash
    draft.save(update_fields=["proposal", "terms_hash"])  # while it is open
    draft.save(update_fields=["state"])
    return proposal


def approve_series(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Series:
    """The second pair of eyes: check everything again and write the series with its documents."""
    access.require_officer(checker)
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    terms = _proposed(proposal)
    _refuse_partial(checker, terms)
    draft = SeriesDraft.objects.select_for_update().get(proposal=proposal)
    series = Series.objects.filter(code=terms.code, terms_hash=terms.hash).first()
    if draft.state == State.STRUCTURED and series is not None:
        return series
    found = compose(draft.code, draft.body)
    if found.terms is None or found.terms.hash != terms.hash:
        _refuse_problems(found.problems)
    series = stages.structure(actor=checker.get_username(), terms=terms)
    stored = {
        one.sha256: one for one in Document.objects.filter(sha256__in=[hash_ for _, hash_ in terms.document_hashes])
    }
    for title, digest in terms.document_hashes:
        SeriesDocument.objects.create(series=series, title=title, sha256=digest, document=stored.get(digest))
    draft.state = State.STRUCTURED
    draft.save(update_fields=["state"])
    return series


def _proposed(proposal: Proposal) -> SeriesTerms:
    body = approvals.body_of(proposal)
    terms = terms_from(canonical_json(body["terms"]))
    assert terms.hash == body["terms_hash"], "the proposal was made by this file"
    return terms


def _figures(found: Composed) -> dict[str, Any]:
    """Of every class; why there are none, where a valuation is missing."""
    if found.terms is None:
        return {}
    try:
        return preview.figures(found.terms)
    except Refusal as refusal:
        return {"missing": {"code": refusal.code, "message": refusal.message}}


def _refuse_partial(officer: User, terms: SeriesTerms) -> None:
    """A person who acts for a covered client takes no part in deciding on its cover."""
    covered = [item.cell_id for item in terms.slices]
    if Membership.objects.filter(user=officer, party__cells__in=covered).exists():
        raise Refusal("proposal_not_by_the_client", "A person who acts for a covered client takes no part in this.")


def _refuse_problems(problems: list[Problem]) -> None:
    first = problems[0] if problems else Problem("", "terms_differ", "The relationships' tails are not those proposed.")
    raise BadInput(first.code, first.message, problems=[problem.as_data() for problem in problems])


def _house() -> Cell:
    """The cell of proposals that are about several relationships."""
    return Cell.objects.get(kind=Cell.Kind.HOUSE)
