"""Named refusals: what the platform says when a rule must hold and does not.

A refusal carries a stable code (for machines), a sentence (for people) and the numbers that decided it.
It is raised before anything has changed. Faces map it once: pages to a message, the API to problem+json (RFC 9457).
Programmer errors are not refusals: they stay `assert` or ordinary exceptions.
"""

from typing import Any


class Refusal(Exception):
    """A request that a rule forbids. `code` is stable, `data` holds the numbers of the decision."""

    status = 409

    def __init__(self, code: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotAllowed(Refusal):
    """The actor may not do this, or the object is not theirs: one answer for both, so that nothing leaks."""

    status = 404


class BadInput(Refusal):
    """The input itself is malformed; nothing was read or changed because of it."""

    status = 422
