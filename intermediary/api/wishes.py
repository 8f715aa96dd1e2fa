"""Writes of the API: a wish under an id that the client made, carried out by a worker, its outcome read later.

The same id with the same body is the same wish, however often it arrives, so a program that lost an answer asks again
without fear. The same id with another body is refused. Nothing is carried out inside the request itself.
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from intermediary import access, events
from intermediary.canonical import canonical_json
from intermediary.errors import BadInput, Refusal
from intermediary.models import CommandRequest


def wished(*, user: User, key: str | None, command: str, body: dict[str, Any]) -> tuple[CommandRequest, bool]:
    """Store a wish under the client's id; returns it and whether it is new.

    `key` is the request's Idempotency-Key, a UUID. Refuses a missing one, and one that stands for something else.
    """
    wish_id = _uuid(key)
    existing = CommandRequest.objects.filter(id=wish_id, user=user).first()
    if existing is not None:
        return _same(existing, command, body), False
    try:
        with transaction.atomic():
            wish = CommandRequest.objects.create(id=wish_id, command=command, user=user, body=body)
    except IntegrityError:
        # Sent twice at the same moment, or somebody else's id: row-level security shows the one and not the other.
        existing = CommandRequest.objects.filter(id=wish_id, user=user).first()
        if existing is None:
            raise _taken() from None
        return _same(existing, command, body), False
    events.notify(events.PAGES_CHANNEL, f"request:{wish.id}")
    events.notify(events.WISHES_CHANNEL)
    return wish, True


def wish_of(user: User, wish_id: UUID) -> CommandRequest:
    """One of this person's wishes."""
    found = CommandRequest.objects.filter(id=wish_id, user=user).first()
    if found is None:
        raise access.not_found()
    return found


def _same(existing: CommandRequest, command: str, body: dict[str, Any]) -> CommandRequest:
    if existing.command != command or canonical_json(existing.body) != canonical_json(body):
        raise _taken()
    return existing


def _taken() -> Refusal:
    return Refusal("id_means_another_wish", "This Idempotency-Key stands for another wish. Nothing was changed.")


def _uuid(key: str | None) -> UUID:
    try:
        return UUID(key or "")
    except ValueError as problem:
        raise BadInput(
            "idempotency_key_missing", "Send a header Idempotency-Key with a UUID of your own making for each wish."
        ) from problem
