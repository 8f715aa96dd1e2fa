"""Shared reads and how numbers look: exactness on hover, signs, layers, forecasts."""

import json
from decimal import Decimal

import pytest

from intermediary import queries
from intermediary.call_forecast import coin_margin, fall_to_call, forecasts
from intermediary.config.office.book import book
from intermediary.models import Asset, Cell, MarginState, Position
from intermediary.portal import collateral, isolation, reads
from intermediary.templatetags import display
from intermediary.terms import Terms
from tests.intermediary import builders, faces_world

USD = 10**6


@pytest.mark.django_db
def test_the_register_adds_up_layer_by_layer() -> None:
    faces_world.build()
    row = next(row for row in queries.register() if row.code == "R-108")
    assert [layer.size_base_units for layer in row.layers] == [4_000_000 * USD, 18_000_000 * USD, 11_000_000 * USD]
    assert row.borne_base_units == row.net_loss_base_units == 6_400_000 * USD
    assert row.cover_base_units + row.borne_base_units == 33_000_000 * USD


@pytest.mark.django_db
def test_the_next_expected_call_follows_the_published_formula() -> None:
    cells = faces_world.build()
    state = MarginState.objects.get(cell=cells["R-101"])
    terms = Terms.from_body(json.loads(reads.terms_versions(cells["R-101"])[0].body))
    first, _, last = forecasts(state, terms, 0)
    required = state.exposure_base_units + 950_000 * USD + state.independent_amount_base_units - 5_000_000 * USD
    assert first.required_base_units == required
    assert first.call_base_units == required - state.held_base_units
    assert last.move == "−20%"
    calm = MarginState.objects.get(cell=cells["R-102"])
    assert forecasts(calm, terms, 0)[0].call_base_units == 14_450_000 * USD - calm.held_base_units


