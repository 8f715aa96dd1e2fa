"""Deposits always: what is paid in while everything is down is credited once, and clocks account for the outage."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction

from intermediary import calls, clock, onboarding
from intermediary.config import clockwork, sight
from intermediary.models import ClockStop, JournalEntry, MarginCall, Party
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.models import ChainBlock, Lookout
from settlement.registration import register_cell
from settlement.signer import LocalSigner, demo_wallet
from tests.intermediary.margin_world import HOUR, assess, signatures, value
from tests.intermediary.margin_world import Client as Relationship
from tests.intermediary.margin_world import terms_of as margin_terms
from tests.people import member, person
from tests.settlement.faults.processes import Platform, until
from tests.settlement.test_sight import let_the_last_look_be
from tests.settlement.world import (
    MILLION,
    RULEBOOK,
    Client,
    assert_reconciled,
    deposit,
    held,
    house_with_contracts,
    on_chain,
)

OUTAGE = timedelta(minutes=10)


def relationship_with_terms(chain: Chain) -> tuple[Client, Relationship]:
    """Client D, whose terms are signed and on chain, with five million in its vault, not final yet."""
    key = demo_wallet(0)
    assert isinstance(key, LocalSigner)
    party = Party.objects.create(legal_name="Client D", code="P-D", kind=Party.Kind.FUND, jurisdiction="KY")
    user, terms = person("trader-D"), replace(margin_terms("D", key.address), rulebook_hash=RULEBOOK)
    member(user, party)
    proof = "0x" + key.sign_typed(onboarding.wallet_typed_data(party, key.address)).hex()
    signed = signatures(terms, key.account)
    with transaction.atomic():
        onboarding.prove_wallet(actor="officer", party=party, address=key.address, signature=proof)
        cell = onboarding.open_relationship(actor="officer", party=party, code="D", terms=terms, **signed)
    fund_gas(chain, key.address)
    targets = register_cell(chain=chain, cell=cell, terms=terms, client=key, mine=mine)
    who = Client(cell, key, terms, targets)
    deposit(chain, who, 5 * MILLION)
    return who, Relationship(cell, user, key.account)


def client_with_terms() -> tuple[str, tuple[Client, Relationship]]:
    """A world of that relationship alone."""

    def build(chain: Chain) -> tuple[Client, Relationship]:
        house_with_contracts(chain.url)
        made = relationship_with_terms(chain)
        settle_all(chain=chain)
        return made

    return on_chain(build)


@pytest.mark.world(build=client_with_terms)
def test_deposit_made_while_everything_is_down_is_credited_once_and_its_call_is_met(
    chain: Chain, built_world: tuple[str, tuple[Client, Relationship]], platform: Platform
) -> None:
    who, relationship = built_world[1]
    platform.start("poster", "approver", "watcher")
    until(lambda: ChainBlock.objects.filter(number=chain.head()).exists() and Lookout.objects.exists(), "it is read")
    with transaction.atomic():
        assess(relationship, value(50_000), 7 * MILLION)
    call = calls.current(who.cell.id)
    assert call is not None
    platform.kill("poster", "approver", "watcher")
    due = clock.now() - timedelta(minutes=2)  # it comes due while nobody looks
    call.increments.update(at=due - HOUR, deliver_by=due)
    call.deliver_by = due
    call.save(update_fields=["deliver_by"])
    let_the_last_look_be(OUTAGE)
    deposit(chain, who, MILLION)
    for _ in range(2):  # it is final when they come back
        mine(chain)
    clockwork.step()
    call.refresh_from_db()
    assert (call.state, held(who)) == (MarginCall.State.ISSUED, 5 * MILLION)
    platform.start("poster", "approver", "watcher")
    until(lambda: held(who) == 6 * MILLION, "the deposit is credited", said=platform.said)
    until(lambda: ClockStop.objects.exclude(ended_at=None).exists(), "clocks go on", said=platform.said)
    stop = ClockStop.objects.get()
    call.refresh_from_db()
    assert (stop.reason, call.state) == (sight.REASON, MarginCall.State.ISSUED)
    assert stop.ended_at is not None
    assert call.deliver_by == due + (stop.ended_at - stop.started_at), "the outage is given back, to the microsecond"
    assert OUTAGE <= stop.ended_at - stop.started_at < OUTAGE + timedelta(minutes=2)
    deposit(chain, who, MILLION)
    for _ in range(3):
        mine(chain)
    until(lambda: held(who) == 7 * MILLION, "the rest is credited", said=platform.said)
    until(lambda: ChainBlock.objects.filter(number=chain.head(), finalized=False).exists(), "all is read")
    platform.stop()
    call.refresh_from_db()
    assert call.state == MarginCall.State.SETTLED
    assert JournalEntry.objects.filter(cell=who.cell, kind="deposit").count() == 3
    assert_reconciled()
