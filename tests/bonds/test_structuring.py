"""Structuring by two officers: a draft with its problems, whole terms proposed, approved and written."""

import hashlib
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from bonds.models import Document, Series, SeriesDocument, SeriesDraft, SlicePart
from bonds.offering import drafts, structuring
from bonds.offering.isin import with_check_digit
from bonds.offering.terms import slice_id_of
from intermediary import approvals, clock
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Cell, Layer, Proposal
from tests.bonds.world import MILLION, USD, with_layers
from tests.intermediary.margin_world import Client
from tests.people import member, person
from tests.risk.test_gate import before_any_market, sides

__all__ = ["before_any_market", "sides"]  # fixtures
pytestmark = pytest.mark.django_db
CODE = "BLK-9"
PACK = b"%PDF-1.4 the circular"


@pytest.fixture
def cells(sides: tuple[Client, Client]) -> list[Cell]:
    Cell.objects.get_or_create(code="HOUSE", kind=Cell.Kind.HOUSE)
    return [with_layers(who.cell, series=CODE) for who in sides]


@pytest.fixture
def maker(db: None) -> User:
    return person("first", is_staff=True)


@pytest.fixture
def checker(db: None) -> User:
    return person("second", is_staff=True)


def body(cells: list[Cell], **changes: Any) -> dict[str, Any]:
    """A draft as the form sends it: two classes over the tails of these relationships, 5% retained."""
    year = clock.now().year
    return {
        "title": "Tail notes",
        "issue_date": f"{year}-03-02",
        "scheduled_maturity": _weekday(year + 1, 3),
        "final_maturity": _weekday(year + 2, 3),
        "long_stop": "",
        "collateral_yield_percent": "3.63",
        "denomination_base_units": 1_000 * USD,
        "coupon_kind": "FIXED",
        "months_between_coupons": 3,
        "record_business_days": 1,
        "retained_bps": 500,
        "clean_up_call_bps": 1_000,
        "loss_determination_days": 180,
        "challenge_hours": 24,
        "expert_hours": 24,
        "maturity_grace_days": 30,
        "extension_buffers": [[3, "1.5"], [6, "1.25"], [None, "1.0"]],
        "classes": [
            {"name": "Class B", "symbol": "BLK9B", "isin": isin("91"), "from_bps": 0, "to_bps": 4_000},
            {"name": "Class A", "symbol": "BLK9A", "isin": isin("92"), "from_bps": 4_000, "to_bps": 10_000},
        ],
        "relationships": [cell.code for cell in cells],
        "documents": [],
    } | changes  # fmt: skip


def isin(tail: str) -> str:
    return with_check_digit(f"XS0000000{tail}")


def _weekday(year: int, month: int) -> str:
    """The first Tuesday after the tenth: no American holiday in March."""
    day = date(year, month, 11)
    return (day + timedelta(days=(1 - day.weekday()) % 7)).isoformat()


def propose(draft: SeriesDraft, maker: User) -> Proposal:
    return structuring.propose_series(
        maker=maker, draft_id=draft.id, seen_hash=draft.terms_hash, reason="asked for by three investors"
    )


def approve(proposal: Proposal, checker: User) -> Series:
    return structuring.approve_series(
        checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="terms and figures seen"
    )


def test_a_whole_draft_has_its_hash_and_figures(cells: list[Cell], maker: User) -> None:
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells))
    assert draft.problems == []
    assert len(draft.terms_hash) == 64
    junior, senior = draft.figures["classes"]
    assert junior["face_base_units"] == 2 * 2_280_000 * USD
    assert junior["retained_base_units"] == 2 * 120_000 * USD
    assert float(junior["expected_loss"]) >= float(senior["expected_loss"])
    assert not Series.objects.exists(), "nobody is bound by a draft"


def test_a_draft_is_saved_with_every_problem_beside_its_field(cells: list[Cell], maker: User) -> None:
    classes = body(cells)["classes"]
    classes[1]["from_bps"] = 3_500
    odd = body(
        cells,
        classes=classes,
        retained_bps=0,
        record_business_days=5,
        scheduled_maturity="2031-03-15",
        final_maturity="2032-03-14",
        relationships=[cells[0].code, "NOBODY"],
        documents=[{"title": "Circular", "sha256": "0" * 64, "stored": True}],
    )
    draft = structuring.save_draft(maker=maker, code=CODE, body=odd)
    assert {(one["about"], one["code"]) for one in draft.problems} >= {
        ("classes", "layers_overlap"),
        ("retained_bps", "bonds.retention"),
        ("record_business_days", "bonds.record_date"),
        ("scheduled_maturity", "not_a_business_day"),
        ("final_maturity", "not_a_business_day"),
        ("relationships", "relationship_not_open"),
        ("documents", "document_missing"),
    }
    (record,) = [one for one in draft.problems if one["code"] == "bonds.record_date"]
    assert record["data"] == {"record_business_days": 5, "only_business_days": 1}
    assert draft.terms_hash == ""
    with pytest.raises(BadInput):
        propose(draft, maker)


