"""A JSON-RPC client over one kept-alive connection, with batches.

A node's silence is not an answer: when the connection breaks or the reply is no JSON, the outcome of the call is
*unknown* (`chain_unreachable`), and whoever sent a transaction must look for it before trying anything else. Only an
explicit error object is a refusal (`chain_refused`). One client belongs to one thread.
"""

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from intermediary.errors import Refusal

# A local node answers in milliseconds, a remote one in a second or two; estimates of large batches take longest.
TIMEOUT_SECONDS = 10
# Nodes refuse larger JSON batches (common limit 1,000 calls); 200 keeps one answer below a megabyte.
BATCH_LIMIT = 200

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
    """One node."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_SECONDS)

    def call(self, method: str, *parameters: Any) -> Any:
        """One call. Raises ChainUnreachable (unknown) or ChainRefused (the node said no)."""
        return _result(method, self._post({"jsonrpc": "2.0", "id": 0, "method": method, "params": list(parameters)}))

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results in the order of the calls; the first error raises. For reads."""
        return [_result(method, answer) for (method, _), answer in zip(calls, self.answers(calls), strict=True)]

    def answers(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """The raw answers, errors included, in the order of the calls."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(calls), BATCH_LIMIT):
            part = calls[start : start + BATCH_LIMIT]
            body = [
                {"jsonrpc": "2.0", "id": i, "method": method, "params": list(parameters)}
                for i, (method, parameters) in enumerate(part)
            ]
            by_id = {answer.get("id"): answer for answer in self._post(body)}
            if len(by_id) != len(part):
                raise ChainUnreachable("chain_unreachable", "The node answered a part of the batch only.", url=self.url)
            found += [by_id[i] for i in range(len(part))]
        return found

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
        """Give the connection back; the next call opens another."""
        self._connection.close()

    def _post(self, body: Any) -> Any:
        text = json.dumps(body)
        for attempt in (1, 2):
            try:
                self._connection.request("POST", self._path, text, {"Content-Type": "application/json"})
                answer = json.loads(self._connection.getresponse().read())
                if isinstance(body, list) and not isinstance(answer, list):
                    raise ValueError(f"one answer to a batch: {str(answer)[:200]}")
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # The node closed an idle connection. Every request of ours may safely be asked twice, a transaction
                # too: the same signed bytes cannot be mined twice.
                self._connection.close()
                if attempt == 2:
                    raise ChainUnreachable("chain_unreachable", f"{self.url}: {error}", url=self.url) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._connection.close()
                raise ChainUnreachable("chain_unreachable", f"{self.url}: {error}", url=self.url) from error
            else:
                return answer
        raise AssertionError("the loop returns or raises")


def default_chain() -> Chain:
    """The first configured node."""
    return Chain(_urls()[0])


def all_chains() -> list[Chain]:
    """Every configured node, the first being the one to work with, the others witnesses."""
    return [Chain(url) for url in _urls()]


def block_name(which: int | str) -> str:
    """A block parameter: a tag as it is, a number in hex."""
    return hex(which) if isinstance(which, int) else which


def call_object(to: str, data: bytes, sender: str | None = None) -> dict[str, str]:
    """The transaction object of eth_call and eth_estimateGas."""
    return {"to": to, "data": "0x" + data.hex()} | ({"from": sender} if sender else {})


def _urls() -> list[str]:
    if not settings.CHAIN_RPC_URLS:
        raise Refusal("no_chain_configured", "CHAIN_RPC_URLS names no node.")
    return list(settings.CHAIN_RPC_URLS)


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
