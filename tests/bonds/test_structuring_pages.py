"""Structuring on the officers' desk and what a client sees of its tail, each under its own role of the database."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from bonds.models import Document, SeriesDraft
from bonds.offering.terms import slice_id_of
from intermediary import access
from intermediary.config import requests as wishes
from intermediary.config.tenancy import assume
from intermediary.models import Cell, CommandRequest
from tests.bonds.test_structuring import isin
from tests.intermediary import office_world

Roles = Callable[[str], AbstractContextManager[None]]
pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]

FORM = {
    "code": "BLK-9", "title": "Tail notes", "relationships": ["R-101"], "issue_date": "2026-03-02",
    "scheduled_maturity": "2027-03-16", "final_maturity": "2028-03-14", "long_stop": "", "coupon_kind": "SOFR",
    "collateral_yield_percent": "3.63", "months_between_coupons": "3", "record_business_days": "1",
    "denomination_base_units": "1,000", "retained_bps": "500", "clean_up_call_bps": "1000",
    "loss_determination_days": "180", "extension_buffers": "3: 1.5, 6: 1.25, 1.0", "challenge_hours": "48",
    "expert_hours": "240", "maturity_grace_days": "30", "other_documents": f"Opinion of counsel: {'1' * 64}",
    "class_0_name": "Class B", "class_0_symbol": "BLK9B", "class_0_isin": isin("91"), "class_0_from": "0",
    "class_0_to": "40", "class_1_name": "Class A", "class_1_symbol": "BLK9A", "class_1_isin": isin("92"),
    "class_1_from": "35", "class_1_to": "100",
}  # fmt: skip


@pytest.fixture
def world(committing_db: Any, built_world: dict[str, Cell]) -> dict[str, Cell]:
    return built_world


def signed_in(username: str) -> Client:
    client = Client(headers={"accept": "text/html"})
    with transaction.atomic():
        assume("portal")
        access.show_person(username)
        client.force_login(User.objects.get(username=username))
    return client


def asked(command: str) -> CommandRequest:
    with transaction.atomic():
        assume("staff")
        return CommandRequest.objects.get(command=command)


def test_an_officer_drafts_and_finds_the_problems_beside_the_fields(world: dict[str, Cell], as_role: Roles) -> None:
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        maker = signed_in("officer.maker")
        assert "Compose a series" in maker.get(reverse("admin:series")).content.decode()
        refused = maker.post(reverse("admin:new_series"), FORM | {"extension_buffers": "soon", "class_1_isin": ""})
        assert refused.status_code == 422
        assert "Write steps like" in refused.content.decode()
        assert maker.post(reverse("admin:new_series"), FORM | {"record_business_days": "5"}).status_code == 422
        maker.post(reverse("admin:new_series"), FORM)
        body = asked("save_series_draft").body["draft"]
    assert body["classes"][1]["from_bps"] == 3_500
    assert body["extension_buffers"] == [[3, "1.5"], [6, "1.25"], [None, "1.0"]]
    with as_role("worker"):
        wishes.run_pending()
        draft = SeriesDraft.objects.get()
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        shown = maker.get(reverse("admin:series_draft", args=[draft.id])).content.decode()
        assert 'data-code="layers_overlap"' in shown
        assert "Propose these terms" not in shown
        assert "BLK-9" in maker.get(reverse("admin:series")).content.decode()


def test_a_document_is_stored_once_under_its_hash(world: dict[str, Cell], as_role: Roles) -> None:
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        maker = signed_in("officer.maker")
        for _ in range(2):
            file = SimpleUploadedFile("circular.pdf", b"%PDF-1.4 the circular")
            sent = maker.post(reverse("admin:store_document"), {"title": "Circular", "file": file})
            assert sent.status_code == 302
        wrong = SimpleUploadedFile("circular.pdf", b"<html>")
        refused = maker.post(reverse("admin:store_document"), {"title": "Circular", "file": wrong})
        assert refused.status_code == 422
        with transaction.atomic():
            assume("staff")
            assert [one.title for one in Document.objects.all()] == ["Circular"]
        with transaction.atomic():
            assume("portal")
            assert not Document.objects.exists(), "no published terms name it"


def test_a_line_is_proposed_with_the_series_that_would_cover_it(world: dict[str, Cell], as_role: Roles) -> None:
    form = {
        "threshold_base_units": "1,000,000", "first_loss_base_units": "2,000,000", "tail_base_units": "6,000,000",
        "senior_base_units": "3,000,000", "series": "BLK-9", "awaits_cover": "on", "expires_at": "2026-01-08T14:00",
        "reason": "Larger basis book, sold with its tail.",
    }  # fmt: skip
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        maker = signed_in("officer.maker")
        maker.post(reverse("admin:propose_line", args=["R-101"]), form)
        body = asked("propose_line").body
    assert body["awaits_cover"] is True
    assert body["slice_id"] == str(slice_id_of("BLK-9", world["R-101"].id))
