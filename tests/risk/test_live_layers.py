"""Live risk of relationships: each layer, and what lies beyond them all, measured in the market of a tick."""

import pytest
from django.db import connection

from intermediary import calls, clock, ports
from intermediary.ids import uuid7
from intermediary.models import Cell, Layer, MarginState
from risk import live_layers
from risk.margin.layers import layer_measures
from risk.models import LayerRisk, Tick, UncoveredRisk
from tests.intermediary import default_world
from tests.intermediary.margin_world import MILLION, Client, client, fund_house
from tests.risk.tick_world import BOOKS, fund_float, give_notice, grant_line, listed, market, settled_at, tick

pytestmark = pytest.mark.django_db


def world(*codes: str) -> tuple[dict[str, Client], Tick]:
    """These books of the engine's world, valued twice; LINE has its layers."""
    fund_house(100 * MILLION)
    listed()
    found = {code: client(code, **BOOKS[code][2]) for code in codes}
    first = tick(market(0, "95000"))
    for code, who in found.items():
        margin, quantities, _ = BOOKS[code]
        if margin:
            who.deposit(margin)
        fund_float(who.cell)
        settled_at(first, who, quantities)
    if "LINE" in found:
        grant_line(found["LINE"])
    default_world.settle()
    second = tick(market(5, "94900"))
    default_world.settle()
    return found, second


def risks() -> dict[str, ports.UncoveredRisk]:
    """What pages show, by code."""
    codes = dict(Cell.objects.values_list("id", "code"))
    return {codes[cell_id]: risk for cell_id, risk in ports.uncovered_risk().items()}


def test_beyond_all_layers_begins_where_the_funded_ones_end() -> None:
    clients, opened = world("LINE", "AMPLE", "IDLE")
    layer = Layer.objects.get(cell=clients["LINE"].cell)
    Layer.objects.filter(id=layer.id).update(funded=True)
    live_layers.renew(opened.id)
    found = risks()
    assert found["LINE"].layers_base_units == 3 * MILLION
    assert found["LINE"].probability == LayerRisk.objects.get(layer=layer).probability_last_loss > 0
    assert found["LINE"].expected_base_units > 0
    assert found["AMPLE"].layers_base_units == 0
    assert found["IDLE"].probability == 0
    assert found["IDLE"].expected_base_units == 0
    assert found["LINE"].snapshot_id == opened.snapshot_id
    assert found["LINE"].as_of == opened.valuation.as_of
    Layer.objects.filter(id=layer.id).update(funded=False)
    live_layers.renew(tick(market(10, "94900")).id)
    without = risks()["LINE"]
    assert without.layers_base_units == 0
    assert without.probability > found["LINE"].probability
    assert without.expected_base_units > found["LINE"].expected_base_units


def three_layers(cell: Cell) -> None:
    """Tail and senior upon the first loss of three millions."""
    attach = 3 * MILLION
    for kind in (Layer.Kind.TAIL, Layer.Kind.SENIOR):
        slice_id = uuid7() if kind == Layer.Kind.TAIL else None
        ends = {"attach_base_units": attach, "detach_base_units": attach + 2 * MILLION}
        Layer.objects.create(cell=cell, kind=kind, slice_id=slice_id, **ends)
        attach += 2 * MILLION
    Layer.objects.filter(cell=cell).update(funded=True)


def test_a_layer_is_used_up_as_likely_as_the_next_one_is_reached() -> None:
    clients, opened = world("LINE", "AMPLE")
    cell = clients["LINE"].cell
    three_layers(cell)
    live_layers.renew(opened.id)
    found = ports.layer_risks(cell.id)
    assert {one.as_of for one in found.values()} == {opened.valuation.as_of}
    first, tail, senior = [found[layer.id] for layer in Layer.objects.filter(cell=cell).order_by("attach_base_units")]
    for one in (first, tail, senior):
        assert 0 < one.last_loss <= one.expected_loss <= one.first_loss
    assert tail.first_loss == pytest.approx(first.last_loss, rel=1e-12)
    assert senior.first_loss == pytest.approx(tail.last_loss, rel=1e-12)
    assert risks()["LINE"].probability == pytest.approx(senior.last_loss, rel=1e-12)
    assert ports.layer_risks(clients["AMPLE"].cell.id) == {}


