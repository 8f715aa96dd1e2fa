"""What can be wrong with a node, one function each: an answer made from the question and the node's true answer.

A fault is called with a question and with `forward`, which asks the next fault and at last the node. So faults combine,
and none knows of HTTP. `Lost` means that the asker gets no answer at all: its connection breaks.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Answer = dict[str, Any]  # {"result": …} or {"error": …}
LATEST = ("latest", "pending")
FINAL = ("finalized", "safe")
# Where in its parameters a question names the block it is about.
BLOCK_PLACE = {"eth_call": 1, "eth_estimateGas": 1, "eth_getTransactionCount": 1, "eth_getBalance": 1}
HOLD_SECONDS = 60.0  # a test that forgot to open its gate ends anyway


class Lost(Exception):
    """The connection breaks instead of an answer."""


@dataclass(frozen=True)
class Ask:
    """One question of one client (a name in the proxy's path)."""

    client: str
    method: str
    params: list[Any]


Forward = Callable[[Ask], Answer]
Fault = Callable[[Ask, Forward], Answer]


def lost_before(ask: Ask, forward: Forward) -> Answer:
    """The question never reaches the node."""
    raise Lost


def lost_after(ask: Ask, forward: Forward) -> Answer:
    """The node has done it; nobody hears of it."""
    forward(ask)
    raise Lost


def twice(ask: Ask, forward: Forward) -> Answer:
    """The network delivers the question two times."""
    first = forward(ask)
    forward(ask)
    return first


def refused(ask: Ask, forward: Forward) -> Answer:
    """The node is busy and says so."""
    return {"error": {"code": -32005, "message": "limit exceeded"}}


def delayed(seconds: float) -> Fault:
    """The answer takes this long."""

    def fault(ask: Ask, forward: Forward) -> Answer:
        answer = forward(ask)
        time.sleep(seconds)
        return answer

    return fault


def null(ask: Ask, forward: Forward) -> Answer:
    """The node denies what it has, a receipt above all."""
    forward(ask)
    return {"result": None}


def altered(**said: Any) -> Fault:
    """The node answers, with these fields of its own: a receipt of another status, of another block."""

    def fault(ask: Ask, forward: Forward) -> Answer:
        answer = forward(ask)
        return {"result": answer["result"] | said} if answer.get("result") else answer

    return fault


def without_logs(leave_out: Callable[[dict[str, Any]], bool]) -> Fault:
    """The node's index has holes: these logs are not in its answers."""

    def fault(ask: Ask, forward: Forward) -> Answer:
        answer = forward(ask)
        if ask.method != "eth_getLogs" or "result" not in answer:
            return answer
        return {"result": [log for log in answer["result"] if not leave_out(log)]}

    return fault


def behind(blocks: int) -> Fault:
    """The node has not got the last blocks yet, nor anything in them."""

    def fault(ask: Ask, forward: Forward) -> Answer:
        head = max(0, int(forward(Ask(ask.client, "eth_blockNumber", []))["result"], 16) - blocks)
        if ask.method == "eth_blockNumber":
            return {"result": hex(head)}
        if ask.method == "eth_getBlockByNumber":
            return _block_behind(ask, forward, head, blocks)
        place = BLOCK_PLACE.get(ask.method)
        if place is not None and (len(ask.params) <= place or ask.params[place] in LATEST):
            return forward(replace(ask, params=[*ask.params[:place], hex(head)]))
        answer = forward(ask)
        found = answer.get("result")
        if ask.method == "eth_getLogs" and found:
            return {"result": [log for log in found if int(log["blockNumber"], 16) <= head]}
        if ask.method in ("eth_getTransactionReceipt", "eth_getTransactionByHash") and found:
            number = found.get("blockNumber")
            return {"result": None} if number and int(number, 16) > head else answer
        return answer

    return fault


def lagging(blocks: int) -> Fault:
    """One of several machines behind the address has not got the last blocks yet, and is the one asked for a block by
    its number; another says which is the latest."""
    late = behind(blocks)

    def fault(ask: Ask, forward: Forward) -> Answer:
        is_numbered = ask.method == "eth_getBlockByNumber" and ask.params[0] not in (*LATEST, *FINAL)
        return late(ask, forward) if is_numbered else forward(ask)

    return fault


def _block_behind(ask: Ask, forward: Forward, head: int, blocks: int) -> Answer:
    which, *rest = ask.params
    if which in LATEST:
        return forward(replace(ask, params=[hex(head), *rest]))
    if which in FINAL:
        final = forward(ask)["result"]
        number = max(0, int(final["number"], 16) - blocks) if final else 0
        return forward(replace(ask, params=[hex(number), *rest]))
    return {"result": None} if int(which, 16) > head else forward(ask)


class Gate:
    """Holds a question, or its answer, until the test lets it go: the moment at which a process is killed."""

    def __init__(self, *, after: bool) -> None:
        self._after = after
        self.reached, self._open = threading.Event(), threading.Event()
        self._lost = False

    def __call__(self, ask: Ask, forward: Forward) -> Answer:
        answer = forward(ask) if self._after else None
        self.reached.set()
        self._open.wait(HOLD_SECONDS)
        if self._lost:
            raise Lost
        return answer if answer is not None else forward(ask)

    def let_go(self) -> None:
        """Go on as if nothing had been."""
        self._open.set()

    def lose(self) -> None:
        """Whoever asked is gone, or will hear nothing; a question that was held never reaches the node."""
        self._lost = True
        self._open.set()


class Weather:
    """Every fault at random, from one seed: most questions are answered, some badly, and now and then the node is
    behind for a while. What it did is counted by name."""

    def __init__(self, seed: int, share: float = 0.04) -> None:
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._share, self._behind_until, self._blocks = share, 0.0, 0
        self.calm = False
        self.done: dict[str, int] = {}

    def __call__(self, ask: Ask, forward: Forward) -> Answer:
        with self._lock:
            name, fault = self._pick(ask)
            if fault is not None:
                self.done[name] = self.done.get(name, 0) + 1
        return fault(ask, forward) if fault is not None else forward(ask)

    def _pick(self, ask: Ask) -> tuple[str, Fault | None]:
        if self.calm:
            return "", None
        if time.monotonic() < self._behind_until:
            return "behind", behind(self._blocks)
        if self._random.random() > self._share:
            return "", None
        if self._random.random() < 0.05:
            self._behind_until = time.monotonic() + self._random.uniform(0.2, 2.0)
            self._blocks = self._random.randint(1, 12)
            return "behind", behind(self._blocks)
        if ask.method == "eth_getLogs" and self._random.random() < 0.5:
            return "missing log", without_logs(self._some_of(0.5))
        if ask.method == "eth_getTransactionReceipt" and self._random.random() < 0.6:
            wrong = altered(status="0x0") if self._random.random() < 0.3 else null
            return "lying receipt", wrong
        menu: list[tuple[str, Fault]] = [
            ("lost before", lost_before),
            ("lost after", lost_after),
            ("twice", twice),
            ("refused", refused),
            ("delayed", delayed(self._random.uniform(0.01, 0.4))),
        ]
        return self._random.choice(menu)

    def _some_of(self, share: float) -> Callable[[dict[str, Any]], bool]:
        seed = self._random.random()
        return lambda log: random.Random(f"{seed}{log['transactionHash']}{log['logIndex']}").random() < share
