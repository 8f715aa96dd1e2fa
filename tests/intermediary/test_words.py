"""The names of what the ledger books: every account has one, no code reaches a statement."""

import re

import pytest

from intermediary import words
from intermediary.models import AccountKind, ChainInstruction


@pytest.mark.parametrize("kind", AccountKind.values)
def test_every_account_has_a_name(kind: str) -> None:
    assert "_" not in words.account(kind)


def test_every_movement_has_a_name_at_each_step() -> None:
    moving = set(ChainInstruction.Kind) - {"REQUIRE", "NOTICE", "RELEASE_NOTICE"}
    for kind in moving:
        for step, shown in (("instructed", "instructed"), ("settled", "final")):
            name = words.entry(f"{kind.value.lower()}_{step}")
            assert name.endswith(f", {shown}")
            assert not re.search(r"[a-z]_[a-z]", name)
            assert name.split(",")[0] in words.ENTRIES.values()


def test_a_kind_of_tomorrow_is_shown_without_its_underscores() -> None:
    assert words.entry("interest_accrued") == "Interest accrued"
