"""Replacement and disposal: the pure schedule, then the commands step by step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from intermediary import clock, closeout, defaults, trading
from intermediary.closeout_schedule import (
    STANDARD_RULES,
    CloseOutRules,
    DepthQuote,
    Slice,
    close_out_base_units,
    costs_base_units,
    must_pause,
    must_rest,
    next_slice,
    same_slippage,
    value_base_units,
)
from intermediary.config import clockwork
from intermediary.config.replay import store_snapshot
from intermediary.errors import Refusal
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    CloseOutSlice,
    DefaultCase,
    Instrument,
    Lot,
    Position,
    Valuation,
)
from risk.market.quality import MarkQuality, MarkState
from tests.intermediary import default_world as world_of
from tests.intermediary.default_world import BTC, DEPTH, USD, WORLD_RULES_SLICED, World
from tests.risk.builders import snapshot

QUANTITY = st.decimals(min_value="0.00000001", max_value=10**7, places=8)
PRICE = st.decimals(min_value="0.0001", max_value=10**6, places=4)
DOLLARS = st.decimals(min_value=1_000, max_value=10**10, places=0)


@given(QUANTITY, st.booleans(), PRICE, DOLLARS)
def test_a_slice_is_part_of_what_is_left_and_its_price_is_moved_against_us(
    size: Decimal, short: bool, mark: Decimal, depth: Decimal
) -> None:
    remaining = -size if short else size
    piece = next_slice(remaining, mark, DepthQuote(depth), STANDARD_RULES)
    assert 0 < piece.quantity / remaining <= 1
    assert piece.price >= mark if short else piece.price <= mark
    step = Decimal("0.00000001")
    assert abs(piece.quantity) * mark <= max(depth / 2, step * mark), "at most the participation of the depth"


@given(QUANTITY, PRICE, DOLLARS)
def test_the_schedule_ends_after_as_many_valuations_as_the_depth_needs(
    size: Decimal, mark: Decimal, depth: Decimal
) -> None:
    assume(size * mark / depth < 20)
    left, rules = size, CloseOutRules(participation_bps=10_000)
    for _ in range(41):  # a step is rounded down to a quantity that exists, at worst to half
        left -= next_slice(left, mark, DepthQuote(depth), rules).quantity if left else 0
    assert left == 0


def test_slippage_is_linear_in_the_share_of_depth_used() -> None:
    rules = CloseOutRules(participation_bps=10_000, spread_bps=0, impact_bps=100)
    for quantity, price in ((Decimal(100), 99), (Decimal(50), Decimal("99.5")), (Decimal(-25), Decimal("100.25"))):
        assert next_slice(quantity, Decimal(100), DepthQuote(Decimal(10_000)), rules).price == price
    stressed = DepthQuote(Decimal(10_000), volatility_multiplier=Decimal(2))
    assert next_slice(Decimal(50), Decimal(100), stressed, rules).price == 99


def test_a_worthless_instrument_goes_in_one_piece() -> None:
    piece = next_slice(Decimal(7), Decimal(0), DEPTH, STANDARD_RULES)
    assert (piece.quantity, piece.price) == (Decimal(7), Decimal("1E-10"))


def test_our_slices_wait_for_fast_marks_and_never_for_ever() -> None:
    fast, slow = Decimal(94), Decimal("95.01")
    assert must_pause(mark=fast, previous_mark=Decimal(100), pauses=0, rules=STANDARD_RULES)
    assert not must_pause(mark=slow, previous_mark=Decimal(100), pauses=0, rules=STANDARD_RULES)
    assert not must_pause(mark=fast, previous_mark=Decimal(100), pauses=2, rules=STANDARD_RULES)
    assert not must_pause(mark=fast, previous_mark=None, pauses=0, rules=STANDARD_RULES)


def test_two_slices_keep_five_minutes_apart_unless_the_notice_is_older_than_the_rule() -> None:
    at, second = datetime(2026, 1, 5, tzinfo=UTC), timedelta(seconds=1)
    assert must_rest(at + 299 * second, at, STANDARD_RULES)
    assert not must_rest(at + 300 * second, at, STANDARD_RULES), "a replay of five-minute bars slices at each"
    assert not must_rest(at, None, STANDARD_RULES)
    given_before = {name: value for name, value in STANDARD_RULES.body().items() if name != "slice_every_s"}
    assert CloseOutRules.from_body(STANDARD_RULES.body()) == STANDARD_RULES
    assert CloseOutRules.from_body(given_before) == replace(STANDARD_RULES, slice_every_s=0)


def test_dollars_become_base_units_once_towards_zero() -> None:
    assert value_base_units(Decimal("1.0000019"), 6) == 1_000_001
    assert value_base_units(Decimal("-1.0000019"), 6) == -1_000_001
    piece = Slice(Decimal(1_000), Decimal(76_830))
    assert close_out_base_units(Decimal(95_000_000), [piece], 6) == 18_170_000 * USD
    assert costs_base_units([piece], CloseOutRules(cost_bps=10, fixed_cost_base_units=5), 6) == 76_830 * USD + 5
    assert costs_base_units([], CloseOutRules(fixed_cost_base_units=5), 6) == 0


def test_the_same_slippage_at_another_mark() -> None:
    piece = Slice(Decimal(1_000), Decimal(76_830))
    assert same_slippage(piece, Decimal(78_000), Decimal(60_000)).price == 59_100


def sliced(depth_usd: int, price: int = 78_000) -> tuple[World, DefaultCase, dict[str, DepthQuote]]:
    """A terminated D whose book takes several valuations at this depth."""
    world = world_of.build(rules=WORLD_RULES_SLICED)
    case = world_of.terminated(world, price)
    return world, case, {"depth": DepthQuote(Decimal(depth_usd))}


@pytest.mark.django_db
def test_d6_every_instrument_nets_to_zero_after_each_step() -> None:
    world, case, quote = sliced(100_000_000)
    bought = []
    for price in (78_000, 77_500, 77_000, 76_500, 76_000):
        valuation = world_of.value(world, price)
        bought += closeout.replace(case_id=case.id, valuation_id=valuation.id, depth={world.bitcoin.id: quote["depth"]})
        assert set(trading.position_nets().values()) == {0}
        held = Position.objects.get(cell__kind="VENUE").quantity
        assert held == sum(piece.quantity for piece in bought)
    assert not closeout.remaining_positions(case.id)
    assert bought[0].quantity == (Decimal(20_000_000) / 78_000).quantize(Decimal("1E-8"), "ROUND_DOWN")
    left = Position.objects.get(cell__kind="CLOSE_OUT")
    paid = sum(piece.quantity * piece.price for piece in bought)
    assert left.settled_value == 95_000_000 - paid
    assert not Lot.objects.filter(cell__kind="CLOSE_OUT").exclude(open_quantity=0).exists()


@pytest.mark.django_db
def test_a_valuation_is_worked_through_once() -> None:
    world, case, quote = sliced(100_000_000)
    valuation = world_of.value(world, 78_000)
    depth = {world.bitcoin.id: quote["depth"]}
    first, second = (closeout.replace(case_id=case.id, valuation_id=valuation.id, depth=depth) for _ in range(2))
    assert [row.id for row in first] == [row.id for row in second]
    assert CloseOutSlice.objects.count() == 1


@pytest.mark.django_db
def test_one_reading_of_the_books_is_spent_once_however_often_the_market_is_valued() -> None:
    world = world_of.build(rules=replace(WORLD_RULES_SLICED, slice_every_s=300))
    case = world_of.terminated(world, 78_000, age=timedelta(seconds=700))
    depth, thin = {world.bitcoin.id: DepthQuote(Decimal(10**8))}, {"WBTC": DepthQuote(Decimal(7_800_000))}
    made, sold, told = [], [], []
    for ago in (600, 590, 310, 300, 290):  # seconds
        valuation = world_of.value(world, 78_000, age=timedelta(seconds=ago))
        made.append(len(closeout.replace(case_id=case.id, valuation_id=valuation.id, depth=depth)))
        sold.append(len(closeout.dispose_collateral(case_id=case.id, valuation_id=valuation.id, depth=thin)))
        told.append(case.events.count())
    assert made == sold == [1, 0, 0, 1, 0]
    assert told[0] == told[2] < told[3] == told[4], "a valuation at which nothing happens tells nothing"


@pytest.mark.django_db
def test_a_fast_market_pauses_our_slices_twice_and_nothing_else() -> None:
    world, case, quote = sliced(100_000_000)
    depth = {world.bitcoin.id: quote["depth"]}
    cells = list(Cell.objects.filter(kind="CLIENT").exclude(code="D").values_list("state", flat=True))
    counts = []
    for price in (70_000, 60_000, 50_000):
        valuation = world_of.value(world, price)
        counts.append(len(closeout.replace(case_id=case.id, valuation_id=valuation.id, depth=depth)))
    assert counts == [0, 0, 1]
    assert cells == list(Cell.objects.filter(kind="CLIENT").exclude(code="D").values_list("state", flat=True))


@pytest.mark.django_db
def test_m6_a_stale_price_closes_nothing_out() -> None:
    world = world_of.build()
    old = world_of.value(world, 90_000, age=timedelta(minutes=16))
    case = world_of.terminated(world, 78_000)
    with pytest.raises(Refusal, match="price_stale"):
        closeout.replace(case_id=case.id, valuation_id=old.id, depth={world.bitcoin.id: DEPTH})
    with pytest.raises(Refusal, match="price_stale"):
        closeout.dispose_collateral(case_id=case.id, valuation_id=old.id, depth={"WBTC": DEPTH})
    assert not CloseOutSlice.objects.exists()


def live_valuation(
    world: World, ether: Instrument, age: timedelta = timedelta(0), quality: MarkQuality | None = None
) -> Valuation:
    """A new official market in which all coins are fresh and sure, but bitcoin's mark is as said."""
    now, market = clock.now(), snapshot({"BTC": "78000"})
    seen = {coin: replace(item, observed_at=now) for coin, item in market.underlyings.items()}
    seen["BTC"] = replace(seen["BTC"], observed_at=now - age, depth_usd=DEPTH.depth_usd_1pct)
    qualities = {"BTC": quality} if quality else {}
    return trading.record_valuation(
        as_of=now,
        source="test",
        snapshot_id=store_snapshot(replace(market, as_of=now, underlyings=seen, qualities=qualities)),
        prices={"BTC": "78000"},
        marks={world.bitcoin.id: Decimal(78_000), ether.id: market.mark("ETH")},
    )


