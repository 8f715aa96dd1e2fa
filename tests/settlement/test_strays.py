"""Tokens that strangers send to our contracts: whatever takes them, the ledger follows, and nothing waits for them."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.db import connection, transaction

from bonds.marking.exposures import margin_value_base_units
from intermediary import clock, defaults, held_back, outbox
from intermediary.models import AccountKind, ChainInstruction, DefaultCase, MarginState, Valuation
from intermediary.money import to_base_units
from intermediary.portal.collateral import holdings
from settlement import approver, poster
from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.models import Approval, ChainLog, ReconciliationBreak, Stray
from settlement.series import SeriesSpec, allot, close_offering, deploy_series, set_eligible, subscribe
from settlement.signer import Signer, demo_signer, demo_wallet
from settlement.transactor import Transactor
from tests.people import as_owner
from tests.settlement.test_acts import decide, go_on
from tests.settlement.test_default_and_series import approved_notice, instruct, move
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    funded_client,
    give,
    held,
    pass_time,
    required_of,
    transfer,
)

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind
SEIZED = (AccountKind.CLIENT_MARGIN, AccountKind.HOUSE)
STRANGERS = (AccountKind.SUSPENSE, AccountKind.SUSPENSE_TAKEN)


def strange(chain: Chain, to: str, amount: int) -> str:
    """Somebody whom nobody knows sends tokens there; the transaction's hash."""
    stranger = demo_wallet(9)
    fund_gas(chain, stranger.address)
    give(chain, stranger.address, amount)
    return transfer(chain, stranger, to, amount)


def offered(chain: Chain, who: Client) -> tuple[str, Signer]:
    """An escrow that offers two million of one class to an investor, who has twice as much."""
    investor, now = demo_wallet(50), clock.now()
    fund_gas(chain, investor.address)
    spec = SeriesSpec(
        code="S1",
        subscribe_by=now + timedelta(days=5),
        final_maturity=now + timedelta(days=365),
        challenge_seconds=3600,
        expert_seconds=3600,
        grace_seconds=30 * 24 * 3600,
        tranches=(("Tail A", "TA", "XS0000000001"),),
        slices=((who.cell.id, (2 * MILLION,)),),
    )
    escrow = deploy_series(chain=chain, spec=spec, mine=mine).escrow.address
    set_eligible(chain=chain, accounts=[investor.address], until=datetime(2040, 1, 1, tzinfo=UTC), mine=mine)
    allot(chain=chain, escrow=escrow, tranche=0, units_of={investor.address: 2 * MILLION}, mine=mine)
    give(chain, investor.address, 4 * MILLION)
    return escrow, investor


def noticed(who: Client, claim: int) -> None:
    evidence = approved_notice(who).hash
    instruct(who.vault, who, Kind.NOTICE, claim, evidence=evidence, case=str(DefaultCase.objects.get().id))
    settle_all()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_seizure_that_takes_a_strangers_token_as_well_is_booked_and_the_notice_ends(
    chain: Chain, who: Client, when: str
) -> None:
    """The chain takes what the vault holds up to the claim, and the claim is the requirement where that is more."""
    noticed(who, 9 * MILLION)
    pass_time(chain, who.terms.cure_minutes * 60)
    if when == "before":
        strange(chain, who.vault.address, 1)
        settle_all()
        assert held(who, AccountKind.SUSPENSE) == 1
    seizure = move(who.vault, who, Kind.SEIZE, SEIZED, 5 * MILLION)
    if when == "after":
        strange(chain, who.vault.address, 1)
    settle_all()
    seizure.refresh_from_db()
    assert (seizure.state, outbox.moved_base_units(seizure)) == ("FINAL", 5 * MILLION + 1)
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == [0, 5 * MILLION, 0, 1]
    assert_reconciled()
    release = instruct(who.vault, who, Kind.RELEASE_NOTICE)
    settle_all()
    assert ChainInstruction.objects.get(id=release.id).state == "FINAL"
    assert not read(chain, who.vault.address, "MarginVault", "noticeLive")
    assert_reconciled()


def test_a_seizure_that_the_margin_covers_leaves_a_strangers_token_in_suspense(chain: Chain, who: Client) -> None:
    noticed(who, 4 * MILLION)
    pass_time(chain, who.terms.cure_minutes * 60)
    strange(chain, who.vault.address, 7)
    move(who.vault, who, Kind.SEIZE, SEIZED, 4 * MILLION)
    settle_all()
    assert [held(who, kind) for kind in (*SEIZED, AccountKind.SUSPENSE)] == [MILLION, 4 * MILLION, 7]


def off() -> list[str]:
    """Where ledger and chain differ; that somebody unknown has tokens here is said besides."""
    found = ReconciliationBreak.objects.filter(resolved_block=None).exclude(kind="unknown_sender")
    return list(found.values_list("place", flat=True))


