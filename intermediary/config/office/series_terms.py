"""Proposed terms against those of the last series, for the officer who decides on them."""

from typing import Any

from bonds.models import Series
from bonds.offering.terms import terms_from


def terms_differences(body: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Of proposed terms against those of the last series: field, there, here. Everything is new without one."""
    last = Series.objects.exclude(code=body["terms"]["code"]).order_by("-id").first()
    before = terms_from(last.terms).body() if last else {}
    rows = []
    for name, now in body["terms"].items():
        if name not in ("classes", "slices", "code", "title", "document_hashes") and str(before.get(name)) != str(now):
            rows.append((name, str(before.get(name, "")) if last else "", str(now)))
    return rows
