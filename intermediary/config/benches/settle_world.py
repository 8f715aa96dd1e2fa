"""Many relationships with vaults on a chain of their own, for the settlement benchmark.

Everything is the platform's own: its contracts as it deploys them, vaults opened by the factory and accepted by the
house, deposits that the watcher sees and books. Only the ceremony is left out: one party has all the relationships and
one wallet, nobody signs terms, and there are no retentions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from intermediary import ledger
from intermediary.canonical import sha256_hex
from intermediary.config.demo import bootstrap, world
from intermediary.models import AccountKind, Asset, Cell, ChainTarget, Party, Wallet
from intermediary.models.bulk import insert_all
from intermediary.terms import Terms
from settlement.bindings import contract
from settlement.chain import Chain, default_chain
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import address_of, deploy, mint_tokens
from settlement.registration import vault_terms
from settlement.signer import demo_wallet, signer_for
from settlement.transactor import Transactor
from settlement.watcher import step as watch

DEPOSIT = 10**12  # base units: a million USDC each
A_BLOCK = 50  # transactions of set-up that a block of 30 million gas holds
GAS = 500_000  # of each, so that nothing has to be estimated
CAP = 10**18  # no limit of a house is to stop a measurement


@dataclass(frozen=True)
class SettlementWorld:
    """One house, and its clients' vaults with margin in them, all of it final and booked."""

    chain: Chain
    vaults: Sequence[ChainTarget]


def build(count: int) -> SettlementWorld:
    """Deploy, open `count` vaults and pay a deposit into each; the default connection's database is empty before."""
    usdc = Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    chain, rules = default_chain(), sha256_hex("rulebook")
    deploy(chain=chain, assets=[usdc], rulebook_hash=rules, rulebook_uri="docs", outflow_caps={"USDC": CAP}, mine=mine)
    usdc.refresh_from_db()
    vaults = _open(chain, usdc, count)
    _deposit(chain, usdc, vaults)
    while ledger.total([AccountKind.CLIENT_MARGIN], "USDC") < count * DEPOSIT:
        mine(chain)
        watch(chain)
    return SettlementWorld(chain, vaults)


def _open(chain: Chain, usdc: Asset, count: int) -> list[ChainTarget]:
    wallet = demo_wallet(0).address
    party = Party.objects.create(legal_name="Bench", code="BENCH", kind=Party.Kind.FUND, jurisdiction="KY")
    Wallet.objects.create(party=party, address=wallet, proof="0x")
    cells = [Cell(code=f"B-{number}", kind=Cell.Kind.CLIENT, party=party) for number in range(count)]
    insert_all(cells)
    factory, house = address_of("VaultFactory", "USDC"), address_of("House", "USDC")
    terms = [vault_terms(_terms(cell.code, wallet), usdc) for cell in cells]
    asked = [contract("VaultFactory").call(factory, "predict", [of_cell], "latest") for of_cell in terms]
    answers = [bytes.fromhex(found[2:]) for found in chain.batch(asked)]
    addresses = [str(contract("VaultFactory").decode_result("predict", answer)) for answer in answers]
    onboarder = Transactor(chain, signer_for("onboarder"), mine)
    for start in range(0, count, A_BLOCK):
        for of_cell, address in zip(terms[start : start + A_BLOCK], addresses[start : start + A_BLOCK], strict=True):
            onboarder.call(factory, "VaultFactory", "open", of_cell, gas_limit=GAS)
            onboarder.call(house, "House", "setCreditLimit", address, DEPOSIT, gas_limit=GAS)
        onboarder.wait()
    kind = ChainTarget.Kind.VAULT
    vaults = [
        ChainTarget(kind=kind, cell=cell, asset=usdc, address=address, opened=True)
        for cell, address in zip(cells, addresses, strict=True)
    ]
    insert_all(vaults)
    return vaults


def _deposit(chain: Chain, usdc: Asset, vaults: Sequence[ChainTarget]) -> None:
    key = demo_wallet(0)
    fund_gas(chain, key.address)
    mint_tokens(chain=chain, asset="USDC", to=key.address, amount_base_units=len(vaults) * DEPOSIT, mine=mine)
    wallet = Transactor(chain, key, mine)
    for start in range(0, len(vaults), A_BLOCK):
        for vault in vaults[start : start + A_BLOCK]:
            wallet.call(usdc.token_address, "DemoUSDC", "transfer", vault.address, DEPOSIT, gas_limit=GAS)
        wallet.wait()


def _terms(code: str, wallet: str) -> Terms:
    client = replace(world.CLIENTS[0], code=code, legal_name=code)
    return bootstrap.terms_of(client, wallet, "standard")
