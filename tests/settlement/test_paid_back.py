"""What a default owes to a vault and the chain refuses is told in the case, and paid again until it arrives, once."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction

from intermediary import clock, default_cases, outbox, paid_back
from intermediary.config import clockwork, deliveries
from intermediary.models import AccountKind, ChainInstruction, DefaultCase, Proposal
from settlement.chain import Chain
from settlement.cycle import settle_all
from tests.settlement.test_default_and_series import approved, approved_notice
from tests.settlement.test_late_cures import cure_in_ledger, cure_on_chain, noticed_case
from tests.settlement.test_strays import SEIZED, STRANGERS, off, strange
from tests.settlement.world import MILLION, Client, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
Kind, State = ChainInstruction.Kind, DefaultCase.State


def credits() -> list[tuple[int, str]]:
    found = ChainInstruction.objects.filter(kind=Kind.CREDIT).order_by("seq")
    return [(int(amount), state) for amount, state in found.values_list("amount_base_units", "state")]


def refuse_payments() -> None:
    """The chain refuses every credit that waits, and all who have to hear of it."""
    with transaction.atomic():
        for made in ChainInstruction.objects.filter(kind=Kind.CREDIT, state="DRAFT"):
            ChainInstruction.objects.filter(id=made.id).update(state="BATCHED")
            outbox.mark_failed(made.id, failure="OverOutflowCap")
    deliveries.deliver_pending()


def hours_later(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """What is due then, twice."""
    now = clock.now() + timedelta(hours=hours)

    def payments(_: datetime) -> list[object]:
        return list(found)

    found = paid_back.due(now)
    with monkeypatch.context() as patched:
        patched.setattr(paid_back, "due", payments)
        for _ in range(2):
            clockwork.step()


def cured_twice(chain: Chain, who: Client) -> DefaultCase:
    """Cured on chain with a token of a stranger's in it, and in the ledger: two payments wait."""
    case = noticed_case(who, 5 * MILLION + 1)
    strange(chain, who.vault.address, 1)
    cure_on_chain(chain, who)
    settle_all()
    cure_in_ledger(case)
    assert sorted(credits()) == [(1, "DRAFT"), (5 * MILLION, "DRAFT")]
    return case


def test_what_the_chain_refused_to_pay_back_is_told_and_paid_again_once(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cured_twice(chain, who)
    refuse_payments()
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == [0, 5 * MILLION, 0, 1]
    told = case.events.filter(data__has_key=paid_back.FAILED)
    assert told.count() == 2
    assert all("OverOutflowCap" in event.note for event in told)
    hours_later(monkeypatch, 0)
    assert len(credits()) == 2, "not at once"
    hours_later(monkeypatch, 1)
    assert len(credits()) == 4
    refuse_payments()
    hours_later(monkeypatch, 1)
    assert len(credits()) == 6
    settle_all()
    hours_later(monkeypatch, 5)
    assert sorted(credits()) == [
        *[(1, "FAILED")] * 2,
        (1, "FINAL"),
        *[(5 * MILLION, "FAILED")] * 2,
        (5 * MILLION, "FINAL"),
    ]
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == [5 * MILLION, 0, 1, 0]
    assert not off()


def test_a_payment_whose_money_is_not_there_any_more_waits(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cured_twice(chain, who)
    refuse_payments()
    with transaction.atomic():
        outbox.move(
            effect_id=who.cell.id,
            target=who.vault,
            cell_id=who.cell.id,
            kind=Kind.CREDIT,
            source=AccountKind.HOUSE,
            destination=AccountKind.CLIENT_MARGIN,
            amount_base_units=1,
            memo="test",
        )
    hours_later(monkeypatch, 1)
    assert sorted(credits()) == [(1, "DRAFT"), (1, "DRAFT"), (1, "FAILED"), (5 * MILLION, "FAILED")]


def test_what_a_later_loss_counted_as_margin_is_not_paid_again(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cured_twice(chain, who)
    refuse_payments()
    later = DefaultCase.objects.get(notice=approved_notice(who))
    with transaction.atomic():
        later.determination = approved(who, Proposal.Kind.LOSS_DETERMINATION, net_loss_base_units=0)
        for state in (State.ETD_SET, State.REPLACING, State.DETERMINED):
            default_cases.move_to(later, state, "on its way")
    hours_later(monkeypatch, 1)
    assert sorted(credits()) == [(1, "DRAFT"), (1, "FAILED"), (5 * MILLION, "FAILED")]
    assert not paid_back.due(clock.now() + timedelta(hours=9)), "and nobody asks again"
