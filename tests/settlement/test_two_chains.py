"""A platform on two chains: each with its own nodes, keys, poster and watcher, and one ledger over them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client as Visitor
from eth_account import Account
from pytest_django import Settings

from intermediary import ledger
from intermediary.config.services import services
from intermediary.config.supervisor.state import StateDirectory
from intermediary.errors import Refusal
from intermediary.models import AccountKind, Asset, ChainTarget
from settlement import approver, chains, lookout, poster, queries, registration, rights
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import address_of, deploy, mint_tokens
from settlement.models import ChainBlock, ChainSender, Deployment, ReconciliationBreak, ReconciliationRun
from settlement.signer import LocalSigner, Signer, demo_signer
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.conftest import RoleSwitch
from tests.settlement.world import CAP, MILLION, RULEBOOK, Client, debit, funded_client, held, move

pytestmark = pytest.mark.world(build=funded_client)
OTHER_ID = 31338
BITCOIN = 10**8


@dataclass(frozen=True)
class Other:
    """The second chain, with keys of its own and the same client's vault of another token."""

    chain: Chain
    keys: dict[str, Signer]
    client: Client


@pytest.fixture
def other(chain: Chain, who: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    state = StateDirectory.temporary()
    with services("anvil", state=state, environment={}) as running:
        settings.CHAINS = {
            "main": {"id": 31337, "rpc_urls": [chain.url]},
            "other": {"id": OTHER_ID, "rpc_urls": [running.anvil_url]},
        }
        with chains.on("other"):
            yield _set_up(Chain(running.anvil_url, chains.configured()), who, monkeypatch)
    shutil.rmtree(state.root, ignore_errors=True)


def _set_up(chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch) -> Other:
    chain.call("anvil_setChainId", OTHER_ID)
    wbtc = Asset.objects.get(code="WBTC")
    keys: dict[str, Signer] = {role: LocalSigner(Account.create()) for role in ("poster", "operator")}
    for role, key in keys.items():
        monkeypatch.setenv(f"SETTLEMENT_{role.upper()}_ADDRESS", key.address)
    fund_gas(chain, who.key.address, *(key.address for key in keys.values()))
    made: dict[str, Any] = {"rulebook_hash": RULEBOOK, "rulebook_uri": "docs", "outflow_caps": {"WBTC": CAP}}
    with pytest.raises(Refusal, match="address_taken"):  # the same key and nonce would give the same addresses
        deploy(chain=chain, assets=[wbtc], mine=mine, **made)
    chain.call("anvil_setNonce", demo_signer("admin").address, hex(1000))
    deploy(chain=chain, assets=[wbtc], mine=mine, **made)
    vaults = registration.register_cell(chain=chain, cell=who.cell, terms=who.terms, client=who.key, mine=mine)
    assert list(vaults) == ["WBTC"]
    return Other(chain, keys, Client(who.cell, who.key, who.terms, {"USDC": vaults["WBTC"]}))


def pay_in(other: Other, amount: int) -> None:
    who = other.client
    mint_tokens(chain=other.chain, asset="WBTC", to=who.key.address, amount_base_units=amount, mine=mine)
    wallet = Transactor(other.chain, who.key, mine)
    wallet.call(address_of("Token", "WBTC"), "DemoWBTC", "transfer", who.vault.address, amount)
    wallet.wait()


def settle_there(other: Other) -> None:
    """Rounds of the other chain's own processes."""
    for _ in range(2):
        poster.step(other.chain, other.keys)
        approver.step(demo_signer("approver"), OTHER_ID)
        poster.step(other.chain, other.keys)
        for _ in range(3):
            mine(other.chain)
        watch(other.chain)
        poster.step(other.chain, other.keys)


def margin_there(who: Client) -> int:
    return ledger.balance(who.cell.id, AccountKind.CLIENT_MARGIN, "WBTC")


def test_each_chains_processes_settle_its_own_tokens_only(chain: Chain, who: Client, other: Other) -> None:
    assert rights.differences(other.chain) == []
    pay_in(other, 3 * BITCOIN)
    settle_there(other)
    assert (margin_there(who), held(who)) == (3 * BITCOIN, 5 * MILLION)
    there = move(other.client, move_kind(), AccountKind.CLIENT_MARGIN, AccountKind.OUTSIDE, BITCOIN)
    with chains.on("main"):
        here = debit(who, MILLION)
        settle_all(chain=chain)
        here.refresh_from_db()
        there.refresh_from_db()
        assert (here.state, there.state, held(who)) == ("FINAL", "DRAFT", 4 * MILLION)
        assert lookout.unseen_since(30) is None
    settle_there(other)
    there.refresh_from_db()
    assert (there.state, margin_there(who)) == ("FINAL", 2 * BITCOIN)
    assert set(ChainSender.objects.values_list("chain", flat=True)) == {"main", "other"}
    assert not ReconciliationBreak.objects.filter(resolved_block=None).exists()
    assert {name: runs_of(name) for name in ("main", "other")} == {"main": True, "other": True}
    heights = [
        set(ChainBlock.everywhere.filter(chain=name).values_list("number", flat=True)) for name in chains.names()
    ]
    assert heights[0] & heights[1], "the same heights of two chains are two blocks"


def test_public_pages_show_each_chain_by_its_name_with_its_own_blocks_and_contracts(
    chain: Chain, who: Client, other: Other, as_role: RoleSwitch, settings: Settings
) -> None:
    pay_in(other, BITCOIN)
    settle_there(other)
    with chains.on("main"):
        settle_all(chain=chain)
    settings.DATABASE_ROLE = "web"
    with as_role("web"), chains.on("main"):
        page = Visitor(headers={"accept": "text/html"})
        shown = page.get("/status/").content.decode()
        rules = page.get("/rulebook/").content.decode()
    for name, node in (("main", chain), ("other", other.chain)):
        figure = shown.split(f"<dt>Head of {name}</dt>")[1].split("</dd>")[0]
        assert f">{node.head():,}<" in figure
    rows = shown.split('id="contracts"')[1].split("</table>")[0].split("<tr>")
    for name, asset in (("main", "USDC"), ("other", "WBTC")):
        house = Deployment.everywhere.get(chain=name, name="House", asset=asset).address
        assert sum(house in row and f"<td>{name}</td>" in row for row in rows) == 1
        assert house in rules


def move_kind() -> Any:
    from intermediary.models import ChainInstruction

    return ChainInstruction.Kind.RETURN


def runs_of(name: str) -> bool:
    with chains.on(name):
        run = ReconciliationRun.objects.first()
        return run is not None and run.breaks == 0


def test_break_of_one_chain_stops_its_outflow_and_is_not_closed_by_the_other(
    chain: Chain, who: Client, other: Other
) -> None:
    pay_in(other, BITCOIN)
    settle_there(other)
    wrong = Chain(chain.url, chains.configured())  # a node of the first chain called a witness of the second
    for _ in range(3):
        mine(other.chain)
    watch(other.chain, [wrong])
    said = ReconciliationBreak.objects.get(kind="witnesses", resolved_block=None)
    assert (said.chain, said.chain_value) == ("other", "wrong_chain")
    there = move(other.client, move_kind(), AccountKind.CLIENT_MARGIN, AccountKind.OUTSIDE, BITCOIN // 2)
    with chains.on("main"):
        here = debit(who, MILLION)
        settle_all(chain=chain)
        here.refresh_from_db()
        assert here.state == "FINAL"
    poster.step(other.chain, other.keys)
    approver.step(demo_signer("approver"), OTHER_ID)
    assert poster.step(other.chain, other.keys) == 0
    there.refresh_from_db()
    assert there.state == "BATCHED"
    for _ in range(3):
        mine(other.chain)
    watch(other.chain, [other.chain])
    assert not ReconciliationBreak.objects.filter(resolved_block=None).exists()
    settle_there(other)
    there.refresh_from_db()
    assert there.state == "FINAL"


def test_key_of_one_chain_is_refused_on_another(chain: Chain, who: Client, other: Other) -> None:
    with pytest.raises(Refusal, match="key_in_use"):
        with chains.on("main"):
            poster.step(chain, {role: demo_signer(role) for role in ("poster", "operator")})
        poster.step(other.chain, {role: demo_signer(role) for role in ("poster", "operator")})


def test_clocks_wait_for_the_chain_that_was_read_the_longest_ago(chain: Chain, who: Client, other: Other) -> None:
    with chains.on("main"):
        for _ in range(3):
            mine(chain)
        lookout.note(watch(chain, [chain]).agreed_until)
        alone = queries.deposits_seen().until
    settle_there(other)
    earlier = ChainBlock.objects.order_by("number").first()
    assert earlier is not None
    lookout.note(earlier.block_time)
    assert alone is not None
    assert queries.deposits_seen().until == min(alone, earlier.block_time)
    assert ChainTarget.objects.filter(kind="HOUSE").count() == 2
