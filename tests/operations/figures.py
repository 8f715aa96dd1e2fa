"""Figures for tests of rules: all is well, and what a test changes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from intermediary.config.operations.figures import Chain, Figures, Flight, House, Node, Process, Round, Trouble, Waiting

GWEI = 10**9
WELL = Figures(
    at=datetime(2026, 11, 22, 3, 0, tzinfo=UTC),
    outbox={"DRAFT": Waiting(3, 20.0), "HELD": Waiting(1, 9e5)},
    houses=(House("USDC", "0xh", 3600.0),),
    chains={"main": Chain(head=100, final=98, final_age_seconds=3.0, looked_seconds=0.4, still_seconds=2.0)},
    round=Round(age_seconds=20.0, seconds=0.1, queues={"risk": 2}),
    nodes={"main": Node(head=100, base_fee_wei=GWEI, gas_wei={"poster": 10**19}, outflow_share={"USDC": 0.2})},
)


def process(name: str = "watcher", **said: Any) -> Process:
    """A process that is well, but for what is said."""
    well: dict[str, Any] = {
        "name": name, "host": "m1", "age_seconds": 2.0, "lived_seconds": 7200.0, "steps": 9, "step_seconds": 0.1,
        "rss_bytes": 90_000_000, "peak_rss_bytes": 95_000_000, "problem": "", "said": "", "problem_seconds": 0.0,
    }  # fmt: skip
    return Process(**(well | said))


def flight(**said: Any) -> Flight:
    """A transaction in flight that is young."""
    young: dict[str, Any] = {
        "chain": "main", "role": "poster", "nonce": 7, "age_seconds": 20.0, "attempts": 1, "hash": "0xab",
        "max_fee_wei": 30 * GWEI, "fee_cap_wei": 500 * GWEI,
    }  # fmt: skip
    return Flight(**(young | said))


def trouble(kind: str) -> Trouble:
    return Trouble(kind, "main", "poster", "500 gwei", 40.0)


def but(**changed: Any) -> Figures:
    """All is well but for this."""
    return replace(WELL, **changed)
