"""What if: figures before and after by the tick's own code, the gate's own verdict, and nothing written."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from bonds.marking import credit_charge
from intermediary import clock, ledger, onboarding
from intermediary.config import requests
from intermediary.config.officers import make_officer
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import AccountKind, Asset, CommandRequest, Instrument, Lot, MarginState, Position, TradeCheck
from intermediary.ports import PlannedTrade
from risk import engine, what_if
from risk.gate import EngineGate
from risk.models import Tick
from risk.official import keep_up
from tests.intermediary.margin_world import MILLION, Client, bitcoin, signatures
from tests.people import as_owner, person
from tests.risk.test_gate import MARK, before_any_market, novated, official, sides

pytestmark = pytest.mark.django_db
__all__ = ["before_any_market", "sides"]  # fixtures


def considered(quantity: str, instrument: str = "BTC-PERP") -> what_if.Considered:
    return what_if.Considered(instrument, Decimal(quantity))


def test_what_is_forecast_is_what_the_trade_then_brings(sides: tuple[Client, Client]) -> None:
    """Novated at the mark, the requirement is to the base unit what the question had answered."""
    buyer = sides[0].cell
    answer = what_if.what_if(buyer.id, [considered("40")])
    assert answer["before"]["required_base_units"] == 0
    assert answer["verdict"]["passed"]
    novated(sides, 40, MARK)
    engine.renew_requirements([buyer.id])
    state = MarginState.objects.get(cell=buyer)
    for name in ("independent_amount_base_units", "required_base_units", "held_base_units", "breakdown", "admission"):
        assert answer["after"][name] == getattr(state, name), name
    again = what_if.what_if(buyer.id, [considered("-40")])
    assert again["before"] == answer["after"]
    assert again["after"]["required_base_units"] == 0


def test_the_verdict_is_the_gates(sides: tuple[Client, Client]) -> None:
    buyer = sides[0].cell
    for quantity in ("10", "400", "2000"):
        answer = what_if.what_if(buyer.id, [considered(quantity)])
        planned = [PlannedTrade(bitcoin().id, Decimal(quantity), Decimal(MARK))]
        assert answer["verdict"] == EngineGate().check_trades({buyer.id: planned})[buyer.id].numbers()
        assert answer["trades"] == [{"instrument": "BTC-PERP", "quantity": quantity, "price": str(MARK)}]
    assert not answer["verdict"]["passed"]


def test_several_trades_are_weighed_together(sides: tuple[Client, Client]) -> None:
    buyer = sides[0].cell
    whole = what_if.what_if(buyer.id, [considered("30")])
    parts = what_if.what_if(buyer.id, [considered("50"), considered("-20")])
    assert whole["after"] == parts["after"]


def test_nothing_is_written(sides: tuple[Client, Client]) -> None:
    what_if.what_if(sides[0].cell.id, [considered("40")])
    for model in (Position, Lot, TradeCheck, MarginState):
        assert not model.objects.exists(), model


def test_lines_of_both_sides_add_up(sides: tuple[Client, Client]) -> None:
    answer = what_if.what_if(sides[0].cell.id, [considered("40")])
    for side in ("before", "after"):
        breakdown = answer[side]["breakdown"]
        assert sum(amount for _, amount in breakdown["lines"]) == pytest.approx(breakdown["total"], abs=0.03)
        assert round(answer[side]["independent_amount_base_units"] / 10**6, 2) == pytest.approx(
            breakdown["total"], abs=0.01
        )


@pytest.mark.parametrize(
    ("trades", "code"),
    [
        ([], "what_if_empty"),
        ([considered("1")] * 21, "what_if_too_many"),
        ([considered("1", "SHELLS")], "instrument_unknown"),
        ([considered("1E+12")], "trade_too_large"),
    ],
)
def test_a_bad_question_is_refused_by_name(
    sides: tuple[Client, Client], trades: list[what_if.Considered], code: str
) -> None:
    with pytest.raises(BadInput, match=code):
        what_if.what_if(sides[0].cell.id, trades)


def test_there_is_no_answer_before_the_first_market(before_any_market: tuple[Client, Client]) -> None:
    with pytest.raises(Refusal, match="no_official_valuation"):
        what_if.what_if(before_any_market[0].cell.id, [considered("1")])


def test_a_question_is_one_message_to_the_database(
    sides: tuple[Client, Client], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """In a market that the process has read already, whatever the book."""
    what_if.what_if(sides[0].cell.id, [considered("40")])
    with django_assert_max_num_queries(1):
        what_if.what_if(sides[0].cell.id, [considered("40")])


def test_what_is_listed_after_the_market_was_read_has_no_mark_in_it(sides: tuple[Client, Client]) -> None:
    what_if.what_if(sides[0].cell.id, [considered("40")])
    Instrument.objects.create(code="ETH-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ETH")
    with pytest.raises(Refusal, match="mark_missing"):
        what_if.what_if(sides[0].cell.id, [considered("40", "ETH-PERP")])


def test_a_token_that_the_terms_do_not_name_is_no_margin_and_no_fault(sides: tuple[Client, Client]) -> None:
    buyer = sides[0]
    alone = what_if.what_if(buyer.cell.id, [considered("40")])
    Asset.objects.create(code="TBILL", decimals=6)
    ledger.post(
        entry_id=uuid7(),
        cell_id=buyer.cell.id,
        kind="deposit",
        memo="a token of a dollar",
        lines=[Line(AccountKind.OUTSIDE, "TBILL", -MILLION), Line(AccountKind.CLIENT_MARGIN, "TBILL", MILLION)],
    )
    unsigned = what_if.what_if(buyer.cell.id, [considered("40")])
    assert unsigned["after"] == alone["after"], "what no terms name counts nowhere"
    signed = onboarding.current_terms(buyer.cell.id)
    naming = replace(signed, haircut_bps=(*signed.haircut_bps, ("TBILL", 100)))
    names = signatures(naming, buyer.key)
    onboarding.sign_terms(actor="officer", cell_id=buyer.cell.id, terms=naming, **names)
    more = what_if.what_if(buyer.cell.id, [considered("40")])
    assert more["after"]["admission"]["margin_value"] == alone["after"]["admission"]["margin_value"] + MILLION
    assert more["after"]["held_base_units"] == alone["after"]["held_base_units"] + MILLION * 99 // 100


def test_the_next_market_is_at_hand_before_anybody_asks(
    sides: tuple[Client, Client], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """A worker that has renewed requirements keeps their market and its matrices."""
    cell = sides[0].cell
    what_if.what_if(cell.id, [considered("40")])
    official(clock.now())
    keep_up()
    with django_assert_num_queries(1):
        answer = what_if.what_if(cell.id, [considered("40")])
    assert answer["snapshot_id"] == Tick.objects.all()[0].snapshot_id


def test_an_officer_asks_by_the_clients_own_code_and_nobody_else_may(sides: tuple[Client, Client]) -> None:
    buyer, officer = sides[0].cell, person("officer.night", is_staff=True)
    browser = Browser()
    with as_owner():
        browser.force_login(make_officer(officer))
    address = reverse("admin:what_if", args=[buyer.code])
    form = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "0", "form-0-side": "BUY", "form-0-instrument": "BTC-PERP"}
    with as_owner():
        assert "Give at least one line" in browser.post(address, form | {"form-0-quantity": ""}).content.decode()
        there = browser.post(address, form | {"form-0-quantity": "40"})["Location"].partition("#")[0]
    requests.run_pending()
    wish = CommandRequest.objects.get(command="officer_what_if")
    assert wish.outcome == credit_charge.what_if(buyer.id, [considered("40")])
    with as_owner():
        answered = browser.get(there).content.decode()
        assert json.loads(browser.get(f"{there}&as=json").content)["relationship"] == buyer.code
    assert "The check before a trade would pass." in answered
    assert "What its credit costs" in answered
    for user in (person("a.client"), sides[0].user):
        with pytest.raises(NotAllowed):
            requests.COMMANDS["officer_what_if"](CommandRequest(cell=buyer, user=user, body=wish.body))
