"""A small settlement world on real services: contracts on anvil, cells with vaults, money in them.

Deploying and registering take a second, so tests start from a copy: `house_alone`, `funded_client` and whatever else is
made by `on_chain` build a world for `@pytest.mark.world`, whose result is the chain's state and what was built on it;
`chain_of_world` puts that state on a test's chain as `committing_db` puts the copy of the database.
"""

import copy
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from django.db import transaction
from eth_utils.crypto import keccak
from pytest_django import Settings

from intermediary import clock, ledger, outbox
from intermediary.canonical import sha256_hex
from intermediary.ids import uuid7
from intermediary.models import (
    AccountKind,
    Asset,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    MarginState,
    TermsVersion,
    Valuation,
    Wallet,
)
from intermediary.terms import Terms
from settlement.bindings import read
from settlement.chain import Chain, default_chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import deploy, mint_tokens
from settlement.models import ReconciliationBreak, ReconciliationRun
from settlement.registration import register_cell
from settlement.signer import Signer, demo_wallet
from settlement.transactor import Transactor
from tests.intermediary.builders import assets, client_cell

Kind = ChainInstruction.Kind
MILLION = 10**12  # base units of USDC
RULEBOOK = sha256_hex("the rulebook")
CAP = 500 * MILLION
T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """One relationship with its keys and contracts."""

    cell: Cell
    key: Signer
    terms: Terms
    targets: dict[str, ChainTarget]

    @property
    def vault(self) -> ChainTarget:
        return self.targets["USDC"]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Client":
        """For a test's own copy of a built world: its own rows; keys never change and cannot be copied."""
        return replace(self, cell=copy.deepcopy(self.cell, memo), targets=copy.deepcopy(self.targets, memo))


def terms_of(code: str, key: Signer, debit_cap: int = 100 * MILLION) -> Terms:
    return Terms(
        relationship=code,
        agreement=sha256_hex("master agreement"),
        client=key.address,
        payout=key.address,
        rulebook_hash=RULEBOOK,
        ruleset="r1",
        minimum_transfer_base_units=10**9,
        rounding_unit_base_units=10**9,
        haircut_bps=(("USDC", 0), ("WBTC", 1500)),
        valuation_minutes=60,
        acknowledge_minutes=30,
        deliver_minutes=120,
        grace_minutes=30,
        cure_minutes=60,
        answer_minutes=24 * 60,
        exit_minutes=5 * 24 * 60,
        debit_cap_base_units=debit_cap,
        max_required_base_units=400 * MILLION,
        max_required_by_token=(("WBTC", 40_000 * 10**8),),
    )


def on_chain(build: Callable[[Chain], T]) -> tuple[str, T]:
    """What `build` makes on the configured chain, in front of the chain's whole state then; the chain is put back."""
    chain = default_chain()
    before = chain.call("evm_snapshot")
    made = build(chain)
    state = _state_of(chain)
    chain.call("evm_revert", before)
    return state, made


def _state_of(chain: Chain) -> str:
    """The whole chain in the node's own form. Of old blocks it has the state only of those not final yet, at which the
    books are still to be compared; the node would give its every test's."""
    dumped = json.loads(gzip.decompress(bytes.fromhex(chain.call("anvil_dumpState", True)[2:])))
    head = chain.head()
    open_blocks = {block["hash"] for number in range(head - 2, head + 1) if (block := chain.block(number))}
    dumped["historical_states"] = [row for row in dumped["historical_states"] if row[0] in open_blocks]
    return "0x" + gzip.compress(json.dumps(dumped).encode()).hex()


