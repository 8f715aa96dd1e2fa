"""Stress reports of a whole book: stored for officers, of one market, and the same figures as each part gives alone."""

import pytest
from django.db import connection

from intermediary import ledger
from intermediary.models import AccountKind, Layer, MarginState
from risk import engine, stress_reports
from risk.margin.stress import published_scenarios
from risk.models import StressReport, Tick
from risk.stress_queries import BookStress, RelationshipStress, book_stress, worst_stresses
from tests.intermediary.margin_world import MILLION
from tests.risk.test_live_layers import lapses, world
from tests.risk.tick_world import market, tick

pytestmark = pytest.mark.django_db


def reported(opened: Tick) -> tuple[BookStress, dict[str, RelationshipStress]]:
    stress_reports.renew(opened.id)
    found = book_stress()
    assert found is not None
    assert found.snapshot_id == opened.snapshot_id
    return found, {one.cell.code: one for one in found.relationships}


def test_everybody_is_put_under_the_published_scenarios_whatever_the_ruleset() -> None:
    _, opened = world("LINE", "AMPLE", "OTHER", "IDLE")
    whole, found = reported(opened)
    names = [item.name for item in published_scenarios()]
    assert set(found) == {"LINE", "AMPLE", "OTHER", "IDLE"}
    for one in found.values():
        assert [row["name"] for row in one.rows] == names
    assert [row["name"] for row in whole.house["rows"]][: len(names)] == names
    assert found["IDLE"].worst["gross"] == 0


def test_a_loss_is_poured_through_the_layers_that_lie_there() -> None:
    clients, opened = world("LINE")
    (unfunded,) = stress_reports.measure(opened)
    before = max(unfunded.body["rows"], key=lambda row: row["net_loss"])
    assert before["first_loss"] == 0
    Layer.objects.filter(cell=clients["LINE"].cell).update(funded=True)
    _, found = reported(opened)
    worst = found["LINE"].worst
    assert 0 < worst["first_loss"] <= 3 * MILLION
    assert worst["net_loss"] == worst["first_loss"] + worst["tail"] + worst["senior"] + worst["uncovered"]
    assert before["uncovered"] == worst["uncovered"] + worst["first_loss"]
    (made_of,) = worst_stresses().values()
    exposure = MarginState.objects.get(cell=clients["LINE"].cell).exposure_base_units
    assert made_of.title == worst["title"]
    assert exposure + made_of.position_loss + made_of.close_out_cost == worst["gross"]
    assert worst["gross"] - made_of.margin_value == worst["net_loss"]


def test_the_intermediary_is_the_sum_and_its_float_is_the_ledgers() -> None:
    _, opened = world("LINE", "COINS", "SHORT", "OPTIONS")
    whole, found = reported(opened)
    for number, row in enumerate(whole.house["rows"][:-1]):
        for name in ("net_loss", "first_loss", "tail", "senior", "uncovered", "prefinance"):
            assert row[name] == sum(one.rows[number][name] for one in found.values()), name
        assert row["short"] == sum(1 for one in found.values() if one.rows[number]["net_loss"])
    assert whole.house["float"] == ledger.total([AccountKind.FLOAT], "USDC")
    largest = whole.house["rows"][-1]
    assert largest["name"] == "two_largest"
    needs = [
        sorted((one.rows[number]["prefinance"] for one in found.values()), reverse=True)[:2]
        for number in range(len(published_scenarios()))
    ]
    assert largest["prefinance"] == max(sum(two) for two in needs)
    assert whole.float_after[-1]["float_left"] == whole.house["float"] - largest["prefinance"]


def test_a_short_book_is_short_now_and_an_ample_one_has_a_distance() -> None:
    clients, opened = world("SHORT", "AMPLE")
    _, found = reported(opened)
    short = found["SHORT"].nearest["requirement"]
    assert short is not None
    assert short.percent == 0.0
    state = MarginState.objects.get(cell=clients["SHORT"].cell)
    assert state.headroom_base_units < 0
    clients["SHORT"].deposit(15 * MILLION)
    repaired = reported(tick(market(10, "94900")))[1]["SHORT"].nearest["call"]
    assert repaired is not None
    assert repaired.percent > 1  # it sold, so a rise calls it
    assert found["AMPLE"].nearest["call"] is None  # its margin is the whole price of what it holds
    assert {axis["coin"] for axis in found["AMPLE"].axes} == {"", "BTC", "ETH"}


