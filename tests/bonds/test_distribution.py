"""The distribution of a class' loss: its mean is the exact one, and mixing moves only what slices do together."""

from uuid import UUID

import numpy as np
import pytest

from bonds.loss.distribution import note_distribution
from bonds.loss.note_risk import Piece, note_risk, outstanding_at
from bonds.pricing.measures import PhysicalMeasure
from risk.margin.layers import LossModel, layer_measures, live_loss_model
from risk.margin.ruleset import ruleset
from risk.margin.shortfall import NormalBodySeverity

REFERENCE = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)


def own(number: int) -> LossModel:
    losses = np.random.default_rng(number).standard_t(4, 2_000) * 4e5
    return live_loss_model(losses, hazard_annual=0.06, margin_usd=5e5, ruleset=ruleset("standard"))


PIECES = [Piece(UUID(int=number), 6e6 - number * 1e6, 3e5, 2e6, own(number)) for number in range(5)]


def test_a_class_without_principal_is_refused() -> None:
    with pytest.raises(ValueError, match="without principal"):
        note_distribution([])


@pytest.mark.parametrize("degrees", [0.0, 3.9, 101.0])
def test_degrees_of_freedom_out_of_range_are_refused(degrees: float) -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        note_distribution(PIECES, degrees)


def test_mean_and_probabilities_are_the_exact_ones() -> None:
    risk, found = note_risk(PIECES), note_distribution(PIECES)
    assert found.expected_loss == pytest.approx(risk.expected_loss, rel=1e-4)
    assert found.pfl == pytest.approx(risk.pfl, rel=1e-3)
    assert found.pll == pytest.approx(risk.pll, rel=1e-2)
    assert found.loss_pmf.sum() == pytest.approx(1.0, abs=1e-12)
    losses = np.arange(found.loss_pmf.size) * found.step
    assert float(found.loss_pmf @ losses) == pytest.approx(found.expected_loss * found.principal, rel=1e-9)


def test_a_severity_without_closed_form_is_put_on_the_lattice_by_quadrature() -> None:
    found = note_distribution([Piece(UUID(int=1), 0.35, 0.25, 0.60, REFERENCE)])
    assert found.expected_loss == pytest.approx(layer_measures(REFERENCE, 0.25, 0.60, 1.0).el, rel=1e-3)


def test_a_known_loss_is_certain() -> None:
    known = Piece(UUID(int=9), 2e6, 3e5, 2e6, None, known_loss=0.4)
    found = note_distribution([*PIECES, known])
    assert (found.pfl, found.pll) == (1.0, 0.0)
    expected = note_risk([*PIECES, known]).expected_loss
    assert found.expected_loss == pytest.approx(expected, rel=1e-4)
    assert found.value_at_risk(0.5) == pytest.approx(8e5, abs=found.step)


def test_mixing_keeps_every_slice_and_makes_all_of_them_lose_together() -> None:
    base = note_distribution(PIECES)
    mixed = [note_distribution(PIECES, degrees) for degrees in (4.0, 10.0, 100.0)]
    for found in mixed:
        assert found.expected_loss == pytest.approx(base.expected_loss, rel=1e-4)
    assert mixed[0].pll > mixed[1].pll > mixed[2].pll > base.pll
    assert mixed[0].pfl < mixed[1].pfl < mixed[2].pfl < base.pfl
    assert mixed[2].pfl == pytest.approx(base.pfl, rel=1e-2)
    assert mixed[0].expected_shortfall(0.9999) > base.expected_shortfall(0.9999)


def test_mixing_moves_nothing_of_one_slice() -> None:
    base, mixed = note_distribution(PIECES[:1]), note_distribution(PIECES[:1], 5.0)
    for name in ("expected_loss", "pfl", "pll"):
        assert getattr(mixed, name) == pytest.approx(getattr(base, name), rel=1e-3)
    assert mixed.value_at_risk(0.999) == pytest.approx(base.value_at_risk(0.999), abs=2 * base.step)


def test_a_longer_horizon_has_the_mean_of_its_term_structure_and_a_longer_tail() -> None:
    year, longer = (note_distribution(PIECES, horizon_years=years) for years in (1.0, 2.5))
    left = float(outstanding_at(PIECES, PhysicalMeasure(), np.array([2.5]))[0])
    assert longer.expected_loss == pytest.approx(1 - left, rel=1e-3)
    assert longer.value_at_risk(0.99) > year.value_at_risk(0.99)
    assert longer.expected_shortfall(0.99) > longer.value_at_risk(0.99)