def means(who: Client) -> list[int]:
    """What gains that wait, the marks of notes and the client's page go by: margin, margin, and what is on its way."""
    valuation = Valuation.objects.get()
    asset = who.vault.asset
    (waits,) = held_back._means([who.cell.id], valuation).values()
    (page,) = [one for one in holdings(who.cell, None) if one.asset == asset]
    marked = margin_value_base_units(who.cell.id, valuation)
    return [to_base_units(waits, asset.decimals), marked, page.on_its_way_base_units]


def test_what_a_stranger_paid_of_a_cure_is_not_the_clients_and_goes_back_into_suspense(
    chain: Chain, who: Client
) -> None:
    noticed(who, 5 * MILLION + 1)
    case = required_of(who, 5 * MILLION + 1)
    strange(chain, who.vault.address, 2)
    wallet = Transactor(chain, who.key, mine)
    wallet.call(who.vault.address, "MarginVault", "cure")
    wallet.wait()
    settle_all()
    assert ChainLog.objects.get(name="Cured").applied
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == [0, 5 * MILLION, 1, 1]
    assert not off()
    assert defaults.cure_shortfall_base_units(case.id) == 1, "the client's own five million, and no more"
    MarginState.objects.update(exposure_base_units=5 * MILLION)
    for _ in range(2):
        with transaction.atomic():
            assert defaults.cure(case_id=case.id).state == "CURED"
    assert (held(who, AccountKind.IN_TRANSIT), means(who)) == (5 * MILLION + 1, [5 * MILLION] * 3)
    settle_all()
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == [5 * MILLION, 0, 2, 0]
    assert means(who) == [5 * MILLION, 5 * MILLION, 0]
    assert not off()


def test_a_strangers_tokens_go_back_to_suspense_and_never_to_the_client(chain: Chain, who: Client) -> None:
    noticed(who, 5 * MILLION + 1)
    strange(chain, who.vault.address, 1)
    wallet = Transactor(chain, who.key, mine)
    wallet.call(who.vault.address, "MarginVault", "cure")
    wallet.wait()
    settle_all()
    move(who.vault, who, Kind.CREDIT, (AccountKind.SUSPENSE_TAKEN, AccountKind.CLIENT_MARGIN), 1)
    poster.step(chain, {role: demo_signer(role) for role in ("poster", "operator")})
    approver.step(demo_signer("approver"), chain.id())
    (said,) = (Approval.objects.get(refusal__isnull=False).refusal or {}).values()
    assert said == "a CREDIT does not go from suspense_taken to client_margin"


def test_what_a_stranger_sends_to_a_retention_is_counted_until_officers_book_it(chain: Chain, who: Client) -> None:
    retention = who.targets["RETENTION"]
    strange(chain, retention.address, 3)
    settle_all()
    found = Stray.objects.get()
    assert (found.target, found.sender, found.amount_base_units) == (retention, demo_wallet(9).address, 3)
    assert_reconciled()
    call = {"contract": "Retention", "to": retention.address, "key": "operator"}
    decide(ChainAct.Kind.CALL, **call, function="note", arguments=["1", "2"])
    go_on(chain)
    assert (held(who, AccountKind.SENIOR_RETENTION), held(who, AccountKind.FIRST_LOSS)) == (2, 0)
    assert sum(Stray.objects.values_list("amount_base_units", flat=True)) == 1
    assert_reconciled()
    decide(ChainAct.Kind.CALL, **call, function="release", arguments=["1", "0", "2", "0x" + "5a" * 32])
    go_on(chain)
    assert (held(who, AccountKind.SENIOR_RETENTION), held(who, AccountKind.FLOAT)) == (0, 2)
    assert_reconciled()
    assert not ReconciliationBreak.objects.filter(kind__in=["amount", "dust"]).exists()


def test_what_was_sent_before_strays_were_kept_is_found_by_the_migration(chain: Chain, who: Client) -> None:
    strange(chain, who.targets["RETENTION"].address, 3)
    settle_all()
    with as_owner(), connection.cursor() as cursor:
        Stray.objects.all().delete()
        cursor.execute(import_module("settlement.migrations.0029_strays").AGAIN)
    settle_all()
    assert Stray.objects.get().amount_base_units == 3
    assert_reconciled()


def test_what_a_stranger_sends_to_an_escrow_is_told_from_what_its_subscribers_pay(chain: Chain, who: Client) -> None:
    escrow, investor = offered(chain, who)
    subscribe(chain=chain, escrow=escrow, investor=investor, tranche=0, units=2 * MILLION, mine=mine)
    transfer(chain, investor, escrow, 2 * MILLION)
    settle_all()
    assert_reconciled()
    close_offering(chain=chain, escrow=escrow, mine=mine)
    strange(chain, escrow, 7)
    settle_all()
    assert held(who, AccountKind.ESCROW) == 2 * MILLION
    assert list(Stray.objects.order_by("id").values_list("amount_base_units", flat=True)) == [2 * MILLION, 7]
    assert_reconciled()
