"""Recoveries and the end of a claim: N falls by the receipt, the most senior bearer first, in any order of receipts."""

import itertools
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from intermediary import default_cases, ledger, ports, receipts, recovery
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Event,
    LayerLoss,
    Position,
    RecoveryReceipt,
)
from tests.intermediary import default_world as world_of
from tests.intermediary.default_world import USD, Defaulted, World

pytestmark = pytest.mark.world(build=world_of.before_default)
Kind = ChainInstruction.Kind


@pytest.fixture
def world(rolled_back_world: World) -> World:
    """Before the default."""
    return rolled_back_world


@pytest.fixture
def defaulted(rolled_back_world: Defaulted) -> Defaulted:
    """As far as the mark of the test says, with the case."""
    return rolled_back_world


def receive(world: World, case: DefaultCase, dollars: int, log_index: int = 0) -> RecoveryReceipt | None:
    """A receipt from the estate, and the chain's part of it."""
    receipt = recovery.receive(
        officer=world.maker, case_id=case.id, transaction_hash="0x" + "0e" * 32, log_index=log_index,
        amount_base_units=dollars * USD, source="estate",
    )  # fmt: skip
    world_of.settle()
    case.refresh_from_db()
    return receipt


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_only_an_officer_books_and_only_a_positive_amount(defaulted: Defaulted) -> None:
    world, case = defaulted
    with pytest.raises(BadInput, match="amount_not_positive"):
        receive(world, case, 0)
    world.maker.is_staff = False
    with pytest.raises(NotAllowed):
        receive(world, case, 1)