@pytest.mark.django_db
def test_m6_what_a_doubtful_coin_prices_waits_beside_the_rest_and_the_case_says_so_once() -> None:
    world = world_of.build()
    ether = Instrument.objects.create(code="ETH-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ETH")
    trading.book_leg(cell_id=world.d.id, instrument_id=ether.id, quantity=Decimal(10), price=Decimal(4_000))
    case = world_of.terminated(world, 78_000)
    before = case.events.count()
    unconfirmed = MarkQuality(MarkState.SINGLE_SOURCE, 10, "marks-1", ())
    for age, quality in ((timedelta(hours=3), None), (timedelta(0), unconfirmed)):
        clockwork._close_out(case, live_valuation(world, ether, age, quality))
        assert list(CloseOutSlice.objects.values_list("instrument__code", flat=True)) == ["ETH-PERP"]
        assert [row.instrument.code for row in closeout.remaining_positions(case.id)] == ["BTC-PERP"]
        assert not ChainInstruction.objects.filter(kind="DISPOSE").exists()
    notes = list(case.events.order_by("id").values_list("note", flat=True))[before:]
    assert len(notes) == 2
    assert notes[0].endswith("Waiting for a price that is sure: BTC.")
    assert notes[1] == "Not sold yet. Waiting for a price that is sure: WBTC."
    clockwork._close_out(case, live_valuation(world, ether))
    assert not closeout.remaining_positions(case.id)
    assert ChainInstruction.objects.get(kind="DISPOSE").amount_base_units == 50 * BTC


