"""The audit trail: numbered without a gap, each row hashing the one before, whoever wrote it."""

import hashlib

import pytest

from intermediary import audit
from intermediary.models import AuditRecord

pytestmark = pytest.mark.django_db


def test_rows_are_numbered_and_chained_by_the_database() -> None:
    for amount in (1, 2, 3):
        audit.record(actor="officer", action="test.act", subject="R-1", amount=amount)
    rows = list(AuditRecord.objects.order_by("number"))
    assert [row.number for row in rows] == [1, 2, 3]
    before = "0" * 64
    for row in rows:
        text = before + row.actor + row.action + row.subject + row.payload
        assert (row.previous_hash, row.hash) == (before, hashlib.sha256(text.encode()).hexdigest())
        before = row.hash


def test_a_writer_cannot_choose_number_or_hashes() -> None:
    forged = AuditRecord.objects.create(
        number=900, actor="x", action="x", subject="x", payload="{}", previous_hash="f" * 64, hash="e" * 64
    )
    stored = AuditRecord.objects.get(payload="{}")
    assert (stored.number, stored.previous_hash) == (1, "0" * 64)
    assert stored.hash != forged.hash
