"""Withdrawals: what is free may leave at once, what is not is refused with its numbers, and nobody else matters."""

from datetime import timedelta
from decimal import Decimal

import pytest

from intermediary import clock, ledger, trading, vaults, withdrawals
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import AccountKind, Cell, ChainInstruction, MarginState, Withdrawal
from tests.intermediary.margin_world import (
    BTC,
    MILLION,
    USD,
    Client,
    assess,
    bitcoin,
    client,
    fail,
    finish,
    traded,
    value,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def d() -> Client:
    """Holds 6 million USDC and 50 BTC (2 million after haircut at 50,000); 5 million are required."""
    d, w = client("D"), client("W")
    d.deposit(6 * MILLION)
    d.deposit(50 * BTC, "WBTC")
    traded(d, w, 1, 50_000)
    assess(d, value(50_000), 5 * MILLION)
    return d


def ask(who: Client, amount: int, asset: str = "USDC") -> Withdrawal:
    return withdrawals.request_withdrawal(user=who.user, cell_id=who.cell.id, asset=asset, amount_base_units=amount)


def test_beyond_free_margin_is_refused_with_the_numbers(d: Client) -> None:
    with pytest.raises(Refusal) as refused:
        ask(d, 3 * MILLION + 1)
    assert refused.value.code == "exceeds_free_margin"
    assert refused.value.data == {
        "requested_base_units": 3 * MILLION + 1,
        "available_base_units": 3 * MILLION,
        "held_base_units": 6 * MILLION,
        "required_base_units": 5 * MILLION,
        "asset": "USDC",
    }
    assert not Withdrawal.objects.exists()


def test_all_that_is_free_leaves_once_and_is_paid_at_finality(d: Client) -> None:
    made = ask(d, 3 * MILLION)
    assert made.state == Withdrawal.State.INSTRUCTED
    assert d.held() == 3 * MILLION
    assert MarginState.objects.get(cell=d.cell).held_base_units == 5 * MILLION
    with pytest.raises(Refusal, match="exceeds_free_margin"):
        ask(d, 1)
    movement = ChainInstruction.objects.get(kind="RETURN")
    assert (movement.target, movement.amount_base_units) == (d.vault(), 3 * MILLION)
    assert movement.required_base_units == 3 * MILLION, "what is left is locked, and the rest in the other token"
    for _ in range(2):
        finish(movement)
    made.refresh_from_db()
    assert made.state == Withdrawal.State.PAID
    assert ledger.balance(d.cell.id, AccountKind.IN_TRANSIT, "USDC") == 0


def test_a_token_leaves_up_to_its_worth_after_haircut(d: Client) -> None:
    assess(d, value(50_000), 7 * MILLION)
    assert withdrawals.available(d.cell.id, "WBTC") == 25 * BTC
    with pytest.raises(Refusal, match="exceeds_free_margin"):
        ask(d, 25 * BTC + 1, "WBTC")
    ask(d, 25 * BTC, "WBTC")
    assert withdrawals.available(d.cell.id, "USDC") == 0


def test_a_movement_that_the_chain_refused_is_margin_again(d: Client) -> None:
    made = ask(d, 3 * MILLION)
    fail(ChainInstruction.objects.get(kind="RETURN"))
    made.refresh_from_db()
    assert (made.state, d.held()) == (Withdrawal.State.REFUSED, 6 * MILLION)
    assert vaults.required_in_force(d.vault()) == 5 * MILLION
    ask(d, 3 * MILLION)


def test_a_stale_price_holds_back_only_what_needs_a_price() -> None:
    d = client("D")
    d.deposit(6 * MILLION)
    d.deposit(50 * BTC, "WBTC")
    old = trading.record_valuation(
        as_of=clock.now() - timedelta(minutes=181),
        source="test",
        snapshot_id="old",
        prices={"BTC": "50000"},
        marks={bitcoin().id: Decimal(50_000)},
    )
    assess(d, old, MILLION)
    with pytest.raises(Refusal, match="price_stale"):
        ask(d, BTC, "WBTC")
    assert ask(d, 5 * MILLION).state == Withdrawal.State.INSTRUCTED


def test_nothing_is_required_without_positions() -> None:
    d = client("D")
    d.deposit(4)
    ask(d, 4)
    assert d.held() == 0


def test_others_cannot_withdraw_and_amounts_and_tokens_are_checked(d: Client) -> None:
    with pytest.raises(NotAllowed):
        withdrawals.request_withdrawal(user=client("U").user, cell_id=d.cell.id, asset="USDC", amount_base_units=1)
    for amount, asset in ((0, "USDC"), (-1, "USDC"), (1, "DOGE")):
        with pytest.raises(BadInput):
            ask(d, amount, asset)


def test_suspense_is_not_margin(d: Client) -> None:
    d.deposit(9 * MILLION, sender="0x" + "1" * 40)
    assert withdrawals.available(d.cell.id, "USDC") == 3 * MILLION


@pytest.mark.parametrize("state", ["NO_NEW_RISK", "DEFAULTED"])
def test_free_margin_leaves_whatever_happens_in_another_relationship(d: Client, state: str) -> None:
    Cell.objects.filter(code="W").update(state=state)
    assert ask(d, 3 * MILLION).state == Withdrawal.State.INSTRUCTED


def test_free_margin_leaves_while_the_own_cell_takes_no_new_risk(d: Client) -> None:
    Cell.objects.filter(id=d.cell.id).update(state=Cell.State.NO_NEW_RISK)
    assert ask(d, 3 * MILLION - USD).state == Withdrawal.State.INSTRUCTED
