"""Tokens that strangers send to our contracts: whatever takes them, the ledger follows, and nothing waits for them."""

import pytest

from intermediary import outbox
from intermediary.models import AccountKind, ChainInstruction
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.models import ChainLog
from settlement.signer import demo_wallet
from settlement.transactor import Transactor
from tests.settlement.test_default_and_series import approved_notice, instruct, move
from tests.settlement.world import MILLION, Client, assert_reconciled, funded_client, give, held, pass_time, transfer

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind
SEIZED = (AccountKind.CLIENT_MARGIN, AccountKind.HOUSE)


def strange(chain: Chain, to: str, amount: int) -> str:
    """Somebody whom nobody knows sends tokens there; the transaction's hash."""
    stranger = demo_wallet(9)
    fund_gas(chain, stranger.address)
    give(chain, stranger.address, amount)
    return transfer(chain, stranger, to, amount)


def noticed(who: Client, claim: int) -> None:
    instruct(who.vault, who, Kind.NOTICE, claim, evidence=approved_notice(who).hash)
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
    assert [held(who, kind) for kind in (*SEIZED, AccountKind.SUSPENSE)] == [0, 5 * MILLION + 1, 0]
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


def test_a_cure_that_a_strangers_token_helps_to_pay_is_booked(chain: Chain, who: Client) -> None:
    noticed(who, 5 * MILLION + 1)
    strange(chain, who.vault.address, 2)
    wallet = Transactor(chain, who.key, mine)
    wallet.call(who.vault.address, "MarginVault", "cure")
    wallet.wait()
    settle_all()
    assert ChainLog.objects.get(name="Cured").applied
    assert [held(who, kind) for kind in (*SEIZED, AccountKind.SUSPENSE)] == [0, 5 * MILLION + 1, 1]
