"""Caps on chain against the last stress report: what is too small is named with both figures."""

from typing import Any

import pytest

from intermediary.config.operations import caps
from intermediary.errors import Refusal
from intermediary.models import Cell, TermsVersion
from intermediary.onboarding import current_terms
from risk.models import StressReport, Tick
from tests.intermediary import office_world

pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]


def test_a_cap_below_what_a_stressed_day_needs_is_named(built_world: dict[str, Cell], monkeypatch: Any) -> None:
    monkeypatch.setattr(caps, "_kept", None)
    assert caps.shortfalls({"USDC": 0}) == {}  # nothing was measured yet
    loser, winner = [
        cell for cell in Cell.objects.filter(kind="CLIENT").order_by("code") if TermsVersion.objects.filter(cell=cell)
    ][:2]
    cap = current_terms(loser.id).debit_cap_base_units
    tick = Tick.objects.latest("id")
    for cell, gross in ((loser, cap + 1), (winner, -cap)):
        rows = [{"name": "crash", "gross": gross}, {"name": "calm", "gross": 5}]
        StressReport.objects.update_or_create(cell=cell, defaults={"tick": tick, "body": {"rows": rows}})
    assert caps.stressed_outflow() == cap + 1
    assert caps.shortfalls({"USDC": cap}) == {}  # added up once an hour
    monkeypatch.setattr(caps, "_kept", None)
    assert caps.shortfalls({"USDC": cap}) == {
        f"vault of {loser.code}": (cap, cap + 1),
        "house USDC": (cap, cap + 1),
    }
    assert caps.shortfalls({"USDC": 2 * cap}) == {f"vault of {loser.code}": (cap, cap + 1)}
    caps.refuse_below(winner.id)
    with pytest.raises(Refusal, match="cap_below_stress"):
        caps.refuse_below(loser.id)