def test_two_officers_make_a_series_of_ring_fenced_slices_with_its_documents(
    cells: list[Cell], maker: User, checker: User
) -> None:
    digest = hashlib.sha256(PACK).hexdigest()
    Document.objects.create(
        title="Circular", filename="c.pdf", media_type="application/pdf", content=PACK, sha256=digest, uploaded_by=maker
    )
    documents = [{"title": "Circular", "sha256": digest, "stored": True}, {"title": "Opinion", "sha256": "1" * 64}]
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells, documents=documents))
    proposal = propose(draft, maker)
    assert approvals.body_of(proposal)["figures"]["classes"][0]["name"] == "Class B"
    with pytest.raises(Refusal, match="maker_is_not_checker"):
        approve(proposal, maker)
    series = approve(proposal, checker)
    assert approve(proposal, checker) == series, "approving again is harmless"
    assert (series.state, series.terms_hash) == ("STRUCTURING", draft.terms_hash)
    edges = SlicePart.objects.filter(slice__series=series, slice__cell=cells[0]).order_by("attach_base_units")
    assert [(one.attach_base_units, one.detach_base_units, one.principal_base_units) for one in edges] == [
        (1_500_000 * USD, 3_900_000 * USD, 2_280_000 * USD),
        (3_900_000 * USD, 7_500_000 * USD, 3_420_000 * USD),
    ]
    assert [(one.title, one.document is None) for one in SeriesDocument.objects.filter(series=series)] == [
        ("Circular", False), ("Opinion", True),
    ]  # fmt: skip
    assert SeriesDraft.objects.get(id=draft.id).state == "STRUCTURED"


def test_a_draft_that_changed_since_the_page_is_not_proposed(cells: list[Cell], maker: User) -> None:
    seen = structuring.save_draft(maker=maker, code=CODE, body=body(cells)).terms_hash
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells, clean_up_call_bps=500))
    assert draft.revision == 2
    with pytest.raises(Refusal, match="draft_changed"):
        structuring.propose_series(maker=maker, draft_id=draft.id, seen_hash=seen, reason="an old page")


def test_a_tail_that_changed_after_the_proposal_is_found_at_the_approval(
    cells: list[Cell], maker: User, checker: User
) -> None:
    proposal = propose(structuring.save_draft(maker=maker, code=CODE, body=body(cells)), maker)
    Layer.objects.filter(cell=cells[1], kind="SENIOR").update(attach_base_units=7 * MILLION)
    Layer.objects.filter(cell=cells[1], kind="TAIL").update(detach_base_units=7 * MILLION)
    with pytest.raises(BadInput, match="terms_differ"):
        approve(proposal, checker)
    assert not Series.objects.exists()


def test_a_rejected_draft_is_open_again(cells: list[Cell], maker: User, checker: User) -> None:
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells))
    proposal = propose(draft, maker)
    with pytest.raises(Refusal, match="draft_is_decided"):
        structuring.save_draft(maker=maker, code=CODE, body=body(cells))
    drafts.reject_series(
        checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="thinner junior class"
    )
    again = structuring.save_draft(maker=maker, code=CODE, body=body(cells, clean_up_call_bps=500))
    assert again.id == draft.id
    assert approve(propose(again, maker), checker).code == CODE


def test_whoever_acts_for_a_covered_client_takes_no_part(cells: list[Cell], maker: User, checker: User) -> None:
    party = cells[0].party
    assert party is not None
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells))
    member(checker, party)
    with pytest.raises(Refusal, match="proposal_not_by_the_client"):
        propose(draft, checker)
    with pytest.raises(Refusal, match="proposal_not_by_the_client"):
        approve(propose(draft, maker), checker)


def test_nobody_but_an_officer_drafts(cells: list[Cell]) -> None:
    with pytest.raises(NotAllowed):
        structuring.save_draft(maker=person("stranger"), code=CODE, body=body(cells))


def test_a_dropped_draft_frees_its_code(cells: list[Cell], maker: User) -> None:
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells))
    drafts.drop_draft(maker=maker, draft_id=draft.id)
    assert structuring.save_draft(maker=maker, code=CODE, body=body(cells)).id != draft.id


def test_the_slice_is_the_one_that_the_line_names(cells: list[Cell], maker: User) -> None:
    Layer.objects.filter(cell=cells[0], kind="TAIL").update(slice_id=slice_id_of("BLK-8", cells[0].id))
    draft = structuring.save_draft(maker=maker, code=CODE, body=body(cells))
    assert [one["code"] for one in draft.problems] == ["tail_of_another_slice"]