@pytest.mark.world(build=world_of.terminated_at_78000)
def test_nothing_is_recovered_before_the_loss_is_allocated(defaulted: Defaulted) -> None:
    world, case = defaulted
    with pytest.raises(Refusal, match="case_state"):
        receive(world, case, 1)


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_a_recovery_of_3_4_leaves_1_5_and_3_6_and_0(defaulted: Defaulted) -> None:
    world, case = defaulted
    receipt = receive(world, case, 3_400_000)
    assert receipt is not None
    assert (case.state, case.loss_base_units) == ("RECOVERY", 5_100_000 * USD)
    assert world.losses() == [1_500, 3_600, 0]
    restored = ChainInstruction.objects.filter(kind=Kind.RESTORE)
    assert [row.amount_base_units for row in restored] == [1_000_000 * USD]
    assert world.balance(AccountKind.SENIOR_RETENTION) == 3_000_000 * USD
    assert world.balance(AccountKind.RECOVERY) == 2_400_000 * USD, "the bond's part waits for the bond's own call"
    told = Event.objects.get(kind="recovery_received").payload
    assert told == {
        "case_id": str(case.id), "net_loss_base_units": case.loss_base_units, "receipt_id": str(receipt.id),
    }  # fmt: skip


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_the_same_log_is_one_receipt_for_one_purpose(defaulted: Defaulted) -> None:
    world, case = defaulted
    first, second = (receive(world, case, 400_000) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert case.recoveries_base_units == 400_000 * USD
    with pytest.raises(Refusal, match="entry_id_reused"):
        receive(world, case, 400_001)
    with pytest.raises(Refusal, match="entry_id_reused"):
        recovery.receive(
            officer=world.maker, case_id=case.id, transaction_hash="0x" + "d1" * 32, log_index=0,
            amount_base_units=3_841_500 * USD, source="what the market paid is no recovery",
        )  # fmt: skip
    assert receipts.is_booked("0x" + "d1" * 32, 0)


@pytest.mark.world(build=world_of.defaulted_at_60000)
def test_the_order_of_receipts_is_irrelevant(defaulted: Defaulted) -> None:
    world, case = defaulted
    ends = set()
    for order in itertools.permutations((9_000_000, 11_000_000, 3_333_333)):
        point = transaction.savepoint()
        for log_index, dollars in enumerate(order):
            receive(world, case, dollars, log_index)
        positions = Position.objects.filter(cell__code__in=["W", "M"]).order_by("id").values_list("settled_value")
        ends.add((tuple(world.losses()), case.loss_base_units, case.uncovered_base_units, tuple(positions)))
        transaction.savepoint_rollback(point)
        case.refresh_from_db()
    assert len(ends) == 1


@pytest.mark.world(build=world_of.defaulted_at_60000)
def test_uncovered_is_paid_back_first_and_returns_to_variation_margin(defaulted: Defaulted) -> None:
    world, case = defaulted
    w = Position.objects.get(cell__code="W")
    assert w.settled_value == -600 * 95_000 + 9_969_900
    receive(world, case, 16_616_500)
    w.refresh_from_db()
    assert w.settled_value == -600 * 95_000
    assert case.uncovered_base_units == 0
    assert world.balance(AccountKind.UNCOVERED_CLAIMS) == 0
    assert world.losses() == [1_500, 6_000, 3_000]
    assert not ChainInstruction.objects.filter(kind=Kind.RESTORE).exists()


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_beyond_the_debt_the_client_gets_its_money_back(defaulted: Defaulted) -> None:
    world, case = defaulted
    receive(world, case, 9_000_000)
    assert case.loss_base_units == 0
    assert world.losses() == [0, 0, 0]
    assert world.balance(AccountKind.CLIENT_MARGIN) == 500_000 * USD
    restored = ChainInstruction.objects.filter(kind=Kind.RESTORE).order_by("seq")
    assert [row.amount_base_units // USD for row in restored] == [1_000_000, 1_500_000], "senior first"
    assert receive(world, case, 100_000, 1) is None
    assert world.balance(AccountKind.CLIENT_MARGIN) == 600_000 * USD
    changes = LayerLoss.objects.values_list("loss_before_base_units", "loss_after_base_units")
    assert sum(after - before for before, after in changes) == 0, "written up what was written down, no more (C4)"


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_the_database_refuses_a_receipt_that_lowers_n_by_another_amount(defaulted: Defaulted) -> None:
    world, case = defaulted
    with pytest.raises(DatabaseError, match="receipt_lowers_n_by_its_amount"), transaction.atomic():
        RecoveryReceipt.objects.create(
            cell=world.d, case=case, amount_base_units=2, source="x", net_loss_before_base_units=10,
            net_loss_after_base_units=9,
        )  # fmt: skip


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_a_write_off_takes_two_people_and_closes_the_right_to_be_written_up(defaulted: Defaulted) -> None:
    world, case = defaulted
    stale = recovery.propose_write_off(maker=world.maker, case_id=case.id, reason="estate is empty")
    receive(world, case, 3_400_000)
    with pytest.raises(Refusal, match="write_off_outdated"):
        recovery.approve_write_off(checker=world.checker, proposal_id=stale.id, seen_hash=stale.hash, reason="r")
    proposal = recovery.propose_write_off(maker=world.maker, case_id=case.id, reason="estate is empty")
    decide: dict[str, Any] = {"proposal_id": proposal.id, "seen_hash": proposal.hash, "reason": "agreed"}
    with pytest.raises(Refusal, match="maker_is_not_checker"):
        recovery.approve_write_off(checker=world.maker, **decide)
    for _ in range(2):
        assert recovery.approve_write_off(checker=world.checker, **decide).state == "CLOSED"
    with pytest.raises(Refusal, match="case_state"):
        receive(world, case, 1, 5)
    assert world.losses() == [1_500, 3_600, 0]


def cure_late(case: DefaultCase, amount: int, asset: str = "USDC") -> None:
    """What the watcher books of a claim paid on chain, twice, and what the clockwork does with it."""
    vault = ChainTarget.objects.get(kind="VAULT", cell=case.cell, asset_id=asset)
    lines = [Line(AccountKind.OUTSIDE, asset, -amount), Line(AccountKind.HOUSE, asset, amount)]
    ledger.post(entry_id=uuid7(), cell_id=case.cell_id, kind="cured_by_client", memo="paid", lines=lines)
    for _ in range(2):
        default_cases.cured_on_chain(case.id, vault, amount)
    pass_cures_on()
    case.refresh_from_db()


def write_off(world: World, case: DefaultCase) -> None:
    made = recovery.propose_write_off(maker=world.maker, case_id=case.id, reason="estate is empty")
    recovery.approve_write_off(checker=world.checker, proposal_id=made.id, seen_hash=made.hash, reason="agreed")


def pass_cures_on() -> None:
    due = recovery.cures_due()
    for cure in due * 2:
        recovery.receive_cure(cure)
    assert not recovery.cures_due()


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_a_claim_that_is_paid_on_chain_after_the_loss_was_determined_is_a_recovery(defaulted: Defaulted) -> None:
    world, case = defaulted
    cure_late(case, 3_400_000 * USD)
    assert (case.state, case.loss_base_units) == ("RECOVERY", 5_100_000 * USD)
    assert world.losses() == [1_500, 3_600, 0]
    assert world.balance(AccountKind.HOUSE) == 0
    assert case.receipts.get().source == "the client's own cure on chain"
    told = case.events.filter(data__has_key=default_cases.CURED_ON_CHAIN)
    assert told.count() == 1, "by which its withdrawal ends"


@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_a_claim_that_is_paid_once_it_is_written_off_goes_back(
    defaulted: Defaulted, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, case = defaulted
    if when == "before":
        write_off(world, case)
        cure_late(case, 7 * USD)
    else:
        with monkeypatch.context() as patched:
            patched.setattr(recovery, "cures_due", list)
            cure_late(case, 7 * USD)
        write_off(world, case)
        pass_cures_on()
    assert (world.balance(AccountKind.HOUSE), world.balance(AccountKind.RECOVERY)) == (0, 0)
    paid = ChainInstruction.objects.get(
        kind=Kind.CREDIT, arguments__destination="client_margin", amount_base_units=7 * USD
    )
    assert paid.arguments["source"] == "house"
    assert not case.receipts.exists()


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_tokens_in_which_no_loss_is_paid_go_back_when_they_come_after_it(defaulted: Defaulted) -> None:
    world, case = defaulted
    cure_late(case, 5, "WBTC")
    assert world.balance(AccountKind.HOUSE, "WBTC") == 0
    assert ChainInstruction.objects.get(kind=Kind.CREDIT, target__asset_id="WBTC").amount_base_units == 5


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_a_notice_that_its_client_ended_before_the_loss_is_not_ended_again(
    defaulted: Defaulted, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, case = defaulted
    cured = ChainTarget.objects.get(kind="VAULT", cell=case.cell, asset_id="WBTC")
    monkeypatch.setitem(ports._cures, "paid", lambda _: {cured.id: 1})
    world_of.determined(world, case)
    assert ChainInstruction.objects.get(kind=Kind.RELEASE_NOTICE).target.asset_id == "USDC"
