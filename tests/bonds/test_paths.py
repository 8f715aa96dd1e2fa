"""Extension, reserve, write-up and coupon of a class: refusals, cases with an exact answer, then how they move."""

from dataclasses import replace
from math import inf
from uuid import UUID

import numpy as np
import pytest

from bonds.loss.importance import CoveredLayer, Estimate
from bonds.loss.note_risk import Piece, note_risk
from bonds.loss.paths import PathTerms, Resolution, path_figures
from risk.margin.layers import LossModel, layer_measures, shortfall_survival
from risk.margin.shortfall import NormalBodySeverity, gauss_legendre

MODEL = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
LAYER = CoveredLayer(MODEL, 0.25, 0.60, principal=1.0)
TERMS = PathTerms(scheduled=1.0, final=1.5, determination=0.5)
KNOWN = replace(TERMS, buffers=((inf, 1.0),))  # with no error of estimate, what is reserved is what is lost
CERTAIN = Resolution(recovery_share=0.0, estimate_error=0.0)


def agrees(found: Estimate, expected: float) -> bool:
    """Seeds are fixed: two standard errors hold or not, once and for all."""
    assert found.standard_error < 0.02 * expected
    return abs(found.value - expected) < 2 * found.standard_error


def expected_loss(years: float) -> float:
    return layer_measures(MODEL, LAYER.attach, LAYER.detach, years).el if years > 0 else 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"scheduled": 0.0},
        {"final": 0.9},
        {"long_stop": 1.2},
        {"determination": 0.0},
        {"buffers": ((0.5, 1.5), (0.25, 1.25), (inf, 1.0))},
        {"buffers": ((0.25, 1.5),)},
        {"buffers": ((inf, 0.5),)},
    ],
)
def test_terms_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"series matures|buffers rise"):
        replace(TERMS, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"recovery_share": 1.1}, {"recovery_years": 0.0}, {"estimate_error": 1.0}])
def test_assumptions_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares lie within"):
        Resolution(**wrong)


def test_a_class_without_performing_slices_is_refused() -> None:
    with pytest.raises(ValueError, match="no path"):
        path_figures([], TERMS)


def test_the_buffer_falls_with_the_age_of_the_event() -> None:
    ages = np.array([0.0, 0.24, 0.25, 0.49, 0.5, 9.0])
    assert TERMS.buffer(ages).tolist() == [1.5, 1.5, 1.25, 1.25, 1.0, 1.0]


def test_what_is_known_at_once_is_never_reserved() -> None:
    found = path_figures([LAYER], replace(KNOWN, determination=1e-9), CERTAIN)
    assert found.probability_reserved.value < 1e-9
    assert found.extension_years_if_reserved < 1e-3
    assert agrees(found.written_down, expected_loss(1.0))


def test_a_loss_that_is_estimated_well_is_reserved_and_written_down_in_full() -> None:
    found = path_figures([LAYER], KNOWN, CERTAIN)
    assert agrees(found.written_down, expected_loss(1.0))
    points, weights = gauss_legendre(32)
    delays, weights = KNOWN.determination * (points + 1) / 2, weights / 2
    attach = np.array([LAYER.attach])
    by = [float(shortfall_survival(MODEL, attach, 1.0 - delay)[0]) for delay in delays]
    open_then = float(shortfall_survival(MODEL, attach, 1.0)[0]) - float(weights @ by)
    assert agrees(found.probability_reserved, open_then)
    assert agrees(found.reserved, expected_loss(1.0) - float(weights @ [expected_loss(1.0 - d) for d in delays]))


def test_coupon_years_are_the_time_that_principal_stands() -> None:
    found = path_figures([LAYER], KNOWN, CERTAIN)
    points, weights = gauss_legendre(24)
    delays, times = KNOWN.determination * (points + 1) / 2, (points + 1) / 2
    lost = [[expected_loss(float(time - delay)) for delay in delays] for time in times]
    years_down = float(weights @ np.array(lost) @ weights) / 4
    without = Estimate(1.0 - found.coupon_years.value, found.coupon_years.standard_error)
    # The expected loss of nothing has a kink where a delay meets a time: the rule knows it to a thousandth.
    assert agrees(without, years_down)


@pytest.mark.parametrize(("share", "back"), [(0.0, 0.0), (1.0, 1.0)])
def test_recoveries_give_back_nothing_or_all_of_it(share: float, back: float) -> None:
    found = path_figures([LAYER], TERMS, Resolution(recovery_share=share))
    assert found.written_up.value == pytest.approx(back * found.written_down.value, abs=1e-12)
    assert found.lost.value == pytest.approx((1 - back) * found.written_down.value, abs=1e-12)


def test_a_recovery_after_the_long_stop_gives_back_nothing() -> None:
    endless, stopped = (path_figures([LAYER], replace(TERMS, long_stop=stop)) for stop in (inf, 2.0))
    assert stopped.written_down == endless.written_down
    assert 0.0 < stopped.written_up.value < 0.9 * endless.written_up.value


def test_a_buffer_reserves_more_and_longer_than_is_lost() -> None:
    plain, buffered = path_figures([LAYER], KNOWN, CERTAIN), path_figures([LAYER], TERMS, CERTAIN)
    assert buffered.probability_reserved.value > 1.1 * plain.probability_reserved.value
    assert buffered.reserved.value > 1.1 * plain.reserved.value
    assert buffered.written_down.value == pytest.approx(plain.written_down.value, rel=0.02)
    assert 0.0 < buffered.extension_years_if_reserved < TERMS.final - TERMS.scheduled


def test_estimates_too_low_release_what_is_needed_later() -> None:
    sure, unsure = (path_figures([LAYER], KNOWN, Resolution(0.0, estimate_error=error)) for error in (0.0, 0.9))
    gap = sure.written_down.value - unsure.written_down.value
    assert gap > 3 * (sure.written_down.standard_error + unsure.written_down.standard_error)


def test_slices_add_up_and_the_class_is_extended_by_any_of_them() -> None:
    one = CoveredLayer(replace(MODEL, hazard_annual=1.0, margin=0.3), 0.25, 0.60, principal=1.0)
    other = CoveredLayer(replace(MODEL, hazard_annual=1.5, margin=0.4), 0.05, 0.25, principal=3.0)
    alone = [path_figures([part], TERMS) for part in (one, other)]
    both = path_figures([one, other], TERMS)
    weighted = (alone[0].written_down.value + 3 * alone[1].written_down.value) / 4
    assert both.written_down.value == pytest.approx(weighted, rel=0.02)
    chances = [found.probability_reserved.value for found in alone]
    assert max(chances) < both.probability_reserved.value < 1.05 * sum(chances)


def test_any_slice_is_open_as_often_as_any_is_hit_when_nothing_is_ever_determined() -> None:
    model = replace(MODEL, hazard_annual=1.0, margin=0.3)
    endless = replace(KNOWN, determination=5e3, final=6e3, long_stop=7e3)
    pieces = [Piece(UUID(int=number), 0.35, 0.25, 0.60, model) for number in (1, 2)]
    found = path_figures([CoveredLayer(model, 0.25, 0.60, principal=1.0)] * 2, endless, CERTAIN)
    assert agrees(found.probability_reserved, note_risk(pieces).pfl)


def test_the_same_seed_gives_the_same_figures() -> None:
    assert path_figures([LAYER], TERMS, draws=1_000) == path_figures([LAYER], TERMS, draws=1_000)
    assert path_figures([LAYER], TERMS, draws=1_000, seed=2) != path_figures([LAYER], TERMS, draws=1_000)
