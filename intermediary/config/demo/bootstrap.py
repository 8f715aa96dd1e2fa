"""Building the demonstration world: the product's own commands in the order a real start would take.

People and parties, contracts, capital, relationships with signed terms and vaults, margin, credit lines with funded
layers, the bond series, then the trades. A world that stops half-way is thrown away by the supervisor and built again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from bonds.offering.terms import ClassTerms, SeriesTerms, SliceTerms, slice_id_of
from intermediary import credit, onboarding, trading
from intermediary.canonical import sha256_hex
from intermediary.config import bindings, note_register, officers, replay
from intermediary.config.demo import eligible, keys, sizing, wallet, world
from intermediary.config.issuance import Bid, issue_series
from intermediary.config.models import Replay
from intermediary.errors import Refusal
from intermediary.ledger import settlement_asset
from intermediary.models import Asset, Cell, ChainTarget, Instrument, Membership, Party, Trade
from intermediary.money import to_base_units
from intermediary.terms import Terms
from risk import engine
from risk.book import load_universe
from risk.market.feeds import Feed
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick
from settlement import cycle, receipts
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import address_of, deploy, mint_tokens
from settlement.models import HouseReceipt
from settlement.registration import register_cell
from settlement.signer import Signer

USD = 10**6
DEBIT_CAP = 500_000_000 * USD  # more than any day's variation margin of the cast, so that it never binds in the demo
PASSWORD = "bulkhead-demo"  # noqa: S105  # of a world made of play money; production has no seeded users
Say = Callable[[str], None]


@dataclass
class Builder:
    """The world under construction and what its steps share."""

    cast: world.Cast
    chain: Chain
    feed: Feed
    say: Say
    cells: dict[str, Cell] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    terms: dict[str, Terms] = field(default_factory=dict)

    def build(self) -> None:
        """The whole world. Its people stand already: `people` is the one step that only the owner may take."""
        self.build_until_trades()
        self.build_trades()

    def build_until_trades(self) -> None:
        """Everything that must stand before anyone takes on risk."""
        bindings.bind_risk()
        self._run(
            ("contracts on chain", self.contracts),
            ("capital of the intermediary", self.capital),
            ("relationships: signed terms, vaults, retentions", self.relationships),
            ("the first official valuation", self.valuation),
            ("margin of the clients", self.margin),
            ("credit lines and their layers", self.lines),
            ("investors: eligible to hold notes, in the register on chain", self.investors),
            ("the bond series: book, allocation, notes on chain", self.series),
        )

    def build_trades(self) -> None:
        """The bargains, the requirements they make, and the replay's own row."""
        self._run(
            ("trades, novated", self.trades),
            ("first requirements, everything final on chain", self.finish),
        )

    def _run(self, *steps: tuple[str, Callable[[], None]]) -> None:
        for title, work in steps:
            started = time.monotonic()
            self.say(f"  {title} ...")
            work()
            self.say(f"  {title}: done in {time.monotonic() - started:.1f} s")

    @cached_property
    def first_snapshot(self) -> MarketSnapshot:
        """The market the world starts in."""
        return next(iter(self.feed.bars(self.cast.starts_at, self.cast.ends_at)))

    @transaction.atomic(durable=True)
    def people(self) -> None:
        """Assets, the house's own cells, people and parties; under the owner's login, before all the rest."""
        Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
        Asset.objects.create(code="WBTC", decimals=8, priced_as="BTC")
        Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
        Cell.objects.create(code="VENUE", kind=Cell.Kind.VENUE)
        for one in self.cast.contracts:
            Instrument.objects.create(
                code=one.code,
                kind=one.kind,
                underlying=one.underlying,
                expiry=one.expiry,
                strike=one.strike,  # type: ignore[misc]  # the plugin wants a generic field
            )
        group = officers.ensure_officer_group()
        for officer in self.cast.officers:
            user = self._user(officer.username, officer.name, is_staff=True)
            user.groups.add(group)
        for client in self.cast.clients:
            party = Party.objects.create(
                legal_name=client.legal_name,
                code=client.code.replace("R-", "P-"),
                kind=client.kind,
                jurisdiction=client.jurisdiction,
                netting_opinion=client.netting,
                recourse=Party.Recourse.FULL if client.full_recourse else Party.Recourse.NONE,
            )
            self._member(f"client.{client.key}", client.legal_name, party, keys.client(self.cast, client.key))
        for investor in self.cast.investors:
            party = Party.objects.create(
                legal_name=investor.legal_name,
                code=investor.code,
                kind=Party.Kind.INVESTOR,
                jurisdiction=investor.jurisdiction,
            )
            signer = keys.investor(self.cast, investor.key)
            self._member(f"investor.{investor.key}", investor.legal_name, party, signer)

    def _user(self, username: str, name: str, *, is_staff: bool = False) -> User:
        user = User.objects.create(username=username, password=self._hash, first_name=name[:150], is_staff=is_staff)
        self.users[username] = user
        return user

    @cached_property
    def _hash(self) -> str:
        """One hash for the one public password: thirteen would take as many seconds and protect nothing."""
        return make_password(PASSWORD)

    def _member(self, username: str, name: str, party: Party, signer: Signer) -> None:
        Membership.objects.create(user=self._user(username, name), party=party)
        proof = signer.sign_typed(onboarding.wallet_typed_data(party, signer.address))
        onboarding.prove_wallet(actor=username, party=party, address=signer.address, signature="0x" + proof.hex())

    def contracts(self) -> None:
        """Tokens, houses, factories, roles; gas and tokens for the demo's wallets."""
        rulebook = rulebook_text()
        assets = list(Asset.objects.order_by("code"))
        caps = {"USDC": 1_000_000_000 * USD, "WBTC": 100_000 * 10**8}
        deploy(
            chain=self.chain,
            assets=assets,
            rulebook_hash=sha256_hex(rulebook),
            rulebook_uri="/rulebook/",
            outflow_caps=caps,
            mine=mine,
        )
        signers = [keys.client(self.cast, one.key) for one in self.cast.clients]
        signers += [keys.investor(self.cast, one.key) for one in self.cast.investors]
        fund_gas(self.chain, *(signer.address for signer in [*signers, keys.market(), keys.estate()]))
        for signer in (keys.market(), keys.estate()):
            self._mint("USDC", signer.address, wallet.INITIAL_FUNDS)

    def _mint(self, asset: str, to: str, amount: int) -> None:
        mint_tokens(chain=self.chain, asset=asset, to=to, amount_base_units=amount, mine=mine)

    def capital(self) -> None:
        """The owners' money reaches the house and becomes the float."""
        self._mint("USDC", address_of("House", "USDC"), self.cast.equity_usd * USD)
        cycle.settle_all(mine=mine)
        with transaction.atomic(durable=True):
            for receipt in HouseReceipt.objects.all():
                receipts.book_capital(actor=self.cast.officers[0].username, receipt_id=receipt.id)

    def relationships(self) -> None:
        """Terms signed by both sides; vaults and retentions opened from them."""
        for client in self.cast.clients:
            signer = keys.client(self.cast, client.key)
            terms = terms_of(client, signer.address, self.cast.ruleset)
            message = onboarding.terms_typed_data(terms)
            with transaction.atomic(durable=True):
                cell = onboarding.open_relationship(
                    actor=self.cast.officers[0].username,
                    party=Party.objects.get(legal_name=client.legal_name),
                    code=client.code,
                    terms=terms,
                    client_signature="0x" + signer.sign_typed(message).hex(),
                    client_signer=signer.address,
                    house_signature="0x" + keys.house().sign_typed(message).hex(),
                    house_signer=keys.house().address,
                )
            register_cell(chain=self.chain, cell=cell, terms=terms, client=signer, mine=mine)
            self.cells[client.key], self.terms[client.key] = cell, terms

    def valuation(self) -> None:
        """The first snapshot becomes official; requirements follow once there are books."""
        engine.open_tick(replay.store_snapshot(self.first_snapshot), shards=1)

    def margin(self) -> None:
        """Each client brings the margin its intended book needs, by plain transfers, and keeps its reserve."""
        needs = sizing.intended(self.cast, self.cells)
        usdc, wbtc = settlement_asset(), Asset.objects.get(code="WBTC")
        for client in self.cast.clients:
            signer, cell = keys.client(self.cast, client.key), self.cells[client.key]
            amount = sizing.first_margin_base_units(client, needs[client.key], self.first_snapshot)
            self._mint("USDC", signer.address, amount + client.reserve_usd * USD)
            wallet.transfer(self.chain, signer, usdc, self._vault(cell, usdc), amount, mine)
            if client.wbtc:
                tokens = to_base_units(client.wbtc, wbtc.decimals)
                self._mint("WBTC", signer.address, tokens)
                wallet.transfer(self.chain, signer, wbtc, self._vault(cell, wbtc), tokens, mine)
        cycle.settle_all(mine=mine)

    @staticmethod
    def _vault(cell: Cell, asset: Asset) -> str:
        return ChainTarget.objects.get(kind=ChainTarget.Kind.VAULT, cell=cell, asset=asset).address

    def lines(self) -> None:
        """Proposed by one officer, approved by the other; the retentions are funded on chain."""
        maker, checker = (self.users[officer.username] for officer in self.cast.officers)
        needs = sizing.intended(self.cast, self.cells)
        for client in self.cast.clients:
            first_loss, tail, senior = (usd * USD for usd in client.layers_usd)
            if not any(client.layers_usd):
                continue  # fully margined: there is no credit to grant
            with transaction.atomic(durable=True):
                proposal = credit.propose_line(
                    maker=maker,
                    cell_id=self.cells[client.key].id,
                    threshold_base_units=sizing.threshold_base_units(client, needs[client.key]),
                    first_loss_base_units=first_loss,
                    tail_base_units=tail,
                    senior_base_units=senior,
                    slice_id=slice_id_of(self.cast.series, self.cells[client.key].id) if tail else None,
                    expires_at=self.cast.starts_at + timedelta(days=180),
                    reason=f"{client.legal_name}: {client.purpose}.",
                )
            with transaction.atomic(durable=True):
                credit.approve_line(
                    checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="Within the standard."
                )
        cycle.settle_all(mine=mine)
        replay.deliver_all()

    def investors(self) -> None:
        """Applied for, decided by both officers, in the register on chain."""
        eligible.grant(self.cast, list(self.cast.investors))
        note_register.enter_all(self.chain, mine)

    def series(self) -> None:
        """One series, one class, a ring-fenced slice for every relationship; priced by three investors."""
        issue_series(
            chain=self.chain,
            terms=self._series_terms(),
            bids=self._bids(),
            mine=mine,
            planned=sizing.planned(self.cast, self.cells),
        )
        cycle.settle_all(mine=mine)
        replay.deliver_all()

    def _series_terms(self) -> SeriesTerms:
        start = self.cast.starts_at.date()
        return SeriesTerms(
            code=self.cast.series,
            title="Bulkhead Tail Notes 2025-1",
            currency="USDC",
            issue_date=start,
            scheduled_maturity=start + timedelta(days=365),
            final_maturity=start + timedelta(days=365 * 2),
            collateral_yield_annual=Decimal("0.0363"),
            denomination_base_units=1_000 * USD,
            challenge_seconds=3_600,
            expert_seconds=3_600,
            maturity_grace_seconds=30 * 86_400,
            classes=(ClassTerms("Class A", "BLK251A", "XS0000000009"),),
            slices=tuple(self._slice(client) for client in self.cast.clients if client.layers_usd[1]),
        )

    def _slice(self, client: world.Client) -> SliceTerms:
        first_loss, tail, _ = (usd * USD for usd in client.layers_usd)
        return SliceTerms(
            self.cells[client.key].id,
            relationship=client.code,
            attach_base_units=first_loss,
            widths_base_units=(tail,),
            principals_base_units=(tail,),
        )

    def _bids(self) -> list[Bid]:
        return [
            Bid(
                self.users[f"investor.{one.key}"], keys.investor(self.cast, one.key), 0, one.bid_usd * USD,
                one.bid_over_guidance_bps,
            )
            for one in self.cast.investors
        ]  # fmt: skip

    def trades(self) -> None:
        """Submitted by the buyer, affirmed by the seller, novated against the admission test."""
        snapshot = self.first_snapshot
        marks = engine.official_marks(load_universe(snapshot), snapshot)
        for bargain in self.cast.bargains:
            instrument = Instrument.objects.get(code=bargain.contract)
            with transaction.atomic(durable=True):
                trade = trading.submit_trade(
                    user=self.users[f"client.{bargain.buyer}"],
                    cell_id=self.cells[bargain.buyer].id,
                    side="BUY",
                    counterparty=self.cells[bargain.seller].code,
                    instrument=instrument.code,
                    quantity=bargain.quantity,
                    price=marks[instrument.id],
                )
                trading.affirm_trade(user=self.users[f"client.{bargain.seller}"], trade_id=trade.id)
            with transaction.atomic(durable=True):
                _refuse_unless_novated(trading.novate(trade_id=trade.id))

    def finish(self) -> None:
        """The replay's own row; requirements of the new books; everything final and reconciled."""
        ends = min(self.feed.last, self.cast.ends_at)
        Replay.objects.create(
            seconds_a_bar=self.cast.seconds_a_bar,
            source=self.feed.source,
            started_at=self.first_snapshot.as_of,
            bar_at=self.first_snapshot.as_of,
            ends_at=ends,
        )
        engine.run_shard(Tick.objects.get().id, 0)
        cycle.settle_all(mine=mine)
        replay.deliver_all()
        replay.expected_nets_to_zero()


