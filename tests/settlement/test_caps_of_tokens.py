"""What a vault may lock, and a house credit at once, of tokens of 6, 8 and 18 decimals: each in units of its own."""

from dataclasses import replace

import pytest

from intermediary.errors import Refusal
from intermediary.models import Asset, ChainTarget, Valuation
from intermediary.terms import Terms
from intermediary.vaults import caps, required_by_token
from settlement.signer import demo_wallet
from settlement.vault_terms import creation_of, refuse_without_caps, vault_terms
from tests.settlement.world import MILLION, terms_of

USDC = Asset(code="USDC", decimals=6, is_settlement=True)
WBTC = Asset(code="WBTC", decimals=8, priced_as="BTC")
WETH = Asset(code="WETH", decimals=18, priced_as="ETH")
ASSETS = (USDC, WBTC, WETH)
MARKET = Valuation(prices={"BTC": "100000", "ETH": "4000"})
COIN, ETHER = 10**8, 10**18
CAPS = (("WBTC", 50 * COIN), ("WETH", 2_000 * ETHER))


def agreed(caps: tuple[tuple[str, int], ...] = CAPS) -> Terms:
    haircuts = (("USDC", 0), ("WBTC", 0), ("WETH", 0))
    terms = replace(terms_of("W", demo_wallet(0)), max_required_base_units=10 * MILLION, haircut_bps=haircuts)
    return replace(terms, max_required_by_token=caps)


def test_each_vault_commits_to_the_highest_requirement_of_its_own_token() -> None:
    assert [vault_terms(agreed(), asset)[5] for asset in ASSETS] == [10 * MILLION, 50 * COIN, 2_000 * ETHER]
    targets = {asset.code: ChainTarget(creation=creation_of(agreed(), asset)) for asset in ASSETS}
    assert caps(targets) == {"USDC": 10 * MILLION, **dict(CAPS)}


def test_terms_that_ask_more_than_their_old_vault_can_lock_are_held_to_its_cap() -> None:
    amended = agreed((("WBTC", 90 * COIN), ("WETH", 2_000 * ETHER)))
    locked = required_by_token(9 * MILLION, {"WBTC": 100 * COIN}, amended, MARKET, dict(CAPS), ASSETS)
    assert locked["WBTC"] == 50 * COIN


@pytest.mark.parametrize("asset", [WBTC, WETH], ids=lambda asset: asset.code)
def test_a_token_that_counts_and_has_no_cap_is_refused_before_anybody_decides(asset: Asset) -> None:
    others = tuple(cap for cap in CAPS if cap[0] != asset.code)
    with pytest.raises(Refusal, match="no_cap_of_token"):
        refuse_without_caps(agreed(others), ASSETS)
    counting = tuple((code, 10_000 if code == asset.code else bps) for code, bps in agreed().haircut_bps)
    refuse_without_caps(replace(agreed(others), haircut_bps=counting), ASSETS)


def test_a_requirement_locks_coins_of_any_decimals_up_to_their_own_caps() -> None:
    locked = required_by_token(4 * MILLION, {"WETH": 5_000 * ETHER}, agreed(), MARKET, {}, ASSETS)
    assert locked["WETH"] == 1_000 * ETHER, "four millions at 4,000"
    locked = required_by_token(9 * MILLION, {"WBTC": 100 * COIN}, agreed(), MARKET, {}, ASSETS)
    assert locked["WBTC"] == 50 * COIN, "not ninety: that is the cap"


def test_terms_without_caps_by_token_keep_their_hash_and_their_vaults_number() -> None:
    """Relationships that were opened before: what was signed, and where their vaults lie, stays."""
    terms = agreed(())
    assert "max_required_by_token" not in terms.body()
    assert Terms.from_canonical(terms.canonical) == terms
    assert vault_terms(terms, USDC) == vault_terms(agreed(), USDC)
    assert terms.most_required("WBTC") == 10 * MILLION
    assert Terms.from_canonical(agreed().canonical) == agreed()
