"""Acts behind what stands already: amended terms in a vault, and a loss notice that was wrong."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction

from intermediary import events
from intermediary.canonical import sha256_hex
from intermediary.errors import Refusal
from intermediary.models import AccountKind, ChainInstruction, Event, TermsVersion
from intermediary.typed_data import digest_of
from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.signer import Signer, demo_wallet
from tests.settlement.test_acts import days_pass_in_an_instant as days_pass_in_an_instant  # a fixture
from tests.settlement.test_acts import decide, go_on
from tests.settlement.test_default_and_series import instruct, issued_series, move
from tests.settlement.world import MILLION, Client, assert_reconciled, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind


def signed_by(key: Signer) -> dict[str, dict[str, str]]:
    """What `chain_acts --messages` prints, signed."""
    out = StringIO()
    call_command("chain_acts", messages="W", stdout=out)
    return {
        code: {"nonce": str(said["message"]["nonce"]), "signature": "0x" + key.sign_digest(digest_of(said)).hex()}
        for code, said in json.loads(out.getvalue()).items()
    }


def test_amended_terms_stand_in_the_vault_under_the_clients_signature(chain: Chain, who: Client) -> None:
    before = int(read(chain, who.vault.address, "MarginVault", "amendmentNonce"))
    terms = replace(who.terms, grace_minutes=who.terms.grace_minutes + 30)
    TermsVersion.objects.create(
        cell=who.cell, version=2, body=terms.canonical, hash=terms.hash, client_signer=who.key.address,
        client_signature="0x", house_signer=who.key.address, house_signature="0x",
    )  # fmt: skip
    with pytest.raises(Refusal) as refused, transaction.atomic():
        decide(ChainAct.Kind.AMEND, relationship="W", signatures=signed_by(demo_wallet(9)))
    assert refused.value.code == "not_the_clients_signature"
    act = decide(ChainAct.Kind.AMEND, relationship="W", signatures=signed_by(who.key))
    go_on(chain)
    act.refresh_from_db()
    assert (act.state, act.steps_done) == ("DONE", 1)
    assert read(chain, who.vault.address, "MarginVault", "termsHash").hex() == terms.hash
    assert read(chain, who.vault.address, "MarginVault", "amendmentNonce") == before + 1
    assert Event.objects.get(kind=events.CHAIN_ACT_DONE).payload["about"] == {"relationship": "W"}
    assert_reconciled()


def test_a_loss_notice_that_was_wrong_is_taken_back_and_the_escrow_keeps_its_cash(chain: Chain, who: Client) -> None:
    escrow = issued_series(chain, who).escrow
    notice = instruct(escrow, who, Kind.NOTICE_LOSS, 3 * MILLION, slice=0, evidence=sha256_hex("loss"))
    settle_all()
    route = (AccountKind.ESCROW, AccountKind.FLOAT)
    loss = move(escrow, who, Kind.APPLY_LOSS, route, 3 * MILLION, slice=0, notice=str(notice.id))
    act = decide(ChainAct.Kind.CANCEL_LOSS, notice=str(notice.id))
    go_on(chain)
    act.refresh_from_db()
    loss.refresh_from_db()
    assert (act.state, loss.state, loss.failure) == ("DONE", "FAILED", "the notice was dropped")
    assert act.transactions.count() == 1
    assert held(who, AccountKind.ESCROW) == 6 * MILLION
    assert Event.objects.get(kind=events.LOSS_RULED).payload["amount_base_units"] == "0"
    assert_reconciled()
    later = instruct(escrow, who, Kind.NOTICE_LOSS, MILLION, slice=0, evidence=sha256_hex("another loss"))
    settle_all()
    later.refresh_from_db()
    assert later.state == "FINAL", "its servicing number is the next"
    assert_reconciled()
