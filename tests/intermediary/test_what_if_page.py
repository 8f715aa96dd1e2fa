"""The client's what-if page: it stores a question, shows the answer, and is nobody else's business."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from intermediary.models import Cell, CommandRequest
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import faces_world
from tests.intermediary.test_portal import signed_in, text_of

pytestmark = pytest.mark.world(build=faces_world.build)

PAGE = "/portal/R-101/what-if/"
USD = 10**6


@pytest.fixture
def browser(
    committing_db: TestDatabase, built_world: dict[str, Cell], as_role: RoleSwitch, settings: Settings
) -> Iterator[Client]:
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        yield signed_in("client.basis")


def lines(*rows: tuple[str, str, str], total: int = 3, **more: str) -> dict[str, str]:
    """What the form posts: side, instrument, quantity of each line."""
    body = {"form-TOTAL_FORMS": str(total), "form-INITIAL_FORMS": "0", **more}
    for number in range(total):
        side, instrument, quantity = rows[number] if number < len(rows) else ("BUY", "BTC-PERP", "")
        names = {"side": side, "instrument": instrument, "quantity": quantity}
        body |= {f"form-{number}-{name}": value for name, value in names.items()}
    return body


def asked(browser: Client, as_role: RoleSwitch, *rows: tuple[str, str, str]) -> tuple[str, CommandRequest]:
    """The page that a question leads to, and the question."""
    answer = browser.post(PAGE, lines(*rows))
    assert answer.status_code == 302, text_of(answer)
    with as_role("worker"):
        there, _, place = answer["Location"].partition("#")
        assert place == "answer", "what was asked for stands below the form"
        return there, CommandRequest.objects.select_related("cell").get(command="what_if")


def figures(independent: int, short_by: int = 0) -> dict[str, Any]:
    """A state as the worker answers it, in millions."""
    required, total = independent * 10**6 * USD, float(independent * 10**6)
    return {
        "exposure_base_units": 0, "independent_amount_base_units": required, "threshold_base_units": 0,
        "required_base_units": required, "held_base_units": 9 * 10**6 * USD,
        "breakdown": {
            "lines": [["expected_shortfall_99", total]], "total": total,
            "forecast_loss": {"-5%": 1e6, "-10%": 2e6, "-20%": 4e6},
        },
        "admission": {"passed": not short_by, "scenario_title": "12-13 March 2020", "position_loss": 1, "exposure": 0,
                      "close_out_cost": 0, "margin_value": 0, "net_loss": 1, "first_loss": 0, "tail": 0,
                      "senior_retention": 0, "short_by": short_by},
    }  # fmt: skip


def priced(kind: str, title: str, series: str, before: int, after: int) -> dict[str, Any]:
    """A layer of two millions in a credit charge; charges in thousands of dollars."""
    sides = {
        name: {"expected_loss": 0.01, "first_loss": 0.02, "last_loss": 0.005,
               "charge_base_units": charge * 1_000 * USD, "rate_bps": charge / 0.2}
        for name, charge in (("before", before), ("after", after))
    }  # fmt: skip
    return {"kind": kind, "title": title, "series": series, "width_base_units": 2 * 10**6 * USD,
            "price_of_risk": 1.25} | sides  # fmt: skip


CREDIT = {
    "measure": "wang-lambda-0.454-k-5", "width_base_units": 4 * 10**6 * USD,
    "layers": [priced("FIRST_LOSS", "First loss", "", 40, 50), priced("TAIL", "Tail bond", "BLK-1", 20, 24)],
    "before": {"charge_base_units": 60_000 * USD, "rate_bps": 150.0},
    "after": {"charge_base_units": 74_000 * USD, "rate_bps": 185.0},
}  # fmt: skip


def answered(
    as_role: RoleSwitch, question: CommandRequest, *, passed: bool, credit: dict[str, Any] | None = None,
    refusal: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """The worker's part."""
    outcome = {
        "as_of": "2025-10-10T21:00:00+00:00", "snapshot_id": "ab" * 32, "ruleset_hash": "cd" * 32,
        "trades": [{"instrument": "BTC-PERP", "quantity": "-2.5", "price": "95000"}],
        "before": figures(6), "after": figures(7 if passed else 12),
        "verdict": {"passed": passed, "binding_scenario": "margin headroom", "stressed_loss_base_units": 0,
                    "resources_base_units": 0, "data": {} if passed else {"missing_margin": 3 * 10**6 * USD}},
        "credit_charge": credit or {"layers": []}, "refusal": refusal,
    }  # fmt: skip
    with as_role("worker"):
        CommandRequest.objects.filter(id=question.id).update(state=CommandRequest.State.DONE, outcome=outcome)


