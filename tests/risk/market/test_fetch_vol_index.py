"""The index of implied volatility comes from its exchange on loopback: a day's is the close of its last hour."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from intermediary.errors import BadInput, Refusal
from risk.market.download import Download
from risk.market.index_download import VOL_INDEX, fetch_vol_index
from risk.market.vol_index import VOL_INDEX_FILE, read_vol_index
from tests.risk.market.exchange_server import Exchanges, exchanges

START, END = datetime(2025, 9, 29, tzinfo=UTC), datetime(2025, 10, 3, tzinfo=UTC)  # two calendar months: two pieces
LATER = datetime(2026, 2, 1, tzinfo=UTC)
ASKED = replace(VOL_INDEX, since=START, until=END)


@pytest.fixture
def world() -> Iterator[Exchanges]:
    with exchanges() as running:
        for hour in range(-30, 24 * 6):
            moment = START + timedelta(hours=hour)
            close = 40.0 + hour / 10
            running.vol_index.append([moment.timestamp() * 1000, 39.0, 99.0, 30.0, close])
        running.page_limit = 20
        yield running


def download(world: Exchanges, directory: Path, now: datetime = LATER) -> Download:
    return Download(directory, now, mirror=world.url, keep_rate_limits=False, wait=lambda _: None)


def test_a_days_index_is_the_close_of_its_last_hour_over_all_pages(world: Exchanges, tmp_path: Path) -> None:
    found = fetch_vol_index(download(world, tmp_path), ASKED)
    assert (found.days, found.parts, found.requested_parts, found.missing, found.left_out) == (4, 2, 2, 0, 0)
    assert read_vol_index(found.path) == pytest.approx(
        {date(2025, 9, 29) + timedelta(days=day): (40.0 + (24 * day + 23) / 10) / 100 for day in range(4)}
    )
    asked = sum(world.requests.values())
    assert asked >= 6, "96 hours in pages of twenty"
    again = fetch_vol_index(download(world, tmp_path), ASKED)
    assert again.requested_parts == 0
    assert sum(world.requests.values()) == asked


def test_days_without_a_last_hour_are_missing_and_what_cannot_be_true_is_left_out(
    world: Exchanges, tmp_path: Path
) -> None:
    last_hours = {int((START + timedelta(days=day, hours=23)).timestamp() * 1000) for day in (0, 1)}
    world.vol_index = [row for row in world.vol_index if row[0] != min(last_hours)]
    next(row for row in world.vol_index if row[0] == max(last_hours))[4] = 40_000.0
    found = fetch_vol_index(download(world, tmp_path), ASKED)
    assert (found.days, found.missing, found.left_out) == (2, 1, 1)
    assert min(read_vol_index(found.path)) == date(2025, 10, 1)


def test_a_day_that_is_not_over_is_not_taken(world: Exchanges, tmp_path: Path) -> None:
    found = fetch_vol_index(download(world, tmp_path, now=START + timedelta(days=1, hours=20)), ASKED)
    assert list(read_vol_index(found.path)) == [date(2025, 9, 29)]
    with pytest.raises(BadInput, match=r"market\.nothing_to_fetch"):
        fetch_vol_index(download(world, tmp_path / "other", now=START + timedelta(hours=5)), ASKED)


def test_trouble_and_foreign_files_are_refused_by_name(world: Exchanges, tmp_path: Path) -> None:
    file = tmp_path / VOL_INDEX_FILE
    file.write_text("somebody's")
    with pytest.raises(Refusal, match=r"market\.foreign_history"):
        fetch_vol_index(download(world, tmp_path), ASKED)
    world.faults = {"deribit": "garbage"}
    with pytest.raises(Refusal, match=r"market\.download_failed"):
        fetch_vol_index(download(world, tmp_path), ASKED, replace_foreign=True)
    assert file.read_text() == "somebody's"


def test_the_command_fetches_it_by_name(world: Exchanges, tmp_path: Path) -> None:
    out = StringIO()
    options = {"only": "vol-index", "since": START, "until": END, "to": tmp_path, "mirror": world.url}
    call_command("fetch_history", **options, stdout=out, stderr=StringIO())
    assert f"{tmp_path / VOL_INDEX_FILE}: 4 days; 2 of 2 pieces were new, 0 days are missing" in out.getvalue()
