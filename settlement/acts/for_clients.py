"""What a client is asked to sign: the amendment of each of its vaults, with the vault's own next number."""

from typing import Any

from intermediary.errors import Refusal
from intermediary.models import Cell, ChainTarget
from intermediary.onboarding import current_terms
from settlement import chains
from settlement.acts.amendments import message
from settlement.bindings import read
from settlement.chain import Chain
from settlement.vault_terms import predict_vaults


def messages(chain: Chain, relationship: str) -> dict[str, dict[str, Any]]:
    """EIP-712 messages by asset code, for a wallet (`eth_signTypedData_v4`), under the newest signed terms. Of vaults
    that do not stand yet the first amendment, at the address that the terms predict. Refuses `no_such_relationship`."""
    cell = Cell.objects.filter(code=relationship, kind=Cell.Kind.CLIENT).first()
    if cell is None:
        raise Refusal("no_such_relationship", f"There is no relationship {relationship}.")
    terms = current_terms(cell.id)
    known = ChainTarget.objects.filter(cell=cell, kind=ChainTarget.Kind.VAULT, asset__chain__in=chains.asset_chains())
    vaults = dict(known.values_list("asset_id", "address"))
    numbers = {code: int(read(chain, vault, "MarginVault", "amendmentNonce")) + 1 for code, vault in vaults.items()}
    vaults = vaults or predict_vaults(chain=chain, terms=terms)
    return {
        code: message(
            chain_id=chain.id(),
            vault=vault,
            terms_hash=terms.hash,
            rulebook_hash=terms.rulebook_hash,
            nonce=numbers.get(code, 1),
        )
        for code, vault in vaults.items()
    }
