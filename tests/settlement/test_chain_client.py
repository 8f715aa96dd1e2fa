"""What the client of a node sends: bodies that a node takes, whatever is asked."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from settlement import chain as client
from settlement.chain import Chain, ChainUnreachable

BODY_LIMIT = 2_000  # of this server


class Node(HTTPServer):
    """Answers each call with its first parameter, the last first; refuses long bodies as servers before nodes do."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.sizes: list[int] = []


class Answering(BaseHTTPRequestHandler):
    server: Node

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        calls = json.loads(self.rfile.read(size))
        self.server.sizes.append(size)
        answers = [{"id": call["id"], "result": call["params"][0]} for call in reversed(calls)]
        said = b"payload too large" if size > BODY_LIMIT else json.dumps(answers).encode()
        self.send_response(413 if size > BODY_LIMIT else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_batch_is_cut_where_the_node_would_find_it_too_long(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(f"http://127.0.0.1:{node.server_port}")
    wanted = [f"{place}:" + "a" * 100 * (place % 5) for place in range(60)]
    calls = [("eth_getLogs", [said]) for said in wanted]
    with pytest.raises(ChainUnreachable):
        chain.batch(calls)
    node.sizes.clear()
    monkeypatch.setattr(client, "BODY_BYTES_MAX", BODY_LIMIT - 10)
    assert chain.batch(calls) == wanted, "every answer stands at its question's place"
    assert max(node.sizes) <= BODY_LIMIT
    assert len(node.sizes) > sum(node.sizes) // BODY_LIMIT > 5
    assert chain.batch([]) == []


def test_batch_is_cut_at_so_many_calls(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(f"http://127.0.0.1:{node.server_port}")
    monkeypatch.setattr(client, "BATCH_LIMIT", 10)
    assert chain.batch([("eth_getLogs", [place]) for place in range(21)]) == list(range(21))
    assert len(node.sizes) == 3
