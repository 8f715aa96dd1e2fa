"""The audit trail: one row an act, written in the act's own transaction; the database chains and hashes it."""

from typing import Any

from intermediary.canonical import canonical_json
from intermediary.models import AuditRecord


def record(*, actor: str, action: str, subject: object, **payload: Any) -> None:
    """Write down who did what to which object. `payload` must have a canonical form (no floats)."""
    AuditRecord.objects.create(actor=actor, action=action, subject=str(subject), payload=canonical_json(payload))
