"""The determined loss through the commands, on a real database: the worked example, exact to the base unit."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, models, transaction

from intermediary import closeout, defaults, determination, ledger, loss, recovery, trading, variation
from intermediary.closeout_schedule import CloseOutRules, DepthQuote
from intermediary.errors import NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    DefaultCase,
    Event,
    Layer,
    LayerLoss,
    Position,
    Posting,
    UncoveredShare,
)
from tests.intermediary import default_world as world_of
from tests.intermediary.builders import deposit
from tests.intermediary.default_world import DEPTH, USD, Defaulted, World

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


def closed_out(world: World, price: int) -> DefaultCase:
    """A case ready to be determined."""
    case = world_of.terminated(world, price)
    world_of.close_out(world, case)
    return case


def test_nothing_is_determined_before_all_is_replaced_seized_sold_and_paid_for(world: World) -> None:
    case = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))

    def refusal() -> str:
        with pytest.raises(Refusal) as caught:
            world_of.proposed(world, case)
        return caught.value.code

    assert refusal() == "case_state"
    defaults.set_early_termination(case_id=case.id)
    assert world.last_valuation is not None
    valuation_id = world.last_valuation.id
    closeout.replace(case_id=case.id, valuation_id=valuation_id, depth={world.bitcoin.id: DEPTH})
    assert refusal() == "seizure_in_flight"
    world_of.settle()
    assert refusal() == "collateral_unsold"
    closeout.dispose_collateral(case_id=case.id, valuation_id=valuation_id, depth={"WBTC": DEPTH})
    assert refusal() == "collateral_unsold"
    world_of.settle()
    assert refusal() == "disposal_unpaid"


def test_no_loss_is_allocated_past_a_cover_that_is_paid_and_not_issued_yet(world: World) -> None:
    case = closed_out(world, 78_000)
    tail = Layer.objects.filter(cell=case.cell, kind=Layer.Kind.TAIL)
    principal = 6_000_000 * USD
    tail.update(funded=False)
    lines = [ledger.Line(AccountKind.OUTSIDE, "USDC", -principal), ledger.Line(AccountKind.ESCROW, "USDC", principal)]
    ledger.post(entry_id=uuid7(), cell_id=case.cell_id, kind="subscribed", memo="subscribed", lines=lines)
    with pytest.raises(Refusal, match="cover_being_issued") as refused:
        world_of.proposed(world, case)
    assert refused.value.data["held_base_units"] == principal
    tail.update(funded=True)
    assert world_of.determined(world, case).state == DefaultCase.State.ALLOCATED


def test_a_half_replaced_book_is_not_determined(world: World) -> None:
    world.rules = CloseOutRules()
    case = world_of.terminated(world, 78_000)
    assert world.last_valuation is not None
    thin = {world.bitcoin.id: DepthQuote(Decimal(1_000_000))}
    closeout.replace(case_id=case.id, valuation_id=world.last_valuation.id, depth=thin)
    with pytest.raises(Refusal, match="not_replaced"):
        world_of.proposed(world, case)


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_the_maker_does_not_check_and_a_client_does_neither(defaulted: Defaulted) -> None:
    world, case = defaulted
    proposal = world_of.proposed(world, case)
    decide: dict[str, Any] = {"proposal_id": proposal.id, "seen_hash": proposal.hash, "reason": "r"}
    with pytest.raises(Refusal, match="maker_is_not_checker"):
        determination.approve_determination(checker=world.maker, **decide)
    world.checker.is_staff = False
    with pytest.raises(NotAllowed):
        determination.approve_determination(checker=world.checker, **decide)
    assert not LayerLoss.objects.exists()


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_an_outdated_bundle_is_refused(defaulted: Defaulted) -> None:
    world, case = defaulted
    proposal = world_of.proposed(world, case)
    closeout.book_disposal_receipt(case_id=case.id, transaction_hash="0xee", log_index=1, amount_base_units=USD)
    with pytest.raises(Refusal, match="determination_outdated"):
        determination.approve_determination(
            checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r"
        )


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_the_database_refuses_a_loss_that_nobody_approved(defaulted: Defaulted) -> None:
    _, case = defaulted
    with pytest.raises(DatabaseError, match="loss_was_approved"), transaction.atomic():
        DefaultCase.objects.filter(id=case.id).update(loss_base_units=1)


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_at_78000_the_layers_take_1_5_and_6_0_and_1_0(defaulted: Defaulted) -> None:
    world, case = defaulted
    assert case.state == "ALLOCATED"
    assert case.close_out_amount_base_units == 18_170_000 * USD
    assert case.collateral_realised_base_units == 9_841_500 * USD
    assert case.costs_base_units == 171_500 * USD
    assert case.added_by_us_base_units == 0
    assert case.loss_base_units == 8_500_000 * USD
    assert world.losses() == [1_500, 6_000, 1_000]
    assert case.uncovered_base_units == 0
    assert not UncoveredShare.objects.exists()
    assert world.balance(AccountKind.FIRST_LOSS) == 0
    assert world.balance(AccountKind.SENIOR_RETENTION) == 2_000_000 * USD
    assert world.balance(AccountKind.COSTS) == 171_500 * USD
    # Margin and both retentions less costs; the bond's 6.0 arrive by the bond's own instruction.
    assert world.balance(AccountKind.FLOAT) == (40_000_000 + 9_841_500 + 2_500_000 - 171_500) * USD
    told = Event.objects.get(kind="loss_determined").payload
    assert told["net_loss_base_units"] == case.loss_base_units
    assert sum(told["layer_losses"].values()) == case.loss_base_units
    applied = ChainInstruction.objects.filter(kind=Kind.APPLY).order_by("seq")
    assert [row.amount_base_units // USD for row in applied] == [1_500_000, 1_000_000]
    assert ChainInstruction.objects.filter(kind=Kind.RELEASE_NOTICE).count() == 2


def test_at_60000_what_no_layer_takes_reaches_w_and_m_only(world: World) -> None:
    untouched = rows_of(world.cells["U"])
    case = world_of.default_at(world, 60_000)
    assert case.loss_base_units == 27_116_500 * USD
    assert world.losses() == [1_500, 6_000, 3_000]
    assert case.uncovered_base_units == 16_616_500 * USD
    shares = {share.cell.code: share.amount_base_units for share in UncoveredShare.objects.all()}
    assert shares == {"W": 9_969_900 * USD, "M": 6_646_600 * USD}
    assert world.balance(AccountKind.UNCOVERED_CLAIMS) == -16_616_500 * USD
    assert rows_of(world.cells["U"]) == untouched
    # What W is not paid as variation margin is its claim: the same dollar is never owed twice (C6).
    owed = variation.exposure(world.cells["W"].id, case_valuation(world))
    assert owed == -(600 * 35_000 - 9_969_900)


def case_valuation(world: World) -> Any:
    assert world.last_valuation is not None
    return world.last_valuation.id


def test_what_no_unpaid_gain_is_left_to_bear_stays_with_the_intermediary(world: World) -> None:
    case = closed_out(world, 60_000)
    Position.objects.filter(cell=world.cells["W"]).update(settled_value=-600 * 60_000)  # settled up to the mark
    Position.objects.filter(cell=world.cells["M"]).update(settled_value=-400 * 70_000)  # 4 million are unpaid
    case = world_of.determined(world, case)
    shares = {share.cell.code: share.amount_base_units for share in UncoveredShare.objects.all()}
    assert shares == {"M": 4_000_000 * USD}
    assert case.uncovered_base_units == 16_616_500 * USD
    assert world.balance(AccountKind.UNCOVERED_CLAIMS) == -4_000_000 * USD
    assert world.balance(AccountKind.EQUITY) == -12_616_500 * USD


def test_a_gain_that_faces_an_uncovered_loss_waits_and_the_rest_of_it_is_paid_after_the_determination(
    world: World,
) -> None:
    case = closed_out(world, 60_000)
    w = world.cells["W"]
    assert variation.settle(cell_id=w.id, valuation_id=case_valuation(world)) is None
    world_of.determined(world, case)
    paid = variation.settle(cell_id=w.id, valuation_id=case_valuation(world))
    assert paid is not None
    assert paid.amount_base_units == (600 * 35_000 - 9_969_900) * USD


def test_a_layer_whose_money_is_not_there_covers_nothing(world: World) -> None:
    Layer.objects.filter(cell=world.d, kind="TAIL").update(funded=False)
    case = world_of.default_at(world, 78_000)
    assert world.losses() == [1_500, 0, 1_000]
    assert case.uncovered_base_units == 6_000_000 * USD


def test_a_surplus_goes_back_to_the_client_and_nobody_else_hears_of_it(world: World) -> None:
    case = world_of.terminated(world, 94_000, independent_dollars=15_000_000)
    world_of.close_out(world, case)
    case = world_of.determined(world, case)
    owed = 2_410_000 * USD + 171_500 * USD
    realised = 6_000_000 * USD + 50 * 92_590 * USD
    assert case.state == "CLOSED"
    assert case.loss_base_units == 0
    assert world.balance(AccountKind.CLIENT_MARGIN) == realised - owed
    assert world.balance(AccountKind.HOUSE) == 0
    assert world.losses() == [0, 0, 0]
    assert not LayerLoss.objects.exists()


def test_a_gain_at_close_out_is_paid_to_the_defaulter(world: World) -> None:
    case = world_of.terminated(world, 94_000, independent_dollars=15_000_000)
    world_of.value(world, 97_000)
    world_of.close_out(world, case)
    case = world_of.determined(world, case)
    gain = (95_545 - 95_000) * 1_000 * USD
    assert case.close_out_amount_base_units == -gain
    realised = 6_000_000 * USD + 50 * 95_545 * USD
    assert world.balance(AccountKind.CLIENT_MARGIN) == realised + gain - 171_500 * USD


def test_what_our_own_delay_added_never_reaches_the_bond(world: World) -> None:
    call_value = world_of.value(world, 85_000, age=timedelta(minutes=12))
    call = world_of.lapsed_call(world, call_value, overdue=timedelta(minutes=11))
    world_of.value(world, 85_000, age=timedelta(minutes=10))
    case = world_of.notice(world, call)
    defaults.set_early_termination(case_id=case.id)
    world_of.settle()
    world_of.value(world, 78_000)
    world_of.close_out(world, case)
    case = world_of.determined(world, case)
    # On time: 1,000 x (95,000 - 83,725) + costs - 6 million - 50 x 83,725.
    on_time = (11_275_000 + 171_500 - 6_000_000 - 4_186_250) * USD
    assert case.loss_base_units == on_time
    assert case.added_by_us_base_units == 8_500_000 * USD - on_time
    assert world.losses() == [1_260, 0, 0]
    assert world.balance(AccountKind.EQUITY) == -case.added_by_us_base_units
    assert case.determination is not None
    assert json.loads(case.determination.body)["on_time"]["valuations_late"] == 1


@pytest.mark.parametrize("late", [False, True])
def test_every_number_of_a_bundle_is_recomputed_from_the_bundle_alone(world: World, late: bool) -> None:
    overdue = timedelta(minutes=11) if late else timedelta(0)
    call = world_of.lapsed_call(world, world_of.value(world, 85_000, age=timedelta(minutes=12)), overdue=overdue)
    world_of.value(world, 85_000, age=timedelta(minutes=10))
    case = world_of.notice(world, call)
    defaults.set_early_termination(case_id=case.id)
    world_of.settle()
    world_of.value(world, 78_000)
    world_of.close_out(world, case)
    text = world_of.proposed(world, case).body
    published, body = json.loads(text), json.loads(text)
    assert (body["added_by_us_base_units"] > 0) is late
    for name in loss.outcome(body).keys() - {"layers"}:
        del body[name]
    for layer in body["layers"]:
        del layer["loss_base_units"]
    assert body | loss.outcome(body) == published
    for row in body["slices"]:
        row["price"] = "1"
    assert body | loss.outcome(body) != published


def test_no_gain_of_the_intermediary_beyond_the_published_costs(world: World) -> None:
    """X5: over the cell, what came in from margin and layers is what the book lost, and costs left to their payee."""
    world.rules = CloseOutRules(participation_bps=10_000, cost_bps=7)
    case = world_of.default_at(world, 78_000)
    bond_pays = Layer.objects.get(cell=world.d, kind="TAIL").loss_base_units  # to the float, by the bond's own call
    gained = world.balance(AccountKind.FLOAT) - 40_000_000 * USD + bond_pays
    assert gained == case.close_out_amount_base_units
    notional = sum(abs(row.quantity) * row.price for row in case.slices.all())
    assert case.costs_base_units == int(notional * USD * 7 / 10_000)
    assert world.balance(AccountKind.FEES) == world.balance(AccountKind.INTEREST) == 0


def test_every_entry_of_a_default_stays_in_the_cell_of_the_defaulter(world: World) -> None:
    before = set(Posting.objects.values_list("id", flat=True))
    world_of.default_at(world, 60_000)
    new = Posting.objects.exclude(id__in=before)
    assert set(new.values_list("cell__code", flat=True)) == {"D"}
    sums: dict[str, int] = {}
    for asset, amount in new.values_list("asset_id", "amount_base_units"):
        sums[asset] = sums.get(asset, 0) + amount
    assert set(sums.values()) == {0}


@pytest.mark.world(build=world_of.closed_out_at_78000)
def test_an_approval_repeated_allocates_once(defaulted: Defaulted) -> None:
    world, case = defaulted
    proposal = world_of.proposed(world, case)
    for _ in range(2):
        determination.approve_determination(
            checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="r"
        )
    assert LayerLoss.objects.count() == 3
    assert ChainInstruction.objects.filter(kind=Kind.APPLY).count() == 2
    assert Event.objects.filter(kind="loss_determined").count() == 1


def test_i1_everything_of_other_cells_is_byte_equal_through_the_whole_default(world: World) -> None:
    """W and M face D's book and stay whole; their margin, positions, lots, calls and instructions do not change."""
    world_of.value(world, 78_000)
    before = {name: rows_of(world.cells[name]) for name in ("W", "M", "U")}
    case = world_of.default_at(world, 78_000)
    recovery.receive(
        officer=world.maker, case_id=case.id, transaction_hash="0x01", log_index=0,
        amount_base_units=3_400_000 * USD, source="estate",
    )  # fmt: skip
    world_of.settle()
    assert {name: rows_of(world.cells[name]) for name in ("W", "M", "U")} == before
    assert before["W"]["intermediary.position"], "the comparison sees W's book"


