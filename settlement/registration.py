"""Opening a relationship on chain in one go, as the demonstration does it, which holds every key and knows no delay.

In production two people decide on it and `settlement.acts` carries out the same steps. The vault's address is known
before anything is on chain, so it can stand in the terms.
"""

from collections.abc import Mapping
from typing import Any

from intermediary.models import Cell, ChainTarget
from intermediary.terms import Terms
from intermediary.typed_data import digest_of
from settlement.acts import amendments, at_once, relationship
from settlement.chain import Chain
from settlement.signer import Signer
from settlement.transactor import Mine
from settlement.vault_terms import deployed_assets, predict_vaults


def register_cell(
    *,
    chain: Chain,
    cell: Cell,
    terms: Terms,
    client: Signer | None,
    credit_limits: Mapping[str, int] | None = None,
    mine: Mine | None,
) -> dict[str, ChainTarget]:
    """Open the vaults and the retention of a relationship, have the houses accept them, record all as targets: those of
    this chain. The retention lies where the settlement token does.

    `client` (the holder of `terms.client`) signs the terms into each vault; None leaves that for later.
    `credit_limits` is the largest single credit an asset, default the terms' highest requirement of that asset.
    Returns the vaults by asset code and the retention under "RETENTION".
    """
    assets, vaults = deployed_assets(), predict_vaults(chain=chain, terms=terms)
    limits = {code: terms.most_required(code) for code in vaults} | dict(credit_limits or {})
    signed = {} if client is None else _signatures(chain, vaults, terms, client)
    made = at_once.carry_out(chain, lambda made: relationship.steps(terms, assets, vaults, limits, signed, made), mine)
    return relationship.record(cell, terms, assets, vaults, made)


def _signatures(chain: Chain, vaults: Mapping[str, str], terms: Terms, client: Signer) -> dict[str, bytes]:
    """The client's first amendment of each vault."""

    def message(vault: str) -> dict[str, Any]:
        return amendments.message(
            chain_id=chain.id(), vault=vault, terms_hash=terms.hash, rulebook_hash=terms.rulebook_hash, nonce=1
        )

    return {code: client.sign_digest(digest_of(message(vault))) for code, vault in vaults.items()}
