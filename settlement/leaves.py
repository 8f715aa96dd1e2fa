"""The arithmetic of margin statements: leaves, the tree over them, proofs. Pure, so that a client can read it.

leaf = keccak(abi.encode(vault, exposure, independent amount, required, held, as of)), amounts in settlement base
units, exposure signed (positive: the client owes), as of in unix seconds. Nodes hash their two children in sorted
order, so a proof is a list of siblings without directions. No statements: the zero root.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

ZERO_ROOT = bytes(32)


def leaf(row: Mapping[str, Any]) -> bytes:
    """The hash of one statement."""
    values = [row[name] for name in ("vault", "exposure", "independent_amount", "required", "held", "as_of")]
    return keccak(encode(["address", "int256", "uint256", "uint256", "uint256", "uint64"], values))


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The tree from the leaves up to the root; an odd one out moves up as it is."""
    found = [list(leaves)]
    while len(level := found[-1]) > 1:
        found.append([_pair(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)])
    return found


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves."""
    return levels(leaves)[-1][0] if leaves else ZERO_ROOT


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings that lead from one leaf to the root."""
    return proof_in(levels(leaves), index)


def proof_in(tree: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """The same in a tree that is built already."""
    return [level[at ^ 1] for height, level in enumerate(tree) if (at := index >> height) ^ 1 < len(level)]


def climbed(leaf_hash: bytes, siblings: Sequence[bytes]) -> bytes:
    """The root that these siblings lead to."""
    for sibling in siblings:
        leaf_hash = _pair(leaf_hash, sibling)
    return leaf_hash


def proves(leaf_hash: bytes, siblings: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether the leaf belongs to the root."""
    return climbed(leaf_hash, siblings) == expected_root


def _pair(one: bytes, other: bytes) -> bytes:
    return keccak(min(one, other) + max(one, other))