def test_measuring_together_gives_what_each_gets_alone() -> None:
    clients, opened = world("LINE", "AMPLE", "OTHER", "SHORT")
    live_layers.renew(opened.id)
    cell = clients["LINE"].cell
    models = dict(live_layers._models(opened, [cell.id], {line.cell_id: line for line in cell.credit_lines.all()}))
    layer = Layer.objects.get(cell=cell)
    model = models[cell.id]
    assert model is not None
    alone = layer_measures(model, 0.0, 3e6, live_layers.HORIZON_YEARS)
    together = LayerRisk.objects.get(layer=layer)
    assert together.expected_loss == pytest.approx(alone.el, rel=1e-3)
    assert together.probability_first_loss == alone.pfl
    assert set(risks()) == {"LINE", "AMPLE", "OTHER", "SHORT"}


def test_more_margin_makes_uncovered_less_likely() -> None:
    clients, opened = world("SHORT")
    live_layers.renew(opened.id)
    before = risks()["SHORT"]
    clients["SHORT"].deposit(2 * MILLION)
    live_layers.renew(tick(market(10, "94900")).id)
    after = risks()["SHORT"]
    assert before.probability > after.probability
    assert before.expected_base_units > after.expected_base_units


def lapses(who: Client) -> None:
    """Its call lapses and notice is given."""
    calls.lapse_due(clock.now())
    give_notice(who)


def test_a_relationship_in_default_has_no_probability() -> None:
    clients, opened = world("AMPLE", "NOTICED")
    live_layers.renew(opened.id)
    assert "NOTICED" in risks()
    with_call = MarginState.objects.get(cell=clients["NOTICED"].cell)
    assert with_call.headroom_base_units < 0
    lapses(clients["NOTICED"])
    later = tick(market(10, "94800"))
    live_layers.renew(later.id)
    assert set(risks()) == {"AMPLE"}
    assert ports.layer_risks(clients["NOTICED"].cell.id) == {}


def test_an_older_market_does_not_replace_a_newer_one() -> None:
    _, opened = world("AMPLE")
    later = tick(market(10, "94800"))
    live_layers.renew(later.id)
    live_layers.renew(opened.id)
    assert UncoveredRisk.objects.get().tick_id == later.id


def test_of_several_markets_that_are_done_the_newest_is_measured_and_once() -> None:
    clients, oldest = world("LINE")
    tick(market(10, "94800"))
    newest = tick(market(15, "94700"))
    live_layers.renew(oldest.id)
    before = risks()["LINE"]
    assert before.as_of == newest.valuation.as_of
    assert LayerRisk.objects.get().tick_id == newest.id
    clients["LINE"].deposit(2 * MILLION)
    for asked in (oldest, newest):
        live_layers.renew(asked.id)
    assert risks()["LINE"] == before, "asked again, nothing is done twice"


def test_everybody_may_read_it_and_only_workers_write_it() -> None:
    _, opened = world("AMPLE")
    live_layers.renew(opened.id)
    rights = "SELECT has_table_privilege(%s, 'risk_uncoveredrisk', %s)"
    with connection.cursor() as cursor:
        for right, granted in (("SELECT", True), ("INSERT", False), ("UPDATE", False)):
            cursor.execute(rights, ["bulkhead_portal", right])
            assert cursor.fetchone() == (granted,)
        cursor.execute("SELECT relrowsecurity FROM pg_class WHERE relname = 'risk_uncoveredrisk'")
        assert cursor.fetchone() == (False,), "the register shows everybody's"
