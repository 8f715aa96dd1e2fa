"""The demo's wallet as a page meets it: who may ask, what it refuses, and what it signs for whom."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from intermediary import onboarding
from intermediary.config.demo import wallet_sending
from intermediary.config.demo.wallet_rpc import WalletRpc
from intermediary.config.demo.wallet_server import BODY_BYTES_MAX, WalletServer, serving
from intermediary.config.supervisor.child import answers_http
from intermediary.config.supervisor.processes import choose_port, wait_until
from intermediary.models import Asset
from settlement.bindings import contract
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.signer import demo_wallet
from tests.conftest import TestDatabase
from tests.intermediary.builders import client_cell
from tests.settlement.world import MILLION, give, house_alone

pytestmark = pytest.mark.world(build=house_alone)

PAGE = "http://127.0.0.1:8000"
ALICE, BOB = demo_wallet(0), demo_wallet(1)
PEOPLE = {"client.alice": (ALICE, demo_wallet(60)), "client.bob": (BOB,)}
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server() -> Iterator[WalletServer]:
    """A wallet whose chain does not answer: enough for what is refused before a chain is asked."""
    with serving(0, WalletRpc(NOWHERE, PEOPLE), {PAGE}) as running:
        yield running


def http_request(
    server: WalletServer, method: str = "POST", path: str = "/client.alice", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; headers default to those of the portal's own page."""
    sent = {"Host": f"127.0.0.1:{server.server_port}", "Origin": PAGE, "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def call(rpc: WalletRpc, method: str, *parameters: Any, person: str = "client.alice") -> Any:
    """The result, or the error's code."""
    answer = rpc.answer(person, {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 1)
    return answer["error"]["code"] if "error" in answer else answer["result"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Host": "rebound.example:8100"}, 403),
        ({"path": "/client.carol"}, 404),
        ({"path": "/"}, 404),
        ({"Content_Type": "text/plain"}, 415),
        ({"body": b"{"}, 400),
        ({"body": b"[" * 60_000}, 400),
        ({"body": b" " * (BODY_BYTES_MAX + 1)}, 413),
        ({"method": "GET"}, 405),
    ],
)
def test_who_is_not_the_portals_page_gets_nothing(server: WalletServer, change: dict[str, Any], status: int) -> None:
    found, headers, body = http_request(server, **({"body": b"{}"} | change))
    assert found == status
    assert ALICE.address.encode() not in body
    if change.get("Origin") is not None:
        assert "access-control-allow-origin" not in headers


def test_the_portals_page_may_ask_and_no_other(server: WalletServer) -> None:
    status, headers, _ = http_request(server, "OPTIONS", Access_Control_Request_Method="POST")
    assert (status, headers["access-control-allow-origin"]) == (204, PAGE)
    assert http_request(server, "OPTIONS", Origin="http://elsewhere.example")[0] == 403
    asked = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "eth_accounts"}).encode()
    status, headers, body = http_request(server, body=asked)
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, PAGE, "Origin")
    assert json.loads(body) == {"jsonrpc": "2.0", "id": 7, "result": [key.address for key in PEOPLE["client.alice"]]}


def test_a_page_that_says_nothing_holds_up_no_other(server: WalletServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)) as silent:
        silent.sendall(b"POST /client.alice HTTP/1.1\r\n")
        begun = time.monotonic()
        assert http_request(server, "OPTIONS")[0] == 204
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ([], -32600),
        ({"method": "eth_accounts"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "eth_accounts", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "personal_sign", "params": ["0x00", ALICE.address]}, 4200),
        ({"jsonrpc": "2.0", "id": 1, "method": "evm_mine"}, 4200),
        ({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x00"]}, 4200),
        ({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}, 4900),
    ],
)
def test_what_it_does_not_do_has_a_code(request_: object, code: int) -> None:
    assert WalletRpc(NOWHERE, PEOPLE).answer("client.alice", request_)["error"]["code"] == code


def test_it_signs_typed_data_for_its_own_addresses_only(db: None) -> None:
    rpc, party = WalletRpc(NOWHERE, PEOPLE), client_cell("R-1").party
    assert party is not None
    message = onboarding.wallet_typed_data(party, ALICE.address)
    signature = call(rpc, "eth_signTypedData_v4", ALICE.address, json.dumps(message))
    assert Account.recover_message(encode_typed_data(full_message=message), signature=signature) == ALICE.address
    assert call(rpc, "eth_signTypedData_v4", ALICE.address.lower(), message) == signature
    assert call(rpc, "eth_signTypedData_v4", BOB.address, message) == 4100
    assert call(rpc, "eth_signTypedData_v4", ALICE.address, message, person="client.bob") == 4100
    malformed_ones: tuple[object, ...] = ("{", "{}", {"types": {}}, [1], 5)
    for malformed in malformed_ones:
        assert call(rpc, "eth_signTypedData_v4", ALICE.address, malformed) == -32602
    assert call(rpc, "eth_signTypedData_v4", ALICE.address) == -32602


