"""Signed terms and proved wallets: what is refused, and what the engine then reads."""

from dataclasses import replace
from typing import Any

import pytest

from intermediary import access, onboarding
from intermediary.collateral import eligible
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.models import Affiliation
from tests.intermediary.margin_world import client, key_of, officer, signatures, terms_of

pytestmark = pytest.mark.django_db


def test_a_wallet_is_proved_by_its_own_key_only() -> None:
    own = client("R-1")
    stranger = key_of("stranger")
    challenge = onboarding.wallet_typed_data(own.party, stranger.address)
    by_another = "0x" + own.key.sign_typed_data(full_message=challenge).signature.hex()
    for signature in (by_another, "0x", "zz", "0x" + "00" * 65):
        with pytest.raises(Refusal, match="signature_wrong"):
            onboarding.prove_wallet(actor="x", party=own.party, address=stranger.address, signature=signature)
    with pytest.raises(BadInput, match="not_an_address"):
        onboarding.prove_wallet(actor="x", party=own.party, address="0x12", signature=by_another)


def test_a_wallet_belongs_to_one_party() -> None:
    first, second = client("R-1"), client("R-2")
    challenge = onboarding.wallet_typed_data(second.party, first.key.address)
    proof = "0x" + first.key.sign_typed_data(full_message=challenge).signature.hex()
    with pytest.raises(Refusal, match="wallet_taken"):
        onboarding.prove_wallet(actor="x", party=second.party, address=first.key.address, signature=proof)


def test_new_terms_need_both_signatures_of_exactly_these_terms() -> None:
    own = client("R-1")
    better = replace(terms_of("R-1", own.key.address), minimum_transfer_base_units=1)

    def sign(**changes: Any) -> None:
        onboarding.sign_terms(
            actor="officer", cell_id=own.cell.id, terms=better, **(signatures(better, own.key) | changes)
        )

    other = signatures(replace(better, grace_minutes=1), own.key)
    with pytest.raises(Refusal, match="signature_wrong"):
        sign(client_signature=other["client_signature"])
    with pytest.raises(Refusal, match="signature_wrong"):
        sign(house_signature=other["house_signature"])
    with pytest.raises(Refusal, match="wallet_not_proved"):
        sign(client_signer=key_of("stranger").address)
    with pytest.raises(Refusal, match="house_signer_unknown"):
        sign(house_signer=own.key.address, house_signature=signatures(better, own.key)["client_signature"])
    sign()
    assert onboarding.current_terms(own.cell.id) == better
    with pytest.raises(Refusal, match="terms_signed_already"):
        sign()


def test_terms_of_another_relationship_are_refused() -> None:
    own = client("R-1")
    foreign = terms_of("R-9", own.key.address)
    with pytest.raises(Refusal, match="terms_name_another_relationship"):
        onboarding.sign_terms(actor="officer", cell_id=own.cell.id, terms=foreign, **signatures(foreign, own.key))


def test_absent_and_not_yours_are_one_answer() -> None:
    own, other = client("R-1"), client("R-2")
    answers = []
    for key in (other.cell.id, uuid7(), "R-2", "R-404"):
        with pytest.raises(NotAllowed) as refused:
            access.cell_for(own.user, key)
        answers.append((refused.value.code, refused.value.message, refused.value.data))
    assert len({str(answer) for answer in answers}) == 1
    assert access.cell_for(own.user, "R-1") == access.cell_for(own.user, own.cell.id) == own.cell


def test_an_officer_does_not_act_for_a_client_and_a_former_user_for_nobody() -> None:
    own = client("R-1")
    with pytest.raises(NotAllowed):
        access.cell_for(officer("desk"), "R-1")
    own.user.is_active = False
    with pytest.raises(NotAllowed):
        access.cell_for(own.user, "R-1")
    with pytest.raises(NotAllowed):
        access.require_officer(own.user)


def test_terms_do_not_count_a_token_of_the_client_or_an_affiliate() -> None:
    own, friend = client("R-1"), client("R-2")
    stranger = client("R-3")
    Affiliation.objects.create(party=friend.party, affiliate=own.party)
    with pytest.raises(Refusal, match="own_token_is_margin") as found:
        onboarding.state_own_token(actor="officer", party=own.party, underlying="BTC")
    assert found.value.data["assets"] == ["WBTC"]
    for who in (own, friend):
        bare = replace(onboarding.current_terms(who.cell.id), haircut_bps=(("USDC", 0), ("WBTC", 10_000)))
        onboarding.sign_terms(actor="officer", cell_id=who.cell.id, terms=bare, **signatures(bare, who.key))
    onboarding.state_own_token(actor="officer", party=own.party, underlying="BTC")
    for who in (own, friend):
        counting = replace(onboarding.current_terms(who.cell.id), haircut_bps=(("USDC", 0), ("WBTC", 9_999)))
        with pytest.raises(Refusal, match="own_token_is_margin"):
            onboarding.sign_terms(actor="officer", cell_id=who.cell.id, terms=counting, **signatures(counting, who.key))
    free = replace(onboarding.current_terms(stranger.cell.id), haircut_bps=(("USDC", 0), ("WBTC", 1_000)))
    onboarding.sign_terms(actor="officer", cell_id=stranger.cell.id, terms=free, **signatures(free, stranger.key))


def test_what_the_terms_take_whole_realises_nothing_anywhere() -> None:
    terms = replace(onboarding.current_terms(client("R-1").cell.id), haircut_bps=(("USDC", 0), ("WBTC", 10_000)))
    assert eligible({"USDC": 5, "WBTC": 7, "WETH": 9}, terms) == {"USDC": 5}
