"""Pages say where the scenarios come from: a recording, one that ended too long ago, or calibrated parameters."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.template.loader import render_to_string
from pytest_django.fixtures import Settings

from intermediary.config.office import stuck
from intermediary.config.replay import store_snapshot
from risk import engine, scenario_source
from risk.market.history import FIVE_MINUTE_FILE, HOURLY_FILE
from risk.market.recording import LeftOut
from risk.models import ScenarioSource, Tick
from tests.risk.builders import MOMENT, scenarios, snapshot

pytestmark = pytest.mark.django_db

DAY = MOMENT.date()


def tick(source: str) -> Tick:
    return engine.open_tick(store_snapshot(replace(snapshot(), source=source)), 1)


def told(monkeypatch: pytest.MonkeyPatch, source: str, **of_set: Any) -> ScenarioSource:
    """The row after a tick of such a set."""
    monkeypatch.setattr(scenario_source, "scenarios_for", lambda *_: replace(scenarios(), **of_set))
    scenario_source.note(tick(source).id)
    return ScenarioSource.objects.get()


def words(row: ScenarioSource) -> str:
    return " ".join(render_to_string("parts/scenario_source.html", {"scenarios": row}).split())


def test_a_recording_that_ended_is_told_to_everybody_and_counted_for_officers(monkeypatch: pytest.MonkeyPatch) -> None:
    row = told(monkeypatch, "live", recorded_to=date(2025, 6, 30))
    assert (row.name, row.is_too_old, row.takes_no_new_risk) == ("history until 2025-06-30", True, True)
    assert "recorded until 30 Jun 2025" in words(row)
    assert "More than 2 days before the market" in words(row)
    assert "No new risk is taken on it." in words(row)
    assert stuck.count() == 1


def test_one_that_reaches_the_day_wants_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    row = told(monkeypatch, "recording", recorded_to=DAY)
    assert (row.name, row.wants_somebody, row.is_live) == ("history", False, False)
    assert words(row) == "recorded until 10 Oct 2025"
    assert stuck.count() == 0


def test_a_recording_that_was_taken_away_is_told_and_wants_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "live", recorded_to=DAY)
    ScenarioSource.objects.update(recorded_to=None)
    row = ScenarioSource.objects.get()
    assert (row.is_gone, row.takes_no_new_risk, stuck.count()) == (True, True, 1)
    assert "Requirements followed from one that reached 10 Oct 2025: no new risk is taken" in words(row)


def test_bars_that_were_left_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = (LeftOut("BTC", "without a price above zero", 2, datetime(2025, 7, 5, 3, tzinfo=UTC)),)
    row = told(monkeypatch, "recording", recorded_to=DAY, left_out=left_out)
    assert "Left out, BTC: 2 bars without a price above zero, first 2025-07-05 03:00" in words(row)
    assert stuck.count() == 1


def test_no_recording_is_said_and_a_missing_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    settings.MARKET_HISTORY_DIR = tmp_path
    opened = tick("live").id
    monkeypatch.setattr(scenario_source, "scenarios_for", lambda *_: scenarios())
    scenario_source.note(opened)
    row = ScenarioSource.objects.get()
    assert (row.name, row.lacks, row.wants_somebody, row.takes_no_new_risk) == ("simulated", "", False, False)
    assert "simulated from calibrated parameters" in words(row)
    assert "There is no recorded history." in words(row)
    (tmp_path / HOURLY_FILE).touch()
    scenario_source.note(opened)
    row = ScenarioSource.objects.get()
    assert f"not used: {FIVE_MINUTE_FILE} is missing." in words(row)
    assert stuck.count() == 1


def test_everybody_may_read_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('bulkhead_portal', 'risk_scenariosource', 'SELECT')")
        assert cursor.fetchone() == (True,)
