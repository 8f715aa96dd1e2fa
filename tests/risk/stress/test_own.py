"""An officer's own scenario: what is entered is what is computed, and what makes no sense is refused by name."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from intermediary.config import requests
from intermediary.config.officers import make_officer
from intermediary.errors import BadInput
from intermediary.models import CommandRequest
from risk import own_stress, stress_reports
from risk.margin.stress import published_scenarios
from risk.market.parameters import COINS
from risk.stress.own import own_scenario
from risk.stress_queries import book_stress
from tests.people import as_owner, person
from tests.risk.test_live_layers import world


def test_what_is_entered_is_the_scenario() -> None:
    found = own_scenario(
        {"move": "−20", "vol": "50", "premium": "-2", "basis": "15", "peg": "0.9", "depth": "10"},
        {"BTC": "-10 %", "XRP": "0"},
        COINS,
    )
    assert (found.returns["BTC"], found.returns["ETH"], found.returns["XRP"]) == (
        Decimal("-0.1"), Decimal("-0.2"), Decimal(0),
    )  # fmt: skip
    assert (found.vol_multiplier, found.premium, found.basis_annual) == (
        Decimal("1.5"), Decimal("-0.02"), Decimal("0.15"),
    )  # fmt: skip
    assert (found.peg, found.depth_factor) == (Decimal("0.9"), Decimal("0.1"))


@pytest.mark.parametrize(
    ("entered", "moves", "code"),
    [
        ({"move": "a lot"}, {}, "stress_number"),
        ({"move": "NaN"}, {}, "stress_number"),
        ({"vol": "Infinity"}, {}, "stress_number"),
        ({"move": "-101"}, {}, "stress_move"),
        ({}, {"BTC": "1001"}, "stress_move"),
        ({"vol": "-95"}, {}, "stress_volatility"),
        ({"premium": "60"}, {}, "stress_premium"),
        ({"basis": "1000"}, {}, "stress_basis"),
        ({"peg": "1.1"}, {}, "stress_peg"),
        ({"peg": "0"}, {}, "stress_peg"),
        ({"depth": "0"}, {}, "stress_depth"),
        ({"move": "-5"}, {"SHELLS": "-5"}, "stress_coin"),
        ({}, {}, "stress_empty"),
        ({"move": "0", "peg": "1.0"}, {"BTC": "0"}, "stress_empty"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(entered: dict[str, str], moves: dict[str, str], code: str) -> None:
    with pytest.raises(BadInput, match=code):
        own_scenario(entered, moves, COINS)


@pytest.mark.django_db
def test_a_published_scenario_entered_by_hand_gives_the_published_figures() -> None:
    _, opened = world("LINE", "COINS", "OPTIONS", "OTHER")
    stress_reports.renew(opened.id)
    report = book_stress()
    assert report is not None
    for scenario in published_scenarios()[4:10]:
        entered = {
            "vol": str((scenario.vol_multiplier - 1) * 100), "premium": str(scenario.premium * 100),
            "basis": str(scenario.basis_annual * 100), "peg": str(scenario.peg),
            "depth": str(scenario.depth_factor * 100),
        }  # fmt: skip
        found = own_stress.under(entered, {coin: str(move * 100) for coin, move in scenario.returns.items()})
        for one in report.relationships:
            row = next(row for row in one.rows if row["name"] == scenario.name)
            mine = next(row for row in found["rows"] if row["code"] == one.cell.code)
            assert {name: row[name] for name in mine if name != "code"} == {
                name: amount for name, amount in mine.items() if name != "code"
            }
        house = next(row for row in report.house["rows"] if row["name"] == scenario.name)
        assert found["whole"] == {name: house[name] for name in found["whole"]}


@pytest.mark.django_db
def test_only_an_officer_is_answered() -> None:
    world("AMPLE")
    client, officer = person("client.nobody"), person("officer.own")
    with as_owner():
        make_officer(officer)

    def outcome(user: User, body: dict[str, dict[str, str]]) -> CommandRequest:
        asked = CommandRequest.objects.create(command="own_stress", user=user, body=body)
        requests.run_pending()
        asked.refresh_from_db()
        return asked

    body = {"entered": {"move": "-30"}, "moves": {}}
    assert outcome(client, body).state == "REFUSED"
    assert outcome(officer, body).state == "DONE"
    wrong = outcome(officer, {"entered": {"peg": "2"}, "moves": {}})
    assert wrong.outcome is not None
    assert wrong.outcome["code"] == "stress_peg"
