"""The transaction around a test or a small world: the product's outermost ones may be opened inside it."""

from django.db import transaction
from django.db.transaction import Atomic


def around_all() -> Atomic:
    """What Django's own TestCase opens: `atomic(durable=True)` within it is an inner block."""
    block: Atomic = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    return block
