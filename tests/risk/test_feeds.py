"""Every feed keeps one contract (`feed_contract`): the recording and the reconstruction run the same tests here."""

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from intermediary.errors import Refusal
from risk.market.feeds import Feed, open_feed
from risk.market.feeds.base import CRASH_END, CRASH_START, schedule
from risk.market.feeds.replay import RECORDING_FILE, ReplayFeed
from risk.market.parameters import COINS, load_parameters
from tests.risk.market.feed_contract import assert_contract

START = datetime(2025, 10, 10, 18, tzinfo=UTC)
END = datetime(2025, 10, 11, 6, tzinfo=UTC)

# The fall from the close of 20:50 to that of the bar of 21:15, from the published figures (four digits).
CLOSES_AT_2055 = {"BTC": 115300, "ETH": 3925, "SOL": 203.8, "AVAX": 26.18, "ADA": 0.7584}
CLOSES_AT_2120 = {"BTC": 103400, "ETH": 3476, "SOL": 148.5, "AVAX": 11.40, "ADA": 0.3373}


def history_dir() -> Path:
    """The recorded history; the test is skipped, with a message, where there is none."""
    directory = Path(os.environ.get("MARKET_HISTORY_DIR", "var/history"))
    if not (directory / RECORDING_FILE).is_file():
        pytest.skip(f"no recorded market history in {directory} (set MARKET_HISTORY_DIR)")
    return directory


@pytest.fixture(scope="module", params=["recording", "reconstruction"])
def feed(request: pytest.FixtureRequest) -> Feed:
    """Each kind of feed."""
    return open_feed(history_dir() if request.param == "recording" else None)


def test_an_unreadable_recording_is_refused_with_the_readers_words(tmp_path: Path) -> None:
    (tmp_path / RECORDING_FILE).write_text("not parquet")
    with pytest.raises(Refusal, match=r"market\.recording_unreadable"):
        _ = ReplayFeed(tmp_path).first


def test_a_directory_without_recording_opens_the_reconstruction(tmp_path: Path) -> None:
    assert open_feed(tmp_path).source == "reconstruction"


def test_every_snapshot_says_where_it_comes_from(feed: Feed) -> None:
    assert feed.source in ("recording", "reconstruction")
    assert {snapshot.source for snapshot in feed.bars(START, END)} == {feed.source}


def test_snapshots_come_at_the_scheduled_times_ascending(feed: Feed) -> None:
    assert [snapshot.as_of for snapshot in feed.bars(START, END)] == list(schedule(START, END))


def test_all_ten_coins_are_marked_at_their_own_close(feed: Feed) -> None:
    for snapshot in feed.bars(START, END):
        assert snapshot.coins == COINS
        assert all(item.observed_at == snapshot.as_of for item in snapshot.underlyings.values())


def test_feeds_keep_the_contract(feed: Feed) -> None:
    assert feed.first < START < feed.last
    assert_contract(feed, START, END)


def test_the_snapshot_after_an_hour_is_that_of_the_next(feed: Feed) -> None:
    first = feed.next_after(START)
    assert first is not None
    assert first.as_of == START + timedelta(hours=1)


def test_a_second_opening_gives_the_same_ids(feed: Feed) -> None:
    again = open_feed(history_dir() if feed.source == "recording" else None)
    assert [s.id for s in again.bars(START, END)] == [s.id for s in feed.bars(START, END)]


def test_the_crash_is_the_published_one(feed: Feed) -> None:
    at_2055 = feed.next_after(datetime(2025, 10, 10, 20, 54, tzinfo=UTC))
    at_2120 = feed.next_after(datetime(2025, 10, 10, 21, 19, tzinfo=UTC))
    assert at_2055 is not None
    assert at_2120 is not None
    for coin in CLOSES_AT_2055:
        assert float(at_2055.mark(coin)) == pytest.approx(CLOSES_AT_2055[coin], rel=6e-4)
        assert float(at_2120.mark(coin)) == pytest.approx(CLOSES_AT_2120[coin], rel=6e-4)


def test_depth_dries_up_and_volatility_rises_in_the_crash(feed: Feed) -> None:
    calm = feed.next_after(datetime(2025, 10, 10, 17, 59, tzinfo=UTC))
    crash = feed.next_after(datetime(2025, 10, 10, 21, 19, tzinfo=UTC))
    assert calm is not None
    assert crash is not None
    for coin in COINS:
        assert crash.underlyings[coin].depth_usd < calm.underlyings[coin].depth_usd / 2
        assert crash.underlyings[coin].atm_vol > calm.underlyings[coin].atm_vol
        assert crash.underlyings[coin].depth_usd >= load_parameters().coins[coin].depth_usd / 21


def test_the_schedule_is_hourly_and_five_minutes_in_the_crash() -> None:
    times = list(schedule(datetime(2025, 10, 10, 12, 30, tzinfo=UTC), datetime(2025, 10, 11, 12, tzinfo=UTC)))
    assert times[0] == datetime(2025, 10, 10, 13, tzinfo=UTC)
    for before, after in pairwise(times):
        inside = CRASH_START <= before < CRASH_END
        assert after - before == (timedelta(minutes=5) if inside else timedelta(hours=1))
    assert CRASH_END in times
