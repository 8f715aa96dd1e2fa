"""Deposits and proofs by the person's own wallet: what pages hand over, whom they may reach, what the ledger says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from eth_account import Account
from eth_account.messages import encode_typed_data
from pytest_django.fixtures import Settings

from intermediary.config import requests
from intermediary.margining import credit_deposit, deposit_entry_id
from intermediary.models import Cell, ChainTarget, CommandRequest, MarginCall, Wallet
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import faces_world
from tests.intermediary.test_portal import as_tenant, signed_in, text_of, wishes

WALLET_URL = "http://127.0.0.1:8100"
KEY = Account.from_key("0x" + "42" * 32)
SENT, STRAY = "0x" + "ab" * 32, "0x" + "cd" * 32
USD = 10**6


@transaction.atomic
def with_transfers() -> dict[str, Cell]:
    """The world of the faces with two arrived transfers."""
    cells = faces_world.build()
    party = cells["R-101"].party
    assert party is not None
    Wallet.objects.create(party=party, address="0x" + "c" * 40, proof="0x")
    vault = ChainTarget.objects.get(cell=cells["R-101"], asset_id="USDC")
    for hash_, sender in ((SENT, "0x" + "C" * 40), (STRAY, "0x" + "e" * 40)):
        credit_deposit(
            target=vault, amount_base_units=400_000 * USD, sender=sender, transaction_hash=hash_, log_index=3,
            block_number=9,
        )  # fmt: skip
    return cells


pytestmark = pytest.mark.world(build=with_transfers)


@pytest.fixture
def world(
    committing_db: TestDatabase, built_world: dict[str, Cell], as_role: RoleSwitch, settings: Settings
) -> Iterator[dict[str, Cell]]:
    """That world under the web's own login."""
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        yield built_world


def handed_over(answer: HttpResponseBase, name: str) -> Any:
    """The JSON that a page gives to its script."""
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', text_of(answer))
    assert found
    return json.loads(found[1])


def connect_src(answer: HttpResponseBase) -> str:
    assert isinstance(answer, HttpResponse)
    directives = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    return directives["connect-src"]


def test_a_review_hands_the_wallet_exactly_what_it_shows(world: dict[str, Cell]) -> None:
    answer = signed_in("client.basis").post("/portal/R-101/deposit/", {"asset": "USDC", "amount": "1,250,000.50"})
    asked = handed_over(answer, "asked")
    with transaction.atomic():
        as_tenant("client.basis", world["R-101"])
        vault = ChainTarget.objects.get(cell=world["R-101"], asset_id="USDC")
    assert asked["vault"] == vault.address
    assert (asked["amount"], asked["decimals"], asked["chainId"]) == ("1250000500000", 6, "0x7a69")
    assert asked["proved"] == ["0x" + "c" * 40]
    assert asked["sentUrl"] == "/portal/R-101/deposits/HASH/?token=USDC"
    body = text_of(answer)
    assert "Nothing has been sent yet" in body
    assert 'title="1,250,000.500000 USDC"' in body
    assert "15,441,750.50" in body, "held after: 13.8 million, 99.5% of 400,000 that came, 99.5% of the amount"
    assert 'value="542000.000000"' in body, "still to deliver: 940,000 less 99.5% of 400,000"
    assert wishes("client.basis") == []


def test_a_deposit_with_too_many_decimals_or_of_nothing_is_told_beside_the_field(world: dict[str, Cell]) -> None:
    browser = signed_in("client.basis")
    for amount, told in (("0.0000001", "USDC has 6 decimals"), ("0", "greater than"), ("much", "Enter a number")):
        assert told in text_of(browser.post("/portal/R-101/deposit/", {"asset": "USDC", "amount": amount}))


def test_a_call_offers_what_is_due_and_the_form_takes_it_over(world: dict[str, Cell]) -> None:
    browser = signed_in("client.basis")
    with transaction.atomic():
        as_tenant("client.basis", world["R-101"])
        call = MarginCall.objects.get()
    body = text_of(browser.get(f"/portal/R-101/margin-calls/{call.id}/"))
    link = re.search(r'href="(/portal/R-101/deposit/\?asset=USDC&amp;amount=544,?723.618091)"', body)
    assert link, "542,000 after a haircut of half a percent, rounded up"
    assert 'value="544,723.618091"' in text_of(browser.get(link[1].replace("&amp;", "&")))


def test_what_a_link_asks_for_is_taken_over_only_when_it_makes_sense(world: dict[str, Cell]) -> None:
    browser = signed_in("client.basis")
    for amount in ("1234.5", "1,234.5"):
        assert 'value="1,234.5"' in text_of(browser.get("/portal/R-101/deposit/", {"asset": "WBTC", "amount": amount}))
    for amount in ("NaN", "Infinity", "<script>", ""):
        body = text_of(browser.get("/portal/R-101/deposit/", {"asset": "nothing", "amount": amount}))
        assert 'name="amount"' in body
        assert not re.search(r'name="amount"[^>]* value=', body)


