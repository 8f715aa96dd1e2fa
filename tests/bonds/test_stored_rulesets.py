"""A pricing ruleset takes force when a second officer approves exactly it; the database refuses every other way."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from bonds.marking.rulesets import approve_ruleset, in_force, propose_calibration
from bonds.models import StoredRuleset
from bonds.pricing.rulesets import STANDARD
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import Refusal
from intermediary.models import Cell, Proposal
from tests.bonds.test_calibration import issues_of
from tests.people import person

pytestmark = pytest.mark.django_db

PARAMETERS = {
    "feared-wang": {"lambda": 0.31, "c": 0.02, "p": 0.1},
    "wang": {"lambda": 0.2, "k": 4.0},
    "lane": {"scale": 0.1, "a": 0.2, "b": 0.3},
    "deviation": {"multiple": 0.3},
    "linear": {"floor": 0.03, "multiple": 1.5},
}
CALIBRATION: dict[str, Any] = {
    "measures": [
        {"name": name, "parameters": one, "error_bps": {"overall": 235.9}, "error_at_level_bps": {"overall": 203.4}}
        for name, one in PARAMETERS.items()
    ],
    "levels": {"2026-01": 0.12},
    "rows": 327,
    "first_month": "2018-11",
    "last_month": "2025-12",
    "file_sha256": "ab",
}


@pytest.fixture(autouse=True)
def house() -> Cell:
    return Cell.objects.get_or_create(code="HOUSE", kind=Cell.Kind.HOUSE)[0]


def proposed() -> Proposal:
    return propose_calibration(maker=person("maker", is_staff=True), calibration=CALIBRATION, reason="newer issues")


def approved(proposal: Proposal) -> StoredRuleset:
    return approve_ruleset(
        checker=person("checker", is_staff=True), proposal_id=proposal.id, seen_hash=proposal.hash, reason="seen"
    )


def test_the_standard_ruleset_is_in_force_until_two_officers_decide_otherwise() -> None:
    assert in_force() == STANDARD
    proposal = proposed()
    assert in_force() == STANDARD
    stored = approved(proposal)
    now = in_force()
    assert (now.version, now.market_price_of_risk, now.hash) == (3, 0.31, stored.hash)
    assert now.market_price_of_beta == STANDARD.market_price_of_beta


def test_the_same_approval_again_stores_nothing_more() -> None:
    proposal, checker = proposed(), person("checker", is_staff=True)
    for _ in range(2):
        approve_ruleset(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="seen")
    assert StoredRuleset.objects.count() == 1


def test_a_maker_cannot_approve_its_own_and_a_client_cannot_propose() -> None:
    proposal = proposed()
    with pytest.raises(Refusal) as refused:
        approve_ruleset(checker=proposal.maker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="mine")
    assert refused.value.code == "maker_is_not_checker"
    with pytest.raises(Refusal):
        propose_calibration(maker=person("client"), calibration=CALIBRATION, reason="cheaper")


def test_one_proposed_against_another_ruleset_is_refused_and_nothing_changes() -> None:
    first = proposed()
    second = propose_calibration(maker=first.maker, calibration=CALIBRATION | {"rows": 328}, reason="one more issue")
    approved(first)
    with pytest.raises(Refusal) as refused, transaction.atomic():
        approve_ruleset(
            checker=person("other", is_staff=True), proposal_id=second.id, seen_hash=second.hash, reason="seen"
        )
    assert refused.value.code == "ruleset_changed"
    assert Proposal.objects.get(id=second.id).state == Proposal.State.PROPOSED
    assert in_force().version == 3


def test_the_command_proposes_what_it_found_in_an_officers_name(tmp_path: Path) -> None:
    made = issues_of(years=2, noise=0.1)
    rows = zip(made.month, made.expected_loss, made.spread, strict=True)
    lines = [f"{month // 12}-{month % 12 + 1:02d}-01,,{expected:.6f},{spread:.6f}" for month, expected, spread in rows]
    path = tmp_path / "issues.csv"
    path.write_text("issue_month,Probability of Attachment,Expected Loss,Coupon Rate\n" + "\n".join(lines))

    def store(*more: str) -> None:
        call_command("calibrate_pricing", str(path), "--resamples", "2", "--store", *more, stdout=StringIO())

    with pytest.raises(CommandError, match="--maker and --reason"):
        store()
    with pytest.raises(CommandError, match="no user"):
        store("--maker", "nobody", "--reason", "newer issues")
    person("maker", is_staff=True)
    store("--maker", "maker", "--reason", "newer issues")
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.state) == (Proposal.Kind.PRICING_RULES, Proposal.State.PROPOSED)
    assert approved(proposal).version == 3


def refused_by_the_database(rule: str, **changed: Any) -> None:
    proposal = Proposal.objects.get()
    body = canonical_json({"version": 4})
    row = {"version": 4, "body": body, "hash": sha256_hex(body), "proposal": proposal} | changed
    with pytest.raises(DatabaseError, match=rule), transaction.atomic():
        StoredRuleset.objects.create(**row)


def test_the_database_refuses_what_nobody_approved_and_any_change() -> None:
    stored = approved(proposed())
    refused_by_the_database("ruleset_was_approved")
    refused_by_the_database("ruleset_matches_hash", hash="0" * 64)
    refused_by_the_database("ruleset_is_newest|unique", version=3, body=stored.body, hash=stored.hash)
    with pytest.raises(DatabaseError), transaction.atomic():
        StoredRuleset.objects.update(version=9)
    with pytest.raises(DatabaseError), transaction.atomic():
        StoredRuleset.objects.all().delete()