@pytest.mark.django_db
def test_no_depth_no_slice_and_no_replacement_before_the_early_termination_date() -> None:
    world = world_of.build()
    case = world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))
    assert world.last_valuation is not None
    with pytest.raises(Refusal, match="case_state"):
        closeout.replace(case_id=case.id, valuation_id=world.last_valuation.id, depth={world.bitcoin.id: DEPTH})
    defaults.set_early_termination(case_id=case.id)
    with pytest.raises(Refusal, match="depth_missing"):
        closeout.replace(case_id=case.id, valuation_id=world.last_valuation.id, depth={})


@pytest.mark.django_db
def test_seized_tokens_are_sold_at_the_mark_less_slippage_and_paid_for() -> None:
    world = world_of.build()
    case = world_of.terminated(world, 78_000)
    assert world.last_valuation is not None
    for _ in range(2):
        sales = closeout.dispose_collateral(
            case_id=case.id, valuation_id=world.last_valuation.id, depth={"WBTC": DEPTH}
        )
        assert [(row.amount_base_units, row.arguments["account"]) for row in sales] == [(50 * BTC, "market")]
    assert ChainInstruction.objects.filter(kind="DISPOSE").count() == 1
    assert sales[0].arguments["expected_base_units"] == 3_841_500 * USD
    assert closeout.unpaid_disposals_base_units(case.id) == 3_841_500 * USD
    for _ in range(2):
        closeout.book_disposal_receipt(
            case_id=case.id, transaction_hash="0xaa", log_index=3, amount_base_units=3_841_500 * USD
        )
    assert closeout.unpaid_disposals_base_units(case.id) == 0
    assert world.balance(AccountKind.HOUSE) == 9_841_500 * USD


@pytest.mark.django_db
def test_collateral_is_sold_in_slices_of_the_depth_too() -> None:
    world, case, _ = sliced(0)
    thin = {"WBTC": DepthQuote(Decimal(7_800_000))}
    for _ in range(3):
        valuation = world_of.value(world, 78_000)
        closeout.dispose_collateral(case_id=case.id, valuation_id=valuation.id, depth=thin)
    amounts = ChainInstruction.objects.filter(kind="DISPOSE").order_by("id").values_list("amount_base_units", flat=True)
    assert list(amounts) == [20 * BTC, 20 * BTC, 10 * BTC]
