"""A small settlement world on real services: contracts on anvil, cells with vaults, money in them."""

from dataclasses import dataclass

from django.db import transaction

from intermediary import ledger, outbox
from intermediary.canonical import sha256_hex
from intermediary.ids import uuid7
from intermediary.models import AccountKind, Asset, Cell, ChainInstruction, ChainTarget, Wallet
from intermediary.terms import Terms
from settlement.chain import Chain
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
    )


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
