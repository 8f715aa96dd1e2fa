"""The API of notes: what is published, what is a holder's own, and bidding by a program from seal to outcome."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.test import Client, override_settings

from bonds.models import Document, NoteTransfer, Order, Series, SeriesDocument
from bonds.offering import stages
from bonds.servicing import coupon_plan, transfers
from intermediary.api import tokens
from intermediary.config import requests as carried_out
from intermediary.models import Wallet
from tests.bonds import world
from tests.bonds.test_holder_pages import looked_at
from tests.bonds.test_transfers import moved
from tests.bonds.world import MILLION
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary.builders import assets


@pytest.fixture
def investors(committing_db: TestDatabase) -> Iterator[list[User]]:
    cache.clear()
    with transaction.atomic():
        assets()
        people = [world.investor(name) for name in "ab"]
    with override_settings(DATABASE_ROLE="web"):
        yield people


@pytest.fixture
def issued(investors: list[User]) -> Series:
    with transaction.atomic():
        return world.on_risk([world.covered_cell("R1"), world.covered_cell("R2")], investors)


def program(user: User, as_role: RoleSwitch, *scopes: str) -> Client:
    """A program with a key of this person."""
    with as_role("owner"), transaction.atomic():
        made = tokens.issue(user=user, name="t", scopes=scopes or list(tokens.SCOPES), days=1, networks=[])
    return Client(headers={"authorization": f"Bearer {made.secret}"})


def sent(client: Client, path: str, body: str) -> Any:
    """A wish under an id of its own."""
    key = {"idempotency-key": str(uuid.uuid4())}
    return client.post(f"/api/v1/{path}", body, content_type="application/json", headers=key)


def ask(client: Client, as_role: RoleSwitch, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask, let a worker carry it out, and read what became of it."""
    with as_role("web"):
        told = sent(client, path, json.dumps(body or {}))
    assert told.status_code == 202, told.content
    assert told["Location"] == told.json()["outcome_at"]
    carried_out.run_pending()
    with as_role("web"):
        found: dict[str, Any] = client.get(told["Location"]).json()
    return found


def test_everything_published_of_an_issued_series(issued: Series, as_role: RoleSwitch) -> None:
    with transaction.atomic():
        coupon_plan.plan(issued.id)
    base = f"/api/v1/series/{issued.code}"
    with as_role("web"):
        said = {name: Client().get(f"{base}/{name}") for name in ("coupons", "offering", "allocation", "term-sheet")}
    assert said["offering"].json()["state"] == "SETTLED"
    assert said["allocation"].status_code == 200
    assert tokens.digest_of(said["allocation"].content.decode()) == said["offering"].json()["report_hash"]
    assert {one["state"] for one in said["coupons"].json()["results"]} == {"PLANNED"}
    assert said["term-sheet"].status_code == 404, "no valuation has marked it yet"


def test_a_pack_says_what_is_stored_and_what_is_named_by_its_hash_alone(
    investors: list[User], as_role: RoleSwitch
) -> None:
    content = b"%PDF-1.4 the circular"
    digest, elsewhere = hashlib.sha256(content).hexdigest(), "1" * 64
    pack = (("Circular", digest), ("Opinion", elsewhere))
    with transaction.atomic():
        terms = replace(world.series_terms([world.covered_cell("R1")]), document_hashes=pack)
        series = stages.structure(actor="desk", terms=terms)
        kept = Document.objects.create(
            title="c", filename="c.pdf", media_type="application/pdf", content=content, sha256=digest,
            uploaded_by=investors[0],
        )  # fmt: skip
        for (title, hash_), document in zip(pack, (kept, None), strict=True):
            SeriesDocument.objects.create(series=series, title=title, sha256=hash_, document=document)
    path = f"/api/v1/series/{series.code}/documents"
    with as_role("web"):
        assert Client().get(path).status_code == 404, "not published yet"
    with transaction.atomic():
        world.deployed(terms)
    with as_role("web"):
        stored, named = Client().get(path).json()
        download = Client().get(stored["address"])
    assert download.content == content
    assert stored["address"].startswith("http://testserver/"), "a whole address"
    assert (stored["title"], stored["sha256"], stored["stored"]) == ("Circular", digest, True)
    assert (stored["size_bytes"], stored["media_type"]) == (len(content), "application/pdf")
    nothing = dict.fromkeys(("media_type", "size_bytes", "address"))
    assert named == {"title": "Opinion", "sha256": elsewhere, "stored": False} | nothing


