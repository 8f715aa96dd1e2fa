"""A relationship's figures do not depend on any other's fate (I1, I2) or book (I5)."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary import trading
from intermediary.config.replay import store_snapshot
from intermediary.models import Instrument, MarginState
from risk import engine
from tests.intermediary.margin_world import MILLION, bitcoin, client
from tests.risk.builders import INSTRUMENTS, required, snapshot
from tests.scenarios import twin_world
from tests.scenarios.twin_world import ANSWERS, ASIDE, CALM, DEFAULTS, GAINS, LEAN, MAKER, World

TABLES = (  # what the comparison is worth: each of these has rows of every relationship
    "Account", "Posting", "MarginState", "MarginPoint", "Position", "Lot", "Layer", "TermsVersion", "ChainInstruction",
    "ChainTarget", "VariationPayment", "UncoveredRisk", "LayerRisk", "SlicePart", "SliceMark",
)  # fmt: skip
FURTHER = MILLION // 4
QUANTITIES = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
BOOKS = st.dictionaries(st.sampled_from([item.id for item in INSTRUMENTS]), QUANTITIES, max_size=6)


@pytest.mark.world(build=twin_world.build)
def test_i1_no_row_of_a_relationship_depends_on_the_fate_of_another(rolled_back_world: World) -> None:
    calm, answers, defaults = (twin_world.play(rolled_back_world, fate) for fate in (CALM, ANSWERS, DEFAULTS))
    assert (calm.called, answers.called, defaults.called) == (False, True, True)
    first, tail, senior = defaults.layer_losses
    assert first == 3 * MILLION // 2, "the first loss is used up"
    assert tail > 0, "the notes bear a part"
    assert (senior, defaults.uncovered) == (0, 0)
    assert defaults.notes_written == (tail + MILLION, MILLION)
    assert sum("MarginCall: " in row for row in calm.rows[LEAN]) > 0, "another one is called at the same time"
    for code, rows in calm.rows.items():
        assert [table for table in TABLES if not any(f".{table}: " in row for row in rows)] == []
        assert answers.rows[code] == rows
        assert defaults.rows[code] == rows


@pytest.mark.world(build=twin_world.build)
def test_i2_a_further_shortfall_is_borne_by_its_own_cell_and_its_linked_lots_in_proportion_to_unpaid_gain(
    rolled_back_world: World,
) -> None:
    """All layers of the defaulter are used up, so the further shortfall is UNCOVERED to the last unit."""
    less, more = (
        twin_world.play(rolled_back_world, replace(DEFAULTS, paid_on_call=paid), bottom=31_000) for paid in (FURTHER, 0)
    )
    assert less.layer_losses == more.layer_losses
    assert more.loss - less.loss == more.uncovered - less.uncovered == FURTHER
    for code in (LEAN, ASIDE):
        assert less.rows[code] == more.rows[code], "no lot of theirs faces the defaulter"
    for ending in (less, more):
        assert ending.shares.keys() == {GAINS, MAKER}
        gained = sum(gain for gain, _ in ending.shares.values())
        borne = sum(share for _, share in ending.shares.values())
        assert all(abs(share * gained - gain * borne) <= gained for gain, share in ending.shares.values())
    assert sum(more.shares[code][1] - less.shares[code][1] for code in (GAINS, MAKER)) == FURTHER


@given(BOOKS, st.lists(BOOKS, min_size=1, max_size=8), st.integers(0, 8))
def test_i5_margin_is_the_same_to_the_last_bit_beside_any_other_books(
    mine: dict[str, float], others: list[dict[str, float]], place: int
) -> None:
    place = min(place, len(others))
    alone, beside = required(mine), required(*others[:place], mine, *others[place:])
    assert beside.lines(place) == alone.lines(0)
    assert beside.outcomes(place) == alone.outcomes(0)
    assert np.array_equal(beside.scenario_losses(place), alone.scenario_losses(0))
    assert np.array_equal(beside.forecast_loss[place], alone.forecast_loss[0])


@pytest.mark.django_db
def test_i5_a_stored_requirement_does_not_change_with_the_books_of_others_in_the_same_market() -> None:
    mine, other, perpetual = client("R-1"), client("R-2"), bitcoin()
    Instrument.objects.create(code="ETH-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ETH")
    mine.deposit(50 * MILLION)
    market = engine.open_tick(store_snapshot(snapshot()), shards=1)
    price = market.valuation.marks.get(instrument=perpetual).price
    trading.book_leg(cell_id=mine.cell.id, instrument_id=perpetual.id, quantity=Decimal("-75.5"), price=price)
    found = []
    for further in ("0.1", "-4000", "250000"):
        trading.book_leg(cell_id=other.cell.id, instrument_id=perpetual.id, quantity=Decimal(further), price=price)
        engine.renew_requirements([mine.cell.id, other.cell.id])
        found.append(MarginState.objects.filter(cell=mine.cell).values().get())
    assert found[0]["independent_amount_base_units"] > 0
    assert found[0] == found[1] == found[2]
    assert MarginState.objects.get(cell=other.cell).independent_amount_base_units > 10**3 * MILLION
