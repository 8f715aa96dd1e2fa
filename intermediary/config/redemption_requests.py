"""What officers ask of a series on risk that is to end before its time, carried out by a worker."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from bonds.servicing import early
from intermediary.models import CommandRequest

# The act on the page of an offering -> the reason of the terms that it names.
ACTS = {"clean_up": early.CLEAN_UP, "ended": early.ENDED, "insolvency": early.INSOLVENCY}
WORDS = {
    "clean_up": (
        "Propose the clean-up call",
        "Repays all, below the terms' share of the original principal.",
    ),
    "ended": ("Propose the end of the series", "Repays all, once every covered relationship has ended."),
    "insolvency": (
        "Propose the end on insolvency",
        "Ends the risk period; repays less what noticed events need.",
    ),
}


def _propose(why: str, request: CommandRequest) -> dict[str, Any]:
    series_id, reason = UUID(request.body["series_id"]), request.body["reason"]
    proposal = early.propose(maker=request.user, series_id=series_id, why=why, reason=reason)
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    series = early.approve(
        checker=request.user,
        proposal_id=UUID(body["proposal_id"]),
        seen_hash=body["seen_hash"],
        reason=body["reason"],
    )
    return {"series_id": str(series.id), "state": series.state}


COMMANDS: dict[str, Callable[[CommandRequest], dict[str, Any]]] = {
    **{f"propose_{act}": partial(_propose, why) for act, why in ACTS.items()},
    "approve_redemption": _approve,
}
TITLES = {f"propose_{act}": words for act, (words, _) in WORDS.items()} | {
    "approve_redemption": "Approve an early redemption"
}
