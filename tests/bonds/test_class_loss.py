"""What a term sheet says of a class beyond its mean: which horizon each figure is of, and when there is none."""

from datetime import date
from uuid import UUID

import pytest

from bonds.loss.distribution import note_distribution
from bonds.loss.note_risk import Piece, note_risk
from bonds.marking.class_loss import class_loss
from tests.bonds.test_distribution import PIECES

AS_OF = date(2026, 1, 5)


def test_tails_are_of_the_term_and_the_variant_of_the_year() -> None:
    found = class_loss(PIECES, AS_OF, date(2028, 7, 5))
    assert found is not None
    assert found["term_years"] == pytest.approx(2.5, abs=0.01)
    over_term = note_distribution(PIECES, horizon_years=found["term_years"])
    for tail in found["tail"]:
        share = over_term.value_at_risk(tail["level"]) / over_term.principal
        assert tail["value_at_risk"] == pytest.approx(share, rel=1e-3)
        assert tail["value_at_risk"] < tail["expected_shortfall"] < 1
    assert [tail["level"] for tail in found["tail"]] == [0.99, 0.995]
    risk = note_risk(PIECES)
    assert found["student"]["last_loss"] > 2 * risk.pll, "together more often"
    assert found["student"]["expected_loss"] == pytest.approx(risk.expected_loss, rel=1e-3)
    years, losses = zip(*found["by_years"], strict=True)
    assert years == (1.0, 2.0, pytest.approx(2.5, abs=0.01))
    assert losses[0] == pytest.approx(risk.expected_loss, rel=1e-3)
    assert losses[0] < losses[1] < losses[2]


def test_a_term_within_the_year_has_no_years_and_a_matured_or_empty_class_nothing() -> None:
    short = class_loss(PIECES[:1], AS_OF, date(2026, 7, 5))
    assert short is not None
    assert short["by_years"] == []
    assert class_loss(PIECES, AS_OF, AS_OF) is None
    assert class_loss([], AS_OF, date(2027, 1, 5)) is None
    assert class_loss([Piece(UUID(int=1), 0.0, 1.0, 2.0, PIECES[0].model)], AS_OF, date(2027, 1, 5)) is None


def test_a_known_loss_is_in_every_figure() -> None:
    known = Piece(UUID(int=9), 2e6, 3e5, 2e6, None, known_loss=1.0)
    found = class_loss([known], AS_OF, date(2027, 7, 5))
    assert found is not None
    assert found["student"]["last_loss"] == 1.0
    assert {tail["value_at_risk"] for tail in found["tail"]} == {1.0}
    assert [loss for _, loss in found["by_years"]] == [1.0, 1.0]
