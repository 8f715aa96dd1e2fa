"""The body of a relationship's signed terms, with its types (CSA vocabulary). All that moves money is here (D5)."""

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from intermediary.canonical import canonical_json, hash_of


@dataclass(frozen=True)
class Terms:
    """Amounts in settlement base units, times in minutes, haircuts in basis points. `max_required_by_token`: most that
    may be required of each other token, in base units of its own; terms without any are hashed as if it were not."""

    relationship: str
    agreement: str  # hash of the master agreement document
    client: str  # wallet with authority over client-side actions
    payout: str  # the only client-side destination of tokens
    rulebook_hash: str
    ruleset: str
    minimum_transfer_base_units: int
    rounding_unit_base_units: int
    haircut_bps: tuple[tuple[str, int], ...]
    valuation_minutes: int
    acknowledge_minutes: int
    deliver_minutes: int
    grace_minutes: int
    cure_minutes: int
    answer_minutes: int
    exit_minutes: int
    debit_cap_base_units: int
    max_required_base_units: int
    interest_spread_bps: int = -20
    cross_default: bool = False
    max_required_by_token: tuple[tuple[str, int], ...] = ()

    def body(self) -> dict[str, Any]:
        """The plain JSON value that is hashed and signed."""
        body = asdict(self) | {"haircut_bps": dict(self.haircut_bps)}
        caps = body.pop("max_required_by_token")
        return body | {"max_required_by_token": dict(caps)} if caps else body

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical body."""
        return hash_of(self.body())

    @property
    def canonical(self) -> str:
        """The canonical body."""
        return canonical_json(self.body())

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> "Terms":
        """Read a body back; raises TypeError on an unknown or missing field."""
        caps = tuple(sorted(body.get("max_required_by_token", {}).items()))
        haircuts = tuple(sorted(body["haircut_bps"].items()))
        return cls(**body | {"haircut_bps": haircuts, "max_required_by_token": caps})

    @classmethod
    @lru_cache(maxsize=20_000)  # terms are fixed for good, and read at every valuation: some 2 kB for a relationship
    def from_canonical(cls, text: str) -> "Terms":
        """Read a canonical body back."""
        return cls.from_body(json.loads(text))

    def haircut_of(self, asset: str) -> int:
        """Haircut of an asset in basis points; an asset that the terms do not name is worth nothing."""
        return dict(self.haircut_bps).get(asset, 10_000)

    def most_required(self, asset: str) -> int:
        """Most that the vault of this token may lock, base units of the token. Vaults that were opened before terms
        named one for each token commit to the settlement token's number."""
        return dict(self.max_required_by_token).get(asset, self.max_required_base_units)

    @property
    def time_to_deliver(self) -> timedelta:
        """From the issue of a call to its deadline, grace apart."""
        return timedelta(minutes=self.deliver_minutes)

    @property
    def oldest_price(self) -> timedelta:
        """Up to this age an official price admits new risk, closes out and releases collateral (M6): a price that
        missed three valuations says nothing about now."""
        return 3 * timedelta(minutes=self.valuation_minutes)

    @property
    def grace(self) -> timedelta:
        """After the deadline, before a default notice."""
        return timedelta(minutes=self.grace_minutes)
