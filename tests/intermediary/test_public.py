"""Public pages: they answer with and without a world, name no party, and offer demo log-ins in the demo only."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from intermediary.config import live_market
from intermediary.config.models import LiveMarket
from intermediary.errors import Refusal
from intermediary.models import Instrument, Valuation
from risk.market.quality import MarkQuality, MarkState, SourceSeen
from risk.models import ScenarioSource, Snapshot
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import faces_world
from tests.risk.builders import snapshot

PAGES = ("/", "/register/", "/rulebook/", "/glossary/", "/status/", "/verify/", "/sign-in/")


@pytest.fixture
def web(as_role: RoleSwitch, settings: Settings) -> Iterator[Client]:
    """A visitor of an empty platform, under the web's login."""
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        yield Client(headers={"accept": "text/html"})


@pytest.fixture
def web_with_world(web: Client) -> Client:
    """A visitor of the world of the faces."""
    return web


in_world = pytest.mark.world(build=faces_world.build)


def test_every_page_answers_on_an_empty_platform(web: Client) -> None:
    for page in PAGES:
        assert web.get(page).status_code == 200, page
    assert b"The market has not opened yet" in web.get("/").content


@in_world
def test_every_page_answers_with_a_world_and_names_no_party(web_with_world: Client) -> None:
    for page in PAGES:
        answer = web_with_world.get(page)
        assert answer.status_code == 200, page
        for name in (b"Meridian", b"Kestrel", b"Tidewater", b"client.basis"):
            assert name not in answer.content, page


@in_world
def test_the_register_shows_layers_and_the_cost_of_a_default(web_with_world: Client) -> None:
    body = web_with_world.get("/register/").content.decode()
    assert "R-108" in body
    assert 'title="6,400,000.000000 USDC"' in body, "first loss of 4 and 2.4 of the tail have paid"
    assert 'title="26,600,000.000000 USDC"' in body, "33 of layers less what they paid"


@in_world
def test_the_register_publishes_how_likely_a_loss_beyond_all_layers_is(web_with_world: Client) -> None:
    body = web_with_world.get("/register/").content.decode()
    assert 'data-live="R-101-chance">0.310</data>' in body
    assert "R-108-chance" not in body, "a default has no probability"
    assert "Not based on:" in body


@in_world
def test_pages_carry_no_inline_script_style_or_handler(web_with_world: Client) -> None:
    for page in PAGES:
        body = web_with_world.get(page).content.decode()
        assert " style=" not in body
        assert " onclick=" not in body
        assert "<script>" not in body
        assert "<style" not in body


def test_the_content_policy_is_strict(web: Client) -> None:
    policy = web.get("/")["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@in_world
def test_demo_log_ins_exist_in_demo_mode_only(web_with_world: Client, settings: Settings) -> None:
    for mode in ("production", "test"):
        settings.MODE = mode
        assert b"Demonstration log-ins" not in web_with_world.get("/sign-in/").content
        assert web_with_world.post("/sign-in/demo/", {"username": "client.basis"}).status_code == 404
    settings.MODE = "demo"
    assert b"Demonstration log-ins" in web_with_world.get("/sign-in/").content
    assert web_with_world.post("/sign-in/demo/", {"username": "client.basis"}).status_code == 302
    assert web_with_world.get("/after-sign-in/")["Location"] == "/portal/R-101/"


@in_world
def test_a_wrong_password_says_the_same_as_a_wrong_name(web_with_world: Client) -> None:
    answers = [
        web_with_world.post("/sign-in/", {"username": name, "password": "no"}).content.decode()
        for name in ("client.basis", "nobody")
    ]
    assert all("do not go together" in body for body in answers)


def test_the_status_page_says_which_marks_are_in_doubt_and_why(
    committing_db: TestDatabase, request: pytest.FixtureRequest
) -> None:
    seen = (SourceSeen("coinbase", None, 300, 0, "stale"), SourceSeen("kraken", Decimal(95_000), 2, 10_000))
    good = (SourceSeen("kraken", Decimal(4_016), 2, 10_000),)
    market = replace(
        snapshot(),
        qualities={
            "BTC": MarkQuality(MarkState.SINGLE_SOURCE, 354, "marks-1", seen),
            "ETH": MarkQuality(MarkState.GOOD, 6, "marks-1", good),
        },
    )
    Snapshot.objects.create(id=market.id, as_of=market.as_of, source="live", body=market.to_json())
    Valuation.objects.create(as_of=market.as_of, source="live", snapshot_id=market.id, prices={"BTC": "95000"})
    Instrument.objects.create(code="BTC-OLD", kind=Instrument.Kind.FUTURE, underlying="BTC", expiry=market.as_of)
    Instrument.objects.create(code="ZZZ-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ZZZ")
    live_market.refused(Refusal("market.too_few_sources", "1 of 4 exchanges answer.", silent={"okx": "timed out"}))
    LiveMarket.objects.update(given_up=3, given_up_at=market.as_of, stuck_as_of=market.as_of, stuck="part 2 of 2")
    ScenarioSource.objects.create(as_of=market.as_of, recorded_to=date(2025, 6, 30), is_live=True)
    web: Client = request.getfixturevalue("web")
    table = web.get("/status/").content.decode().split('id="doubtful"')[1].split("</table>")[0]
    assert "Single source" in table
    assert "coinbase: stale" in table
    assert 'title="3.54 %"' in table
    assert "BTC" in table
    assert "ETH" not in table
    whole = web.get("/status/").content.decode()
    assert "Too few exchanges answer" in whole
    assert "okx: timed out" in whole
    assert "part 2 of 2" in whole
    assert "no source of rates yet" in whole
    assert "recorded until 30 Jun 2025" in whole
    assert "No new risk is taken on it." in whole
    unmarked = whole.split('id="unmarked"')[1].split("</table>")[0]
    assert "<td>BTC-OLD</td><td>expired</td>" in unmarked
    assert "<td>ZZZ-PERP</td><td>no mark of ZZZ</td>" in unmarked


@in_world
def test_the_status_page_doubts_nothing_where_one_recorded_source_marks(web_with_world: Client) -> None:
    assert b"Marks in doubt" not in web_with_world.get("/status/").content


def test_the_rulebook_page_shows_the_hash_of_the_file(web: Client, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rulebook.md").write_text("# Rules\n\n<script>x</script>\n")
    settings.BASE_DIR = tmp_path
    body = web.get("/rulebook/").content.decode()
    assert hashlib.sha256((tmp_path / "docs" / "rulebook.md").read_bytes()).hexdigest() in body
    assert "<h1>Rules</h1>" in body
    assert "<script>x" not in body


def test_a_page_that_does_not_exist_says_so(web: Client) -> None:
    answer = web.get("/no-such-page/")
    assert answer.status_code == 404
    assert b"Nothing was changed" in answer.content