def test_who_defaulted_is_no_longer_measured() -> None:
    clients, opened = world("AMPLE", "NOTICED")
    assert set(reported(opened)[1]) == {"AMPLE", "NOTICED"}
    lapses(clients["NOTICED"])
    later = tick(market(10, "94800"))
    assert set(reported(later)[1]) == {"AMPLE"}


def test_an_older_market_does_not_replace_a_newer_one() -> None:
    _, opened = world("AMPLE")
    later = tick(market(10, "94800"))
    stress_reports.renew(later.id)
    stress_reports.renew(opened.id)
    assert {row.tick_id for row in StressReport.objects.all()} == {later.id}


def test_of_several_markets_that_are_done_the_newest_is_measured_and_once() -> None:
    """A market of today is overtaken while others are measured: who comes late for it gets the newest."""
    _, oldest = world("AMPLE", "SHORT")
    tick(market(10, "94800"))
    newest = tick(market(15, "94700"))
    assert book_stress() is None
    whole, _ = reported_in(oldest, newest)
    written = places()
    for asked in (oldest, newest):
        assert reported_in(asked, newest)[0].as_of == whole.as_of
    assert places() == written, "asked again, nothing is done twice"


def test_a_market_that_was_given_up_is_measured_while_none_is_newer() -> None:
    world("AMPLE")
    given_up = engine.open_tick(market(10, "94800"), 2)
    reported_in(given_up, given_up)


def reported_in(asked: Tick, measured: Tick) -> tuple[BookStress, list[RelationshipStress]]:
    """Ask for one market; the reports are all of another."""
    stress_reports.renew(asked.id)
    found = book_stress()
    assert found is not None
    assert {row.tick_id for row in StressReport.objects.all()} == {measured.id}
    assert found.as_of == measured.valuation.as_of
    return found, list(found.relationships)


def places() -> list[str]:
    """Where the rows of the reports lie; one that is written again lies elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid::text FROM risk_stressreport ORDER BY ctid")
        return [place for (place,) in cursor.fetchall()]


def test_officers_may_read_it_and_clients_only_the_rows_of_their_own() -> None:
    with connection.cursor() as cursor:
        for role in ("bulkhead_staff", "bulkhead_portal"):
            cursor.execute("SELECT has_table_privilege(%s, 'risk_stressreport', 'SELECT')", [role])
            assert cursor.fetchone() == (True,)
        cursor.execute("SELECT roles::text, qual FROM pg_policies WHERE tablename = 'risk_stressreport'")
        policies = cursor.fetchall()
    assert any("bulkhead_portal" in roles and "tenant_cells" in qual for roles, qual in policies), policies


def test_the_map_of_the_book_adds_up_what_each_bears_alone() -> None:
    _, opened = world("AMPLE", "SHORT")
    whole, found = reported(opened)
    for name in ("net", "beyond"):
        for row, cells in enumerate(whole.house["heat"][name]):
            for column, amount in enumerate(cells):
                parts = [one.body["heat"][name][row][column] for one in found.values()]
                assert amount == pytest.approx(sum(parts), abs=2)


def test_the_worst_is_told_before_the_rest() -> None:
    _, opened = world("AMPLE", "SHORT", "IDLE")
    whole, _ = reported(opened)
    assert whole.relationships[0].cell.code == "SHORT"
    assert whole.relationships[-1].cell.code == "IDLE"


def test_crowding_is_that_of_everybodys_book() -> None:
    _, opened = world("AMPLE", "SHORT", "LINE")
    whole, _ = reported(opened)
    rows = {row["coin"]: row for row in whole.house["crowding"]}
    assert set(rows) == {"BTC", "ETH"}
    assert rows["BTC"]["long"] == ((100 + 120) * 94_900)
    assert rows["BTC"]["short"] == (90 * 94_900)
    assert rows["BTC"]["largest"] == ["LINE", "AMPLE"]
    assert rows["ETH"]["one_sided"] == 1.0