def chain_of_world(url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    """For a fixture: this chain and the test's database, both as the world of its mark was built. The chain's clock
    goes on from the last block."""
    settings.CHAIN_RPC_URLS = [url]
    state, _ = request.getfixturevalue("built_world")  # only now: whoever asks first builds it on this chain
    request.getfixturevalue("committing_db")
    chain = Chain(url)
    chain.call("anvil_dropAllTransactions")  # another test may have left some in the pool, under the same nonces
    chain.call("anvil_loadState", state)
    latest = chain.block("latest")
    assert latest is not None
    chain.call("evm_setTime", int(latest["timestamp"], 16))
    return chain


def house_alone() -> tuple[str, None]:
    """A world of nothing but the house's contracts, read by the watcher."""

    def build(chain: Chain) -> None:
        house_with_contracts(chain.url)
        settle_all(chain=chain)

    return on_chain(build)


def funded_client() -> tuple[str, Client]:
    """A world of the house and client W, whose deposit of five million is final."""

    def build(chain: Chain) -> Client:
        house_with_contracts(chain.url)
        who = client(chain, "W", 0)
        deposit(chain, who, 5 * MILLION)
        settle_all(chain=chain)
        return who

    return on_chain(build)


def house_with_contracts(url: str, *extra: Asset) -> Chain:
    """The house's cell and the contracts of USDC (and what else is named) on this chain."""
    chain = Chain(url)
    usdc, _ = assets()
    Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    used = (usdc, *extra)
    caps = {asset.code: CAP for asset in used}
    deploy(chain=chain, assets=used, rulebook_hash=RULEBOOK, rulebook_uri="docs", outflow_caps=caps, mine=mine)
    return chain


def client(chain: Chain, code: str, index: int, *, proved: bool = True, debit_cap: int = 100 * MILLION) -> Client:
    """A relationship with a funded wallet, its vaults and its retention."""
    cell, key = client_cell(code), demo_wallet(index)
    return registered(chain, cell, key, proved=proved, debit_cap=debit_cap)


def registered(chain: Chain, cell: Cell, key: Signer, *, proved: bool = True, debit_cap: int = 100 * MILLION) -> Client:
    """The contracts and the wallet of a cell that has none yet."""
    assert cell.party is not None
    fund_gas(chain, key.address)
    if proved:
        Wallet.objects.create(party=cell.party, address=key.address, proof="0x")
    terms = terms_of(cell.code, key, debit_cap)
    targets = register_cell(chain=chain, cell=cell, terms=terms, client=key, mine=mine)
    return Client(cell, key, terms, targets)


def give(chain: Chain, to: str, amount: int, asset: str = "USDC") -> str:
    """Mint demonstration tokens and mine them in."""
    return mint_tokens(chain=chain, asset=asset, to=to, amount_base_units=amount, mine=mine)


def grow(chain: Chain, holder: str, amount: int) -> None:
    """The token adds to a balance by itself, as one that pays interest does: no transfer tells of it."""
    token = Asset.objects.get(code="USDC").token_address
    slot = "0x" + keccak(bytes.fromhex(holder[2:]).rjust(32, b"\0") + bytes(32)).hex()  # a mapping in the first slot
    held = read(chain, token, "DemoUSDC", "balanceOf", holder)
    chain.call("anvil_setStorageAt", token, slot, f"0x{held + amount:064x}")  # in the state of the latest block
    for _ in range(2):
        mine(chain)  # which is final now


def transfer(chain: Chain, sender: Signer, to: str, amount: int) -> str:
    """A plain token transfer, mined; its hash."""
    token = Asset.objects.get(code="USDC").token_address
    wallet = Transactor(chain, sender, mine)
    sent = wallet.call(token, "DemoUSDC", "transfer", to, amount)
    wallet.wait()
    return sent


def deposit(chain: Chain, who: Client, amount: int) -> str:
    """The client's own wallet pays into its vault, mined but not yet final."""
    give(chain, who.key.address, amount)
    return transfer(chain, who.key, who.vault.address, amount)


def move(who: Client, kind: Kind, source: AccountKind, destination: AccountKind, amount: int) -> ChainInstruction:
    """A movement of the client's vault, instructed in the ledger."""
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=who.vault,
            cell_id=who.cell.id,
            kind=kind,
            source=source,
            destination=destination,
            amount_base_units=amount,
            memo="test",
            required_base_units=MILLION,
        )


def debit(who: Client, amount: int) -> ChainInstruction:
    """Variation margin from the vault to the house."""
    return move(who, Kind.DEBIT, AccountKind.CLIENT_MARGIN, AccountKind.FLOAT, amount)


def held(who: Client, kind: AccountKind = AccountKind.CLIENT_MARGIN) -> int:
    """What the ledger says the client has."""
    return ledger.balance(who.cell.id, kind, "USDC")


def required_of(who: Client, amount: int) -> DefaultCase:
    """The client's requirement at threshold zero, and its default case."""
    TermsVersion.objects.create(
        cell=who.cell, version=1, body=who.terms.canonical, hash=who.terms.hash, client_signer="", client_signature="",
        house_signer="", house_signature="",
    )  # fmt: skip
    valuation = Valuation.objects.create(as_of=clock.now(), source="test", snapshot_id="s", prices={})
    MarginState.objects.create(
        cell=who.cell, valuation=valuation, exposure_base_units=amount, independent_amount_base_units=0,
        threshold_base_units=0, required_base_units=amount, held_base_units=0, ruleset_hash="", breakdown=[],
        admission={},
    )  # fmt: skip
    return DefaultCase.objects.get()


def assert_reconciled() -> None:
    """The last comparison of ledger and chain found nothing."""
    run = ReconciliationRun.objects.first()
    assert run is not None
    open_breaks = ReconciliationBreak.objects.filter(resolved_block=None)
    assert (run.breaks, list(open_breaks.values_list("place", "ledger_value", "chain_value"))) == (0, [])


def pass_time(chain: Chain, seconds: int) -> None:
    """Mine a block so many seconds later."""
    latest = chain.block("latest")
    assert latest is not None
    chain.call("evm_mine", hex(int(latest["timestamp"], 16) + seconds))
