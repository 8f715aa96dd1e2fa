"""Downloading history from exchanges on loopback: it goes on where it stopped, and what it wrote is what feeds read."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from io import StringIO
from math import exp, sin
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from intermediary.errors import BadInput, Refusal
from risk.market.download import ATTEMPTS, SCHEMA, TARGETS, Download, Target
from risk.market.feeds import open_feed
from risk.market.history import FIRST_DAY, HOURLY_FILE, load_history
from risk.market.parameters import COINS
from tests.risk.builders import MARKS
from tests.risk.market.exchange_server import Candle, Exchanges, exchanges
from tests.risk.market.feed_contract import assert_contract

START = datetime(2025, 9, 30, tzinfo=UTC)
END = datetime(2025, 10, 2, tzinfo=UTC)  # two calendar months: two pieces a coin
LATER = datetime(2026, 2, 1, tzinfo=UTC)
FIVE_MINUTES = TARGETS["five-minute"].narrowed(None, START, END)


@cache
def candles(coin: str, step_s: int) -> tuple[Candle, ...]:
    """A path of prices, the same on every run."""
    rows = []
    price = float(MARKS[coin])
    for index, second in enumerate(range(int(START.timestamp()) - 86_400, int(END.timestamp()) + 86_400, step_s)):
        close = float(f"{float(MARKS[coin]) * exp(0.01 * sin(index / 40)):.8g}")
        rows.append((second * 1000, price, max(price, close), min(price, close), close, 10.0 + index % 7))
        price = close
    return tuple(rows)


@pytest.fixture
def world() -> Iterator[Exchanges]:
    with exchanges() as running:
        for coin in COINS:
            running.candles["binanceusdm", f"{coin}USDT"] = list(candles(coin, 300))
            running.candles["binance", f"{coin}USDT"] = list(candles(coin, 3600))
        running.page_limit = 200
        yield running


def download(world: Exchanges, directory: Path, now: datetime = LATER) -> Download:
    return Download(directory, now, mirror=world.url, keep_rate_limits=False, wait=lambda _: None)


def only(*coins: str) -> Target:
    return FIVE_MINUTES.narrowed(coins, None, None)


def requested(world: Exchanges) -> int:
    return sum(count for name, count in world.requests.items() if name.endswith("klines"))


# Refusals first.


def test_a_file_that_was_not_downloaded_here_is_not_replaced_unless_asked_to(world: Exchanges, tmp_path: Path) -> None:
    file = tmp_path / FIVE_MINUTES.name
    file.write_text("somebody's")
    with pytest.raises(Refusal, match=r"market\.foreign_history"):
        download(world, tmp_path).fetch(only("BTC"))
    assert file.read_text() == "somebody's"
    download(world, tmp_path).fetch(only("BTC"), replace_foreign=True)
    assert pq.read_schema(file).names == SCHEMA.names


def test_asking_for_no_coin_or_no_time_is_refused(world: Exchanges, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"market\.nothing_to_fetch"):
        download(world, tmp_path).fetch(only("LUNA"))
    with pytest.raises(BadInput, match=r"market\.nothing_to_fetch"):
        download(world, tmp_path, now=START).fetch(only("BTC"))


def test_an_exchange_that_stays_down_is_refused_after_some_attempts(world: Exchanges, tmp_path: Path) -> None:
    waits: list[float] = []
    world.faults = {"binanceusdm": "error"}
    with pytest.raises(Refusal, match=r"market\.download_failed") as refused:
        Download(tmp_path, LATER, mirror=world.url, wait=waits.append).fetch(only("BTC"))
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert len(waits) == ATTEMPTS - 1
    assert refused.value.data["symbol"] == "BTC/USDT:USDT"
    assert not (tmp_path / FIVE_MINUTES.name).exists()


def test_a_symbol_that_the_exchange_does_not_know_is_not_asked_for_again(world: Exchanges, tmp_path: Path) -> None:
    series = replace(only("BTC").series[0], coin="LUNA", symbol="LUNA/USDT:USDT")
    with pytest.raises(Refusal, match=r"market\.download_failed"):
        download(world, tmp_path).fetch(replace(FIVE_MINUTES, series=(series,)))
    assert requested(world) == 0


# What is written.


def test_the_replay_feed_reads_what_was_downloaded(world: Exchanges, tmp_path: Path) -> None:
    found = download(world, tmp_path).fetch(FIVE_MINUTES)
    assert (found.rows, found.missing, found.left_out) == (2 * 288 * 10, 0, 0)
    feed = open_feed(tmp_path)
    assert feed.source == "recording"
    assert_contract(feed, START + timedelta(hours=2), END)
    at = datetime(2025, 10, 1, 12, tzinfo=UTC)
    snapshot = feed.next_after(at - timedelta(seconds=1))
    assert snapshot is not None
    for coin in COINS:
        last = next(row for row in candles(coin, 300) if row[0] == (at.timestamp() - 300) * 1000)
        assert float(snapshot.mark(coin)) == last[4]


def test_scenarios_read_what_was_downloaded(world: Exchanges, tmp_path: Path) -> None:
    download(world, tmp_path).fetch(FIVE_MINUTES)
    download(world, tmp_path).fetch(TARGETS["hourly"].narrowed(None, START, END))
    history = load_history(tmp_path, date(2025, 10, 2))
    assert history is not None
    hours = int((datetime(2025, 10, 1, tzinfo=UTC).date() - FIRST_DAY).days * 24)
    assert exp(history.log_close[hours, history.coins.index("BTC")]) == pytest.approx(
        next(
            row[4]
            for row in candles("BTC", 300)
            if row[0] == datetime(2025, 9, 30, 23, 55, tzinfo=UTC).timestamp() * 1000
        )
    )
    assert set(pq.read_table(tmp_path / HOURLY_FILE)["source"].to_pylist()) == {"binance_spot"}


def test_a_run_that_was_cut_off_goes_on_where_it_was_and_ends_the_same(world: Exchanges, tmp_path: Path) -> None:
    download(world, tmp_path / "whole").fetch(only("BTC", "ETH"))
    whole = requested(world)
    world.fail_after = whole + 5
    with pytest.raises(Refusal, match=r"market\.download_failed"):
        download(world, tmp_path / "cut").fetch(only("BTC", "ETH"))
    done = list((tmp_path / "cut" / "parts").rglob("*.parquet"))
    assert len(done) == 2
    assert not (tmp_path / "cut" / FIVE_MINUTES.name).exists()
    world.fail_after, world.requests = None, type(world.requests)()
    found = download(world, tmp_path / "cut").fetch(only("BTC", "ETH"))
    assert found.requested_parts == 2
    assert requested(world) < whole
    name = FIVE_MINUTES.name
    assert pq.read_table(tmp_path / "cut" / name).equals(pq.read_table(tmp_path / "whole" / name))
    assert list(tmp_path.rglob(".*")) == []


def test_a_second_run_asks_nobody(world: Exchanges, tmp_path: Path) -> None:
    download(world, tmp_path).fetch(only("BTC"))
    before = requested(world)
    assert download(world, tmp_path).fetch(only("BTC")).requested_parts == 0
    assert requested(world) == before


def test_a_failed_run_leaves_the_file_of_before(world: Exchanges, tmp_path: Path) -> None:
    download(world, tmp_path).fetch(only("BTC"))
    before = (tmp_path / FIVE_MINUTES.name).read_bytes()
    world.faults = {"binanceusdm": "down"}
    with pytest.raises(Refusal, match=r"market\.download_failed"):
        download(world, tmp_path).fetch(only("BTC", "ETH"))
    assert (tmp_path / FIVE_MINUTES.name).read_bytes() == before


def test_candles_that_cannot_be_true_are_left_out_and_counted(world: Exchanges, tmp_path: Path) -> None:
    rows = world.candles["binanceusdm", "BTCUSDT"]
    first = next(index for index, row in enumerate(rows) if row[0] == START.timestamp() * 1000)
    bad = [(0.0, 1.0, 1.0, 1.0), (5.0, 4.0, 3.0, 5.0), (float("nan"), 1.0, 1.0, 1.0), (-1.0, 1.0, -1.0, 1.0)]
    for offset, (opened, high, low, closed) in enumerate(bad):
        rows[first + offset] = (rows[first + offset][0], opened, high, low, closed, 1.0)
    rows.insert(first + 9, (rows[first + 8][0] + 1_000, 1.0, 1.0, 1.0, 1.0, 1.0))  # off the grid
    found = download(world, tmp_path).fetch(only("BTC"))
    assert (found.left_out, found.missing) == (5, 4)
    assert found.rows == 2 * 288 - 4


def test_a_coin_that_was_listed_later_begins_when_it_was_listed(world: Exchanges, tmp_path: Path) -> None:
    listed = datetime(2025, 10, 1, 6, tzinfo=UTC)
    key = ("binanceusdm", "HYPEUSDT")
    world.candles[key] = [row for row in world.candles[key] if row[0] >= listed.timestamp() * 1000]
    found = download(world, tmp_path).fetch(only("HYPE"))
    assert pq.read_table(found.path)["ts_utc"][0].as_py() == listed
    assert found.missing == 30 * 12


def test_a_bar_that_has_not_closed_yet_is_not_taken(world: Exchanges, tmp_path: Path) -> None:
    found = download(world, tmp_path, now=datetime(2025, 10, 1, 12, 7, tzinfo=UTC)).fetch(only("BTC"))
    assert pq.read_table(found.path)["ts_utc"][-1].as_py() == datetime(2025, 10, 1, 12, 0, tzinfo=UTC)


def test_the_command_says_what_it_did(world: Exchanges, tmp_path: Path) -> None:
    out, err = StringIO(), StringIO()
    options = {"only": "five-minute", "coins": ["BTC"], "since": START, "until": END, "to": tmp_path}
    call_command("fetch_history", **options, mirror=world.url, stdout=out, stderr=err)
    assert f"{tmp_path / FIVE_MINUTES.name}: 576 bars; 2 of 2 pieces were new, 0 bars are missing" in out.getvalue()
    assert "BTC      2 of 2" in err.getvalue()
    with pytest.raises(CommandError, match=r"market\.nothing_to_fetch"):
        call_command("fetch_history", **(options | {"coins": ["LUNA"]}), mirror=world.url, stdout=out, stderr=err)
