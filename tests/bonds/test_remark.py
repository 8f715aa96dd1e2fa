"""Marks of many series at one tick: the same as each alone, each relationship looked at once, nobody held up."""

from datetime import timedelta
from math import nan

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bonds.loss.note_risk import note_risk
from bonds.marking import valuation
from bonds.marking.exposures import exposures
from bonds.models import NoteMark, Series, SliceMark
from bonds.portal import measures, queries
from bonds.servicing import write_downs
from intermediary.config.benches import bonds_world
from intermediary.models import Cell, Party
from risk.models import Tick
from tests.risk.builders import MOMENT
from tests.risk.tick_world import market, mixed_world, tick

pytestmark = pytest.mark.world(build=mixed_world)
ISSUE = MOMENT.date() - timedelta(days=40)
COVERED = (("SHORT",), ("COINS", "OPTIONS"), ("NOTICED", "SHORT"), ("IDLE",))
FIGURES = ("clean_price", "accrued", "z_spread", "expected_yield", "expected_loss", "probability_first_loss")


@pytest.fixture
def cells(rolled_back_world: dict[str, Cell]) -> dict[str, Cell]:
    return rolled_back_world


@pytest.fixture
def opened(cells: dict[str, Cell]) -> Tick:
    return tick(market(10, "94900"))


def on_risk(cells: dict[str, Cell], *groups: tuple[str, ...], classes: int = 2) -> list[Series]:
    return bonds_world.put_on_risk([[cells[code] for code in codes] for codes in groups], classes, ISSUE)


def test_marks_of_many_are_those_of_each_alone(cells: dict[str, Cell], opened: Tick) -> None:
    made = on_risk(cells, *COVERED)
    assert valuation.remark(opened.id) == 2 * len(COVERED)
    for series in made:
        slices = list(series.slices.all())
        found = exposures(opened, slices, {item.cell_id: write_downs.net_loss_base_units(item) for item in slices})
        for tranche in series.tranches.all():
            mark = NoteMark.objects.get(tranche=tranche, valuation_id=opened.valuation_id)
            risk = note_risk(valuation.pieces_of(tranche, found))
            assert mark.expected_loss == pytest.approx(risk.expected_loss, rel=1e-12)
            assert mark.probability_first_loss == pytest.approx(risk.pfl, rel=1e-12)
            assert mark.probability_last_loss == pytest.approx(risk.pll, rel=1e-12)
            assert mark.clean_price is not None
            assert mark.outstanding_base_units == tranche.original_base_units


def test_a_slice_is_hit_with_its_lowest_class_and_gone_with_its_highest(cells: dict[str, Cell], opened: Tick) -> None:
    series = on_risk(cells, ("SHORT",))[0]
    valuation.remark(opened.id)
    junior, senior = (NoteMark.objects.get(tranche=one) for one in series.tranches.order_by("seniority"))
    whole = SliceMark.objects.get(slice__series=series)
    assert whole.probability_first_loss == junior.probability_first_loss > senior.probability_first_loss
    assert whole.probability_last_loss == senior.probability_last_loss < junior.probability_last_loss
    assert whole.expected_loss == pytest.approx((junior.expected_loss + senior.expected_loss) / 2, rel=1e-12)
    assert 0 < senior.expected_loss < junior.expected_loss


def test_marking_again_changes_nothing(cells: dict[str, Cell], opened: Tick) -> None:
    on_risk(cells, *COVERED)
    valuation.remark(opened.id)
    before = list(NoteMark.objects.order_by("id").values())
    valuation.remark(opened.id)
    assert list(NoteMark.objects.order_by("id").values()) == before


def test_parts_mark_what_the_whole_marks(cells: dict[str, Cell], opened: Tick) -> None:
    on_risk(cells, *COVERED)
    assert sum(valuation.remark(opened.id, number, 3) for number in range(3)) == 2 * len(COVERED)
    assert NoteMark.objects.filter(valuation_id=opened.valuation_id).count() == 2 * len(COVERED)
    parts = {mark.tranche_id: [getattr(mark, name) for name in FIGURES] for mark in NoteMark.objects.all()}
    again = tick(market(11, "94900"))
    valuation.remark(again.id)
    for mark in NoteMark.objects.filter(valuation_id=again.valuation_id):
        for name, figure in zip(FIGURES, parts[mark.tranche_id], strict=True):
            assert getattr(mark, name) == pytest.approx(figure, rel=1e-3), name


def test_a_series_over_a_relationship_without_figures_holds_nobody_up(
    cells: dict[str, Cell], opened: Tick, caplog: pytest.LogCaptureFixture
) -> None:
    party = Party.objects.create(legal_name="New", code="NEW", kind=Party.Kind.FUND, jurisdiction="KY")
    unsigned = Cell.objects.create(code="NEW", kind=Cell.Kind.CLIENT, party=party)
    marked, left = on_risk(cells | {"NEW": unsigned}, ("SHORT",), ("SHORT", "NEW"))
    assert valuation.remark(opened.id) == 2
    assert NoteMark.objects.filter(tranche__series=marked).count() == 2
    assert not NoteMark.objects.filter(tranche__series=left).exists()
    assert f"series {left.code} is not marked" in caplog.text


def test_marks_that_cannot_be_stored_hold_nobody_up(cells: dict[str, Cell], opened: Tick) -> None:
    good, bad = on_risk(cells, ("SHORT",), ("OPTIONS",))

    def marks(series: Series, expected_loss: float) -> valuation.SeriesMarks:
        rows = [
            NoteMark(
                tranche=tranche,
                valuation_id=opened.valuation_id,
                outstanding_base_units=1,
                expected_loss=expected_loss,
                probability_first_loss=0.1,
                probability_last_loss=0.1,
                measure="physical",
            )
            for tranche in series.tranches.all()
        ]
        return valuation.SeriesMarks(series.id, (), tuple(rows))

    assert valuation._write([marks(good, 0.1), marks(bad, nan)]) == 2
    assert set(NoteMark.objects.values_list("tranche__series", flat=True)) == {good.id}


def test_queries_do_not_grow_with_the_number_of_series(cells: dict[str, Cell], opened: Tick) -> None:
    group, counts = [cells["SHORT"], cells["OPTIONS"]], []
    for first, more in ((0, 1), (1, 3)):
        bonds_world.put_on_risk([group] * more, 2, ISSUE, first)
        with CaptureQueriesContext(connection) as captured:
            valuation.remark(opened.id)
        counts.append(len(captured))
    assert counts[1] <= counts[0]


def test_a_tick_between_two_points_of_history_marks_the_price_alone(cells: dict[str, Cell], opened: Tick) -> None:
    series = on_risk(cells, ("SHORT",))[0]
    valuation.remark(opened.id)
    between = tick(market(11, "94850"))
    Tick.objects.filter(id=between.id).update(keeps_history=False)
    valuation.remark(between.id)
    whole, hasty = NoteMark.objects.filter(tranche__series=series, tranche__seniority=0).order_by("valuation__as_of")
    assert hasty.clean_price is not None
    assert hasty.outputs["no_loss_yield"] is not None
    assert {"measures", "grid", "sensitivities"} <= set(whole.outputs) - set(hasty.outputs)
    shown = next(one for one in queries.classes_of(series) if one.tranche.seniority == 0)
    assert shown.mark == hasty
    assert shown.in_full == whole
    assert shown.outputs["grid"] == whole.outputs["grid"]
    assert shown.outputs["no_loss_yield"] == hasty.outputs["no_loss_yield"]
    drawn = measures.panel(queries.classes_of(series), {})
    assert drawn is not None
    assert drawn.of_before == whole.valuation.as_of
