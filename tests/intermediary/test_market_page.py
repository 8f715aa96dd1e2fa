"""The officers' market page: marks and what is against them, the curve, surfaces with their fits, and what lacks."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from math import exp

import pytest
from django.test import RequestFactory

from intermediary.config.office import market as market_page
from intermediary.models import Cell, Valuation
from risk.market.parameters import SURFACES_FILE, load_surfaces
from risk.market.quality import MarkQuality, MarkState, SourceSeen
from risk.market.snapshot import MarketSnapshot
from risk.market_queries import curve_points, official_market, slices
from risk.models import ScenarioSource, Snapshot, Tick
from risk.surface_fits import fits_of, keep
from tests.intermediary import office_world
from tests.risk.builders import snapshot

pytestmark = pytest.mark.world(build=office_world.build)
SURFACE = load_surfaces()["BTC"].surface


def judged() -> MarketSnapshot:
    """A market of the day of the calibrated surfaces: bitcoin divided and with a surface, ether unseen for a day."""
    market, moment = snapshot(), SURFACE.as_of + timedelta(minutes=20)
    seen = {coin: replace(item, observed_at=moment) for coin, item in market.underlyings.items()}
    seen["BTC"] = replace(seen["BTC"], surface=SURFACE)
    seen["ETH"] = replace(seen["ETH"], observed_at=moment - timedelta(days=1), turnover_to=date(2026, 8, 21))
    voted = (SourceSeen("binance", Decimal(95_190), 2, 6_000), SourceSeen("kraken", Decimal(94_810), 3, 4_000))
    doubt = MarkQuality(MarkState.DIVIDED, 41, "marks-1", (*voted, SourceSeen("okx", None, None, 0, "timed out")))
    return replace(market, as_of=moment, underlyings=seen, qualities={"BTC": doubt}, source="live")


def becomes_official(market: MarketSnapshot) -> None:
    row = Snapshot.objects.create(id=market.id, as_of=market.as_of, source=market.source, body=market.to_json())
    valuation = Valuation.objects.create(as_of=market.as_of, source=market.source, snapshot_id=market.id, prices={})
    Tick.objects.create(snapshot=row, valuation=valuation, started_at=market.as_of)


def seen() -> str:
    """The part of the page that renews itself."""
    request = RequestFactory().get("/admin/market/", headers={"HX-Request": "true"})
    return market_page.market(request).content.decode()


def test_an_officer_reads_each_mark_the_curve_and_the_surfaces(rolled_back_world: dict[str, Cell]) -> None:
    text = seen()
    assert "cannot be read" in text
    assert "market.malformed_snapshot" in text
    keep(SURFACE, fits_of([SURFACE])[SURFACE.id])
    ScenarioSource.objects.create(as_of=date(2025, 10, 10), daily_vols={"BTC": 0.0412})
    becomes_official(judged())
    read = official_market(judged().as_of)
    assert read is not None
    assert (read.stale, read.doubtful) == (["ETH"], 2)
    text = seen()
    for said in (
        "Divided",
        "timed out",
        "+20.0",
        "Too old for new risk",
        "4.12",
        "The dollar curve",
        "no live source",
        "a day, to 21 Aug",
        "a day, calibrated",
    ):
        assert said in text, said
    assert text.count("held: calendar") >= 2
    assert "surface.too_near" in text, "an expiry that was refused is named"
    assert "not in use" not in text
    flat = {coin: replace(item, surface=None) for coin, item in judged().underlyings.items()}
    later = SURFACE.as_of + timedelta(hours=1)
    lone = MarkQuality(MarkState.STALE, 260, "marks-1", (SourceSeen("kraken", Decimal("0.8"), 2, 0, "single source"),))
    without = replace(judged(), as_of=later, underlyings=flat, qualities={}, lost_smiles=("BTC",))
    becomes_official(replace(without, peg_quality=lone, peg_observed_at=SURFACE.as_of))
    text = seen()
    assert "No surface is in use" in text
    assert "No option chain that is young enough" in text
    assert "The surface of BTC is lost" in text
    assert re.search(r"; kraken (<[^>]*>)*0\.8", text)
    assert "single source" in text
    assert "Sources of each mark" not in text


@pytest.mark.django_db
def test_before_the_first_valuation_there_is_no_market() -> None:
    assert official_market(SURFACE.as_of) is None


def test_forward_rates_give_the_curve_back() -> None:
    points = curve_points(date(2025, 10, 10), judged().rates)
    days, logs = 0, 0.0
    for one in points:
        logs += one.forward * (one.days - days) / 365
        days = one.days
        assert exp(-logs) == pytest.approx(one.factor, rel=1e-12)
        assert one.factor == pytest.approx(exp(-float(one.zero) * one.days / 365), rel=1e-12)
    assert points[0].day == date(2025, 10, 11)


def test_a_slice_is_the_surface_at_the_forward_of_the_market() -> None:
    market = judged()
    fit = json.loads(SURFACES_FILE.read_text())["underlyings"]["BTC"]["fit"]
    found = slices(SURFACE, market.as_of, market.underlyings["BTC"], fit)
    assert len(found) == len(SURFACE.smiles) == len(fit["expiries"])
    for one in found:
        assert one.is_free
        strike, vol = one.points[len(one.points) // 2]
        assert strike == pytest.approx(one.forward)
        assert vol == one.atm_vol
        for strike, vol in one.points[:: len(one.points) // 4]:
            assert vol == pytest.approx(market.vol("BTC", strike, one.forward, one.expiry))
    broken = replace(found[0], fit=fit["expiries"][0] | {"butterfly": {"value": -0.01, "log_moneyness": 0.0}})
    assert broken.is_free is False
    assert replace(found[0], fit=None).is_free is None