@pytest.mark.django_db
def test_margin_in_coins_falls_with_the_market_on_every_page() -> None:
    """20 bitcoins at a haircut of 20%."""
    cells = faces_world.build()
    state = MarginState.objects.select_related("valuation").get(cell=cells["R-102"])
    terms = Terms.from_body(json.loads(reads.terms_versions(cells["R-102"])[0].body))
    coins = coin_margin([state], {state.cell_id: terms})[state.cell_id]
    assert coins == pytest.approx(16 * float(state.valuation.prices["BTC"]) * USD, abs=1)
    at_today, falling = (forecasts(state, terms, amount)[2] for amount in (0, coins))
    assert falling.margin_loss_base_units == -(-coins // 5)
    assert falling.call_base_units == at_today.call_base_units + falling.margin_loss_base_units
    distance = fall_to_call(state, terms, coins)
    assert distance == pytest.approx(5 * 0.85e6 * USD / (0.95e6 * USD + coins / 20))
    assert next(row.fall_to_call for row in book().rows if row.cell == cells["R-102"]) == distance


@pytest.mark.django_db
def test_a_forecast_below_the_minimum_transfer_is_no_call() -> None:
    cells = faces_world.build()
    state = MarginState.objects.get(cell=cells["R-102"])
    state.held_base_units = 14_449_999 * USD
    terms = Terms.from_body(json.loads(reads.terms_versions(cells["R-102"])[0].body))
    assert forecasts(state, terms, 0)[0].call_base_units == 0


@pytest.mark.django_db
def test_the_distance_to_a_call_lies_between_the_published_falls() -> None:
    cells = faces_world.build()
    terms = Terms.from_body(json.loads(reads.terms_versions(cells["R-102"])[0].body))
    state = MarginState.objects.get(cell=cells["R-102"])
    # Room is 14.1 held + 0.25 of the minimum transfer + 5 threshold - 18.5 = 0.85 million; -5% loses 0.95.
    assert fall_to_call(state, terms, 0) == pytest.approx(5 * 0.85 / 0.95)
    state.held_base_units += 100_000 * USD
    assert fall_to_call(state, terms, 0) == pytest.approx(5.0)
    state.held_base_units += 1_900_000 * USD
    assert fall_to_call(state, terms, 0) == pytest.approx(15.0)
    state.held_base_units += 1_000_000 * USD
    assert fall_to_call(state, terms, 0) is None, "deeper than any published fall"
    assert fall_to_call(MarginState.objects.get(cell=cells["R-101"]), terms, 0) == 0, "short already"
    rows = {row.cell.code: row.fall_to_call for row in book().rows}
    assert rows["R-101"] == 0
    assert rows["R-108"] is None, "in default"
    assert rows["R-109"] is None, "never valued"


@pytest.mark.django_db
def test_uncovered_probabilities_are_published_while_a_relationship_performs() -> None:
    cells = faces_world.build()
    rows = {row.code: row.uncovered_risk for row in queries.register()}
    assert rows["R-101"] is not None
    assert rows["R-101"].probability == 0.0031
    assert rows["R-101"].expected_base_units == 64_000 * USD
    assert rows["R-108"] is None, "in default: its loss is a fact"
    assert rows["R-109"] is None, "not measured yet"
    found = isolation.links(cells["R-101"])
    assert {link.code for link in found} == {"R-102", "R-108"}
    assert isolation.chance_of_any(found) == 0.00002, "of the one that performs"
    desk = {row.cell.code: row.uncovered_risk for row in book().rows}
    assert desk["R-101"] == rows["R-101"]
    assert desk["R-108"] is None


@pytest.mark.parametrize(
    ("probability", "shown"), [(0.0031, "0.310"), (0.0000004, "below 0.001"), (0.0, "0.000"), (1.0, "100.000")]
)
def test_a_small_probability_is_not_shown_as_none(probability: float, shown: str) -> None:
    assert f">{shown}</data>" in display.chance(probability)


@pytest.mark.django_db
def test_gain_is_what_variation_margin_has_not_paid() -> None:
    cells = faces_world.build()
    rows = {row.instrument.code: row for row in reads.positions(cells["R-101"])}
    row = rows["BTC-PERP"]
    position = Position.objects.get(cell=cells["R-101"], instrument__code="BTC-PERP")
    assert row.mark is not None
    assert row.gain == row.mark * 180 - position.settled_value


@pytest.mark.django_db
def test_only_linked_relationships_can_reach_me_and_only_for_gain() -> None:
    cells = faces_world.build()
    links = {link.code: link for link in isolation.links(cells["R-101"])}
    assert set(links) == {"R-102", "R-108"}
    long_in_a_fall = next(one for one in links["R-102"].lots if one.lot.instrument.code == "BTC-PERP")
    assert long_in_a_fall.unpaid_gain == 0
    assert links["R-108"].unpaid_gain_base_units > 0
    assert isolation.links(cells["R-109"]) == []


@pytest.mark.django_db
def test_margin_value_is_after_haircut_and_rounded_down() -> None:
    builders.assets()
    wbtc = Asset.objects.get(code="WBTC")
    assert collateral.margin_value(wbtc, 150_000_000, Decimal("100000.123456789"), 2000) == 120_000_148_148
    assert collateral.margin_value(Asset.objects.get(code="USDC"), 3, Decimal(1), 50) == 2


def test_money_keeps_every_digit_on_hover() -> None:
    shown = display.money(-1_234_567_890_123, sign=True)
    assert ">−1,234,567.89</data>" in shown
    assert 'title="−1,234,567.890123 USDC"' in shown
    assert 'value="-1234567.890123"' in shown


def test_a_rounded_zero_has_no_sign_and_no_value_is_a_dash() -> None:
    assert ">0.00</data>" in display.money(-1)
    assert display.money(None) == display.NOTHING


def test_text_from_outside_is_escaped() -> None:
    assert "<b>" not in display.badge("OPEN", "<b>x</b>")
    assert "<b>" not in display.digest("<b>x</b>")


@pytest.mark.parametrize(
    ("minutes", "shown"),
    [(0, "0 minutes"), (1, "1 minute"), (90, "90 minutes"), (240, "4 hours"), (1_440, "24 hours"), (7_200, "5 days"),
     (2_890, "2,890 minutes")],
)  # fmt: skip
def test_a_span_of_signed_terms_is_said_exactly(minutes: int, shown: str) -> None:
    assert display.span(minutes) == shown


@pytest.mark.django_db
def test_the_desk_sums_margin_over_those_who_perform() -> None:
    cells = faces_world.build()
    before = book().totals
    Cell.objects.filter(code="R-101").update(state=Cell.State.DEFAULTED)
    after, left = book().totals, MarginState.objects.get(cell=cells["R-101"])
    assert before["required"] - after["required"] == left.required_base_units > 0
    assert before["held"] - after["held"] == left.held_base_units
    assert before["performing"] - after["performing"] == 1
    rows = {row.cell.code: row for row in book().rows}
    assert rows["R-101"].margin is None, "a terminated relationship shows no requirement of the day before"
    assert rows["R-102"].margin is not None
