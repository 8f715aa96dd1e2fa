"""Words of a note's page: times of its terms and its pricing measure."""

from dataclasses import replace
from datetime import date

import pytest

from bonds.offering.terms import terms_from
from bonds.portal import coupon_words
from bonds.pricing.measures import OFFICIAL, PhysicalMeasure, WangTransform
from bonds.pricing.rulesets import STANDARD
from bonds.pricing.schedule import coupon_schedule
from bonds.servicing import early
from bonds.templatetags.notes import length_of_time, measure_words
from tests.bonds.test_terms import TERMS

WORDS = "Wang transform of a feared probability: load 0.2434, c 0.0396, p 0.1519"


@pytest.mark.parametrize(
    ("seconds", "words"), [(90, "90 seconds"), (1_800, "30 minutes"), (3_600, "1 hour"), (172_800, "2 days")]
)
def test_a_time_of_the_terms_is_said_in_the_unit_that_says_it_exactly(seconds: int, words: str) -> None:
    assert length_of_time(seconds) == words


def test_every_measure_is_known_in_words_and_an_unknown_one_by_its_name() -> None:
    assert measure_words(WangTransform().name) == ("Wang transform: load 0.454, Student's t with 5 degrees of freedom")
    assert measure_words(OFFICIAL.name) == WORDS
    named = measure_words(STANDARD.measure_name(date(2025, 10, 10)))
    assert named == f"{WORDS} (pricing ruleset standard-2)"
    assert measure_words(PhysicalMeasure().name).startswith("Physical")
    assert measure_words("of tomorrow") == "of tomorrow"


def test_a_buyer_is_told_that_what_is_kept_back_earns_nothing() -> None:
    said = coupon_words.kept_back(TERMS)
    assert said.startswith("No coupon is earned after 9 October 2026")
    last = coupon_schedule(TERMS.issue_date, TERMS.scheduled_maturity, TERMS.months_between_coupons)[-1]
    assert last.accrual_end <= TERMS.scheduled_maturity < TERMS.final_maturity


def test_a_record_date_that_no_contract_keeps_is_read_and_not_promised() -> None:
    assert coupon_words.record(TERMS) == coupon_words.RECORD
    assert early.GRACE.days == 5, "the days of which the words speak"
    older = terms_from(replace(TERMS, record_business_days=5).canonical)
    assert coupon_words.record(older).endswith("5 business days before, which the contract cannot keep.")
