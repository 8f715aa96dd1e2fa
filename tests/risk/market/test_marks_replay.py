"""10 October 2025 as three exchanges traded it: the mark follows the deep spot venue down and says how sure it is."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from intermediary.errors import Refusal
from risk.market.marks import Mark
from risk.market.marks_replay import COIN_MARGINED, MULTIVENUE_FILE, MarkedMinute, coins_of, marked_minutes
from risk.market.quality import MarkState

DIVERGED_FROM = datetime(2025, 10, 10, 21, 19, tzinfo=UTC)
DIVERGED_TO = datetime(2025, 10, 10, 22, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def recording(market_history_dir: Path) -> Path:
    return market_history_dir / MULTIVENUE_FILE


@cache
def marked(path: Path, coin: str) -> dict[datetime, MarkedMinute]:
    return {minute.at: minute for minute in marked_minutes(path, coin)}


def at(path: Path, coin: str, hour: int, minute: int) -> Mark:
    found = marked(path, coin)[datetime(2025, 10, 10, hour, minute, tzinfo=UTC)].mark
    assert found is not None
    return found


def test_a_coin_that_was_not_recorded_is_refused(recording: Path) -> None:
    with pytest.raises(Refusal, match=r"market\.unknown_underlying"):
        next(marked_minutes(recording, "LUNA"))
    with pytest.raises(CommandError, match="LUNA"):
        call_command("marks_replay", "LUNA", file=recording)


def test_avalanche_follows_the_deep_spot_venue_while_a_perpetual_trades_at_a_third_of_it(recording: Path) -> None:
    worst = at(recording, "AVAX", 21, 21)
    by_source = {seen.source: seen for seen in worst.quality.sources}
    assert by_source[COIN_MARGINED].price_usd == Decimal("6.61")
    assert worst.price == by_source["coinbase"].price_usd == Decimal("17.64")
    assert worst.quality.state is MarkState.DIVIDED
    assert 4_300 < worst.quality.uncertainty_bps < 4_600  # the others, heard as one half, are 98% and 17% away in logs


def test_the_fall_goes_through_in_the_minute_in_which_the_deep_venues_fall(recording: Path) -> None:
    before, after = at(recording, "AVAX", 21, 13), at(recording, "AVAX", 21, 19)
    assert (before.price, after.price) == (Decimal("24.45"), Decimal("17.87"))  # closes of Coinbase, at their minutes
    assert before.quality.state is MarkState.GOOD
    assert before.quality.uncertainty_bps <= 20


def test_a_venue_that_still_prints_the_price_of_minutes_ago_does_not_hold_the_mark_up(recording: Path) -> None:
    falling = at(recording, "AVAX", 21, 18)
    assert falling.price == Decimal("20.07")
    assert [(seen.source, seen.left_out) for seen in falling.quality.left_out] == [("gemini", "outlier")]


@pytest.mark.parametrize("coin", ["AVAX", "DOT", "ATOM", "FIL", "UNI", "WIF"])
def test_while_venues_diverge_the_mark_stays_with_deep_spot_and_is_never_called_good(
    recording: Path, coin: str
) -> None:
    moment = DIVERGED_FROM
    while moment <= DIVERGED_TO:
        minute = marked(recording, coin)[moment]
        assert minute.mark is not None
        deep = next(seen for seen in minute.mark.quality.sources if seen.source == "coinbase")
        assert float(minute.mark.price) == pytest.approx(float(deep.price_usd or 0), rel=2e-3)
        if moment < datetime(2025, 10, 10, 21, 35, tzinfo=UTC):  # then the perpetuals come back
            assert minute.mark.quality.state is MarkState.DIVIDED
            assert minute.mark.quality.uncertainty_bps > 100
        moment += timedelta(minutes=1)


def test_in_the_calm_of_the_same_day_marks_are_sure_to_a_hundredth_of_that(recording: Path) -> None:
    for coin in ("AVAX", "DOT", "AAVE"):
        calm = [m.mark.quality.uncertainty_bps for m in marked(recording, coin).values() if m.at.hour < 20 and m.mark]
        assert sorted(calm)[len(calm) // 2] <= 62  # Gemini is silent in most minutes: two of three sources


def test_every_coin_of_the_file_is_marked_or_refused_in_every_minute(recording: Path) -> None:
    coins = coins_of(recording)
    assert len(coins) == 26
    for coin in ("BTC", "BONK", "TRX", "SKY"):
        minutes = list(marked_minutes(recording, coin))
        assert [m.at for m in minutes] == sorted(m.at for m in minutes)
        assert all((m.mark is None) == bool(m.refused) for m in minutes)


def test_the_report_prints_sources_and_doubt(recording: Path) -> None:
    out = StringIO()
    call_command("marks_replay", "AVAX", start="21:21", end="21:21", file=recording, stdout=out)
    assert out.getvalue().startswith("21:21  17.64")
    assert "binance-delivery 6.61 (20%)" in out.getvalue()
    assert "divided" in out.getvalue()


def test_a_recording_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no recording"):
        call_command("marks_replay", "AVAX", file=tmp_path / "none.parquet")
