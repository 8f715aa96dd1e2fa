"""What the demo's wallet answers to a page: the methods of an EIP-1193 provider, for the keys of one person.

It signs for the addresses it holds and for no other, and passes on the few reads that a page needs. Asking the person
is done where the person is, by the script that announces this wallet (`demo-wallet.js`); here is only what may be
signed at all. Errors carry the codes of EIP-1193, EIP-1474 and JSON-RPC 2.0. No database: rows are the loop's matter.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from intermediary.config.demo.wallet_sending import send
from intermediary.errors import Refusal
from settlement.chain import Chain, ChainRefused, ChainUnreachable
from settlement.signer import Signer

logger = logging.getLogger(__name__)
INVALID_REQUEST, INVALID_PARAMS, INTERNAL, TRANSACTION_REFUSED = -32600, -32602, -32603, -32003
UNAUTHORIZED, UNSUPPORTED, DISCONNECTED = 4100, 4200, 4900
READS = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_estimateGas",
        "eth_getBalance",
        "eth_getBlockByNumber",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
    }
)
TRANSACTION_FIELDS = frozenset(
    {"from", "to", "data", "input", "value", "gas", "chainId", "type", "nonce"}
    | {"gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"}
)
DATA_BYTES_MAX = 4_096  # a token transfer has 68, the longest call of a client's own some hundreds
_DATA = re.compile(f"0x([0-9a-fA-F]{{2}}){{0,{DATA_BYTES_MAX}}}")
_QUANTITY = re.compile("0x[0-9a-fA-F]{1,64}")


class RpcError(Exception):
    """An answer that is an error object."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class WalletRpc:
    """The wallets of the demo's people over one node. `people` maps a log-in to its keys."""

    def __init__(self, chain_url: str, people: Mapping[str, Sequence[Signer]]) -> None:
        self.chain_url, self.people = chain_url, people
        self._methods: dict[str, Callable[[Sequence[Signer], list[Any]], Any]] = {
            "eth_accounts": self._accounts,
            "eth_requestAccounts": self._accounts,
            "eth_sendTransaction": self._send_transaction,
            "eth_signTypedData_v4": self._sign_typed_data,
        }

    def answer(self, person: str, request: object) -> dict[str, Any]:
        """The JSON-RPC answer to one parsed request of one of `people`; never raises."""
        name = request.get("id") if isinstance(request, dict) else None
        envelope = {"jsonrpc": "2.0", "id": name if isinstance(name, int | str) else None}
        try:
            return envelope | {"result": self._result(person, request)}
        except RpcError as error:
            found = {"code": error.code, "message": error.message}
            return envelope | {"error": found | ({} if error.data is None else {"data": error.data})}
        except Exception:
            logger.exception("the wallet failed on a request")
            return envelope | {"error": {"code": INTERNAL, "message": "The wallet failed; its log says why."}}

    def _result(self, person: str, request: object) -> Any:
        if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
            raise RpcError(INVALID_REQUEST, "One JSON-RPC 2.0 request at a time.")
        method, parameters = request.get("method"), request.get("params", [])
        if not isinstance(method, str):
            raise RpcError(INVALID_REQUEST, "A request names its method.")
        if not isinstance(parameters, list):
            raise RpcError(INVALID_PARAMS, "Parameters are a list.")
        try:
            if method in READS:
                with closing(Chain(self.chain_url)) as chain:
                    return chain.call(method, *parameters)
            if method not in self._methods:
                raise RpcError(UNSUPPORTED, f"This wallet does not support {method}.")
            return self._methods[method](self.people[person], parameters)
        except ChainUnreachable as refusal:
            raise RpcError(DISCONNECTED, "The wallet does not reach its chain.") from refusal
        except ChainRefused as refusal:
            code = refusal.data["node_code"]
            raise RpcError(
                code if isinstance(code, int) else INTERNAL, refusal.data["node_message"], refusal.data["data"]
            ) from refusal
        except Refusal as refusal:
            raise RpcError(TRANSACTION_REFUSED, refusal.message, {"code": refusal.code}) from refusal

    def _accounts(self, keys: Sequence[Signer], parameters: list[Any]) -> list[str]:
        return [key.address for key in keys]

    def _send_transaction(self, keys: Sequence[Signer], parameters: list[Any]) -> str:
        asked = _only_object(parameters)
        if unknown := set(asked) - TRANSACTION_FIELDS:
            raise RpcError(INVALID_PARAMS, f"A transaction has no {', '.join(sorted(map(str, unknown)))}.")
        signer = _held(keys, asked.get("from"))
        to, data = _address(asked.get("to")), asked.get("data", asked.get("input", "0x"))
        if not isinstance(data, str) or not _DATA.fullmatch(data):
            raise RpcError(INVALID_PARAMS, f"data is hex of at most {DATA_BYTES_MAX} bytes.")
        if _quantity(asked, "value", 0):
            raise RpcError(INVALID_PARAMS, "This wallet sends tokens, not ether: value is 0.")
        with closing(Chain(self.chain_url)) as chain:
            here = int(chain.call("eth_chainId"), 16)
            if _quantity(asked, "chainId", here) != here:
                raise RpcError(INVALID_PARAMS, f"This wallet is on chain {here}.")
            # Number and fees are the wallet's own: two senders share the key.
            return send(chain, signer, to, bytes.fromhex(data[2:])).hash

    def _sign_typed_data(self, keys: Sequence[Signer], parameters: list[Any]) -> str:
        if len(parameters) != 2:
            raise RpcError(INVALID_PARAMS, "Two parameters are wanted: an address and the typed data.")
        signer, message = _held(keys, parameters[0]), parameters[1]
        try:
            message = json.loads(message) if isinstance(message, str) else message
            return "0x" + signer.sign_typed(message).hex()
        except Exception as error:
            # The encoder tells a malformed message by whatever its own code ran into; nothing was signed.
            logger.info("typed data not signed: %r", error)
            raise RpcError(INVALID_PARAMS, "This is no EIP-712 typed data.") from error


def _only_object(parameters: list[Any]) -> dict[str, Any]:
    if len(parameters) != 1 or not isinstance(parameters[0], dict):
        raise RpcError(INVALID_PARAMS, "One transaction object is wanted.")
    return dict(parameters[0])


def _held(keys: Sequence[Signer], address: object) -> Signer:
    wanted = _address(address)
    for key in keys:
        if key.address == wanted:
            return key
    raise RpcError(UNAUTHORIZED, "This wallet does not hold that address.")


def _address(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("0x") or not is_address(value):
        raise RpcError(INVALID_PARAMS, "An address is wanted: 0x and 40 hex digits.")
    return str(to_checksum_address(value))


def _quantity(asked: dict[str, Any], name: str, default: int) -> int:
    value = asked.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise RpcError(INVALID_PARAMS, f"{name} is a quantity in hex.")
    return int(value, 16)
