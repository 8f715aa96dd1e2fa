"""Variation margin: exact over time, in whole or not at all, once a valuation, each cell for itself."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase as HypothesisTestCase

from intermediary import ledger, outbox, variation, withdrawals
from intermediary.errors import Refusal
from intermediary.models import AccountKind, Cell, ChainInstruction, ChainTarget, Position, VariationPayment
from intermediary.money import round_down
from tests.intermediary.margin_world import BTC, MILLION, USD, Client, assess, client, fail, finish, traded, value

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair() -> tuple[Client, Client]:
    """D long 1,000 against W at 100,000; both have 20 million."""
    d, w = client("D"), client("W")
    for who in (d, w):
        who.deposit(20 * MILLION)
    traded(d, w, 1_000, 100_000)
    return d, w


def settle(who: Client, valuation_id: UUID) -> ChainInstruction | None:
    return variation.settle(cell_id=who.cell.id, valuation_id=valuation_id)


def test_the_loser_pays_the_winner_gets_each_in_its_own_cell(pair: tuple[Client, Client]) -> None:
    d, w = pair
    valuation = value(95_000)
    assert variation.exposure(d.cell.id, valuation.id) == 5_000_000
    assert variation.exposure_base_units(w.cell.id, valuation.id) == -5 * MILLION
    debit, credit = settle(d, valuation.id), settle(w, valuation.id)
    assert debit is not None
    assert credit is not None
    assert (debit.kind, credit.kind) == ("DEBIT", "CREDIT")
    assert (d.held(), w.held()) == (15 * MILLION, 20 * MILLION), "what lies in the vaults"
    assert variation.exposure(d.cell.id, valuation.id) == variation.exposure(w.cell.id, valuation.id) == 0
    finish(debit)
    finish(credit)
    assert (d.held(), w.held()) == (15 * MILLION, 25 * MILLION)
    assert ledger.balance(d.cell.id, AccountKind.FLOAT, "USDC") == 5 * MILLION
    assert ledger.total([AccountKind.FLOAT], "USDC") == 0


def test_a_gain_on_its_way_counts_once_and_leaves_no_sooner_than_it_comes(pair: tuple[Client, Client]) -> None:
    _, w = pair
    before = assess(w, value(100_000), 20 * MILLION)
    assert (before.exposure_base_units, before.held_base_units) == (0, 20 * MILLION)
    valuation = value(95_000)
    credit = settle(w, valuation.id)
    assert credit is not None
    on_its_way = assess(w, valuation, 20 * MILLION)
    assert (on_its_way.exposure_base_units, on_its_way.held_base_units) == (0, 25 * MILLION)
    assert withdrawals.available(w.cell.id, "USDC") == 5 * MILLION, "out of what lies in the vault"
    assess(w, valuation, 0)
    assert withdrawals.available(w.cell.id, "USDC") == 20 * MILLION, "not what has not come yet"
    finish(credit)
    arrived = assess(w, valuation, 20 * MILLION)
    assert (arrived.exposure_base_units, arrived.held_base_units) == (0, 25 * MILLION)


def test_a_gain_that_the_chain_refuses_is_exposure_again_and_no_margin(pair: tuple[Client, Client]) -> None:
    _, w = pair
    valuation = value(95_000)
    credit = settle(w, valuation.id)
    assert credit is not None
    assess(w, valuation, 20 * MILLION)
    fail(credit)
    again = assess(w, valuation, 20 * MILLION)
    assert (again.exposure_base_units, again.held_base_units) == (-5 * MILLION, 20 * MILLION)


def test_a_payment_happens_once_a_valuation(pair: tuple[Client, Client]) -> None:
    d, _ = pair
    valuation = value(95_000)
    first, again = settle(d, valuation.id), settle(d, valuation.id)
    assert first == again
    assert d.held() == 15 * MILLION
    value(94_000)
    assert settle(d, valuation.id) == first
    assert VariationPayment.objects.count() == 1


def test_an_overtaken_valuation_is_not_paid(pair: tuple[Client, Client]) -> None:
    d, _ = pair
    old = value(95_000)
    value(96_000)
    assert settle(d, old.id) is None


def test_what_the_vault_does_not_hold_is_not_paid_in_part(pair: tuple[Client, Client]) -> None:
    d, w = pair
    d.deposit(20 * BTC, "WBTC")
    valuation = value(79_000)
    assert settle(d, valuation.id) is None
    assert d.held() == 20 * MILLION
    assert variation.exposure(d.cell.id, valuation.id) == 21_000_000
    assert settle(w, valuation.id) is not None, "the loss is covered by margin, so the winner is paid on time"


def test_the_daily_cap_of_the_terms_limits_debits_and_wears_off(pair: tuple[Client, Client]) -> None:
    d, _ = pair
    d.deposit(40 * MILLION)
    first = settle(d, value(85_000).id)
    assert first is not None
    assert settle(d, value(79_000).id) is None, "15 of 20 million are used"
    assert variation.debit_in_use(d.vault(), 20 * MILLION) == pytest.approx(15 * MILLION, rel=1e-3)
    ChainInstruction.objects.filter(id=first.id).update(at=first.at - timedelta(hours=12))
    assert variation.debit_in_use(d.vault(), 20 * MILLION) == pytest.approx(5 * MILLION, rel=1e-3)
    assert settle(d, value(78_000).id) is not None


def test_amended_terms_let_no_more_go_a_day_than_the_vaults_own_address_does(pair: tuple[Client, Client]) -> None:
    """The chain would refuse the debit, and the payment would go back into exposure, at every valuation anew."""
    d, _ = pair
    d.deposit(40 * MILLION)
    vault = ChainTarget.objects.filter(id=d.vault().id)
    vault.update(creation={"debit_cap": 15 * MILLION - 1})
    assert settle(d, value(85_000).id) is None
    vault.update(creation={"debit_cap": 15 * MILLION})
    first = settle(d, value(85_000).id)
    assert first is not None
    assert settle(d, value(84_000).id) is None, "it wears off as the vault reckons it"
    ChainInstruction.objects.filter(id=first.id).update(at=first.at - timedelta(hours=2))
    assert settle(d, value(84_000).id) is not None
    vault.update(creation={"debit_cap": 500 * MILLION})
    assert settle(d, value(70_000).id) is None, "nor more than the terms do"


@pytest.mark.parametrize("state", [Cell.State.DEFAULTED, Cell.State.CLOSED])
def test_a_defaulted_cell_is_not_settled(pair: tuple[Client, Client], state: Cell.State) -> None:
    d, w = pair
    for who in (d, w):
        Cell.objects.filter(id=who.cell.id).update(state=state)
        assert settle(who, value(95_000).id) is None


def test_house_cells_and_cells_without_a_vault_pay_nothing(pair: tuple[Client, Client]) -> None:
    venue = Cell.objects.create(code="VENUE", kind=Cell.Kind.VENUE)
    Position.objects.filter(cell=pair[0].cell).update(cell=venue)
    assert variation.settle(cell_id=venue.id, valuation_id=value(95_000).id) is None


def test_a_refused_movement_is_exposure_again_once(pair: tuple[Client, Client]) -> None:
    for who, sign in zip(pair, (1, -1), strict=True):
        valuation = value(95_000)
        movement = settle(who, valuation.id)
        assert movement is not None
        fail(movement)
        assert variation.exposure_base_units(who.cell.id, valuation.id) == sign * 5 * MILLION
        assert who.held() == 20 * MILLION
        again = settle(who, value(95_000).id)
        assert again is not None
        assert again.amount_base_units == 5 * MILLION


def test_a_refused_debit_is_required_again_before_it_could_be_withdrawn(pair: tuple[Client, Client]) -> None:
    """The chain gives the tokens back to the margin at once; until they count as owed, nobody knows what is free."""
    d, _ = pair
    valuation = value(95_000)
    movement = settle(d, valuation.id)
    assert movement is not None
    state = assess(d, valuation, 10 * MILLION)
    assert withdrawals.available(d.cell.id, "USDC") == 5 * MILLION
    ChainInstruction.objects.filter(id=movement.id).update(state="BATCHED")
    outbox.mark_failed(movement.id, failure="CapExceeded")
    assert d.held() == 20 * MILLION
    with pytest.raises(Refusal, match="requirement_pending"):
        withdrawals.available(d.cell.id, "USDC")
    fail(movement)
    state.refresh_from_db()
    assert (state.exposure_base_units, state.required_base_units) == (5 * MILLION, 15 * MILLION)
    assert state.held_base_units == 20 * MILLION
    assert withdrawals.available(d.cell.id, "USDC") == 5 * MILLION


def test_a_fraction_of_a_base_unit_is_carried_until_it_is_whole() -> None:
    d, w = client("D"), client("W")
    d.deposit(USD)
    traded(d, w, "0.00000001", "100")
    paid = []
    for price in ("70", "30", "0.01"):
        moved = settle(d, value(price).id)
        paid.append(moved.amount_base_units if moved else 0)
    # 0.3, 0.7 and 0.9999 of a base unit: nothing, then one, then nothing.
    assert paid == [0, 0, 0]
    assert variation.exposure(d.cell.id, value("0.01").id) == Decimal("0.0000009999")
    traded(d, w, "0.00000001", "50")
    moved = settle(d, value("0.01").id)
    assert moved is not None
    assert moved.amount_base_units == 1
    assert Position.objects.aggregate(total=Sum("quantity"))["total"] == 0


class PaidIsExact(HypothesisTestCase):
    """Over any path of marks, payments and carried exposure add up to the loss, to the last decimal."""

    @settings(max_examples=6, deadline=None)
    @given(
        quantity=st.decimals("0.00000001", "10", places=8),
        path=st.lists(st.decimals("1", "200000", places=10), min_size=1, max_size=4),
    )
    def test_payments_and_carry_add_up_to_the_loss(self, quantity: Decimal, path: list[Decimal]) -> None:
        d, w = client("D"), client("W")
        for who in (d, w):
            who.deposit(19 * MILLION)
        traded(d, w, str(quantity), 100_000)
        for mark in path:
            valuation = value(str(mark))
            for who, sign in ((d, 1), (w, -1)):
                variation.settle(cell_id=who.cell.id, valuation_id=valuation.id)
                paid = VariationPayment.objects.filter(cell=who.cell).aggregate(total=Sum("amount_base_units"))["total"]
                left = variation.exposure(who.cell.id, valuation.id)
                loss = sign * quantity * (100_000 - mark)
                assert Decimal(int(paid or 0)).scaleb(-6) + left == loss
                assert round_down(abs(left) * USD) == 0 or who.held() < abs(left) * USD
