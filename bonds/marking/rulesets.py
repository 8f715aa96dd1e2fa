"""The pricing ruleset in force: the newest that two officers decided on, or the standard one in code.

A calibration is proposed as the whole body of the ruleset that it says, with its errors out of sample beside it, so
that the second officer sees both; it takes force for the next mark. Marks of before keep the name of their own, and
nothing is priced again.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from bonds.models import StoredRuleset
from bonds.pricing.rulesets import STANDARD, PricingRuleset, of_calibration
from intermediary import access, approvals, audit
from intermediary.canonical import canonical_json
from intermediary.errors import Refusal
from intermediary.models import Cell, Proposal

KIND = Proposal.Kind.PRICING_RULES


# The same as `in_force`, to be read along with others by one message (`intermediary.readings`): `of_rows` reads it.
IN_FORCE = "SELECT body FROM bonds_storedruleset ORDER BY version DESC LIMIT 1"


def in_force() -> PricingRuleset:
    """What every mark, guidance and quotation of now is priced by."""
    return of_rows(StoredRuleset.objects.values_list("body")[:1])


def of_rows(rows: Iterable[Sequence[str]]) -> PricingRuleset:
    """The ruleset of the only row, the standard one where there is none."""
    for (body,) in rows:
        return PricingRuleset.of(json.loads(body))
    return STANDARD


def propose_calibration(*, maker: User, calibration: dict[str, Any], reason: str) -> Proposal:
    """Ask a second officer for the ruleset that a calibration says (`Calibration.as_data`), the next version."""
    assert connection.in_atomic_block, "a proposal belongs to a transaction"
    access.require_officer(maker)
    now = in_force()
    ruleset = of_calibration(calibration, now.version + 1, now.market_price_of_beta)
    body = {
        "ruleset": ruleset.body(),
        "ruleset_hash": ruleset.hash,
        "before_hash": now.hash,
        "errors_bps": _errors(calibration),
    }
    house = Cell.objects.get(kind=Cell.Kind.HOUSE)
    return approvals.propose(maker=maker, kind=KIND, cell_id=house.id, body=body, reason=reason)


def approve_ruleset(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> StoredRuleset:
    """The second pair of eyes: from here on prices are made by it. Refuses one that was made against another ruleset
    than is in force. The same decision again is harmless."""
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    existing = StoredRuleset.objects.filter(proposal=proposal).first()
    if existing is not None:
        return existing
    body = approvals.body_of(proposal)
    now = in_force()
    if body["before_hash"] != now.hash:
        raise Refusal(
            "ruleset_changed",
            "Another pricing ruleset has taken force since this one was proposed.",
            in_force=now.label,
            proposed_against=body["before_hash"],
        )
    ruleset = PricingRuleset.of(body["ruleset"])
    stored = StoredRuleset.objects.create(
        version=ruleset.version, body=canonical_json(ruleset.body()), hash=ruleset.hash, proposal=proposal
    )
    audit.record(
        actor=checker.get_username(), action="pricing_ruleset_in_force", subject=ruleset.label, hash=stored.hash
    )
    return stored


def _errors(calibration: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Mean absolute errors out of sample of every measure, alone and at the level of the market: text, since a
    proposal's body has no floats."""
    return {
        one["name"]: {
            "alone": f"{one['error_bps']['overall']:.1f}",
            "at the level": f"{one['error_at_level_bps']['overall']:.1f}",
        }
        for one in calibration["measures"]
    }
