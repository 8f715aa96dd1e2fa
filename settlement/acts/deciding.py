"""What two people decide to do on chain: each kind of act proposed with exactly what will be called, and begun when a
second person approves that.

Everything is checked against the books here and, before each call, by the contracts themselves. Nothing is sent here.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from intermediary import approvals, audit, events
from intermediary.canonical import canonical_json
from intermediary.errors import Refusal
from intermediary.models import Cell, Proposal
from settlement import chains
from settlement.acts import wanted
from settlement.acts.rows import ChainAct

Body = dict[str, Any]
KIND = Proposal.Kind.CHAIN_ACT


def propose(*, maker: User, kind: ChainAct.Kind, asked: Mapping[str, Any], reason: str) -> Proposal:
    """Lay an act before a second officer: what is `asked` (by kind, see `wanted`), made whole and checked. Refuses what
    the rules of its kind refuse, and `act_under_way` while the same is open."""
    body = wanted.body_of(kind, asked)
    cell = wanted.cell_of(body)
    under_way = ChainAct.objects.filter(kind=kind, state__in=ChainAct.UNFINISHED, chain=chains.here())
    if under_way.filter(body=canonical_json(body)).exists():
        raise Refusal("act_under_way", "Exactly this is under way already.", kind=kind)
    return approvals.propose(maker=maker, kind=KIND, cell_id=cell.id, body=body, reason=reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> ChainAct:
    """Begin what was proposed; the same decision again finds the act it began."""
    assert connection.in_atomic_block, "a decision belongs to a transaction"
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    body = approvals.body_of(proposal)
    known = ChainAct.objects.filter(proposal=proposal).first()
    if known is not None:
        return known
    with chains.on(body["chain"]):
        wanted.refuse_unless_possible(ChainAct.Kind(body["act"]), body)
        return begin(proposal=proposal, kind=ChainAct.Kind(body["act"]), body=body, actor=checker.get_username())


def begin(*, proposal: Proposal, kind: ChainAct.Kind, body: Mapping[str, Any], actor: str, part: int = 0) -> ChainAct:
    """The act behind an approved proposal, once a part. For another kind of proposal than `CHAIN_ACT`, whose decision
    takes calls on chain, the composition root says which. The database refuses one that is not approved."""
    assert connection.in_atomic_block, "an act belongs to the transaction of its decision"
    text = canonical_json(dict(body))
    act, is_new = ChainAct.objects.get_or_create(proposal=proposal, part=part, defaults={"kind": kind, "body": text})
    if is_new:
        audit.record(actor=actor, action="chain_act.begin", subject=act.id, kind=kind, proposal=proposal.hash)
        events.notify(events.OUTBOX_CHANNEL)
    return act


def house_cell() -> Cell:
    """Whose acts are those that are no relationship's."""
    return Cell.objects.get(kind=Cell.Kind.HOUSE)
