"""Smiles of the live market: fitted to the chain that an exchange gives, carried while young, left out knowingly."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp, sqrt
from typing import Any

import pytest

from intermediary.errors import BadInput
from risk.market.feeds.base import Bar, CoinBar, SnapshotMaker
from risk.market.feeds.fit_smiles import fit, quotes_of
from risk.market.feeds.live import AGE_LIMITS_S, LiveFeed, LiveLimits
from risk.market.feeds.smiles import Smiles
from risk.market.parameters import load_surfaces
from risk.market.snapshot import MarketSnapshot
from risk.market.surface import SECONDS_A_YEAR
from tests.risk.builders import MARKS, snapshot
from tests.risk.market.chains import FORWARD, SMILES, chain
from tests.risk.market.exchange_server import Exchanges, exchanges

TODAY = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) - timedelta(days=1)


def summaries(now: datetime) -> list[dict[str, Any]]:
    """A chain of known smiles as Deribit summarises its books; its options expire at eight."""
    quotes = chain({days: SMILES[days] for days in (30, 90)}, now=TODAY)
    return [
        {
            "instrument_name": f"BTC-{one.expiry:%d%b%y}-{one.strike:g}-{'C' if one.is_call else 'P'}".upper(),
            "bid_price": one.bid,
            "ask_price": one.ask,
            "underlying_price": FORWARD,
            "creation_timestamp": int(now.timestamp() * 1000),
            "mark_iv": 60.0,
            "interest_rate": 0.0,
        }
        for one in quotes
    ]


def rows(**changes: Any) -> list[list[Any]]:
    made = [one | changes for one in summaries(datetime.now(UTC))]
    fields = ("instrument_name", "bid_price", "ask_price", "underlying_price", "creation_timestamp")
    return [[one[name] for name in fields] for one in made]


@pytest.fixture
def world() -> Iterator[Exchanges]:
    with exchanges() as running:
        running.price = {coin: float(mark) for coin, mark in MARKS.items()} | {"USDC": 1.0, "USDT": 0.998}
        yield running


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"underlying_price": float("nan")}, "chain.malformed"),
        ({"underlying_price": 0.0}, "chain.malformed"),
        ({"underlying_price": -1.0}, "chain.malformed"),
        ({"instrument_name": "BTC-PERPETUAL"}, "chain.malformed"),
        ({"creation_timestamp": None}, "chain.malformed"),
        ({"creation_timestamp": 1e30}, "chain.malformed"),
    ],
)
def test_a_chain_that_cannot_be_read_is_refused_by_name(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput, match=code):
        quotes_of("BTC", rows(**changes))


def test_a_coin_without_a_chain_or_with_an_impossible_one_is_refused_and_named() -> None:
    found = fit({"BTC": [], "ETH": [["ETH-" + str(row[0])[4:], *row[1:]] for row in rows(bid_price=None)]})
    assert found["surfaces"] == {}
    assert found["refused"]["BTC"].startswith("chain.empty")
    assert found["refused"]["ETH"].startswith("surface.nothing_fitted")


def test_the_live_market_carries_the_smile_of_the_exchange_while_it_is_young(
    world: Exchanges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ahead = timedelta()
    limits = LiveLimits(timeout_s=1.0, deadline_s=4.0, step_s=0.0, backoff_s=0.01, keep_rate_limits=False)
    told: dict[str, Mapping[str, Any]] = {}
    smiles = Smiles(mirror=world.url, every_s=3_600.0, told=lambda surface, fit: told.update({surface.id: fit}))
    feed = LiveFeed(lambda: datetime.now(UTC) + ahead, limits=limits, mirror=world.url, smiles=smiles)
    world.options = {"BTC": summaries(datetime.now(UTC))}
    first = feed.next_after(TODAY)
    assert first is not None
    assert first.underlyings["BTC"].surface is None, "no market waits for a fit"
    deadline = time.monotonic() + 60
    while not smiles.surfaces():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = feed.next_after(first.as_of)
    assert second is not None
    surface = second.underlyings["BTC"].surface
    assert surface is not None
    assert [one["inside_share"] for one in told[surface.id]["expiries"]] == [1.0, 1.0], "how well it fits is told once"
    assert second.underlyings["ETH"].surface is None
    assert "no smile of ETH: chain.empty" in caplog.text
    expiry, k = TODAY + timedelta(days=30), -0.1
    assert [smile.expiry for smile in surface.smiles] == [expiry, TODAY + timedelta(days=90)]
    years = (expiry - surface.as_of).total_seconds() / SECONDS_A_YEAR
    truth = sqrt(SMILES[30].total_variance(k) / years)
    assert second.vol("BTC", FORWARD * exp(k), FORWARD, expiry) == pytest.approx(truth, abs=0.01)
    ahead = timedelta(seconds=AGE_LIMITS_S["surface"])
    world.now = lambda: datetime.now(UTC) + ahead
    third = feed.next_after(second.as_of)
    assert third is not None
    assert third.underlyings["BTC"].surface is None, "an hour old: left out, and the market goes on"
    assert [one.lost_smiles for one in (first, second, third)] == [(), (), ("BTC",)], "said where there was one before"
    feed.close()


def test_a_process_goes_on_with_the_smiles_of_the_one_before_and_says_which_are_lost(world: Exchanges) -> None:
    limits = LiveLimits(timeout_s=1.0, deadline_s=4.0, step_s=0.0, backoff_s=0.01, keep_rate_limits=False)
    world.faults = {"deribit": "error"}

    def after(minutes: int, lost: tuple[str, ...] = ()) -> MarketSnapshot:
        now = datetime.now(UTC)
        fitted = load_surfaces()["BTC"].surface
        last = replace(fitted.smiles[-1], expiry=now + timedelta(days=30))
        surface = replace(fitted, as_of=now - timedelta(minutes=minutes), smiles=(last,))
        calm, as_of = snapshot(), surface.as_of
        seen = {coin: replace(item, observed_at=as_of) for coin, item in calm.underlyings.items()}
        seen["BTC"] = replace(seen["BTC"], surface=surface)
        before = replace(calm, as_of=as_of, underlyings=seen, lost_smiles=lost)
        feed = LiveFeed(lambda: datetime.now(UTC), limits=limits, mirror=world.url, smiles=Smiles(mirror=world.url))
        feed.resume(MarketSnapshot.from_json(before.to_json()))
        found = feed.next_after(as_of)
        feed.close()
        assert found is not None
        assert found.underlyings["BTC"].surface in (None, surface)
        return found

    young = after(10, lost=("ETH",))
    assert young.underlyings["BTC"].surface is not None
    assert young.lost_smiles == ("ETH",)
    old = after(61)
    assert old.underlyings["BTC"].surface is None
    assert old.lost_smiles == ("BTC",)
    assert MarketSnapshot.from_json(old.to_json()) == old


def test_an_exchange_that_gives_no_chain_is_named_and_costs_the_smile_alone(
    world: Exchanges, caplog: pytest.LogCaptureFixture
) -> None:
    for fault, why in (("error", "not available"), ("garbage", "answer not understood")):
        world.faults = {"deribit": fault}
        smiles = Smiles(mirror=world.url, every_s=0.0)
        deadline = time.monotonic() + 10
        while why not in caplog.text:
            assert smiles.surfaces() == {}
            assert time.monotonic() < deadline
            time.sleep(0.02)
        smiles.close()


def test_a_surface_of_the_future_or_of_another_day_is_not_in_a_snapshot() -> None:
    surface = load_surfaces()["BTC"].surface

    def carried(as_of: datetime) -> bool:
        maker = SnapshotMaker("test")
        bar = Bar(as_of, {"BTC": CoinBar(Decimal(MARKS["BTC"]), 95_000.0, 95_000.0, as_of)})
        maker.advance(bar)
        return maker.snapshot(bar, {"BTC": surface}).underlyings["BTC"].surface is not None

    minute = timedelta(minutes=1)
    assert not carried(surface.as_of - minute)
    assert carried(surface.as_of + minute)
    assert not carried(surface.as_of + timedelta(days=1, minutes=1))
