"""The tokens of a chain as assets of the ledger: what the settings name and the chain bears out.

A token with other decimals than its asset would move money by powers of ten, so its own word is read and compared.
"""

from collections.abc import Sequence

from django.conf import settings
from eth_utils.address import is_address, to_checksum_address

from intermediary.errors import Refusal
from intermediary.models import Asset
from settlement import chains
from settlement.bindings import read
from settlement.chain import Chain
from settlement.chains import Token


def of_this_chain(chain: Chain) -> Sequence[Asset]:
    """The assets of this chain, the settlement asset first; what is configured and not yet an asset becomes one.

    Refuses `no_tokens_configured` in production without any, `bad_address`, `no_token_there`, `decimals_differ` and
    `token_differs` where the ledger knows another.
    """
    configured = chains.configured().tokens
    if not configured and settings.MODE == "production":
        raise Refusal("no_tokens_configured", f"No token of chain {chains.here()} is configured (CHAIN_TOKENS).")
    for code, token in configured.items():
        _record(chain, code, token)
    found = Asset.objects.filter(chain__in=chains.asset_chains())
    return list((found.filter(code__in=configured) if configured else found).order_by("-is_settlement", "code"))


def _record(chain: Chain, code: str, token: Token) -> None:
    if not is_address(token.address):
        raise Refusal("bad_address", f"The token of {code} is {token.address}, which is no address.")
    address = str(to_checksum_address(token.address))
    if len(chain.call("eth_getCode", address, "latest")) <= 2:
        raise Refusal("no_token_there", f"There is no contract at {address} on chain {chains.here()}.")
    decimals = read(chain, address, "DemoUSDC", "decimals")
    stands = {
        "decimals": decimals,
        "is_settlement": token.is_settlement,
        "priced_as": token.priced_as,
        "token_address": address,
        "chain": "" if chains.here() == chains.names()[0] else chains.here(),
    }
    asset, _ = Asset.objects.get_or_create(code=code, defaults=stands)
    if asset.decimals != decimals:
        raise Refusal("decimals_differ", f"{code} has {asset.decimals} decimals here and {decimals} at {address}.")
    if asset.token_address not in ("", address):
        raise Refusal("token_differs", f"{code} is {asset.token_address} in the ledger, {address} in the settings.")
    if not asset.token_address:
        Asset.objects.filter(code=code).update(token_address=address)
