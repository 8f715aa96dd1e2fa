"""Wishes of officers about pricing, carried out by a worker where the numeric stack is loaded already."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from intermediary.models import CommandRequest


def _approve_pricing_rules(request: CommandRequest) -> dict[str, Any]:
    from bonds.marking.rulesets import approve_ruleset

    stored = approve_ruleset(
        checker=request.user,
        proposal_id=UUID(request.body["proposal_id"]),
        seen_hash=request.body["seen_hash"],
        reason=request.body["reason"],
    )
    return {"ruleset": str(stored), "hash": stored.hash}


COMMANDS: Mapping[str, Callable[[CommandRequest], dict[str, Any]]] = {"approve_pricing_rules": _approve_pricing_rules}
