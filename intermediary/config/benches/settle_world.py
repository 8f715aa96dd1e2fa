"""Many relationships with vaults on a chain of their own, for the settlement benchmark.

Everything is the platform's own: its contracts as it deploys them, vaults opened by the factory and accepted by the
house, deposits that the watcher sees and books. Only the ceremony is left out: one party has all the relationships and
one wallet, nobody signs terms, and there are no retentions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from intermediary import ledger
from intermediary.canonical import sha256_hex
from intermediary.models import AccountKind, Asset, Cell, ChainTarget, Party, Wallet
from intermediary.models.bulk import insert_all
from settlement.bindings import contract
from settlement.chain import Chain, default_chain
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import address_of, deploy, mint_tokens
from settlement.signer import demo_wallet, signer_for
from settlement.transactor import Transactor
from settlement.vault_terms import VaultTerms, relationship_hash
from settlement.watcher import step as watch

DEPOSIT = 10**12  # base units: a million USDC each
A_BLOCK = 80  # openings of some 250,000 gas in a block of 30 million
GAS = 350_000  # of each, so that nothing has to be estimated
LIMIT = 10**12  # base units: of what a vault may be required to hold and be debited
CAP = 10**18  # no limit of a house is to stop a measurement

T = TypeVar("T")


@dataclass(frozen=True)
class SettlementWorld:
    """One house, and its clients' vaults with margin in them, all of it final and booked."""

    chain: Chain
    vaults: Sequence[ChainTarget]


def build(count: int) -> SettlementWorld:
    """Deploy, open `count` vaults and pay a deposit into each; the default connection's database is empty before."""
    chain = default_chain()
    usdc = deployed(chain)
    vaults = _open(chain, usdc, count)
    _deposit(chain, usdc, vaults)
    while ledger.total([AccountKind.CLIENT_MARGIN], "USDC") < count * DEPOSIT:
        mine(chain)
        watch(chain)
    return SettlementWorld(chain, vaults)


def deployed(chain: Chain) -> Asset:
    """The house and the contracts of one token; the token."""
    usdc = Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    caps, rules = {"USDC": CAP}, sha256_hex("rulebook")
    deploy(chain=chain, assets=[usdc], rulebook_hash=rules, rulebook_uri="docs", outflow_caps=caps, mine=mine)
    usdc.refresh_from_db()
    return usdc


def opened(chain: Chain, vaults: int) -> Iterator[str]:
    """Vaults of as many relationships, opened by the factory, a block of them at a time; their addresses."""
    factory, onboarder = address_of("VaultFactory", "USDC"), Transactor(chain, signer_for("onboarder"), mine)
    for numbers in parts(range(vaults), A_BLOCK):
        listed = [_terms(number) for number in numbers]
        asked = [contract("VaultFactory").call(factory, "predict", [terms], "latest") for terms in listed]
        for terms in listed:
            onboarder.call(factory, "VaultFactory", "open", terms, gas_limit=GAS)
        onboarder.wait()
        for answer in chain.batch(asked):
            yield str(contract("VaultFactory").decode_result("predict", bytes.fromhex(answer[2:])))


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _open(chain: Chain, usdc: Asset, count: int) -> list[ChainTarget]:
    party = Party.objects.create(legal_name="Bench", code="BENCH", kind=Party.Kind.FUND, jurisdiction="KY")
    Wallet.objects.create(party=party, address=demo_wallet(0).address, proof="0x")
    cells = [Cell(code=f"R-{number}", kind=Cell.Kind.CLIENT, party=party) for number in range(count)]
    insert_all(cells)
    kind = ChainTarget.Kind.VAULT
    vaults = [
        ChainTarget(kind=kind, cell=cell, asset=usdc, address=address, opened=True)
        for cell, address in zip(cells, opened(chain, count), strict=True)
    ]
    insert_all(vaults)
    onboarder, house = Transactor(chain, signer_for("onboarder"), mine), address_of("House", "USDC")
    for some in parts(vaults, A_BLOCK):
        for vault in some:
            onboarder.call(house, "House", "setCreditLimit", vault.address, DEPOSIT, gas_limit=GAS)
        onboarder.wait()
    return vaults


def _terms(number: int) -> VaultTerms:
    """Of one relationship; one key may stand for all of them."""
    client = demo_wallet(0).address
    names = (relationship_hash(f"R-{number}"), relationship_hash("agreement"), client, client)
    return (*names, LIMIT, LIMIT, 24 * 3600, 5 * 24 * 3600, 3600)


def _deposit(chain: Chain, usdc: Asset, vaults: Sequence[ChainTarget]) -> None:
    key = demo_wallet(0)
    fund_gas(chain, key.address)
    mint_tokens(chain=chain, asset="USDC", to=key.address, amount_base_units=len(vaults) * DEPOSIT, mine=mine)
    wallet = Transactor(chain, key, mine)
    for some in parts(vaults, A_BLOCK):
        for vault in some:
            wallet.call(usdc.token_address, "DemoUSDC", "transfer", vault.address, DEPOSIT, gas_limit=GAS)
        wallet.wait()
