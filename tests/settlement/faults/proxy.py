"""A JSON-RPC proxy over real HTTP between the platform and its node, which does what a test tells it to.

    with proxy_of(node_url) as proxy:
        gate = proxy.hold("eth_sendRawTransaction", client="poster")     # Chain(proxy.url("poster"))
        proxy.add(lost_after, "eth_getLogs", times=3)
        proxy.clear()

Each process gets a path of its own, so that a fault can be meant for one of them. Batches are taken apart: a call that
a fault is meant for goes its own way, all others go on together.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from settlement.chain import Chain, ChainUnreachable
from tests.settlement.faults.rules import Answer, Ask, Fault, Gate, Lost


@dataclass
class Rule:
    """A fault and whom it is meant for; empty means anybody and anything. `left` counts down where it is given."""

    fault: Fault
    methods: tuple[str, ...]
    client: str
    left: int | None

    def takes(self, ask: Ask) -> bool:
        if self.left == 0 or (self.client and self.client != ask.client):
            return False
        return not self.methods or ask.method in self.methods


class Proxy:
    """The control side; everything may be called while the platform asks."""

    def __init__(self, node_url: str, port: int) -> None:
        self.node_url, self._port = node_url, port
        self._rules: list[Rule] = []
        self._lock, self._of_thread = threading.Lock(), threading.local()
        self.asked: dict[tuple[str, str], int] = {}

    def url(self, client: str) -> str:
        """The node's address as this client is to know it."""
        return f"http://127.0.0.1:{self._port}/{client}"

    def add(self, fault: Fault, *methods: str, client: str = "", times: int | None = None) -> None:
        """From now on, or so many times, answer by this fault."""
        with self._lock:
            self._rules.append(Rule(fault, methods, client, times))

    def hold(self, method: str, *, client: str = "", after: bool = False) -> Gate:
        """Stop the next such question before the node hears it, or its answer on the way back."""
        gate = Gate(after=after)
        self.add(gate, method, client=client, times=1)
        return gate

    def clear(self) -> None:
        """An honest node again."""
        with self._lock:
            self._rules.clear()

    def answer(self, client: str, body: Any) -> Any:
        """The answer to one call or to a batch. Raises Lost."""
        calls = body if isinstance(body, list) else [body]
        plans = [self._plan(Ask(client, call["method"], call.get("params", []))) for call in calls]
        plain = [ask for ask, faults in plans if not faults]
        together = iter(self._node().answers([(ask.method, ask.params) for ask in plain]) if plain else [])
        answers = [_through(ask, faults, self._forward) if faults else next(together) for ask, faults in plans]
        named = [
            {"jsonrpc": "2.0", "id": call["id"]} | {k: v for k, v in answer.items() if k in ("result", "error")}
            for call, answer in zip(calls, answers, strict=True)
        ]
        return named if isinstance(body, list) else named[0]

    def _plan(self, ask: Ask) -> tuple[Ask, list[Fault]]:
        with self._lock:
            self.asked[ask.client, ask.method] = self.asked.get((ask.client, ask.method), 0) + 1
            taking = [rule for rule in self._rules if rule.takes(ask)]
            for rule in taking:
                if rule.left is not None:
                    rule.left -= 1
            return ask, [rule.fault for rule in taking]

    def _node(self) -> Chain:
        if not hasattr(self._of_thread, "node"):
            self._of_thread.node = Chain(self.node_url)
        node: Chain = self._of_thread.node
        return node

    def _forward(self, ask: Ask) -> Answer:
        return self._node().answers([(ask.method, ask.params)])[0]


def _through(ask: Ask, faults: list[Fault], forward: Any) -> Answer:
    if not faults:
        answer: Answer = forward(ask)
        return answer
    first, *rest = faults
    return first(ask, lambda onwards: _through(onwards, rest, forward))


@contextlib.contextmanager
def proxy_of(node_url: str) -> Iterator[Proxy]:
    """A proxy in front of this node, on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = Proxy(node_url, server.server_address[1])
    server.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # whoever asked has been killed
            super().handle()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            answer = json.dumps(self.server.proxy.answer(self.path.strip("/"), body)).encode()  # type: ignore[attr-defined]
        except (Lost, ChainUnreachable):
            self.close_connection = True
            return
        with contextlib.suppress(OSError):  # whoever asked has been killed meanwhile
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Tests ask for what they need; the log of every call is nobody's reading."""