def test_the_collateral_account_and_the_calls_that_prove_it(issued: Series, as_role: RoleSwitch) -> None:
    base = f"/api/v1/series/{issued.code}/collateral"
    with as_role("web"):
        assert Client().get(base).json()["results"] == []
        assert Client().get(f"{base}/proof").status_code == 404, "not looked at yet"
    looked_at(issued, 76, 13 * MILLION)
    looked_at(issued, 77, 11 * MILLION)
    with as_role("web"):
        page = Client().get(base, {"limit": 1}).json()
        (newest,), (older,) = page["results"], Client().get(page["next"]).json()["results"]
        proof = Client().get(f"{base}/proof").json()
    assert (newest["block_number"], newest["balance_base_units"]) == (77, str(11 * MILLION))
    assert (newest["principal_base_units"], newest["owed_base_units"]) == (str(12 * MILLION), str(MILLION // 2))
    assert (newest["over_base_units"], newest["short_base_units"]) == (str(-3 * MILLION // 2), str(3 * MILLION // 2))
    assert (older["over_base_units"], older["short_base_units"], older["mark"]) == (str(MILLION // 2), "0", "1.0000")
    assert {name: proof[name] for name in ("block_number", "block_hash", "block_time")}.items() <= newest.items()
    note, escrow = world.only_tranche(issued).note_address, issued.escrow_address
    assert [(one["to"], one["function"], one["said"]) for one in proof["calls"]] == [
        (issued.currency.token_address, "balanceOf(address)", str(11 * MILLION)),
        (escrow, "principal()", str(12 * MILLION)),
        (escrow, "owedTotal()", str(MILLION // 2)),
        (escrow, "liabilities()", str(25 * MILLION // 2)),
        (note, "principal()", str(12 * MILLION)),
        (note, "totalSupply()", str(12 * MILLION)),
    ]
    assert (proof["calls"][0]["what"], proof["calls"][0]["words"]) == ("the escrow holds", [escrow])
    assert proof["calls"][0]["calldata"] == "0x70a08231" + "0" * 24 + escrow[2:].lower()
    assert proof["calls"][5]["calldata"] == "0x18160ddd"


def test_a_holders_transfers_are_its_own_from_its_side(
    issued: Series, investors: list[User], as_role: RoleSwitch
) -> None:
    mine, other = (world.party_of(user).wallets.get().address for user in investors)
    with transaction.atomic():
        stranger = world.investor("c")
        second = Wallet.objects.create(party=world.party_of(investors[0]), address=world.address(), proof="0x").address
        for sender, receiver, units in (
            (NoteTransfer.NOBODY, mine, 6 * MILLION),
            (mine, other, MILLION),
            (mine, second, 2 * MILLION),
        ):
            transfers.on_note_transferred(moved(issued, sender, receiver, units))
    client, receiving, outside = (program(user, as_role, tokens.READ) for user in (*investors, stranger))
    with as_role("web"):
        found = client.get("/api/v1/transfers").json()["results"]
        (got,) = receiving.get("/api/v1/transfers").json()["results"]
        page = client.get("/api/v1/transfers", {"limit": 1}).json()
        following = client.get(page["next"]).json()["results"]
        assert outside.get("/api/v1/transfers").json()["results"] == []
        assert Client().get("/api/v1/transfers").status_code == 401
    told = [(one["kind"], one["units"], one["wallet"], one["counterparty"], one["standing"]) for one in found]
    assert told == [
        ("RECEIVED", str(2 * MILLION), second, mine, "HELD"),
        ("SENT", str(-2 * MILLION), mine, second, None),
        ("SENT", str(-MILLION), mine, other, None),
        ("ISSUED", str(6 * MILLION), mine, NoteTransfer.NOBODY, "ISSUED"),
    ]
    assert page["results"] == found[:2], "both sides of one transfer"
    assert following == found[2:3]
    assert (got["kind"], got["units"], got["counterparty"], got["standing"]) == ("RECEIVED", str(MILLION), mine, "HELD")
    row = NoteTransfer.objects.get(receiver=other)
    assert (got["transaction_hash"], got["block_number"]) == (row.transaction_hash, row.block_number)
    assert (got["series"], got["symbol"]) == (issued.code, world.only_tranche(issued).symbol)


def test_a_holders_own(issued: Series, investors: list[User], as_role: RoleSwitch) -> None:
    client = program(investors[0], as_role, tokens.READ)
    half = world.only_tranche(issued).original_base_units // 2
    with as_role("web"):
        account = client.get("/api/v1/statement").json()[0]
        standing = client.get("/api/v1/eligibility").json()
        notices = client.get("/api/v1/notices")
        order = client.get("/api/v1/orders").json()[0]
    assert (account["lines"][0]["kind"], account["closing_units"]) == ("ISSUED", str(half))
    assert [one["state"] for one in standing] == ["ELIGIBLE"]
    assert notices.status_code == 200
    assert (order["state"], order["allocations"][0]["paid_units"]) == ("ALLOCATED", str(half))


def test_a_program_seals_withdraws_and_reveals(investors: list[User], as_role: RoleSwitch) -> None:
    with transaction.atomic():
        series = world.deployed(world.series_terms([world.covered_cell("R1")]))
    tranche = world.only_tranche(series)
    client = program(investors[0], as_role)
    with as_role("web"):
        on_sale = Client().get(f"/api/v1/series/{series.code}/offering").json()
    class_id = on_sale["classes"][0]["class_id"]
    first = ask(client, as_role, "orders", {"class_id": class_id, "commitment": "1" * 64})
    ask(client, as_role, f"orders/{first['outcome']['order']}/withdraw")
    kept = world.opening_of(investors[0], tranche, (380, 2 * MILLION), (420, MILLION))
    sealed = ask(client, as_role, "orders", {"class_id": class_id, "commitment": kept.commitment})
    with transaction.atomic():
        world.close(series)
    order = sealed["outcome"]["order"]
    wrong = ask(client, as_role, f"orders/{order}/reveal", {"opening": kept.opening.text + " ", "nonce": kept.nonce})
    right = ask(client, as_role, f"orders/{order}/reveal", {"opening": kept.opening.text, "nonce": kept.nonce})
    assert (wrong["state"], wrong["outcome"]["code"]) == ("REFUSED", "opening_unreadable")
    assert right["state"] == "DONE"
    assert dict(Order.objects.values_list("commitment", "state")) == {
        "1" * 64: "WITHDRAWN",
        kept.commitment: "REVEALED",
    }
    stranger = program(investors[1], as_role)
    assert ask(stranger, as_role, f"orders/{order}/withdraw")["outcome"]["code"] == "not_found"


def test_a_body_that_cannot_be_read_stores_no_wish(investors: list[User], as_role: RoleSwitch) -> None:
    client = program(investors[0], as_role)
    looks_only = program(investors[0], as_role, tokens.READ)
    good = json.dumps({"class_id": str(uuid.uuid4()), "commitment": "1" * 64})
    with as_role("web"):
        bad = sent(client, "orders", json.dumps({"class_id": "x", "commitment": "y"}))
        no_json = sent(client, "orders", "{")
        too_deep = sent(client, "orders", "[" * 200_000)
        too_long = sent(client, "orders", '"' + "x" * 1_000_000 + '"')
        no_key = client.post("/api/v1/orders", good, content_type="application/json")
        forbidden = sent(looks_only, "orders", "{}")
    assert (bad.status_code, set(bad.json()["data"]["fields"])) == (422, {"class_id", "commitment"})
    assert (no_json.status_code, no_json.json()["code"]) == (400, "parse_error")
    assert {(one.status_code, one.json()["code"]) for one in (too_deep, too_long)} == {(400, "parse_error")}
    assert (no_key.status_code, no_key.json()["code"]) == (422, "idempotency_key_missing")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "scope_missing")
    assert carried_out.run_pending() == 0


def test_a_transfer_is_judged_before_a_wallet_sends_it(
    issued: Series, investors: list[User], as_role: RoleSwitch
) -> None:
    client = program(investors[0], as_role)
    tranche = world.only_tranche(issued)
    mine, other = (world.party_of(user).wallets.get().address for user in investors)
    asked = {"symbol": tranche.symbol, "wallet": mine.lower(), "receiver": other, "units": str(MILLION)}
    assert ask(client, as_role, "transfers/review", asked)["state"] == "DONE"
    stranger = ask(client, as_role, "transfers/review", asked | {"receiver": "0x" + "9" * 40})
    assert stranger["state"] == "REFUSED"
    assert stranger["outcome"]["code"] != "internal_error"
    with as_role("web"):
        not_held = sent(client, "transfers/review", json.dumps(asked | {"wallet": other}))
    assert not_held.status_code == 404


def test_a_program_elects_bids_from_it_and_takes_it_back(
    issued: Series, investors: list[User], as_role: RoleSwitch
) -> None:
    with transaction.atomic():
        into = world.next_class()
    client, stranger = (program(user, as_role) for user in investors)
    wallet = world.party_of(investors[0]).wallets.get().address
    asked = {"symbol": "BLKT0", "wallet": wallet.lower(), "class_id": str(into.id), "minimum_spread_bps": 400}
    made = ask(client, as_role, "rolls", asked)
    again = ask(client, as_role, "rolls", asked)
    assert made["outcome"] == again["outcome"], "the same election"
    other = ask(client, as_role, "rolls", asked | {"minimum_spread_bps": 300})
    assert (other["state"], other["outcome"]["code"]) == ("REFUSED", "elected_already")
    assert other["outcome"]["data"]["minimum_spread_bps"] == 400
    election = made["outcome"]["election"]
    bid = {"class_id": str(into.id), "commitment": "2" * 64, "roll_forward": election}
    assert ask(stranger, as_role, "orders", bid)["outcome"]["code"] == "not_found"
    assert ask(client, as_role, "orders", bid)["state"] == "DONE"
    with as_role("web"):
        (row,) = client.get("/api/v1/rolls").json()
        order = next(one for one in client.get("/api/v1/orders").json() if one["symbol"] == "BLKN0")
        assert stranger.get("/api/v1/rolls").json() == []
        not_held = sent(stranger, "rolls", json.dumps(asked))
        too_much = sent(client, "rolls", json.dumps(asked | {"minimum_spread_bps": 10_001}))
    assert order["roll_forwards"] == [election]
    assert (row["id"], row["order"], row["state"]) == (election, order["id"], "ELECTED")
    assert (row["symbol"], row["into_symbol"], row["wallet"]) == ("BLKT0", "BLKN0", wallet)
    assert [row[name] for name in ("repaid_base_units", "rolled_base_units", "allocated_units")] == ["0", "0", "0"]
    assert not_held.status_code == 404
    assert (too_much.status_code, set(too_much.json()["data"]["fields"])) == (422, {"minimum_spread_bps"})
    assert ask(stranger, as_role, f"rolls/{election}/withdraw")["outcome"]["code"] == "not_found"
    assert ask(client, as_role, f"rolls/{election}/withdraw")["state"] == "DONE"
    with as_role("web"):
        assert client.get("/api/v1/rolls").json()[0]["state"] == "WITHDRAWN"
