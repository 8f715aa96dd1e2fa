"""What credit costs: layers at the price of risk that investors asked, before and after trades that are considered."""

from decimal import Decimal

import numpy as np
import pytest
from pytest_django import DjangoAssertNumQueries

from bonds.marking.credit_charge import Band, costs_of, what_if
from bonds.models import Tranche
from bonds.pricing.measures import OFFICIAL, layer_quadrature
from intermediary.models import Layer
from risk.margin.layers import LossModel, layer_measures, shortfall_survival
from risk.margin.shortfall import NormalBodySeverity
from risk.what_if import Considered
from tests.bonds.world import deployed, series_terms, with_layers
from tests.intermediary.margin_world import MILLION, Client
from tests.risk.test_gate import before_any_market, sides

__all__ = ["before_any_market", "sides"]  # fixtures

MODEL = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
BANDS = [Band(0.05, 0.25), Band(0.25, 0.60), Band(0.60, 1.2)]


def test_expected_loss_and_probabilities_are_those_of_the_loss_model() -> None:
    for band, cost in zip(BANDS, costs_of(BANDS, MODEL, OFFICIAL), strict=True):
        measures = layer_measures(MODEL, band.attach, band.detach, 1.0)
        assert cost.expected_loss == pytest.approx(measures.el * band.width, rel=1e-12)
        assert (cost.first_loss, cost.last_loss) == pytest.approx((measures.pfl, measures.pll), rel=1e-12)


def test_the_charge_is_the_expected_loss_under_the_pricing_measure_times_the_price_of_risk() -> None:
    dearer = Band(0.25, 0.60, price_of_risk=1.25)
    points, weights = layer_quadrature(0.25, 0.60)
    by_hand = 0.35 * float(weights @ OFFICIAL.distort(shortfall_survival(MODEL, points, 1.0)))
    plain, asked = costs_of([BANDS[1], dearer], MODEL, OFFICIAL)
    assert plain.charge == pytest.approx(by_hand, rel=1e-12)
    assert asked.charge == pytest.approx(1.25 * by_hand, rel=1e-12)
    assert asked.expected_loss == plain.expected_loss < plain.charge


def test_parts_of_a_layer_cost_what_the_whole_costs() -> None:
    whole = costs_of([Band(0.05, 1.2)], MODEL, OFFICIAL)[0]
    parts = costs_of(BANDS, MODEL, OFFICIAL)
    assert sum(part.charge for part in parts) == pytest.approx(whole.charge, rel=1e-6)
    assert sum(part.expected_loss for part in parts) == pytest.approx(whole.expected_loss, rel=1e-6)


def test_a_higher_layer_costs_less_for_each_dollar() -> None:
    rates = [cost.charge / band.width for band, cost in zip(BANDS, costs_of(BANDS, MODEL, OFFICIAL), strict=True)]
    assert rates == sorted(rates, reverse=True)
    assert np.all(np.array(rates) > 0)


def test_a_book_that_cannot_lose_costs_nothing() -> None:
    assert [cost.charge for cost in costs_of(BANDS, None, OFFICIAL)] == [0.0, 0.0, 0.0]


@pytest.mark.django_db
def test_the_tail_costs_what_investors_asked_and_the_retentions_with_it(
    sides: tuple[Client, Client], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Cleared at 500 over a guidance of 400: everything costs a quarter more than by the measure alone. The notes are
    read with the rest, by one message."""
    cell = with_layers(sides[0].cell)
    assert what_if(cell.id, [Considered("BTC-PERP", Decimal(400))])["credit_charge"]["width_base_units"] == (
        Layer.objects.get(cell=cell, kind=Layer.Kind.FIRST_LOSS).size_base_units + 3 * MILLION
    ), "the tail's money is not there yet"
    series = deployed(series_terms([cell]))
    Layer.objects.filter(cell=cell).update(funded=True)
    alone = what_if(cell.id, [Considered("BTC-PERP", Decimal(400))])["credit_charge"]
    Tranche.objects.filter(series=series).update(spread_bps=500)
    with django_assert_num_queries(1):
        asked = what_if(cell.id, [Considered("BTC-PERP", Decimal(400))])["credit_charge"]
    assert [row["kind"] for row in asked["layers"]] == ["FIRST_LOSS", "TAIL", "SENIOR"]
    assert [row["series"] for row in asked["layers"]] == ["", series.code, ""]
    for before, after in zip(alone["layers"], asked["layers"], strict=True):
        assert (before["price_of_risk"], after["price_of_risk"]) == (1.0, 1.25)
        assert after["after"]["charge_base_units"] == pytest.approx(1.25 * before["after"]["charge_base_units"], abs=2)
        assert after["after"]["expected_loss"] == before["after"]["expected_loss"]
    assert asked["before"]["charge_base_units"] == 0, "nothing is held yet"
    total = asked["after"]["charge_base_units"]
    assert total == sum(row["after"]["charge_base_units"] for row in asked["layers"]) > 0
    assert asked["after"]["rate_bps"] == pytest.approx(1e4 * total / asked["width_base_units"])


@pytest.mark.django_db
def test_a_larger_book_costs_more_and_a_layer_that_a_loss_has_used_nothing(sides: tuple[Client, Client]) -> None:
    cell = with_layers(sides[0].cell)
    small, large = (what_if(cell.id, [Considered("BTC-PERP", Decimal(size))])["credit_charge"] for size in (300, 600))
    assert 0 < small["after"]["charge_base_units"] < large["after"]["charge_base_units"]
    first = Layer.objects.get(cell=cell, kind=Layer.Kind.FIRST_LOSS)
    Layer.objects.filter(id=first.id).update(loss_base_units=first.size_base_units)
    used = what_if(cell.id, [Considered("BTC-PERP", Decimal(600))])["credit_charge"]
    assert [row["kind"] for row in used["layers"]] == ["SENIOR"]


@pytest.mark.django_db
def test_without_layers_there_is_nothing_to_pay_for(sides: tuple[Client, Client]) -> None:
    charge = what_if(sides[0].cell.id, [Considered("BTC-PERP", Decimal(10))])["credit_charge"]
    assert charge["layers"] == []
    assert charge["after"] == {"charge_base_units": 0, "rate_bps": 0.0}
