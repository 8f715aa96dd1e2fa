"""Terms of a series as the times of a path, and the figures that a term sheet shows of it."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from math import inf
from uuid import UUID

import pytest

from bonds.loss.note_risk import Piece, note_risk
from bonds.marking.extension import ASSUMED, extension, path_terms
from bonds.offering.isin import with_check_digit
from bonds.offering.terms import ClassTerms, SeriesTerms, SliceTerms
from bonds.portal.extension_examples import examples_of
from risk.margin.layers import LossModel
from risk.margin.shortfall import NormalBodySeverity

ISSUE = date(2025, 10, 6)
WIDTH = 4 * 10**11
TERMS = SeriesTerms(
    code="BLK-P",
    title="Paths",
    currency="USDC",
    issue_date=ISSUE,
    scheduled_maturity=ISSUE + timedelta(days=365),
    final_maturity=ISSUE + timedelta(days=730),
    collateral_yield_annual=Decimal("0.0363"),
    denomination_base_units=10**9,
    challenge_seconds=3_600,
    expert_seconds=3_600,
    maturity_grace_seconds=30 * 86_400,
    classes=(ClassTerms("A", "BLKPA", with_check_digit("XS000000001")),),
    slices=(SliceTerms(UUID(int=1), "R1", 10**11, (WIDTH,), (WIDTH,)),),
)
MODEL = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
PIECE = Piece(UUID(int=1), 0.35, 0.25, 0.60, MODEL)


def test_times_count_in_years_from_the_valuation() -> None:
    found = path_terms(TERMS, ISSUE + timedelta(days=73))
    assert found is not None
    assert (found.scheduled, found.final) == (0.8, 1.8)
    assert found.determination == pytest.approx(180 / 365)
    assert found.long_stop == inf
    assert found.buffers == ((0.25, 1.5), (0.5, 1.25), (inf, 1.0))
    stopped = path_terms(replace(TERMS, long_stop=ISSUE + timedelta(days=1_095)), ISSUE)
    assert stopped is not None
    assert stopped.long_stop == 3.0


def test_examples_keep_what_the_factor_times_the_estimate_would_take() -> None:
    (found,) = examples_of(TERMS)
    middle, end = found.examples
    assert (middle.estimate, end.estimate) == (3 * 10**11, 5 * 10**11)
    assert middle.classes[0].kept == (35 * 10**10, 275 * 10**9, 2 * 10**11)
    assert end.classes[0].kept == (WIDTH, WIDTH, WIDTH), "never more than the class has in the slice"


def test_examples_of_slices_alike_are_said_once_and_each_class_keeps_its_own() -> None:
    other = SliceTerms(UUID(int=2), "R2", 10**11, (WIDTH,), (WIDTH,))
    deeper = SliceTerms(UUID(int=3), "R3", 2 * 10**11, (WIDTH,), (WIDTH,))
    several = examples_of(replace(TERMS, slices=(*TERMS.slices, other, deeper)))
    assert [one.relationships for one in several] == [("R1", "R2"), ("R3",)]
    halves = (WIDTH // 2, WIDTH // 2)
    two = replace(
        TERMS,
        classes=(*TERMS.classes, ClassTerms("B", "BLKPB", with_check_digit("XS000000002"))),
        slices=(SliceTerms(UUID(int=1), "R1", 10**11, halves, halves),),
    )
    low = examples_of(two)[0].examples[0]
    assert low.estimate == 2 * 10**11
    senior, junior = low.classes
    assert (senior.symbol, senior.kept) == ("BLKPB", (0, 0, 0)), "1.5 times the estimate ends where it begins"
    assert junior.kept == (2 * 10**11, 15 * 10**10, 10**11)


def test_a_matured_series_has_no_path() -> None:
    assert path_terms(TERMS, TERMS.scheduled_maturity) is None
    assert extension(TERMS, TERMS.scheduled_maturity, [PIECE]) is None


def test_a_class_whose_relationships_are_all_in_default_has_no_path() -> None:
    assert extension(TERMS, ISSUE, [Piece(UUID(int=1), 0.35, 0.25, 0.60, None, known_loss=0.4)]) is None


def test_figures_come_with_their_errors_and_what_is_assumed() -> None:
    found = extension(TERMS, ISSUE, [PIECE])
    assert found is not None
    risk = note_risk([PIECE])
    assert found["written_down"]["value"] == pytest.approx(risk.expected_loss, rel=0.05)
    assert 0 < found["probability_reserved"]["value"] < risk.pfl
    assert 0 < found["probability_reserved"]["standard_error"] < 0.05 * found["probability_reserved"]["value"]
    assert 0 < found["extension_years_if_reserved"] < 1
    assert found["written_up"]["value"] < found["written_down"]["value"]
    assert found["assumed"]["recovery_share"] == ASSUMED.recovery_share
    assert found["assumed"]["determination_days_at_most"] == 180
