"""Notice, cure, Early Termination Date: refusals first, then effects, then what a second call changes (nothing)."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from intermediary import calls, clock, defaults, determination, ledger, outbox, trading, variation
from intermediary.config import clockwork
from intermediary.early_termination import seize
from intermediary.errors import NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    DefaultCase,
    Event,
    Lot,
    MarginCall,
    Position,
    Proposal,
)
from tests.intermediary import default_world as world_of
from tests.intermediary.builders import deposit
from tests.intermediary.default_world import BTC, USD, Defaulted, World

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


def refused(code: str, call: object) -> Refusal:
    """The refusal that a call without arguments raises."""
    with pytest.raises(Refusal) as caught:
        call()  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


def proposal_on(world: World) -> tuple[MarginCall, Proposal]:
    """A lapsed call and a notice proposed on it."""
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    proposal = defaults.propose_notice(maker=world.maker, call_id=call.id, reason="nothing came", rules=world.rules)
    return call, proposal


@pytest.mark.django_db
def test_w4_no_notice_while_grace_runs() -> None:
    world = world_of.build(grace_minutes=60)
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    refusal = refused("grace_running", lambda: defaults.propose_notice(maker=world.maker, call_id=call.id, reason="r"))
    assert refusal.data["until"] > clock.now().isoformat()


def test_w4_a_notice_proposed_in_time_is_not_given_while_clocks_stand_still(world: World) -> None:
    _, proposal = proposal_on(world)
    calls.stop_clocks("chain not seen")
    refused(
        "clocks_stopped",
        lambda: defaults.give_notice(
            checker=world.checker,
            proposal_id=proposal.id,
            seen_hash=proposal.hash,
            reason="r",
        ),
    )
    assert not DefaultCase.objects.exists()


def test_only_a_lapsed_call_leads_to_a_notice(world: World) -> None:
    refused("no_lapsed_call", lambda: defaults.propose_notice(maker=world.maker, cell_id=world.d.id, reason="r"))
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    call.increments.update(unmet_base_units=0)
    refused("no_lapsed_call", lambda: defaults.propose_notice(maker=world.maker, call_id=call.id, reason="r"))


def test_a_client_cannot_propose_and_the_maker_cannot_check(world: World) -> None:
    call, proposal = proposal_on(world)
    world.maker.is_staff = False
    with pytest.raises(NotAllowed):
        defaults.propose_notice(maker=world.maker, call_id=call.id, reason="r")
    world.maker.is_staff = True
    refused(
        "maker_is_not_checker",
        lambda: defaults.give_notice(
            checker=world.maker,
            proposal_id=proposal.id,
            seen_hash=proposal.hash,
            reason="r",
        ),
    )
    refused(
        "approval_binds_the_hash",
        lambda: defaults.give_notice(
            checker=world.checker,
            proposal_id=proposal.id,
            seen_hash="0" * 64,
            reason="r",
        ),
    )


def test_a_case_without_an_approved_notice_is_refused_by_the_database(world: World) -> None:
    call, proposal = proposal_on(world)
    with pytest.raises(DatabaseError, match="default_was_approved"), transaction.atomic():
        DefaultCase.objects.create(
            cell=world.d, call=call, notice=proposal, noticed_at=clock.now(), cure_by=clock.now(),
            claim_base_units=1,
        )  # fmt: skip


def test_a_notice_reaches_every_vault_of_the_cell_and_stops_its_new_risk_only(world: World) -> None:
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    case = world_of.notice(world, call)
    noticed = ChainInstruction.objects.filter(kind=Kind.NOTICE)
    claims = {row.target.asset_id: row.amount_base_units for row in noticed}
    required = 18_000_000 * USD
    # 18 million in bitcoin at 78,000 and a haircut of 20% are 288.461538462 of them, rounded up.
    assert claims == {"USDC": required, "WBTC": 28_846_153_847}
    assert {row.arguments["evidence"] for row in noticed} == {case.notice.hash}
    assert {row.cell_id for row in noticed} == {world.d.id}
    call.refresh_from_db()
    assert call.state == "DEFAULT_NOTICE"
    states = dict(Cell.objects.filter(kind="CLIENT").values_list("code", "state"))
    assert states == {"D": "NO_NEW_RISK", "W": "OPEN", "M": "OPEN", "U": "OPEN"}
    assert Event.objects.filter(kind="default_noticed", payload__case_id=str(case.id)).count() == 1


def test_a_notice_given_twice_is_one_case(world: World) -> None:
    _, proposal = proposal_on(world)
    again = defaults.propose_notice(
        maker=world.maker, cell_id=world.d.id, reason="the same once more", rules=world.rules
    )
    assert again.id == proposal.id
    cases = {
        defaults.give_notice(
            checker=world.checker,
            proposal_id=proposal.id,
            seen_hash=proposal.hash,
            reason="r",
        ).id
        for _ in range(2)
    }
    assert len(cases) == 1
    assert ChainInstruction.objects.filter(kind=Kind.NOTICE).count() == 2


@pytest.mark.django_db
def test_early_termination_waits_for_the_chain_and_for_the_time_to_cure() -> None:
    world = world_of.build(cure_minutes=30)
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    proposal = defaults.propose_notice(maker=world.maker, call_id=call.id, reason="r", rules=world.rules)
    case = defaults.give_notice(checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r")
    refused("notice_not_final", lambda: defaults.set_early_termination(case_id=case.id))
    world_of.settle()
    refused("cure_running", lambda: defaults.set_early_termination(case_id=case.id))
    assert [due.id for due in defaults.due_steps(clock.now() + timedelta(minutes=31))] == [case.id]
    assert not defaults.due_steps(clock.now() + timedelta(minutes=29))


def test_a_notice_that_two_people_gave_up_neither_holds_the_case_up_nor_claims(world: World) -> None:
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    proposal = defaults.propose_notice(maker=world.maker, call_id=call.id, reason="r", rules=world.rules)
    case = defaults.give_notice(checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r")
    on_bitcoin, on_dollars = (
        ChainInstruction.objects.get(kind=Kind.NOTICE, target__asset_id=asset) for asset in ("WBTC", "USDC")
    )
    for row in (on_bitcoin, on_dollars):
        ChainInstruction.objects.filter(id=row.id).update(state="BATCHED")
    outbox.mark_failed(on_bitcoin.id, failure="given up: wrong vault")
    refused("notice_not_final", lambda: defaults.set_early_termination(case_id=case.id))
    outbox.mark_final(on_dollars.id, transaction_hash="0x")
    defaults.set_early_termination(case_id=case.id)
    assert [row.target_id for row in ChainInstruction.objects.filter(kind=Kind.SEIZE)] == [on_dollars.target_id]


def test_early_termination_waits_for_movements_on_their_way(world: World) -> None:
    valuation = world_of.value(world, 96_000)
    variation.settle(cell_id=world.d.id, valuation_id=valuation.id)
    call = world_of.lapsed_call(world, world_of.value(world, 78_000))
    proposal = defaults.propose_notice(maker=world.maker, call_id=call.id, reason="r", rules=world.rules)
    case = defaults.give_notice(checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r")
    for row in ChainInstruction.objects.filter(kind=Kind.NOTICE):
        ChainInstruction.objects.filter(id=row.id).update(state="BATCHED")
        outbox.mark_final(row.id, transaction_hash="0x")
    refused("movements_in_flight", lambda: defaults.set_early_termination(case_id=case.id))


@pytest.mark.django_db
def test_a_default_is_cured_by_exactly_the_shortfall_and_not_by_less() -> None:
    world = world_of.build(cure_minutes=30)
    case = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))
    # Held: 6 million and 50 bitcoin at 78,000 less 20%; required at threshold zero: 18 million.
    shortfall = 18_000_000 * USD - 6_000_000 * USD - 50 * 78_000 * 8 * USD // 10
    assert defaults.cure_shortfall_base_units(case.id) == shortfall
    deposit(world.d, shortfall - 1)
    assert refused("shortfall_not_delivered", lambda: defaults.cure(case_id=case.id)).data["shortfall_base_units"] == 1
    deposit(world.d, 1)
    for _ in range(2):
        assert defaults.cure(case_id=case.id).state == "CURED"
    assert ChainInstruction.objects.filter(kind=Kind.RELEASE_NOTICE).count() == 2
    refused("case_state", lambda: defaults.set_early_termination(case_id=case.id))


def test_a_notice_that_nobody_signed_ends_with_the_cure_and_leaves_nothing_to_withdraw(world: World) -> None:
    _, proposal = proposal_on(world)
    case = defaults.give_notice(checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r")
    on_dollars = ChainInstruction.objects.get(kind=Kind.NOTICE, target__asset_id="USDC")
    ChainInstruction.objects.filter(id=on_dollars.id).update(state="BATCHED")
    deposit(world.d, 9_000_000 * USD)
    for _ in range(2):
        assert defaults.cure(case_id=case.id).state == "CURED"
    ended = ChainInstruction.objects.get(kind=Kind.NOTICE, target__asset_id="WBTC")
    assert (ended.state, ended.failure) == ("FAILED", "the default was cured before this notice was signed")
    released = ChainInstruction.objects.get(kind=Kind.RELEASE_NOTICE)
    assert released.target_id == on_dollars.target_id, "that one is on its way"
    told = case.events.filter(data__has_key="never_signed").get()
    assert (told.after, told.data["never_signed"]) == ("CURED", [str(ended.id)])
    assert "WBTC" in told.note


def test_a_second_default_after_a_cure_is_a_default_like_the_first(world: World) -> None:
    first = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))
    deposit(world.d, 9_000_000 * USD)
    assert defaults.cure(case_id=first.id).state == "CURED"
    world_of.settle()
    again = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 70_000)))
    assert again.id != first.id
    defaults.set_early_termination(case_id=again.id)
    world_of.settle()
    again.refresh_from_db()
    assert again.state == "ETD_SET"
    assert world.balance(AccountKind.HOUSE) == 15_000_000 * USD
    world_of.close_out(world, again)
    assert world_of.determined(world, again).state == "ALLOCATED"


def test_a_delivered_shortfall_is_never_terminated(world: World) -> None:
    case = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))
    deposit(world.d, 20_000_000 * USD)
    refused("is_cured", lambda: defaults.set_early_termination(case_id=case.id))


@pytest.mark.world(build=world_of.terminated_at_78000)
def test_the_book_moves_to_the_close_out_cell_as_it_was(defaulted: Defaulted) -> None:
    world, case = defaulted
    close_out = Cell.objects.get(closes_out=world.d)
    assert (close_out.kind, Cell.objects.get(id=world.d.id).state) == ("CLOSE_OUT", "DEFAULTED")
    moved = Position.objects.get(cell=close_out)
    assert (moved.quantity, moved.settled_value) == (Decimal(1_000), Decimal(95_000_000))
    left = Position.objects.get(cell=world.d)
    assert (left.quantity, left.settled_value) == (Decimal(0), Decimal(0))
    assert [lot.opposite.code for lot in Lot.objects.filter(cell=close_out).order_by("id")] == ["W", "M"]
    assert not Lot.objects.filter(cell=world.d).exclude(open_quantity=0).exists()
    assert set(trading.position_nets().values()) == {0}
    assert case.events.filter(after="ETD_SET").count() == 1


@pytest.mark.world(build=world_of.terminated_at_78000)
def test_all_margin_is_seized_once_and_what_arrives_later_up_to_the_claim(defaulted: Defaulted) -> None:
    world, case = defaulted
    assert defaults.set_early_termination(case_id=case.id).id == case.id
    assert world.balance(AccountKind.HOUSE) == 6_000_000 * USD
    assert world.balance(AccountKind.HOUSE, "WBTC") == 50 * BTC
    assert seize(case_id=case.id) == []
    deposit(world.d, 13_000_000 * USD)
    assert [row.amount_base_units for row in seize(case_id=case.id)] == [12_000_000 * USD]
    assert world.balance(AccountKind.CLIENT_MARGIN) == 1_000_000 * USD


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_d1_margin_that_arrives_after_early_termination_is_taken_before_any_loss_is_determined(
    defaulted: Defaulted,
) -> None:
    world, case = defaulted
    deposit(world.d, 2_000_000 * USD)
    assert refused("margin_unseized", lambda: world_of.proposed(world, case)).data["amounts"] == {
        "USDC": 2_000_000 * USD
    }
    next(clockwork._defaults_due())()
    world_of.settle()
    assert world.balance(AccountKind.CLIENT_MARGIN) == 0
    assert world_of.determined(world, case).loss_base_units == 6_500_000 * USD


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_d1_margin_that_arrives_after_the_proposal_keeps_it_from_being_approved(defaulted: Defaulted) -> None:
    world, case = defaulted
    proposal = world_of.proposed(world, case)
    deposit(world.d, 1)
    refused(
        "margin_unseized",
        lambda: determination.approve_determination(
            checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r"
        ),
    )


def test_what_a_seizure_took_beyond_its_instruction_counts_against_the_claim(world: World) -> None:
    case = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))
    defaults.set_early_termination(case_id=case.id)
    deposit(world.d, 13_000_000 * USD)
    first = ChainInstruction.objects.get(kind=Kind.SEIZE, target__asset_id="USDC")
    ChainInstruction.objects.filter(id=first.id).update(state="BATCHED")
    outbox.mark_final(first.id, transaction_hash="0x", moved_base_units=18_000_000 * USD)
    assert seize(case_id=case.id) == [], "the claim of 18 million is taken: the rest is the client's"


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_nothing_is_seized_or_waited_for_once_two_people_gave_a_seizure_up(defaulted: Defaulted) -> None:
    world, case = defaulted
    deposit(world.d, 2_000_000 * USD)
    late = seize(case_id=case.id)[0]
    ChainInstruction.objects.filter(id=late.id).update(state="BATCHED")
    outbox.mark_failed(late.id, failure="given up: the notice has lapsed")
    assert seize(case_id=case.id) == []
    assert world_of.determined(world, case).loss_base_units == 8_500_000 * USD


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_a_strangers_tokens_that_were_taken_pay_nothing_of_the_loss_and_go_back_to_suspense(
    defaulted: Defaulted,
) -> None:
    world, case = defaulted
    ledger.post(
        entry_id=uuid7(), cell_id=world.d.id, kind="suspense_seized", memo="",
        lines=[Line(AccountKind.OUTSIDE, "USDC", -7), Line(AccountKind.SUSPENSE_TAKEN, "USDC", 7)],
    )  # fmt: skip
    assert world_of.determined(world, case).loss_base_units == 8_500_000 * USD
    kinds = (AccountKind.SUSPENSE_TAKEN, AccountKind.SUSPENSE, AccountKind.CLIENT_MARGIN)
    assert [world.balance(kind) for kind in kinds] == [0, 7, 0]