@pytest.mark.world(build=world_of.terminated_at_78000)
def test_a_winner_is_paid_its_variation_margin_while_the_loser_is_in_default(defaulted: Defaulted) -> None:
    world, case = defaulted
    held = world.balance(AccountKind.CLIENT_MARGIN, cell="W")
    assert variation.settle(cell_id=world.cells["W"].id, valuation_id=case_valuation(world)) is not None
    world_of.settle()
    assert world.balance(AccountKind.CLIENT_MARGIN, cell="W") == held + 600 * 17_000 * USD
    deposit(world.cells["U"], 5)
    assert world.balance(AccountKind.CLIENT_MARGIN, cell="U") == 20_000_000 * USD + 5
    assert case.state == "ETD_SET"


@pytest.mark.world(build=world_of.defaulted_at_78000)
def test_the_close_out_cell_and_the_venue_are_all_that_is_left_of_the_book(defaulted: Defaulted) -> None:
    book = {
        position.cell.code: (int(position.quantity), int(position.settled_value)) for position in Position.objects.all()
    }
    assert book["D"] == book["CO-D"] == (0, 0)
    assert book["VENUE"] == (1_000, 76_830_000)
    assert set(trading.position_nets().values()) == {0}
    assert ledger.balance(Cell.objects.get(code="VENUE").id, AccountKind.FLOAT, "USDC") == 0


def rows_of(cell: Cell) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that belongs to the cell, and the cell itself."""
    found: dict[str, list[dict[str, Any]]] = {"cell": [dict(row) for row in Cell.objects.filter(id=cell.id).values()]}
    for model in apps.get_models():
        fields = [field for field in model._meta.concrete_fields if field.name == "cell"]
        if fields and isinstance(fields[0], models.ForeignKey) and fields[0].related_model is Cell:
            rows = model._default_manager.filter(cell_id=cell.id).order_by("pk").values()
            found[model._meta.label_lower] = list(rows)
    return found
