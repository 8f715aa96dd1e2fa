"""A recording says how far it reaches, and leaves out by name what cannot be true."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from risk.margin.ruleset import ruleset
from risk.margin.scenarios import build_scenarios
from risk.market.history import (
    FIRST_DAY,
    FIVE_MINUTE_FILE,
    HOURLY_FILE,
    DailyHistory,
    believed,
    load_history,
    missing_files,
    prices_digest,
)
from risk.market.parameters import COINS
from risk.market.recording import HISTORY_AGE_LIMIT_DAYS, is_too_old, source_of

DAYS = 1_300  # more than the recent sample
END = FIRST_DAY + timedelta(days=DAYS)
BTC = COINS.index("BTC")


def made(close: np.ndarray) -> DailyHistory:
    """A history of these hourly closes, as `load_history` makes it."""
    logs = np.log(close)
    noon = np.vstack([logs[12::24], np.full((1, len(COINS)), np.nan)])
    moves = [np.vstack([np.full((1, len(COINS)), np.nan), np.diff(cut, axis=0)]) for cut in (logs[::24], noon)]
    days = tuple(FIRST_DAY + timedelta(days=offset) for offset in range(moves[0].shape[0]))
    return DailyHistory(COINS, days, logs, (moves[0], moves[1]), np.empty((0, 0)), prices_digest(close), ())


@pytest.fixture(scope="module")
def close() -> np.ndarray:
    steps = np.random.default_rng(5).normal(0.0, 0.01, (DAYS * 24 + 1, len(COINS)))
    return np.exp(5.0 + 0.2 * np.cumsum(steps, axis=0))


@pytest.mark.parametrize("missing_days", [0, HISTORY_AGE_LIMIT_DAYS, HISTORY_AGE_LIMIT_DAYS + 1, 120])
def test_scenarios_say_when_the_recording_ended_too_long_ago(close: np.ndarray, missing_days: int) -> None:
    """One coin that ends is enough: its volatility is the one that stands still."""
    ended = close.copy()
    ended[(DAYS - missing_days) * 24 + 1 :, BTC] = np.nan
    drawn = build_scenarios(ruleset("worked-example"), END, made(ended))
    last = END - timedelta(days=missing_days)
    assert drawn.recorded_to == last
    too_old = missing_days > HISTORY_AGE_LIMIT_DAYS
    assert drawn.is_too_old == too_old
    assert drawn.source == (f"history until {last.isoformat()}" if too_old else "history")
    assert drawn.of_coins(("BTC",)).over(48.0, 24.0).source == drawn.source


def test_a_single_late_bar_is_no_recorded_day(close: np.ndarray) -> None:
    ended = close.copy()
    ended[(DAYS - 10) * 24 + 1 : -1] = np.nan
    assert made(ended).recorded_to == END - timedelta(days=10)
    ended[:, BTC] = np.nan
    assert made(ended).recorded_to is None


def test_simulated_scenarios_say_what_the_recording_lacks(close: np.ndarray) -> None:
    never = close.copy()
    never[: -20 * 24 - 1, BTC] = np.nan
    drawn = build_scenarios(ruleset("standard"), END, made(never))
    assert (drawn.source, drawn.is_too_old) == ("simulated", False)
    assert drawn.why_simulated == "BTC has 20 recorded days, 30 are needed"
    assert build_scenarios(ruleset("standard"), END, None).why_simulated == ""


def test_the_age_counts_whole_days() -> None:
    assert not is_too_old(date(2026, 3, 1), date(2026, 3, 3))
    assert is_too_old(date(2026, 3, 1), date(2026, 3, 4))
    assert source_of(None, date(2026, 3, 4)) == "simulated"


# Bars that cannot be true.


def one_coin(*, bad: dict[int, float]) -> np.ndarray:
    close = np.full((200, 1), 100.0)
    for row, factor in bad.items():
        close[row] *= factor
    return close


@pytest.mark.parametrize("bad", [{50: 1_000.0}, {50: 1e-3, 51: 1e-3}, {0: 1_000.0}, {199: 1e6}])
def test_a_bar_a_thousand_times_off_is_left_out_and_no_other(bad: dict[int, float]) -> None:
    kept, moved = believed(one_coin(bad=bad))
    assert np.flatnonzero(moved[:, 0]).tolist() == sorted(bad)
    assert np.isnan(kept[:, 0]).tolist() == moved[:, 0].tolist()


def test_a_coin_that_is_counted_anew_is_believed_after_a_day_and_no_return_spans_the_step() -> None:
    kept, moved = believed(one_coin(bad=dict.fromkeys(range(50, 200), 1e-3)))
    assert np.flatnonzero(moved[:, 0]).tolist() == list(range(50, 74))
    logs = np.log(kept[:, 0])
    assert np.nanmax(np.abs(logs[24:] - logs[:-24])) == 0.0


def test_a_fall_to_nothing_is_believed_while_no_hour_is_tenfold() -> None:
    close = one_coin(bad={})
    close[100:, 0] *= 0.5 ** np.arange(100)
    assert not believed(close)[1].any()


def rows(hours: int, step: timedelta, close: dict[int, float]) -> pa.Table:
    """Bars of bitcoin at 100 from the first day on; `close` has others by their number."""
    count = int(timedelta(hours=hours) / step)
    start = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
    return pa.table(
        {
            "ts_utc": pa.array([start + step * number for number in range(count)], pa.timestamp("ns", tz="UTC")),
            "symbol": ["BTC"] * count,
            "close": [close.get(number, 100.0) for number in range(count)],
            "volume": [1.0] * count,
        }
    )


def test_what_cannot_be_true_in_the_files_is_named(tmp_path: Path) -> None:
    nan = float("nan")
    pq.write_table(rows(96, timedelta(hours=1), {3: 0.0, 4: -5.0, 5: nan, 30: 1e5}), tmp_path / HOURLY_FILE)
    assert missing_files(tmp_path) == (FIVE_MINUTE_FILE,)
    assert load_history(tmp_path, FIRST_DAY + timedelta(days=3)) is None
    # The five-minute bars begin on the third day; number 863 ends at its 24:00, number 700 within an hour.
    fine = rows(96, timedelta(minutes=5), {863: nan, 700: 1e5}).slice(2 * 288)
    pq.write_table(fine, tmp_path / FIVE_MINUTE_FILE)
    assert missing_files(tmp_path) == ()
    found = load_history(tmp_path, FIRST_DAY + timedelta(days=4))
    assert found is not None
    assert [str(one) for one in found.left_out] == [
        "BTC: 3 bars of an hour without a price above zero, first 2018-05-16 04:00",
        "BTC: 1 bar of five minutes without a price above zero, first 2018-05-19 00:00",
        "BTC: 1 bar more than 10 times off the one before, first 2018-05-17 07:00",
    ]
    logs = found.log_close[:, BTC]
    assert np.flatnonzero(np.isnan(logs)).tolist() == [0, 4, 5, 6, 31]
    assert np.nanmax(logs) == np.nanmin(logs)
    turnover = found.turnover_usd[:, BTC]
    assert np.flatnonzero(np.isfinite(turnover)).tolist() == [4], "a day with a wrong bar has no turnover"
    assert turnover[4] == pytest.approx(28_800.0)
