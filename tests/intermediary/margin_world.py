"""Relationships opened the way the product opens them: proved wallets, signed terms, vaults, marks, a margin engine.

The chain is played by `finish` and `fail` (what the watcher calls), the engine by `Limits`, which admits what is inside
explicit numbers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from eth_account import Account
from eth_account.signers.local import LocalAccount

from intermediary import (
    clock,
    credit,
    ledger,
    margining,
    onboarding,
    outbox,
    paid_back,
    ports,
    trading,
    variation,
    withdrawals,
)
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    ChainTarget,
    Event,
    Instrument,
    MarginState,
    Party,
    Trade,
    Valuation,
)
from intermediary.ports import AdmissionResult, LayerSizes, PlannedTrade
from intermediary.terms import Terms
from tests.intermediary.builders import assets
from tests.people import member, person

USD, BTC = 10**6, 10**8
MILLION = 10**6 * USD
HOUSE_KEY: LocalAccount = Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Limits:
    """A risk gate of explicit numbers: at most so many coins a trade, at least so much under a line."""

    coins: Decimal = Decimal(1_000)
    stressed_loss: int = 0

    def check_trades(self, changes: Mapping[UUID, Sequence[PlannedTrade]]) -> dict[UUID, AdmissionResult]:
        return {
            cell: self._verdict(sum((abs(row.quantity) for row in rows), Decimal(0)) <= self.coins, 0)
            for cell, rows in changes.items()
        }

    def check_line(self, cell_id: UUID, threshold_base_units: int, layers: LayerSizes) -> AdmissionResult:
        means = layers.first_loss_base_units + layers.tail_base_units + layers.senior_base_units
        return self._verdict(means >= self.stressed_loss + threshold_base_units, means)

    def _verdict(self, passed: bool, means: int) -> AdmissionResult:
        return AdmissionResult(passed, self.stressed_loss, means, "all coins down", {"coins": str(self.coins)})


@dataclass(frozen=True)
class Client:
    """One relationship with its person and its key."""

    cell: Cell
    user: User
    key: LocalAccount

    def __deepcopy__(self, memo: dict[int, Any]) -> "Client":
        """A copy of what the database knows; a key cannot be copied and never changes."""
        return replace(self, cell=deepcopy(self.cell, memo), user=deepcopy(self.user, memo))

    def vault(self, asset: str = "USDC") -> ChainTarget:
        return ChainTarget.objects.get(cell=self.cell, kind="VAULT", asset_id=asset)

    @property
    def party(self) -> Party:
        """Whom the relationship is with."""
        assert self.cell.party is not None
        return self.cell.party

    def held(self, asset: str = "USDC") -> int:
        return ledger.balance(self.cell.id, AccountKind.CLIENT_MARGIN, asset)

    def deposit(self, amount: int, asset: str = "USDC", sender: str = "", log: int = 0) -> None:
        margining.credit_deposit(
            target=self.vault(asset),
            amount_base_units=amount,
            sender=sender or self.key.address,
            transaction_hash="0x" + uuid7().hex,
            log_index=log,
            block_number=1,
        )


def terms_of(code: str, wallet: str) -> Terms:
    """The demo's terms: MTA 250,000, unit 10,000, no haircut on USDC so that figures are round."""
    return Terms(
        relationship=code,
        agreement="a1" * 32,
        client=wallet,
        payout=wallet,
        rulebook_hash="b2" * 32,
        ruleset="standard",
        minimum_transfer_base_units=250_000 * USD,
        rounding_unit_base_units=10_000 * USD,
        haircut_bps=(("USDC", 0), ("WBTC", 2_000)),
        valuation_minutes=60,
        acknowledge_minutes=60,
        deliver_minutes=240,
        grace_minutes=360,
        cure_minutes=60,
        answer_minutes=1_440,
        exit_minutes=10_080,
        debit_cap_base_units=20 * MILLION,
        max_required_base_units=500 * MILLION,
        max_required_by_token=(("WBTC", 5_000 * 10**8),),
    )


def key_of(name: str) -> LocalAccount:
    """A key made from a name."""
    account: LocalAccount = Account.from_key(hashlib.sha256(name.encode()).digest())
    return account


def signatures(terms: Terms, key: LocalAccount) -> dict[str, Any]:
    """Both sides' signatures of these terms, as the commands take them."""
    message = onboarding.terms_typed_data(terms)
    return {
        "client_signature": "0x" + key.sign_typed_data(full_message=message).signature.hex(),
        "client_signer": key.address,
        "house_signature": "0x" + HOUSE_KEY.sign_typed_data(full_message=message).signature.hex(),
        "house_signer": HOUSE_KEY.address,
    }


