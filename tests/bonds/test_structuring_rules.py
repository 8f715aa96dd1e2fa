"""What the database itself refuses of drafts, documents and term sheets."""

import hashlib

import pytest
from django.db import DatabaseError, transaction

from bonds.models import Document, SeriesDraft
from tests.people import person

pytestmark = pytest.mark.django_db


def document(content: bytes, digest: str) -> Document:
    return Document.objects.create(
        title="Circular",
        filename="circular.pdf",
        media_type="application/pdf",
        content=content,
        sha256=digest,
        uploaded_by=person("officer", is_staff=True),
    )


def test_a_document_is_the_bytes_of_its_hash() -> None:
    content = b"%PDF-1.4 of a circular"
    made = document(content, hashlib.sha256(content).hexdigest())
    assert bytes(Document.objects.get(id=made.id).content) == content


@pytest.mark.parametrize(("content", "rule"), [(b"other", "document_matches_hash"), (b"", "document_is_no_archive")])
def test_other_bytes_and_none_are_refused(content: bytes, rule: str) -> None:
    digest = hashlib.sha256(content if not content else b"the pack").hexdigest()
    with pytest.raises(DatabaseError, match=rule), transaction.atomic():
        document(content, digest)


def test_a_document_does_not_change() -> None:
    made = document(b"x", hashlib.sha256(b"x").hexdigest())
    with pytest.raises(DatabaseError), transaction.atomic():
        Document.objects.filter(id=made.id).update(title="Another")


def test_a_draft_keeps_its_code_and_is_structured_only_by_two() -> None:
    officer = person("officer", is_staff=True)
    draft = SeriesDraft.objects.create(code="BLK-9", body={}, saved_by=officer)
    with pytest.raises(DatabaseError, match="draft_is_fixed"), transaction.atomic():
        SeriesDraft.objects.filter(id=draft.id).update(code="BLK-8")
    with pytest.raises(DatabaseError, match=r"draft_was_approved|transition_not_listed"), transaction.atomic():
        SeriesDraft.objects.filter(id=draft.id).update(state="STRUCTURED")
    with pytest.raises(DatabaseError, match="one_draft_a_code"), transaction.atomic():
        SeriesDraft.objects.create(code="BLK-9", body={}, saved_by=officer)