@pytest.fixture
def funded(chain: Chain) -> WalletRpc:
    """Alice's wallet on a chain, with gas and five million."""
    fund_gas(chain, ALICE.address)
    give(chain, ALICE.address, 5 * MILLION)
    return WalletRpc(chain.url, PEOPLE)


def tokens_to(receiver: str, amount: int, **more: str) -> dict[str, str]:
    """A transaction of Alice's that transfers tokens."""
    data = "0x" + contract("DemoUSDC").encode("transfer", [receiver, amount]).hex()
    return {"from": ALICE.address, "to": Asset.objects.get(code="USDC").token_address, "data": data} | more


def test_it_sends_tokens_of_its_own_and_tells_the_hash(funded: WalletRpc, chain: Chain) -> None:
    hash_ = call(funded, "eth_sendTransaction", tokens_to(BOB.address, MILLION, value="0x0", chainId="0x7a69"))
    assert call(funded, "eth_getTransactionReceipt", hash_) is None, "it does not wait for the block"
    mine(chain)
    assert call(funded, "eth_getTransactionReceipt", hash_)["status"] == "0x1"
    assert wallet_sending.balance(chain, Asset.objects.get(code="USDC"), BOB.address) == MILLION


def test_a_transaction_that_is_not_its_own_or_malformed_is_not_sent(funded: WalletRpc, chain: Chain) -> None:
    changes: list[tuple[dict[str, str], int]] = [
        ({"from": BOB.address}, 4100),
        ({"from": "alice"}, -32602),
        ({"to": ""}, -32602),
        ({"data": "0x0"}, -32602),
        ({"data": "0x" + "00" * 5_000}, -32602),
        ({"value": "0x1"}, -32602),
        ({"value": "1"}, -32602),
        ({"chainId": "0x1"}, -32602),
        ({"authorizationList": "0x"}, -32602),
    ]
    for change, code in changes:
        asked = tokens_to(BOB.address, MILLION) | change
        assert call(funded, "eth_sendTransaction", asked) == code, change
    assert call(funded, "eth_sendTransaction") == -32602
    assert not wallet_sending.under_way(chain, ALICE.address)


def test_more_tokens_than_it_holds_are_refused_by_the_contract(funded: WalletRpc, chain: Chain) -> None:
    assert call(funded, "eth_sendTransaction", tokens_to(BOB.address, 6 * MILLION)) == -32003
    assert not wallet_sending.under_way(chain, ALICE.address)


def test_two_senders_of_one_key_never_take_the_same_number(funded: WalletRpc, chain: Chain) -> None:
    asked = tokens_to(BOB.address, MILLION)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(call(funded, "eth_sendTransaction", asked))) for _ in "1234"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mine(chain)
    receipts = chain.receipts(found)
    assert len(set(found)) == 4
    assert all(receipt and receipt["status"] == "0x1" for receipt in receipts)


def test_a_busy_wallet_says_so_instead_of_waiting(funded: WalletRpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallet_sending, "BUSY_SECONDS", 0.05)
    asked, found = tokens_to(BOB.address, MILLION), []
    with wallet_sending.one_at_a_time():
        thread = threading.Thread(target=lambda: found.append(call(funded, "eth_sendTransaction", asked)))
        thread.start()
        thread.join()
    assert found == [-32003]


@pytest.mark.world(build=None)
def test_the_process_answers_the_page_while_it_plays_and_ends_when_asked(
    committing_db: TestDatabase, chain_url: str
) -> None:
    environment = os.environ | committing_db.urls | {
        "BULKHEAD_MODE": "demo", "DATABASE_ROLE": "worker", "CHAIN_RPC_URLS": chain_url,
        "DJANGO_SETTINGS_MODULE": "intermediary.config.settings",
    }  # fmt: skip
    port = choose_port()
    command = [sys.executable, "manage.py", "wallet", "--port", str(port), "--origin", PAGE]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert wait_until(lambda: answers_http(port, "/"), seconds=30)
            taken = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert f"cannot answer on port {port}" in taken.stderr
            assert "Traceback" not in taken.stderr
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_accounts"})
            ours = {"Origin": PAGE, "Content-Type": "application/json"}
            connection.request("POST", "/client.basis", asked, ours)
            assert json.loads(connection.getresponse().read())["result"][0] == demo_wallet(0).address
            connection.close()
        finally:
            process.terminate()
        assert process.wait(timeout=10) == 0
