"""A JSON-RPC client over one kept-alive connection, with batches.

A node's silence is not an answer: when the connection breaks or the reply is no JSON, the outcome of the call is
*unknown* (`chain_unreachable`), and whoever sent a transaction must look for it before trying anything else. Only an
explicit error object is a refusal (`chain_refused`). One client belongs to one thread.
"""

import http.client
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from intermediary.errors import Refusal
from settlement import chains
from settlement.chains import ChainSettings

# A local node answers in milliseconds, a remote one in a second or two; estimates of large batches take longest.
TIMEOUT_SECONDS = 10
# Nodes refuse larger JSON batches (common limit 1,000 calls); 200 keeps one answer below a megabyte.
BATCH_LIMIT = 200
# Nor do they take any size of request (common limits of the servers before them: 1 to 5 MB). Calls that list every
# address watched are long: a hundred blocks' logs of 170 contracts take 2 MB.
BODY_BYTES_MAX = 1_000_000

LOG_BLOCKS = 1000  # a range of logs that public nodes still answer

Call = tuple[str, Sequence[Any]]


class ChainUnreachable(Refusal):
    """No usable answer: what was asked may or may not have happened."""


class ChainRefused(Refusal):
    """The node answered with an error object; `data` holds its code, message and revert bytes."""

    @property
    def revert_data(self) -> bytes:
        """The ABI-encoded error of a call that would revert; empty when the node gave none."""
        found = self.data.get("data")
        return bytes.fromhex(found[2:]) if isinstance(found, str) and found.startswith("0x") else b""


class Chain:
    """One node of a chain, of this process's where `rules` names no other."""

    def __init__(
        self, url: str, rules: ChainSettings | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.url = url  # with the key of whoever runs the node, often: nothing prints or stores it, see `name`
        self._rules = rules
        self._id: int | None = None
        parts = urlsplit(url)
        self.name = f"{parts.hostname or '127.0.0.1'}{f':{parts.port}' if parts.port else ''}"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_seconds)

    def call(self, method: str, *parameters: Any) -> Any:
        """One call. Raises ChainUnreachable (unknown) or ChainRefused (the node said no)."""
        asked = {"jsonrpc": "2.0", "id": 0, "method": method, "params": list(parameters)}
        return _result(method, self._post(msgspec.json.encode(asked), dict))

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results in the order of the calls; the first error raises. For reads."""
        return [_result(method, answer) for (method, _), answer in zip(calls, self.answers(calls), strict=True)]

    def answers(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """The raw answers, errors included, in the order of the calls."""
        asked = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": list(parameters)}
            for i, (method, parameters) in enumerate(calls)
        ]
        found: list[dict[str, Any]] = []
        for part in _bodies([msgspec.json.encode(call) for call in asked]):
            by_id = {answer.get("id"): answer for answer in self._post(b"[%s]" % b",".join(part), list)}
            ids = range(len(found), len(found) + len(part))
            if set(by_id) != set(ids):
                raise ChainUnreachable("chain_unreachable", f"{self.name} answered a part of the batch only.")
            found += [by_id[i] for i in ids]
        return found

    @property
    def rules(self) -> ChainSettings:
        """What is configured for the chain of this node."""
        return self._rules or chains.configured()

    def id(self) -> int:
        """The chain's id, which every connection is asked for once. Refuses `wrong_chain`: what was signed for one
        chain must not be sent to another, nor its blocks be booked."""
        if self._id is None:
            found, wanted = int(self.call("eth_chainId"), 16), self.rules.chain_id
            if found != wanted:
                raise Refusal(
                    "wrong_chain",
                    f"{self.name} is a node of chain {found}; {self.rules.name} is chain {wanted}.",
                    node=self.name,
                    found=found,
                    wanted=wanted,
                )
            self._id = found
        return self._id

    def head_and_final(self) -> tuple[int, int]:
        """Numbers of the latest and of the last final block: the one of the chain's tag, and deep enough."""
        rules = self.rules
        tags = ["latest", rules.finality] if rules.finality else ["latest"]
        headers = self.batch([("eth_getBlockByNumber", [tag, False]) for tag in tags])
        head, *tagged = (int(header["number"], 16) if header else 0 for header in headers)
        return head, max(min(*tagged, head - rules.confirmations, head), 0)

    def head(self) -> int:
        """Number of the latest block."""
        return int(self.call("eth_blockNumber"), 16)

    def block(self, which: int | str) -> dict[str, Any] | None:
        """A block's header by number or tag; None when there is none."""
        found: dict[str, Any] | None = self.call("eth_getBlockByNumber", block_name(which), False)
        return found

    def receipts(self, hashes: Sequence[str]) -> list[dict[str, Any] | None]:
        """The receipts of these transactions, None where the node knows none."""
        return self.batch([("eth_getTransactionReceipt", [found]) for found in hashes])

    def eth_call(self, to: str, data: bytes, block: int | str = "latest", sender: str | None = None) -> bytes:
        """Run a call without sending it."""
        return bytes.fromhex(self.call("eth_call", call_object(to, data, sender), block_name(block))[2:])

    def close(self) -> None:
        """Give the connection back; the next call opens another, perhaps to another machine."""
        self._id = None
        self._connection.close()

    def _post(self, body: bytes, kind: type) -> Any:
        """The answer to a body of JSON, which is a `list` or a `dict` like the body itself."""
        for attempt in (1, 2):
            try:
                self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
                answer = msgspec.json.decode(self._connection.getresponse().read())
                if not isinstance(answer, kind):
                    raise ValueError(f"no {kind.__name__} of answers: {str(answer)[:200]}")
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # The node closed an idle connection. Every request of ours may safely be asked twice, a transaction
                # too: the same signed bytes cannot be mined twice.
                self.close()
                if attempt == 2:
                    raise self._unreachable(error) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                raise self._unreachable(error) from error
            else:
                return answer
        raise AssertionError("the loop returns or raises")

    def _unreachable(self, error: Exception) -> ChainUnreachable:
        """What went wrong, without the path: it is where a node's operator puts the key."""
        said = str(error).replace(self._path, "/…") if len(self._path) > 1 else str(error)
        return ChainUnreachable("chain_unreachable", f"{self.name}: {said}", node=self.name)


