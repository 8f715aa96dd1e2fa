"""Contracts put on a real chain, with their rights checked."""

import pytest
from django.conf import settings

from intermediary.errors import Refusal
from intermediary.models import Asset, ChainTarget
from settlement.bindings import read
from settlement.calls import FIRST_LOSS_LAYER
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.rights import assert_as_intended
from settlement.signer import demo_signer, demo_wallet
from settlement.transactor import Transactor
from settlement.vault_terms import predict_vaults
from tests.settlement.world import CAP, RULEBOOK, client, house_alone, terms_of

pytestmark = pytest.mark.world(build=house_alone)


def test_deployment_records_contracts_and_house_target(chain: Chain) -> None:
    house = address_of("House", "USDC")
    assert ChainTarget.objects.get(kind="HOUSE").address == house
    assert read(chain, house, "House", "token") == Asset.objects.get(code="USDC").token_address
    assert read(chain, house, "House", "outflowCap") == CAP
    assert read(chain, house, "House", "rulebook").hex() == RULEBOOK


def test_deployment_with_a_changed_right_is_refused(chain: Chain) -> None:
    assert_as_intended(chain)
    admin = Transactor(chain, demo_signer("admin"), mine)
    manager, poster_role = address_of("AccessManager"), 1
    admin.call(manager, "AccessManager", "revokeRole", poster_role, demo_signer("poster").address)
    admin.wait()
    with pytest.raises(Refusal, match="role_table_differs"):
        assert_as_intended(chain)


def test_vault_stands_at_the_address_its_terms_predict(chain: Chain) -> None:
    predicted = predict_vaults(chain=chain, terms=terms_of("W", demo_wallet(0)))
    who = client(chain, "W", 0)
    assert who.vault.address == predicted["USDC"]
    assert read(chain, who.vault.address, "MarginVault", "termsHash").hex() == who.terms.hash
    assert read(chain, who.targets["RETENTION"].address, "Retention", "held", FIRST_LOSS_LAYER) == 0


def test_other_terms_have_another_vault(chain: Chain) -> None:
    one, two = (predict_vaults(chain=chain, terms=terms_of(code, demo_wallet(0))) for code in ("W", "X"))
    assert one["USDC"] != two["USDC"]


def test_demo_keys_and_mining_are_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MODE", "production")
    with pytest.raises(Refusal, match="demo_key_refused"):
        demo_signer("poster")
    with pytest.raises(Refusal, match="demo_chain_only"):
        mine(Chain("http://127.0.0.1:1"))
