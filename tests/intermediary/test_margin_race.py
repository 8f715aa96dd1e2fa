"""Commands of several workers at the same time: free margin leaves once, trades and signatures never wait in a ring."""

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from django.db import connection, transaction

from intermediary import onboarding, ports, trading, withdrawals
from intermediary.errors import Refusal
from intermediary.models import Trade, Withdrawal
from tests.conftest import TestDatabase
from tests.intermediary.margin_world import MILLION, Client, Limits, bitcoin, client, signatures, terms_of


def together(*works: Callable[[], None]) -> list[BaseException]:
    """Run these at the same time, each on its own connection; what they raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  every fault of a thread is the test's to judge
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_free_margin_leaves_once(committing_db: TestDatabase) -> None:
    with transaction.atomic():
        d = client("D")
        d.deposit(5 * MILLION)

    def withdraw() -> None:
        with transaction.atomic():
            withdrawals.request_withdrawal(user=d.user, cell_id=d.cell.id, asset="USDC", amount_base_units=5 * MILLION)

    raised = together(*[withdraw] * 4)
    assert [type(error) for error in raised] == [Refusal] * 3
    assert Withdrawal.objects.count() == 1
    assert d.held() == 0


def test_trades_both_ways_and_new_terms_do_not_wait_in_a_ring(committing_db: TestDatabase) -> None:
    ports.bind_risk_gate(Limits())
    with transaction.atomic():
        d, w = client("D"), client("W")
        bitcoin()

    def submit(buyer: Client, seller: Client) -> Trade:
        return trading.submit_trade(
            user=buyer.user, cell_id=buyer.cell.id, side="BUY", counterparty=seller.cell.code, instrument="BTC-PERP",
            quantity=Decimal(1), price=Decimal(100),
        )  # fmt: skip

    def trade(buyer: Client, seller: Client) -> Callable[[], None]:
        def work() -> None:
            for _ in range(8):
                with transaction.atomic():
                    made = submit(buyer, seller)
                    trading.affirm_trade(user=seller.user, trade_id=made.id)
                    trading.novate(trade_id=made.id)

        return work

    def sign() -> None:
        for minutes in range(8):
            terms = replace(terms_of("D", d.key.address), grace_minutes=minutes)
            signed = signatures(terms, d.key)
            with transaction.atomic():
                onboarding.sign_terms(actor="officer", cell_id=d.cell.id, terms=terms, **signed)

    assert together(trade(d, w), trade(w, d), sign) == []
    assert Trade.objects.filter(state="NOVATED").count() == 16
    assert trading.position_nets() == {"BTC-PERP": 0}
