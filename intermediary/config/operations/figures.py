"""Every number that operations look at, of one moment, as plain data: what rules judge and metrics tell.

Ages are seconds. Those of processes, rows and transactions are of the wall; those of blocks and of calls are of the
platform's clock, which in production is the same and in a replay is the only one that blocks know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Key = tuple[str, str]  # chain and role


@dataclass(frozen=True)
class Waiting:
    """How many wait, and how long the oldest has."""

    count: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True)
class Flight:
    """One transaction that was given a nonce and is in no block yet."""

    chain: str
    role: str
    nonce: int
    age_seconds: float
    attempts: int
    hash: str  # of its last attempt
    max_fee_wei: int  # of its last attempt
    fee_cap_wei: int


@dataclass(frozen=True)
class Trouble:
    """What a process of settlement says is wrong with a key of its own (settlement.sender_alarms)."""

    kind: str
    chain: str
    role: str
    detail: str
    age_seconds: float


@dataclass(frozen=True)
class Fenced:
    """A chain that is ahead of the database: nothing is sent there (settlement.fence)."""

    chain: str
    reason: str
    age_seconds: float


@dataclass(frozen=True)
class House:
    """One house contract, by what of ours it last took."""

    asset: str
    address: str
    silent_seconds: float | None  # since its last batch or beat; None before anything is deployed


@dataclass(frozen=True)
class Process:
    """What a process last said of itself."""

    name: str
    host: str
    age_seconds: float  # since it said so
    lived_seconds: float
    steps: int
    step_seconds: float
    rss_bytes: int
    peak_rss_bytes: int
    problem: str  # name of what it fails on
    said: str
    problem_seconds: float  # since when


@dataclass(frozen=True)
class Node:
    """What the first node of a chain said at the last look round, by asset of the house and by role of the key."""

    problem: str = ""  # why it said nothing
    head: int = 0
    base_fee_wei: int = 0
    outflow_share: Mapping[str, float] = field(default_factory=dict)  # of the daily cap, used
    gas_wei: Mapping[str, int] = field(default_factory=dict)  # what the key has to pay fees with
    cap_short: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # cap, and what a stressed day needs


@dataclass(frozen=True)
class Round:
    """The last evaluation of the alarms."""

    age_seconds: float
    seconds: float
    queues: Mapping[str, int]


@dataclass(frozen=True)
class Chain:
    """How far the chain was read. None before anything was."""

    head: int | None = None
    final: int | None = None
    final_age_seconds: float | None = None  # of the last final block's time
    looked_seconds: float | None = None  # since the watcher last read to the head
    still_seconds: float | None = None  # since another block came that every node knows, at most by either clock


@dataclass(frozen=True)
class Figures:
    """Everything, of one moment."""

    at: datetime
    outbox: Mapping[str, Waiting] = field(default_factory=dict)  # by state; HELD waits for time or a person
    batches: Mapping[str, Waiting] = field(default_factory=dict)
    approvals: Waiting = Waiting()
    approvals_refused: int = 0  # in the last ten minutes
    flights: tuple[Flight, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    nonce_gaps: Mapping[Key, int] = field(default_factory=dict)  # nonces that no row of ours used
    displaced: Mapping[Key, Waiting] = field(default_factory=dict)  # oldest_seconds is the newest's age
    fences: tuple[Fenced, ...] = ()
    houses: tuple[House, ...] = ()
    chains: Mapping[str, Chain] = field(default_factory=dict)  # by name, of those a watcher has ever read
    breaks: Mapping[str, Waiting] = field(default_factory=dict)  # by kind
    break_places: Mapping[str, str] = field(default_factory=dict)  # one of each kind
    unapplied: Waiting = Waiting()  # final events that the ledger has not taken
    calls_open: int = 0
    calls_overdue: int = 0
    clock_stopped_seconds: float | None = None
    deliveries: Mapping[str, Waiting] = field(default_factory=dict)
    misplaced: Mapping[str, int] = field(default_factory=dict)  # class of notes -> units in no holding
    short_escrows: Mapping[str, int] = field(default_factory=dict)  # series -> base units missing
    holders_ending: int = 0  # that hold notes and whose eligibility ends within a month, or has ended
    suspensions_due: Mapping[str, str] = field(default_factory=dict)  # series -> what two officers are to decide
    requests: Waiting = Waiting()
    tick: Waiting = Waiting()  # ticks that are not done
    tick_seconds: float | None = None  # what the last finished one took
    market_refused_seconds: float | None = None  # since the live market has given none
    market_stuck: bool = False
    unmeasured_seconds: Mapping[str, float] = field(default_factory=dict)  # of live markets, by what is measured
    processes: Mapping[str, Process] = field(default_factory=dict)
    round: Round | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)  # by chain
    alarms: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (rule, severity) -> open
    notices: Mapping[str, int] = field(default_factory=dict)  # by state, of those not sent