def test_the_ledger_says_what_became_of_a_transfer_and_only_to_its_owner(world: dict[str, Cell]) -> None:
    browser, other = signed_in("client.basis"), signed_in("client.maker")
    credited = browser.get(f"/portal/R-101/deposits/{SENT}/3/").json()
    assert (credited["booked"], credited["counts"], credited["amountBaseUnits"]) == (True, True, str(400_000 * USD))
    assert credited["entry"] == str(deposit_entry_id(SENT, 3))
    assert browser.get(f"/portal/R-101/deposits/{STRAY}/3/").json()["counts"] is False, "not from a proved wallet"
    assert browser.get(f"/portal/R-101/deposits/{SENT}/4/").json() == {"booked": False}
    assert other.get(f"/portal/R-102/deposits/{SENT}/3/").json() == {"booked": False}
    assert other.get(f"/portal/R-101/deposits/{SENT}/3/").status_code == 404
    for malformed in ("0x12", SENT.upper(), "x" * 66):
        assert browser.get(f"/portal/R-101/deposits/{malformed}/").status_code == 404
    assert handed_over(browser.get(f"/portal/R-101/deposits/{SENT}/"), "follow")["hash"] == SENT


def test_only_the_pages_that_need_it_may_reach_the_demo_wallet(world: dict[str, Cell], settings: Settings) -> None:
    settings.DEMO_WALLET_URL = WALLET_URL
    browser = signed_in("client.basis")
    for page in ("deposit/", "wallets/", f"deposits/{SENT}/"):
        answer = browser.get(f"/portal/R-101/{page}")
        assert connect_src(answer) == f"'self' {WALLET_URL}"
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert page == "deposit/" or f'content="{WALLET_URL}/client.basis"' in text_of(answer)
    for page in ("", "collateral/", "withdraw/"):
        assert connect_src(browser.get(f"/portal/R-101/{page}")) == "'self'"


def test_without_a_demo_wallet_the_policy_is_what_it_was(world: dict[str, Cell]) -> None:
    answer = signed_in("client.basis").get("/portal/R-101/wallets/")
    assert connect_src(answer) == "'self'"
    assert "demo-wallet" not in text_of(answer)


@pytest.mark.parametrize(("mode", "expected"), [("demo", WALLET_URL), ("test", ""), ("production", "")])
def test_the_demo_wallet_exists_in_the_demo_only(mode: str, expected: str) -> None:
    told = {"BULKHEAD_MODE": mode, "DEMO_WALLET_URL": WALLET_URL, "SECRET_KEY": "x"}
    code = "from intermediary.config import settings; print(settings.DEMO_WALLET_URL)"
    found = subprocess.run([sys.executable, "-c", code], env=os.environ | told, capture_output=True, text=True)
    assert found.stdout.strip() == expected, found.stderr


def test_without_a_named_chain_plain_addresses_remain(world: dict[str, Cell], settings: Settings) -> None:
    settings.CHAIN_ID = 0
    browser = signed_in("client.basis")
    body = text_of(browser.get("/portal/R-101/deposit/"))
    assert "By any other means" in body
    assert "With a wallet in this browser" not in body
    assert "Prove a wallet" not in text_of(browser.get("/portal/R-101/wallets/"))


def signature_for(message: dict[str, Any], address: str) -> str:
    message["message"]["wallet"] = address
    return str(KEY.sign_message(encode_typed_data(full_message=message)).signature.to_0x_hex())


def test_a_wallet_is_proved_by_what_the_page_gives_it_to_sign(world: dict[str, Cell], as_role: RoleSwitch) -> None:
    browser = signed_in("client.basis")
    message = handed_over(browser.get("/portal/R-101/wallets/"), "proof")["message"]
    assert message["message"]["party"] == str(world["R-101"].party_id)
    signed = {"address": KEY.address, "signature": signature_for(message, KEY.address)}
    address = browser.post("/portal/R-101/wallets/", signed)["Location"]
    assert outcome(as_role) == CommandRequest.State.DONE
    assert KEY.address[:8] in text_of(browser.get("/portal/R-101/wallets/"))
    assert "Done." in text_of(browser.get(address))


def test_a_signature_of_something_else_proves_nothing(world: dict[str, Cell], as_role: RoleSwitch) -> None:
    browser = signed_in("client.basis")
    message = handed_over(browser.get("/portal/R-101/wallets/"), "proof")["message"]
    message["message"]["party"] = str(world["R-102"].party_id)
    forged = {"address": KEY.address, "signature": signature_for(message, KEY.address)}
    browser.post("/portal/R-101/wallets/", forged)
    assert outcome(as_role) == CommandRequest.State.REFUSED
    assert "Please correct" in text_of(browser.post("/portal/R-101/wallets/", {"address": "0x1", "signature": "0x"}))


def outcome(as_role: RoleSwitch) -> str:
    """Let the worker carry out what waits; how the newest wish ended."""
    with as_role("worker"):
        assert requests.run_pending() == 1
        return str(CommandRequest.objects.latest("id").state)