def test_a_question_is_stored_as_signed_decimal_strings(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(
        browser, as_role, ("SELL", "BTC-PERP", "1,002.50"), ("BUY", "BTC-PERP", ""), ("BUY", "BTC-PERP", "3")
    )
    assert question.body == {
        "trades": [{"instrument": "BTC-PERP", "quantity": "-1002.50"}, {"instrument": "BTC-PERP", "quantity": "3"}]
    }
    assert question.cell is not None
    assert question.cell.code == "R-101"
    body = text_of(browser.get(there))
    assert "Being computed" in body
    assert 'value="1002.50"' in body, "the question stays in the form, to be changed"
    assert 'hx-trigger="sse:request"' in body


def test_the_answer_shows_before_and_after(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(browser, as_role, ("SELL", "BTC-PERP", "2.5"))
    answered(as_role, question, passed=True)
    body = text_of(browser.get(there))
    assert "The check before a trade would pass." in body
    assert "Expected shortfall 99" in body
    for amount in ("7,000,000.00", "6,000,000.00", "+1,000,000.00"):
        assert amount in body
    assert "hx-trigger" not in body.split("<main", 1)[1].split(">", 1)[0], "a page with an answer stands still"


def test_what_credit_costs_stands_layer_by_layer_before_and_after(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(browser, as_role, ("SELL", "BTC-PERP", "2.5"))
    answered(as_role, question, passed=True, credit=CREDIT)
    body = text_of(browser.get(there))
    for shown in ("60,000.00", "74,000.00", "+14,000.00", "185.0", "+10,000.00", "+4,000.00", "2.000", "0.500"):
        assert shown in body, shown
    assert "what investors asked for BLK-1" in body
    assert "nothing is billed by it" in body


def test_without_layers_there_is_no_credit_to_pay_for(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(browser, as_role, ("SELL", "BTC-PERP", "2.5"))
    answered(as_role, question, passed=True)
    assert "No layer of loss stands behind you yet" in text_of(browser.get(there))


def test_a_trade_that_would_be_refused_says_what_is_missing(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(browser, as_role, ("BUY", "BTC-PERP", "2.5"))
    answered(as_role, question, passed=False)
    body = text_of(browser.get(there))
    assert "would refuse this: margin headroom" in body
    assert "Margin missing for this trade" in body
    assert "called now" in body


def test_what_a_trade_would_be_refused_with_comes_before_a_verdict_that_passes(
    browser: Client, as_role: RoleSwitch
) -> None:
    there, question = asked(browser, as_role, ("BUY", "BTC-PERP", "2.5"))
    refusal = {"code": "own_coin_longer", "message": "BTC is this party's own coin.", "data": {}}
    answered(as_role, question, passed=True, refusal=refusal)
    body = text_of(browser.get(there))
    assert "The check before a trade would refuse this: BTC is this party&#x27;s own coin." in body
    assert "The check before a trade would pass" not in body


def test_a_refusal_is_shown_with_its_reason(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(browser, as_role, ("BUY", "BTC-PERP", "2.5"))
    refused = {"code": "price_stale", "title": "The last official prices are too old.", "data": {"age_seconds": 9}}
    with as_role("worker"):
        CommandRequest.objects.filter(id=question.id).update(state="REFUSED", outcome=refused)
    assert "Not computed: The last official prices are too old." in text_of(browser.get(there))


def test_what_is_no_question_stores_none(browser: Client, as_role: RoleSwitch) -> None:
    wrong = (("BUY", "BTC-PERP", "-1"), ("BUY", "BTC-PERP", "many"), ("BUY", "?", "1"), ("GIVE", "BTC-PERP", "1"))
    for body in (lines(), *(lines(row) for row in wrong), {"form-TOTAL_FORMS": "x"}, {}):
        assert "Nothing was computed" in text_of(browser.post(PAGE, body)), body
    with as_role("worker"):
        assert not CommandRequest.objects.exists()


def test_more_lines_keep_what_was_written(browser: Client) -> None:
    body = text_of(browser.post(PAGE, lines(("SELL", "BTC-PERP", "7.25"), more="1")))
    assert 'value="7.25"' in body
    assert body.count('-quantity"') >= 6
    most = text_of(browser.post(PAGE, lines(total=20, more="1")))
    assert 'name="form-20-quantity"' not in most


def test_anothers_question_does_not_exist(browser: Client, as_role: RoleSwitch) -> None:
    there, _ = asked(browser, as_role, ("BUY", "BTC-PERP", "1"))
    stranger = signed_in("client.maker")
    assert stranger.get(there).status_code == 404
    assert stranger.get(there.replace("R-101", "R-102")).status_code == 404
    assert stranger.post(PAGE, lines(("BUY", "BTC-PERP", "1"))).status_code == 404
    for wrong in ("?request=nobody", f"?request={uuid4()}"):
        assert browser.get(PAGE + wrong).status_code == 404


def test_a_relationship_that_takes_no_trades_is_told_so(browser: Client, as_role: RoleSwitch) -> None:
    with as_role("worker"):
        Cell.objects.filter(code="R-101").update(state=Cell.State.NO_NEW_RISK)
    answer = browser.get(PAGE)
    assert isinstance(answer, HttpResponse)
    assert "takes no new trades now" in text_of(answer)


def test_an_answer_can_be_kept_as_the_worker_gave_it(browser: Client, as_role: RoleSwitch) -> None:
    there, question = asked(browser, as_role, ("SELL", "BTC-PERP", "2.5"))
    assert browser.get(f"{there}&as=json").status_code == 404, "there is no answer yet"
    answered(as_role, question, passed=True, credit=CREDIT)
    kept = browser.get(f"{there}&as=json")
    assert kept["Content-Disposition"].startswith('attachment; filename="what-if-R-101-')
    body = kept.json()
    assert (body["relationship"], body["after"]["required_base_units"]) == ("R-101", 7 * 10**6 * USD)
    assert body["credit_charge"] == CREDIT
    assert signed_in("client.maker").get(f"{there}&as=json").status_code == 404
    assert "as=json" in text_of(browser.get(there))
