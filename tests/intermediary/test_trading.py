"""Trades: whose word counts, what is refused, and that every instrument nets to zero over all cells."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase as HypothesisTestCase

from intermediary import clock, ports, trading, variation
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Cell, Lot, Position, Trade, TradeCheck, VariationPayment
from tests.intermediary.margin_world import HOUR, Limits, agreed, bitcoin, client, officer, traded, value
from tests.people import member, person

pytestmark = pytest.mark.django_db


def submit(who: User, cell: Cell, counterparty: str, quantity: str = "1", price: str = "100000") -> Trade:
    bitcoin()
    return trading.submit_trade(
        user=who, cell_id=cell.id, side="BUY", counterparty=counterparty, instrument="BTC-PERP",
        quantity=Decimal(quantity), price=Decimal(price),
    )  # fmt: skip


def test_nobody_trades_for_another_relationship_or_for_the_house() -> None:
    w, d = client("W"), client("D")
    house = Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    for who, cell in ((w.user, d.cell), (officer("desk"), w.cell), (officer("dealer"), house)):
        with pytest.raises(NotAllowed):
            submit(who, cell, "W" if cell == d.cell else "D")


def test_one_side_cannot_affirm_its_own_trade() -> None:
    w, d = client("W"), client("D")
    trade = submit(w.user, w.cell, "D")
    colleague = person("colleague")
    member(colleague, w.party)
    for who in (w.user, colleague):
        with pytest.raises(Refusal, match="trade_own_side"):
            trading.affirm_trade(user=who, trade_id=trade.id)
    with pytest.raises(NotAllowed):
        trading.affirm_trade(user=client("U").user, trade_id=trade.id)
    assert trading.affirm_trade(user=d.user, trade_id=trade.id).state == Trade.State.AFFIRMED
    with pytest.raises(Refusal, match="trade_not_open"):
        trading.cancel_trade(user=w.user, trade_id=trade.id)


def test_one_person_cannot_speak_for_both_sides() -> None:
    w, d = client("W"), client("D")
    member(w.user, d.party)
    with pytest.raises(Refusal, match="trade_with_oneself"):
        submit(w.user, w.cell, "D")


@pytest.mark.parametrize(
    ("quantity", "price"), [("0", "1"), ("-1", "1"), ("0.000000001", "1"), ("1", "NaN"), ("1", "0.00000000001"),
                            ("1e15", "1"), ("1e14", "100")],
)  # fmt: skip
def test_a_quantity_or_price_that_cannot_be_exact_is_refused(quantity: str, price: str) -> None:
    w, _ = client("W"), client("D")
    with pytest.raises(BadInput):
        submit(w.user, w.cell, "D", quantity, price)


def test_novation_books_both_legs_and_remembers_the_opposite() -> None:
    w, d = client("W"), client("D")
    trade = traded(d, w, "600", "100000.5")
    lots = {lot.cell_id: (lot.opposite_id, lot.quantity, lot.open_quantity) for lot in Lot.objects.filter(trade=trade)}
    assert lots == {
        d.cell.id: (w.cell.id, Decimal(600), Decimal(600)),
        w.cell.id: (d.cell.id, Decimal(-600), Decimal(-600)),
    }
    long, short = Position.objects.get(cell=d.cell), Position.objects.get(cell=w.cell)
    assert (long.quantity, long.settled_value) == (Decimal(600), Decimal("60000300"))
    assert (short.quantity, short.settled_value) == (Decimal(-600), Decimal("-60000300"))
    assert trading.novate(trade_id=trade.id).state == Trade.State.NOVATED
    assert Lot.objects.count() == 2


def test_offsets_use_lots_up_first_in_first_out() -> None:
    d, w, m = client("D"), client("W"), client("M")
    traded(d, w, 3, 100)
    traded(d, m, 2, 100)
    traded(w, d, 4, 101)
    assert list(Lot.objects.filter(cell=d.cell).order_by("id").values_list("open_quantity", flat=True)) == [0, 1, 0]
    assert list(Lot.objects.filter(cell=w.cell).order_by("id").values_list("open_quantity", flat=True)) == [0, 1]
    traded(m, d, 5, 99)
    assert list(Lot.objects.filter(cell=d.cell).order_by("id").values_list("open_quantity", flat=True)) == [0, 0, 0, -4]
    assert trading.position_nets() == {"BTC-PERP": 0}


def test_a_refused_admission_is_stored_and_no_side_reads_the_others_numbers() -> None:
    w, d = client("W"), client("D")
    ports.bind_risk_gate(Limits(coins=Decimal(1)))
    trade = trading.novate(trade_id=agreed(d, w, 2, 100).id)
    assert (trade.state, trade.refusal) == (
        Trade.State.REFUSED,
        {"code": "admission_failed", "message": "A side of this trade does not pass its admission test.", "data": {}},
    )
    assert not Position.objects.exists()
    assert TradeCheck.objects.filter(cell=d.cell, passed=False, numbers__data__coins="1").count() == 1
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_policies WHERE tablename = 'intermediary_tradecheck' AND policyname = 'mine'"
        )
        assert cursor.fetchone() == (1,)
    with pytest.raises(DatabaseError, match="append_only"), transaction.atomic():
        TradeCheck.objects.update(passed=True)


def test_a_relationship_without_new_risk_does_not_trade() -> None:
    w, d = client("W"), client("D")
    trade = agreed(d, w, 2, 100)
    Cell.objects.filter(id=w.cell.id).update(state=Cell.State.NO_NEW_RISK)
    ports.bind_risk_gate(Limits())
    refused = trading.novate(trade_id=trade.id)
    assert refused.state == Trade.State.REFUSED
    assert refused.refusal is not None
    assert refused.refusal["code"] == "relationship_takes_no_new_risk"


def test_an_unaffirmed_trade_is_not_novated() -> None:
    w, _ = client("W"), client("D")
    trade = submit(w.user, w.cell, "D")
    with pytest.raises(Refusal, match="trade_not_affirmed"):
        trading.novate(trade_id=trade.id)


def test_a_valuation_stands_and_time_does_not_run_backwards() -> None:
    first = value(100)
    again = trading.record_valuation(
        as_of=first.as_of, source="test", snapshot_id=first.snapshot_id, prices={}, marks={}
    )
    assert again == first
    for moment in (first.as_of, first.as_of - HOUR):
        with pytest.raises(Refusal, match="valuation_not_later"):
            trading.record_valuation(as_of=moment, source="test", snapshot_id="other", prices={}, marks={})


def test_a_valuation_without_a_mark_of_what_is_held_stands_and_gives_its_holders_no_figure() -> None:
    w, d = client("W"), client("D")
    traded(d, w, 1, 100)
    valuation = trading.record_valuation(as_of=clock.now(), source="test", snapshot_id="s", prices={}, marks={})
    for who in (w, d):
        with pytest.raises(Refusal, match="mark_missing"):
            variation.exposure(who.cell.id, valuation.id)
        variation.settle(cell_id=who.cell.id, valuation_id=valuation.id)
    assert not VariationPayment.objects.exists()


class NetsToZero(HypothesisTestCase):
    """D6 over random histories of trades between three relationships."""

    @settings(max_examples=8, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.permutations(["D", "W", "M"]), st.decimals("0.00000001", "900", places=8), st.integers(1, 200_000)
            ),
            min_size=1,
            max_size=5,
        )
    )
    def test_every_instrument_nets_to_zero_over_all_cells(self, history: list[tuple[list[str], Decimal, int]]) -> None:
        clients = {code: client(code) for code in ("D", "W", "M")}
        for (buyer, seller, _), quantity, price in history:
            traded(clients[buyer], clients[seller], str(quantity), price)
            assert trading.position_nets() == {"BTC-PERP": 0}
        for who in clients.values():
            lots = Lot.objects.filter(cell=who.cell)
            position = Position.objects.filter(cell=who.cell).first()
            assert sum(lot.open_quantity for lot in lots) == (position.quantity if position else 0)
        assert sum(row.settled_value for row in Position.objects.all()) == 0