def rulebook_text() -> str:
    """The published rules, whose hash stands in the terms and on chain."""
    return (Path(settings.BASE_DIR) / "docs" / "rulebook.md").read_text()


def terms_of(client: world.Client, address: str, ruleset: str) -> Terms:
    """The signed terms of one client of the cast."""
    return Terms(
        relationship=client.code,
        agreement=sha256_hex(f"Bulkhead master agreement 1.0 with {client.legal_name}"),
        client=address,
        payout=address,
        rulebook_hash=sha256_hex(rulebook_text()),
        ruleset=ruleset,
        minimum_transfer_base_units=client.minimum_transfer_usd * USD,
        rounding_unit_base_units=10_000 * USD,
        haircut_bps=(("USDC", 50), ("WBTC", 2_000)),
        valuation_minutes=60,  # the recording has a bar every hour, and more of them in the crash
        acknowledge_minutes=min(60, client.deliver_minutes),
        deliver_minutes=client.deliver_minutes,
        grace_minutes=client.grace_minutes,
        cure_minutes=client.cure_minutes,
        answer_minutes=24 * 60,
        exit_minutes=5 * 24 * 60,
        debit_cap_base_units=DEBIT_CAP,
        max_required_base_units=DEBIT_CAP,
        max_required_by_token=(("WBTC", 10_000 * 10**8),),
    )


def _refuse_unless_novated(trade: Trade) -> None:
    if trade.state != Trade.State.NOVATED:
        assert trade.refusal is not None
        raise Refusal(trade.refusal["code"], trade.refusal["message"], **trade.refusal["data"])
