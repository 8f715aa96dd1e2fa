"""The terms of a series: what is refused before anything is written, and that a text and its value are the same."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from bonds.offering.isin import is_isin, with_check_digit
from bonds.offering.terms import EXTENSION_BUFFERS, TRANSFERS, ClassTerms, SeriesTerms, SliceTerms, terms_from
from intermediary.errors import BadInput

USD = 10**6
MILLION = 10**6 * USD
CELL = UUID("01890000-0000-7000-8000-000000000001")

TERMS = SeriesTerms(
    code="BLK-1",
    title="Notes",
    currency="USDC",
    issue_date=date(2025, 10, 10),
    scheduled_maturity=date(2026, 10, 9),
    final_maturity=date(2027, 4, 9),
    collateral_yield_annual=Decimal("0.0363"),
    denomination_base_units=1_000 * USD,
    challenge_seconds=3_600,
    expert_seconds=3_600,
    maturity_grace_seconds=30 * 86_400,
    classes=(ClassTerms("B", "BLK1B", "XS0000000009"), ClassTerms("A", "BLK1A", with_check_digit("XS000000001"))),
    slices=(SliceTerms(CELL, "R1", MILLION, (2 * MILLION, 4 * MILLION), (2 * MILLION, 4 * MILLION)),),
)


@pytest.mark.parametrize("isin", ["US0378331005", "DE000BAY0017", "XS0000000009"])
def test_real_numbers_have_the_form(isin: str) -> None:
    assert is_isin(isin)


@pytest.mark.parametrize("isin", ["US0378331006", "us0378331005", "US037833100", "US03783310050", ""])
def test_what_is_off_by_a_digit_or_a_letter_has_not(isin: str) -> None:
    assert not is_isin(isin)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"coupon_kind": "LIBOR"}, "bonds.coupon_kind"),
        ({"retained_bps": 499}, "bonds.retention"),
        ({"retained_bps": 10_000}, "bonds.retention"),
        ({"retained_bps": 500}, "bonds.vertical"),
        ({"clean_up_call_bps": 10_000}, "bonds.clean_up_call"),
        ({"loss_determination_days": 0}, "bonds.periods"),
        ({"record_business_days": -1}, "bonds.periods"),
        ({"loss_determination_days": 183}, "bonds.determination"),
        ({"long_stop": date(2027, 4, 8)}, "bonds.long_stop"),
        ({"extension_buffers": ()}, "bonds.extension"),
        ({"extension_buffers": ((3, Decimal("1.5")),)}, "bonds.extension"),
        ({"extension_buffers": ((6, Decimal("1.5")), (3, Decimal("1.2")), (None, Decimal(1)))}, "bonds.extension"),
        ({"extension_buffers": ((3, Decimal("1.2")), (None, Decimal("1.3")))}, "bonds.extension"),
        ({"extension_buffers": ((None, Decimal("0.9")),)}, "bonds.extension"),
        ({"classes": (ClassTerms("B", "BLK1B", "XS0000000001"), TERMS.classes[1])}, "bonds.isin"),
        ({"classes": (TERMS.classes[0], TERMS.classes[0])}, "bonds.class_names"),
        ({"document_hashes": (("Offering circular", "abc"),)}, "bonds.document"),
        ({"document_hashes": ((" ", "0" * 64),)}, "bonds.document"),
        ({"slices": TERMS.slices * 2}, "bonds.one_slice_each"),
        ({"final_maturity": date(2026, 10, 8)}, "bonds.dates"),
        ({"maturity_grace_seconds": 7_200}, "bonds.grace"),
        ({"slices": ()}, "bonds.empty"),
    ],
)
def test_odd_terms_are_refused_by_name(change: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as refused:
        replace(TERMS, **change)
    assert refused.value.code == code


def test_a_retained_slice_is_the_same_share_of_every_class_to_the_denomination() -> None:
    kept = replace(TERMS.slices[0], principals_base_units=(1_900_000 * USD, 3_800_000 * USD))
    assert replace(TERMS, retained_bps=500, slices=(kept,)).face_base_units(1) == 3_800_000 * USD
    uneven = replace(kept, principals_base_units=(1_900_000 * USD, 3_799_000 * USD))
    with pytest.raises(BadInput) as refused:
        replace(TERMS, retained_bps=500, slices=(uneven,))
    assert refused.value.code == "bonds.vertical"


def test_terms_come_back_from_their_text() -> None:
    terms = replace(
        TERMS, coupon_kind="SOFR", long_stop=date(2030, 1, 2), document_hashes=(("Offering circular", "0" * 64),)
    )
    assert terms_from(terms.canonical) == terms
    assert terms_from(terms.canonical).hash == terms.hash


def test_a_text_from_before_a_field_existed_means_its_default() -> None:
    body = json.loads(TERMS.canonical)
    for name in ("coupon_kind", "retained_bps", "extension_buffers", "long_stop", "document_hashes"):
        del body[name]
    read = terms_from(json.dumps(body))
    assert (read.coupon_kind, read.extension_buffers, read.long_stop) == ("FIXED", EXTENSION_BUFFERS, None)


def test_limits_of_transfers_are_hashed_and_older_terms_mean_the_default() -> None:
    other = replace(TERMS, transfers="units pass to nobody")
    assert other.hash != TERMS.hash
    assert terms_from(other.canonical).transfers == "units pass to nobody"
    body = json.loads(TERMS.canonical)
    del body["transfers"]
    assert terms_from(json.dumps(body)).transfers == TRANSFERS
