"""Wishes: a page stores what a person asks for; a worker carries it out and the page learns the outcome.

The commands and their bodies are those of the composition root's request table. Nothing is decided here: whether the
person may, and whether a rule allows it, is the command's own question when it runs, and so is its audit row.
"""

from typing import Any

from django.http import HttpRequest

from intermediary.models import Cell, CommandRequest

TITLES = {
    "submit_trade": "Enter a trade",
    "affirm_trade": "Affirm a trade",
    "cancel_trade": "Cancel a trade",
    "withdraw": "Withdraw free margin",
    "agree_call": "Agree a margin call",
    "pledge_call": "Pledge margin",
    "prove_wallet": "Prove a wallet",
    "what_if": "What if",
}


def ask(request: HttpRequest, command: str, cell: Cell | None, body: dict[str, Any]) -> CommandRequest:
    """Store one wish of the signed-in person; amounts and quantities are ints or decimal strings, never floats."""
    assert request.user.is_authenticated, "only a signed-in person has wishes"
    return CommandRequest.objects.create(command=command, cell=cell, user=request.user, body=body)