def _bodies(calls: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The calls in their order, cut where a node might find one body too long. One long call goes by itself."""
    start = size = 0
    for place, call in enumerate(calls):
        size += len(call) + 1
        if place > start and (size > BODY_BYTES_MAX or place - start == BATCH_LIMIT):
            yield calls[start:place]
            start, size = place, len(call) + 1
    if calls:
        yield calls[start:]


def default_chain() -> Chain:
    """The first node of this process's chain."""
    return all_chains()[0]


def all_chains() -> list[Chain]:
    """Every node of this process's chain, the first being the one to work with, the others witnesses. Refuses
    `no_chain_configured` without one."""
    rules = chains.configured()
    if not rules.rpc_urls:
        raise Refusal("no_chain_configured", f"No node of chain {rules.name} is configured (CHAIN_RPC_URLS).")
    return [Chain(url, rules) for url in rules.rpc_urls]


def block_name(which: int | str) -> str:
    """A block parameter: a tag as it is, a number in hex."""
    return hex(which) if isinstance(which, int) else which


def call_object(to: str, data: bytes, sender: str | None = None) -> dict[str, str]:
    """The transaction object of eth_call and eth_estimateGas."""
    return {"to": to, "data": "0x" + data.hex()} | ({"from": sender} if sender else {})


def _result(method: str, answer: dict[str, Any]) -> Any:
    if "result" in answer:
        return answer["result"]
    error = answer.get("error") or {}
    raise ChainRefused(
        "chain_refused",
        f"{method}: {error.get('message', answer)}",
        node_code=error.get("code"),
        node_message=str(error.get("message", "")),
        data=error.get("data"),
    )
