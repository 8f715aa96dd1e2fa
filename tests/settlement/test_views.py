"""Many views in one call say what each of them says by itself, at the same block."""

import pytest

from intermediary.models import Asset
from settlement import views
from settlement.bindings import read
from settlement.chain import Chain, ChainRefused
from settlement.views import read_words, view
from tests.settlement.world import MILLION, Client, funded_client, give

pytestmark = pytest.mark.world(build=funded_client)
NOBODY = "0x00000000000000000000000000000000000000EF"


def test_many_views_say_what_each_says(chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "VIEWS_A_CALL", 2)
    monkeypatch.setattr(views, "CALLS_A_REQUEST", 2)
    token, vault = Asset.objects.get(code="USDC").token_address, who.vault.address
    block = chain.head()
    give(chain, vault, MILLION)
    asked = [view(token, "DemoUSDC", "balanceOf", vault), view(vault, "MarginVault", "seq")]
    asked += [view(token, "DemoUSDC", "balanceOf", NOBODY), view(NOBODY, "MarginVault", "seq")]
    asked += [view(vault, "MarginVault", "terms")] + asked[:1] * 4
    alone = int(read(chain, vault, "MarginVault", "locked"))
    found = read_words(chain, [*asked, view(vault, "MarginVault", "locked")], block)
    assert found == [5 * MILLION, 0, 0, None, found[4], *[5 * MILLION] * 4, alone]
    assert read_words(chain, asked[:1], "latest") == [6 * MILLION]
    assert read_words(chain, [], "latest") == []


def test_a_view_that_reverts_fails_the_call_with_its_error(chain: Chain, who: Client) -> None:
    with pytest.raises(ChainRefused) as refused:
        read_words(chain, [view(who.vault.address, "MarginVault", "withdraw")], "latest")
    assert refused.value.data["node_message"]


def test_five_hundred_views_fit_into_one_call(chain: Chain, who: Client) -> None:
    asked = [view(who.vault.address, "MarginVault", "locked")] * (views.VIEWS_A_CALL + 1)
    assert read_words(chain, asked, "latest") == [0] * len(asked)
