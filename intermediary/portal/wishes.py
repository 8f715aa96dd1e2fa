"""Wishes: a page stores what a person asks for; a worker carries it out and the page learns the outcome.

The commands and their bodies are those of the composition root's request table. Nothing is decided here: whether the
person may, and whether a rule allows it, is the command's own question when it runs, and so is its audit row.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest

from intermediary import events
from intermediary.access import not_found
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

# A free worker answers within a few hundredths of a second. A page that has the answer with its first look spares its
# reader a stream and a second page; one that has not learns it by its stream.
PATIENCE_S, EVERY_S = 0.4, 0.02
JUST_ASKED = timedelta(seconds=5)


def ask(request: HttpRequest, command: str, cell: Cell | None, body: dict[str, Any]) -> CommandRequest:
    """Store one wish of the signed-in person; amounts and quantities are ints or decimal strings, never floats."""
    assert request.user.is_authenticated, "only a signed-in person has wishes"
    with transaction.atomic():
        wish = CommandRequest.objects.create(command=command, cell=cell, user=request.user, body=body)
        events.notify(events.WISHES_CHANNEL)
    return wish


def asked_before(request: HttpRequest, command: str, cell: Cell) -> CommandRequest | None:
    """The reader's own wish about this relationship that `?request=` names, None where none is named; anything else
    does not exist."""
    assert request.user.is_authenticated, "only a signed-in person has wishes"
    wanted = request.GET.get("request")
    if not wanted:
        return None
    try:
        mine = CommandRequest.objects.filter(id=UUID(wanted), user=request.user, cell=cell, command=command).first()
    except ValueError:
        mine = None
    if mine is None:
        raise not_found()
    return mine


def soon(wish: CommandRequest) -> CommandRequest:
    """The wish with its outcome, if it was just asked and is carried out within a moment; else as it is."""
    if datetime.now(UTC) - wish.recorded_at < JUST_ASKED:
        until = time.monotonic() + PATIENCE_S
        while wish.state == CommandRequest.State.PENDING and time.monotonic() < until:
            time.sleep(EVERY_S)
            wish.refresh_from_db(fields=["state", "outcome"])
    return wish
