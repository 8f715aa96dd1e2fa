"""What one market cannot value holds back who holds it, by name, and nobody else."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from intermediary import margining
from intermediary.config import status
from intermediary.config.office import stuck
from intermediary.config.officers import make_officer
from intermediary.config.replay import store_snapshot
from intermediary.config.tenancy import become_tenant
from intermediary.errors import Refusal
from intermediary.models import Cell, Instrument, MarginState, Mark
from intermediary.ports import PlannedTrade
from risk import engine, live_layers, own_stress, queries, stress_reports
from risk.book import load_book
from risk.gate import EngineGate
from risk.market.snapshot import MarketSnapshot
from risk.models import LayerRisk, Tick, TickShard, UncoveredRisk
from tests.conftest import TestDatabase
from tests.people import as_owner, member, person
from tests.risk.builders import EXPIRY, MOMENT, snapshot
from tests.risk.tick_world import BOOKS, mixed_world, tick

pytestmark = pytest.mark.world(build=mixed_world)

HOLD_DATED = {"COINS", "GROSS", "OPTIONS"}  # the future, and the option of the same expiry
HOLD_ETHER = {"AMPLE"}


@pytest.fixture
def clients(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> dict[str, Cell]:
    return built_world


def without(market: MarketSnapshot, coin: str) -> MarketSnapshot:
    return replace(market, underlyings={name: item for name, item in market.underlyings.items() if name != coin})


def renewed(opened: Tick) -> set[str]:
    return set(MarginState.objects.filter(valuation=opened.valuation).values_list("cell__code", flat=True))


def test_an_expired_contract_holds_back_who_holds_it_and_the_others_go_on(clients: dict[str, Cell]) -> None:
    opened = tick(store_snapshot(replace(snapshot({"BTC": "94900"}), as_of=EXPIRY + timedelta(minutes=1))))
    assert opened.done_at is not None
    refused = TickShard.objects.get(tick=opened).refused
    assert set(refused) == HOLD_DATED
    assert refused["COINS"] == "instrument_not_valued: BTC-FUT expired on 09 Nov 2025."
    assert queries.held_back()["COINS"] == "BTC-FUT expired on 09 Nov 2025."
    assert stuck.count() == len(HOLD_DATED)
    assert dict(status.unmarked(opened.valuation)) == {"BTC-FUT": "expired", "BTC-CALL": "expired"}
    assert renewed(opened) == set(BOOKS) - HOLD_DATED
    assert set(Mark.objects.filter(valuation=opened.valuation).values_list("instrument__code", flat=True)) == {
        "BTC-PERP", "ETH-PERP",
    }  # fmt: skip
    with pytest.raises(Refusal, match="requirement_pending") as pending:
        margining.required_now(clients["COINS"].id)
    assert pending.value.data["instruments"] == ["BTC-FUT"]
    margining.required_now(clients["AMPLE"].id)


def test_what_follows_a_tick_goes_on_without_who_is_held_back(clients: dict[str, Cell]) -> None:
    opened = tick(store_snapshot(replace(snapshot(), as_of=EXPIRY + timedelta(minutes=1))))
    live_layers.renew(opened.id)
    measured = set(UncoveredRisk.objects.filter(tick=opened).values_list("cell__code", flat=True))
    assert measured.isdisjoint(HOLD_DATED)
    assert {"AMPLE", "LINE"} <= measured
    assert LayerRisk.objects.filter(tick=opened, cell=clients["LINE"]).exists()
    codes = {one.standing.state.cell.code for one in stress_reports.measure(opened)}
    assert codes == {row["code"] for row in own_stress.under({"name": "mine"}, {"BTC": "-10"})["rows"]}
    assert codes.isdisjoint(HOLD_DATED)
    ids = [clients["AMPLE"].id, clients["COINS"].id]
    with pytest.raises(Refusal, match="instrument_not_valued"):
        engine.compute(ids, load_book(ids), engine.universe_of(opened), opened.snapshot_id, "standard")
    its_client_and_officers_are_told(clients)


def its_client_and_officers_are_told(clients: dict[str, Cell]) -> None:
    """On the pages that show the requirement before; nobody learns it of another's."""
    said = "BTC-FUT expired on 09 Nov 2025."
    people = {code: person(f"client.{code.lower()}") for code in ("COINS", "AMPLE")}
    for code, user in people.items():
        member(user, clients[code].party)
        for name in ("overview", "risk"):
            page = text(user, reverse(f"portal:{name}", args=[code]))
            assert ("Your requirement was not renewed" in page) == (said in page) == (code == "COINS")
    with as_owner():
        become_tenant(people["AMPLE"].pk, [str(clients["AMPLE"].party_id)])
        assert queries.own_refusal(clients["COINS"].id) is None
        become_tenant(people["COINS"].pk, [str(clients["COINS"].party_id)])
        assert queries.own_refusal(clients["COINS"].id) == said
    officer = person("officer.desk")
    with as_owner():
        make_officer(officer)
    assert text(officer, reverse("admin:index")).count("Not renewed") == len(HOLD_DATED)
    unmeasured = text(officer, reverse("admin:stress_of", args=["COINS"]))
    assert "Not measured in the last market" in unmeasured
    assert said in unmeasured


def text(user: User, address: str) -> str:
    """The page as this person sees it; the worker's login, which the rest of the test needs, reads no sessions."""
    browser = Client()
    with as_owner():
        browser.force_login(user)
        answer = browser.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_coin_without_a_mark_holds_back_who_holds_it_and_the_others_go_on(clients: dict[str, Cell]) -> None:
    """Margin in coins of it too, and nobody for an empty vault of them."""
    opened = tick(store_snapshot(replace(without(snapshot(), "ETH"), as_of=MOMENT + timedelta(minutes=20))))
    assert set(TickShard.objects.get(tick=opened).refused) == HOLD_ETHER
    assert renewed(opened) == set(BOOKS) - HOLD_ETHER
    stripped = tick(store_snapshot(replace(without(snapshot(), "BTC"), as_of=MOMENT + timedelta(minutes=30))))
    refused = TickShard.objects.get(tick=stripped).refused
    assert renewed(stripped) == {"FLAT", "IDLE"}, "of the others everybody holds bitcoin"
    assert "WBTC has no mark of BTC" in refused["COINS"]
    again = tick(store_snapshot(replace(snapshot(), as_of=MOMENT + timedelta(minutes=40))))
    assert renewed(again) == set(BOOKS), "and with the mark they are back"
    assert not TickShard.objects.get(tick=again).refused


def test_what_has_no_mark_is_not_traded(clients: dict[str, Cell]) -> None:
    tick(store_snapshot(replace(snapshot(), as_of=EXPIRY + timedelta(minutes=1))))
    dead = Instrument.objects.get(code="BTC-FUT")
    with pytest.raises(Refusal, match="mark_missing"):
        EngineGate().check_trades({clients["LINE"].id: [PlannedTrade(dead.id, Decimal(1), Decimal(95_000))]})
