"""A randomised soak: everything that can happen to settlement, at random from one seed, for so many seconds.

Two of each process work at once behind the weather of the proxy. One of each is killed again and again; the other lives
through it all, and its memory is read. Blocks come, and go again up to ten deep. In the end the weather clears, and
what was done must stand in ledger and chain alike.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import transaction

from intermediary import ledger
from intermediary.config import sight
from intermediary.models import AccountKind, ChainInstruction
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.transactor import Transactor
from tests.settlement.faults.processes import Platform, rss_mb
from tests.settlement.faults.rules import Weather
from tests.settlement.world import Client, move

Kind = ChainInstruction.Kind
Account = AccountKind
MORTAL, STEADY = ("poster", "approver", "watcher"), ("poster 2", "approver 2", "watcher 2")
CONFIRMATIONS = 12  # of a final block; no reorganisation goes so deep
DEEPEST_REORG = 10
RSS_EVERY_SECONDS = 5.0
WARM_SECONDS = 20.0  # until a process has loaded what it needs; memory is judged from then on


@dataclass
class Report:
    """What was done, and what it took."""

    seed: int
    seconds: float = 0.0
    made: list[ChainInstruction] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    weather: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, list[float]] = field(default_factory=dict)

    def peak_mb(self) -> float:
        return max(max(readings) for readings in self.memory_mb.values())

    def growth_mb(self) -> dict[str, float]:
        """From the first quarter's mean to the last quarter's, by process."""
        found = {}
        for name, readings in self.memory_mb.items():
            quarter = max(len(readings) // 4, 1)
            found[name] = sum(readings[-quarter:]) / quarter - sum(readings[:quarter]) / quarter
        return found

    def __str__(self) -> str:
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        sky = ", ".join(f"{count} {what}" for what, count in sorted(self.weather.items()))
        growth = ", ".join(f"{name} {mb:+.1f}" for name, mb in self.growth_mb().items())
        return (
            f"seed {self.seed}, {self.seconds:.0f} s: {done}; faults: {sky}; "
            f"peak {self.peak_mb():.0f} MB a process, growth MB: {growth}"
        )


class Soak:
    """One run. `clients` move money and pay in; what becomes of it is read from chain and ledger afterwards."""

    def __init__(self, chain: Chain, platform: Platform, clients: Sequence[Client], seed: int) -> None:
        self.chain, self.platform, self.clients = chain, platform, clients
        self.random, self.weather = random.Random(seed), Weather(seed)
        self.report = Report(seed, weather=self.weather.done)
        self._read_at, self._started = 0.0, time.monotonic()
        platform.settings["CHAIN_CONFIRMATIONS"] = str(CONFIRMATIONS)
        platform.witness = True
        platform.proxy.add(self.weather)

    def run(self, seconds: float) -> Report:
        """Let it happen; afterwards the sky is clear, and all processes run."""
        self.platform.start(*MORTAL, *STEADY)
        acts: list[tuple[int, Callable[[], None]]] = [
            (6, self._debit),
            (4, self._credit),
            (2, self._withdraw),
            (3, self._pay_in),
            (12, self._block),
            (1, self._reorganise),
            (1, self._kill),
            (2, self._restart),
        ]
        weights = [weight for weight, _ in acts]
        while time.monotonic() - self._started < seconds:
            self.random.choices(acts, weights)[0][1]()
            sight.stop_clocks_unless_seen()  # what the clockwork does every second
            for name in self.platform.revive():
                self.report.done[f"end of {name} by itself"] += 1
            self._read_memory()
            time.sleep(self.random.uniform(0.0, 0.4))
        self.weather.calm = True
        self._restart()
        self.report.seconds = time.monotonic() - self._started
        return self.report

    def _debit(self) -> None:
        who = self.random.choice(self.clients)
        self._move(who, Kind.DEBIT, Account.CLIENT_MARGIN, Account.FLOAT, self._some_of(who))

    def _credit(self) -> None:
        self._move(
            self.random.choice(self.clients),
            Kind.CREDIT,
            Account.FLOAT,
            Account.CLIENT_MARGIN,
            self.random.randint(1, 10**9),
        )

    def _withdraw(self) -> None:
        who = self.random.choice(self.clients)
        self._move(who, Kind.RETURN, Account.CLIENT_MARGIN, Account.OUTSIDE, self._some_of(who))

    def _some_of(self, who: Client) -> int:
        return self.random.randint(0, ledger.balance(who.cell.id, Account.CLIENT_MARGIN, "USDC") // 50)

    def _move(self, who: Client, kind: Kind, source: Account, destination: Account, amount: int) -> None:
        if not amount:
            return
        with transaction.atomic():
            ledger.lock_cells([who.cell.id])  # as every command of the platform does first
            self.report.made.append(move(who, kind, source, destination, amount))
        self.report.done[kind.value] += 1

    def _pay_in(self) -> None:
        """The client's wallet sends, and does not wait: a reorganisation may lose it for good."""
        who = self.random.choice(self.clients)
        wallet = Transactor(self.chain, who.key)
        data = ("DemoUSDC", "transfer", who.vault.address, self.random.randint(1, 10**10))
        wallet.call(who.vault.asset.token_address, *data, gas_limit=100_000)
        self.report.done["deposit"] += 1

    def _block(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            mine(self.chain)
        self.report.done["turn of blocks"] += 1

    def _reorganise(self) -> None:
        for _ in range(DEEPEST_REORG):  # all that goes was made since the world began
            mine(self.chain)
        self.chain.call("anvil_reorg", self.random.randint(1, DEEPEST_REORG), [])
        self.report.done["reorganisation"] += 1

    def _kill(self) -> None:
        name = self.random.choice(MORTAL)
        if name in self.platform.running:
            self.platform.kill(name)
            self.report.done[f"kill of {name}"] += 1

    def _restart(self) -> None:
        self.platform.start(*(name for name in MORTAL if name not in self.platform.running))

    def _read_memory(self) -> None:
        now = time.monotonic()
        if now - self._started < WARM_SECONDS or now - self._read_at < RSS_EVERY_SECONDS:
            return
        self._read_at = now
        for name in STEADY:
            found = rss_mb(self.platform.running[name])
            self.report.memory_mb.setdefault(name, []).append(found)
