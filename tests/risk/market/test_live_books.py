"""Depth of the live market: what order books hold within a percent, while young, else the calibrated one."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from risk.market.exchanges import VENUES
from risk.market.feeds.books import CALIBRATED_MAX, WITHIN, Books, Sides, believed, sides_of
from risk.market.feeds.live import LiveFeed, LiveLimits
from risk.market.parameters import load_parameters
from tests.risk.builders import MARKS
from tests.risk.market.exchange_server import Exchanges, exchanges

ON_A_SIDE = 3.0  # coins within a percent: the third level of the mirror lies beyond
BTC = float(MARKS["BTC"])
MARK = {"BTC": Decimal(MARKS["BTC"])}


@pytest.fixture
def world() -> Iterator[Exchanges]:
    with exchanges() as running:
        running.price = {coin: float(mark) for coin, mark in MARKS.items()} | {"USDC": 1.0, "USDT": 1.0}
        yield running


def read(books: Books, marks: dict[str, Decimal]) -> dict[str, Decimal]:
    """The depths when every exchange has answered once, or has been named."""
    deadline = time.monotonic() + 20
    books.depths(marks)
    while any(line.pending is not None for line in books._lines):
        assert time.monotonic() < deadline
        time.sleep(0.02)
        books.depths(marks)
    return books.depths(marks)


def asked_once(world: Exchanges) -> Books:
    return Books(mirror=world.url, every_s=3_600.0)


# Refusals first.


@pytest.mark.parametrize(
    ("bids", "asks", "why"),
    [
        ([], [[100.0, 1.0]], "empty"),
        ([[100.0, 1.0]], [], "empty"),
        ([[101.0, 1.0]], [[100.0, 1.0]], "crossed"),
        ([[99.0, float("nan")]], [[101.0, 1.0]], "level"),
        ([[99.0, -1.0]], [[101.0, 1.0]], "level"),
        ([[0.0, 1.0]], [[101.0, 1.0]], "level"),
        ([[99.0, 1.0]], [[float("inf"), 1.0]], "level"),
    ],
)
def test_a_book_that_is_none_is_refused(bids: list[list[float]], asks: list[list[float]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sides_of(bids, asks)


def test_an_exchange_without_books_costs_its_own_part_and_is_named(
    world: Exchanges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.faults = {"kraken": "error", "bitstamp": "empty", "coinbaseexchange": "crossed"}
    books = asked_once(world)
    found = read(books, MARK)
    assert float(found["BTC"]) == pytest.approx(ON_A_SIDE * BTC, rel=0.01), "binance alone"
    for named in ("no books from kraken", "no books from bitstamp", "no books from coinbaseexchange"):
        assert named in caplog.text
    books.close()


def test_a_book_around_another_price_counts_nothing(world: Exchanges) -> None:
    """Of a minute ago in a crash, in another unit, or of another coin: it says nothing of what can be sold now."""
    world.faults = {"kraken": "absurd"}
    books = asked_once(world)
    assert float(read(books, MARK)["BTC"]) == pytest.approx(3 * ON_A_SIDE * BTC, rel=0.01)
    assert books.depths({"BTC": MARK["BTC"] * Decimal(1 + 2 * WITHIN)}) == {}
    books.close()


def test_a_book_that_holds_more_than_any_does_is_left_out_by_name(
    world: Exchanges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.levels = [(50_000.0, 0.0001)]  # 4.75 billion of bitcoin; of cardano less than forty thousand dollars
    books = asked_once(world)
    found = read(books, MARK | {"ADA": Decimal(MARKS["ADA"])})
    assert set(found) == {"ADA"}
    assert all(f"no book of BTC from {venue.name}: " in caplog.text for venue in VENUES)
    books.close()


def test_the_limit_of_a_book_is_of_its_deeper_side() -> None:
    limit = CALIBRATED_MAX * float(load_parameters().coins["ETH"].depth_usd)
    assert believed("ETH", Sides(4_000.0, limit, 1.0)).bid_usd == limit
    for sides in (Sides(4_000.0, limit + 1.0, 1.0), Sides(4_000.0, 1.0, limit + 1.0)):
        with pytest.raises(ValueError, match="believed"):
            believed("ETH", sides)


# Effects.


def test_depth_is_what_all_books_hold_within_a_percent_on_the_thinner_side() -> None:
    found = sides_of([[99.9, 2.0], [98.0, 50.0]], [[100.1, 1.0], [100.9, 4.0], [101.5, 9.0]])
    assert found.bid_usd == pytest.approx(99.9 * 2)
    assert found.ask_usd == pytest.approx(100.1 + 4 * 100.9)
    assert found.middle == pytest.approx(100.0)


def test_a_snapshot_carries_the_depth_of_the_books_and_without_them_the_calibrated_one(world: Exchanges) -> None:
    limits = LiveLimits(timeout_s=2.0, deadline_s=5.0, step_s=0.0, backoff_s=0.01, keep_rate_limits=False)
    books = asked_once(world)
    feed = LiveFeed(lambda: datetime.now(UTC), limits=limits, mirror=world.url, books=books)
    first = feed.next_after(datetime.now(UTC) - timedelta(seconds=1))
    assert first is not None
    ordinary = load_parameters().coins["BTC"].depth_usd
    assert first.underlyings["BTC"].depth_usd == ordinary, "no market waits for books"
    read(books, MARK)
    second = feed.next_after(first.as_of)
    assert second is not None
    assert float(second.underlyings["BTC"].depth_usd) == pytest.approx(len(VENUES) * ON_A_SIDE * BTC, rel=0.01)
    assert float(second.underlyings["HYPE"].depth_usd) == pytest.approx(2 * ON_A_SIDE * 43.02, rel=0.02), "two list it"
    assert sum(count for name, count in world.requests.items() if "ook" in name or "epth" in name) > 0
    feed.close()


def test_books_that_are_too_old_are_left_out(world: Exchanges) -> None:
    books = Books(mirror=world.url, every_s=3_600.0, age_limit_s=0.5)
    assert "BTC" in read(books, MARK)
    time.sleep(0.6)
    assert books.depths(MARK) == {}
    books.close()
