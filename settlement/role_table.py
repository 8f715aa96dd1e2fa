"""Which role may call which function of the contracts, which keys hold it, and the delay they act under.

The table is data beside the contracts, `contracts/roles.json`: a deployment sets the access manager accordingly and
compares the live rights with it. A restricted function that stands in no row belongs to the administrator.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

TABLE = Path(__file__).parent / "contracts" / "roles.json"


@dataclass(frozen=True)
class Role:
    """One role of the access manager, and the names of the keys that hold it; `delay_seconds` lie between scheduling
    and acting in production."""

    id: int
    label: str
    delay_seconds: int
    holders: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """The functions of one contract that one role may call, as the four bytes that name each."""

    role: int
    selectors: tuple[bytes, ...]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def roles() -> list[Role]:
    """Every role, in order of its id."""
    return [
        Role(role["id"], role["label"], role["delay_seconds"], tuple(role["holders"])) for role in _table()["roles"]
    ]


def rows(contract_name: str) -> list[Row]:
    """Who may call what of this contract."""
    id_of = {role.label: role.id for role in roles()}
    functions: dict[str, list[str]] = _table()["functions"][contract_name]
    return [
        Row(id_of[label], tuple(keccak(text=signature)[:4] for signature in signatures))
        for label, signatures in functions.items()
    ]


def functions(contract_name: str, label: str) -> list[str]:
    """The signatures of the functions of this contract that the role of this label may call."""
    found: list[str] = _table()["functions"].get(contract_name, {}).get(label, [])
    return found