def client(code: str, *, recourse: Party.Recourse = Party.Recourse.FULL, **changes: Any) -> Client:
    """A relationship with vaults for both tokens and a retention; `changes` replace fields of its terms."""
    assets()
    party = Party.objects.create(
        legal_name=f"Client {code}", code=f"P-{code}", kind=Party.Kind.FUND, jurisdiction="KY", recourse=recourse
    )
    user = person(f"trader-{code}")
    member(user, party)
    key = key_of(code)
    challenge = onboarding.wallet_typed_data(party, key.address)
    proof = "0x" + key.sign_typed_data(full_message=challenge).signature.hex()
    onboarding.prove_wallet(actor="officer", party=party, address=key.address, signature=proof)
    terms = replace(terms_of(code, key.address), **changes)
    cell = onboarding.open_relationship(actor="officer", party=party, code=code, terms=terms, **signatures(terms, key))
    for kind, asset in (("VAULT", "USDC"), ("VAULT", "WBTC"), ("RETENTION", "USDC")):
        address = key_of(f"{code}{kind}{asset}").address
        ChainTarget.objects.create(kind=kind, cell=cell, asset_id=asset, address=address)
    return Client(cell, user, key)


def officer(name: str) -> User:
    """Somebody of the intermediary."""
    return person(name, is_staff=True)


def bitcoin() -> Instrument:
    """The perpetual that tests trade."""
    found, _ = Instrument.objects.get_or_create(
        code="BTC-PERP", defaults={"kind": Instrument.Kind.PERPETUAL, "underlying": "BTC"}
    )
    return found


def value(price: str | int) -> Valuation:
    """One official valuation, now."""
    return trading.record_valuation(
        as_of=clock.now(),
        source="test",
        snapshot_id=uuid7().hex,
        prices={"BTC": str(price)},
        marks={bitcoin().id: Decimal(price)},
    )


def agreed(buyer: Client, seller: Client, quantity: str | int, price: str | int) -> Trade:
    """A trade that both sides agreed to, not yet novated."""
    bitcoin()
    trade = trading.submit_trade(
        user=buyer.user,
        cell_id=buyer.cell.id,
        side="BUY",
        counterparty=seller.cell.code,
        instrument="BTC-PERP",
        quantity=Decimal(quantity),
        price=Decimal(price),
    )
    return trading.affirm_trade(user=seller.user, trade_id=trade.id)


def traded(buyer: Client, seller: Client, quantity: str | int, price: str | int) -> Trade:
    """A novated trade."""
    ports.bind_risk_gate(Limits())
    trade = trading.novate(trade_id=agreed(buyer, seller, quantity, price).id)
    assert trade.state == Trade.State.NOVATED, trade.refusal
    return trade


def assess(who: Client, valuation: Valuation, independent_amount: int, *, passed: bool = True) -> MarginState:
    """What the engine does with its figure."""
    return margining.assess(
        cell_id=who.cell.id,
        valuation_id=valuation.id,
        independent_amount_base_units=independent_amount,
        ruleset_hash="c3" * 32,
        breakdown={"lines": [], "total": "0"},
        admission={"passed": passed},
    )


def finish(instruction: ChainInstruction) -> None:
    """The chain is final, and the intermediary's consumers hear of it."""
    ChainInstruction.objects.filter(id=instruction.id, state="DRAFT").update(state="BATCHED")
    outbox.mark_final(instruction.id, transaction_hash="0x" + "ab" * 32)
    for event in Event.objects.filter(payload__instruction_id=str(instruction.id)):
        withdrawals.on_instruction_final(event)
        credit.on_instruction_final(event)


def fail(instruction: ChainInstruction) -> None:
    """The chain refused, and the intermediary's consumers hear of it, twice."""
    ChainInstruction.objects.filter(id=instruction.id, state="DRAFT").update(state="BATCHED")
    outbox.mark_failed(instruction.id, failure="CapExceeded")
    for event in [*Event.objects.filter(payload__instruction_id=str(instruction.id))] * 2:
        variation.on_instruction_failed(event)
        withdrawals.on_instruction_failed(event)
        paid_back.on_instruction_failed(event)


def fund_house(amount: int) -> Cell:
    """Capital in the house's float."""
    house, _ = Cell.objects.get_or_create(kind=Cell.Kind.HOUSE, defaults={"code": "HOUSE"})
    ledger.post(
        entry_id=uuid7(),
        cell_id=house.id,
        kind="capital",
        memo="capital",
        lines=[Line(AccountKind.EQUITY, "USDC", -amount), Line(AccountKind.FLOAT, "USDC", amount)],
    )
    return house
