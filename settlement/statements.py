"""The margin statement of a batch: a Merkle root on chain, in which each client checks its own leaf.

leaf = keccak(abi.encode(vault, exposure, independent amount, required, held, as of)), amounts in settlement base
units, exposure signed (positive: the client owes), as of in unix seconds. Nodes hash their two children in sorted
order, so a proof is a list of siblings without directions. No statements: the zero root.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from intermediary.models import MarginState

ZERO_ROOT = bytes(32)


def statements_of(vault_of_cell: Mapping[UUID, str]) -> list[dict[str, Any]]:
    """The present margin statement of each cell that has one, in order of the vault's address."""
    states = MarginState.objects.filter(cell_id__in=vault_of_cell).select_related("valuation")
    rows = [
        {
            "vault": vault_of_cell[state.cell_id],
            "exposure": state.exposure_base_units,
            "independent_amount": state.independent_amount_base_units,
            "required": state.required_base_units,
            "held": state.held_base_units,
            "as_of": int(state.valuation.as_of.timestamp()),
        }
        for state in states
    ]
    return sorted(rows, key=lambda row: str(row["vault"]))


def leaf(row: Mapping[str, Any]) -> bytes:
    """The hash of one statement."""
    values = [row[name] for name in ("vault", "exposure", "independent_amount", "required", "held", "as_of")]
    return keccak(encode(["address", "int256", "uint256", "uint256", "uint256", "uint64"], values))


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves; an odd one out moves up as it is."""
    level = list(leaves)
    while len(level) > 1:
        level = [_pair(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
    return level[0] if level else ZERO_ROOT


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings that lead from one leaf to the root."""
    level, found = list(leaves), []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            found.append(level[sibling])
        level = [_pair(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
        index //= 2
    return found


def proves(leaf_hash: bytes, siblings: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether the leaf belongs to the root."""
    for sibling in siblings:
        leaf_hash = _pair(leaf_hash, sibling)
    return leaf_hash == expected_root


def _pair(one: bytes, other: bytes) -> bytes:
    return keccak(min(one, other) + max(one, other))
