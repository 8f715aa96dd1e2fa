"""Credit lines: tested twice, approved by another, layers end to end, each dollar behind one relationship."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from intermediary import approvals, clock, cover, credit, ledger, margining, ports
from intermediary.errors import BadInput, Refusal
from intermediary.ids import uuid7
from intermediary.models import (
    AccountKind,
    CallEvent,
    Cell,
    ChainInstruction,
    CreditLine,
    Layer,
    MarginCall,
    Party,
    Proposal,
)
from tests.intermediary.margin_world import (
    MILLION,
    Client,
    Limits,
    assess,
    client,
    finish,
    fund_house,
    officer,
    value,
)

pytestmark = pytest.mark.django_db
SLICE = UUID("00000000-0000-7000-8000-000000000001")


@pytest.fixture
def d() -> Client:
    """A relationship beside a house with 10 million of float; the stressed loss is 8 million beyond the threshold."""
    fund_house(10 * MILLION)
    ports.bind_risk_gate(Limits(stressed_loss=8 * MILLION))
    return client("D")


@pytest.fixture
def maker(db: None) -> User:
    return officer("maker")


@pytest.fixture
def checker(db: None) -> User:
    return officer("checker")


def propose(d: Client, maker: User, **changes: Any) -> Proposal:
    arguments: dict[str, Any] = {
        "threshold_base_units": 2 * MILLION,
        "first_loss_base_units": 1_500_000 * 10**6,
        "tail_base_units": 6 * MILLION,
        "senior_base_units": 3 * MILLION,
        "slice_id": SLICE,
        "expires_at": clock.now() + timedelta(days=90),
        "reason": "known for years",
    }
    return credit.propose_line(maker=maker, cell_id=d.cell.id, **(arguments | changes))


def approve(proposal: Proposal, checker: User) -> CreditLine:
    return credit.approve_line(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="numbers seen")


def stack(d: Client) -> list[tuple[str, int, int, bool]]:
    """(kind, attach, detach, funded) of the layers, in thousands of dollars."""
    unit = 1_000 * 10**6
    return [
        (layer.kind, layer.attach_base_units // unit, layer.detach_base_units // unit, layer.funded)
        for layer in Layer.objects.filter(cell=d.cell)
    ]


def test_a_line_that_fails_the_admission_test_is_refused_with_its_numbers(d: Client, maker: User) -> None:
    with pytest.raises(Refusal) as refused:
        propose(d, maker, senior_base_units=2 * MILLION)
    assert refused.value.code == "admission_failed"
    assert refused.value.data["stressed_loss_base_units"] == 8 * MILLION
    assert refused.value.data["resources_base_units"] == 9_500_000 * 10**6
    assert not Proposal.objects.exists()


def test_the_admission_test_runs_again_at_approval(d: Client, maker: User, checker: User) -> None:
    proposal = propose(d, maker)
    ports.bind_risk_gate(Limits(stressed_loss=9 * MILLION))
    with pytest.raises(Refusal, match="admission_failed"), transaction.atomic():
        approve(proposal, checker)
    assert Proposal.objects.get().state == Proposal.State.PROPOSED
    assert not CreditLine.objects.exists()


def test_the_maker_does_not_approve(d: Client, maker: User) -> None:
    with pytest.raises(Refusal, match="maker_is_not_checker"):
        approve(propose(d, maker), maker)
    assert not Layer.objects.exists()


def test_approval_sets_the_layers_end_to_end_and_funds_the_retentions(d: Client, maker: User, checker: User) -> None:
    proposal = propose(d, maker)
    line = approve(proposal, checker)
    assert approve(proposal, checker) == line, "approving again is harmless"
    assert stack(d) == [
        ("FIRST_LOSS", 0, 1_500, False),
        ("TAIL", 1_500, 7_500, False),
        ("SENIOR", 7_500, 10_500, False),
    ]
    funding = list(ChainInstruction.objects.filter(kind="FUND").order_by("seq"))
    assert [row.arguments["layer"] for row in funding] == ["FIRST_LOSS", "SENIOR"]
    assert ledger.total([AccountKind.FLOAT], "USDC") == 5_500_000 * 10**6
    for row in funding:
        finish(row)
        finish(row)
    cover.attach_tail(cell_id=d.cell.id, slice_id=SLICE)
    assert [funded for *_, funded in stack(d)] == [True, True, True]
    assert ledger.balance(d.cell.id, AccountKind.SENIOR_RETENTION, "USDC") == 3 * MILLION


def test_a_slice_that_carries_nothing_here_is_refused(d: Client, maker: User, checker: User) -> None:
    approve(propose(d, maker), checker)
    with pytest.raises(Refusal, match="no_such_tail"):
        cover.attach_tail(cell_id=d.cell.id, slice_id=uuid7())
    with pytest.raises(Refusal, match="no_such_tail"):
        cover.attach_tail(cell_id=client("W").cell.id, slice_id=SLICE)


def test_one_dollar_stands_behind_one_relationship(d: Client, maker: User, checker: User) -> None:
    approve(propose(d, maker), checker)
    second = propose(client("W"), maker, first_loss_base_units=2_600_000 * 10**6, slice_id=uuid7())
    with pytest.raises(Refusal) as refused, transaction.atomic():
        approve(second, checker)
    assert refused.value.code == "float_insufficient"
    assert refused.value.data["held_base_units"] == 5_500_000 * 10**6


def test_a_growing_line_moves_what_lies_above_and_funds_the_growth(d: Client, maker: User, checker: User) -> None:
    first = approve(propose(d, maker, tail_base_units=0, slice_id=None, senior_base_units=8_500_000 * 10**6), checker)
    for row in ChainInstruction.objects.filter(kind="FUND"):
        finish(row)
    fund_house(10 * MILLION)
    larger = propose(d, maker, first_loss_base_units=2 * MILLION, senior_base_units=8_500_000 * 10**6)
    approve(larger, checker)
    first.refresh_from_db()
    assert first.state == CreditLine.State.REDUCED
    assert stack(d) == [("FIRST_LOSS", 0, 2_000, False), ("TAIL", 2_000, 8_000, False), ("SENIOR", 8_000, 16_500, True)]
    grown = ChainInstruction.objects.filter(kind="FUND", state="DRAFT").get()
    assert (grown.arguments["layer"], grown.amount_base_units) == ("FIRST_LOSS", 500_000 * 10**6)
    finish(grown)
    assert stack(d)[0] == ("FIRST_LOSS", 0, 2_000, True)
    with pytest.raises(Refusal, match="layer_would_shrink"):
        propose(d, maker, first_loss_base_units=MILLION, senior_base_units=9_500_000 * 10**6)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"slice_id": None}, "tail_needs_a_slice"),
        ({"tail_base_units": 0}, "tail_needs_a_slice"),
        ({"first_loss_base_units": -1}, "amount_negative"),
    ],
)
def test_a_malformed_line_is_refused(d: Client, maker: User, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput, match=code):
        propose(d, maker, **changes)


def test_a_line_ends_in_the_future(d: Client, maker: User) -> None:
    with pytest.raises(BadInput, match="line_expired"):
        propose(d, maker, expires_at=clock.now())


def test_without_recourse_nothing_is_unsecured(d: Client, maker: User) -> None:
    dao = client("DAO", recourse=Party.Recourse.NONE)
    with pytest.raises(Refusal, match="no_recourse"):
        propose(dao, maker)
    assert propose(dao, maker, threshold_base_units=0).state == Proposal.State.PROPOSED


def test_layers_that_bear_a_loss_stay_as_they_are(d: Client, maker: User, checker: User) -> None:
    approve(propose(d, maker), checker)
    Layer.objects.filter(cell=d.cell, kind="FIRST_LOSS").update(loss_base_units=1)
    with pytest.raises(Refusal, match="layer_bears_a_loss"):
        propose(d, maker, first_loss_base_units=2 * MILLION)


def test_a_defaulted_relationship_takes_no_line(d: Client, maker: User) -> None:
    Cell.objects.filter(id=d.cell.id).update(state=Cell.State.DEFAULTED)
    with pytest.raises(Refusal, match="relationship_takes_no_line"):
        propose(d, maker)


def test_the_threshold_follows_the_line_its_expiry_and_a_lapsed_call(d: Client, maker: User, checker: User) -> None:
    line = approve(propose(d, maker), checker)
    assert margining.threshold_of(d.cell.id) == 2 * MILLION
    assert assess(d, value(50_000), 3 * MILLION).required_base_units == MILLION
    MarginCall.objects.filter(cell=d.cell).update(state="LAPSED")
    assert margining.threshold_of(d.cell.id) == 0, "a lapsed call is a potential event of default"
    MarginCall.objects.filter(cell=d.cell).update(state="SETTLED")
    assert CallEvent.objects.filter(cell=d.cell).count() == 1
    assert credit.expire_lines(clock.now()) == []
    assert credit.expire_lines(line.expires_at) == [line]
    assert margining.threshold_of(d.cell.id) == 0


def test_the_database_refuses_a_line_that_nobody_approved(d: Client, maker: User) -> None:
    proposal = propose(d, maker)
    with pytest.raises(DatabaseError, match="line_was_approved"), transaction.atomic():
        CreditLine.objects.create(
            cell=d.cell, proposal=proposal, threshold_base_units=2 * MILLION, first_loss_base_units=1,
            tail_base_units=1, senior_base_units=1, expires_at=clock.now(), ruleset_hash="", admission={},
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    ["expires_at = expires_at + interval '1 year'", "default_intensity_annual = 0", "threshold_base_units = 0"],
)
def test_the_database_keeps_an_approved_line_as_it_was_approved(
    d: Client, maker: User, checker: User, change: str
) -> None:
    line = approve(propose(d, maker), checker)
    with pytest.raises(DatabaseError, match="line_is_fixed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE intermediary_creditline SET {change} WHERE id = %s", [line.id])


@pytest.mark.parametrize(
    "change", [{"expires_at": "later"}, {"default_intensity_annual": "0.0100"}, {"state": "EXPIRED"}]
)
def test_the_database_takes_no_line_that_differs_from_its_proposal(
    d: Client, maker: User, checker: User, change: dict[str, Any]
) -> None:
    proposal = propose(d, maker)
    approvals.approve(
        checker=checker, proposal_id=proposal.id, kind=Proposal.Kind.CREDIT_LINE, seen_hash=proposal.hash, reason="r"
    )
    body = approvals.body_of(proposal)
    expires_at = datetime.fromisoformat(body["expires_at"])
    if change.get("expires_at"):
        change = {"expires_at": expires_at + timedelta(seconds=1)}
    sizes = {name: body[name] for name in body if name.endswith("base_units")}
    numbers: dict[str, Any] = {"expires_at": expires_at, **sizes, **change}
    with pytest.raises(DatabaseError, match="line_was_approved"), transaction.atomic():
        CreditLine.objects.create(cell=d.cell, proposal=proposal, ruleset_hash="", admission={}, **numbers)
