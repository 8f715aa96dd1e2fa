"""A series lived through on the real contracts: platform time and chain time together, the real packing, approver,
poster, watcher and consumers in one process, and every movement of the escrow's cash explained by the ledger."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from bonds.models import CouponRun, HolderClaim, Holding, Series, SlicePart, Tranche
from bonds.pricing.coupons import DatedBalance, coupon_base_units_round_down
from bonds.servicing import coupon_plan, coupons, due, write_downs
from intermediary import clock, outbox
from intermediary.config import deliveries
from intermediary.config.issuance import Bid, issue_series
from intermediary.ids import derive
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Asset, Cell, ChainInstruction, DefaultCase, Position, Posting
from risk import engine
from risk.models import Snapshot, Tick
from settlement import cycle
from settlement.bindings import decode_event, read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.signer import Signer, demo_wallet
from settlement.transactor import Transactor
from tests.bonds import world
from tests.bonds.note_model import Note
from tests.bonds.test_issue_on_chain import opposite_books
from tests.bonds.world import MILLION
from tests.people import as_owner
from tests.risk.builders import snapshot as market
from tests.settlement import world as chain_world

TOMORROW = datetime.now(UTC) + timedelta(days=1)  # no block is later yet
START = TOMORROW.replace(hour=12, minute=0, second=0, microsecond=0)
WALLETS = (40, 41, 42)


def world_in_time() -> tuple[str, list[chain_world.Client]]:
    """Two covered relationships with margin, whose clock stands at the start until a test moves it."""

    def build(chain: Chain) -> list[chain_world.Client]:
        with as_owner():
            clock.start_replay(START)
        return opposite_books(chain)

    return chain_world.on_chain(build)


@dataclass
class Life:
    """One series with its chain, and the model that both are held against."""

    chain: Chain
    clients: list[chain_world.Client]
    series: Series
    model: Note
    issued: tuple[int, ...]
    cases: dict[str, DefaultCase] = field(default_factory=dict)
    balances: dict[date, int] = field(default_factory=dict)

    @property
    def note(self) -> Tranche:
        return world.only_tranche(self.series)

    # ---------------------------------------------------------------------------------------------- time

    def until(self, moment: datetime) -> None:
        """Let time pass on both sides, and do what is due by then."""
        clock.move_to(moment, rate=Decimal(0), ceiling=moment)
        mine(self.chain)
        with transaction.atomic():
            write_downs.due(clock.now())
        for _ in range(2):
            due.serve(clock.now())
            if not ChainInstruction.objects.filter(state__in=ChainInstruction.UNFINISHED).exists():
                break
            self.settle()

    def until_day(self, day: date) -> None:
        self.until(datetime(day.year, day.month, day.day, 1, tzinfo=UTC))

    def settle(self) -> None:
        """All that is instructed becomes final, and everyone hears of it."""
        for _ in range(6):
            cycle.settle_all()
            deliveries.deliver_pending()
            if not cycle.unfinished():
                return

    def noted(self, day: date | None = None) -> None:
        """The model's principal stands so from today on."""
        self.balances[day or clock.now().date()] = self.model.principal

    # ---------------------------------------------------------------------------------------------- acts

    def coupon(self, number: int) -> CouponRun:
        """The spread a month ahead, the coupon on its day: what the terms give on the model's balances, to the unit."""
        run = CouponRun.objects.get(tranche=self.note, number=number)
        if clock.now().date() < run.payment_date - coupons.CHARGED_AHEAD:
            self.until_day(run.payment_date - coupons.CHARGED_AHEAD)
        self.until_day(run.payment_date)
        run.refresh_from_db()
        rate = self.note.coupon_rate_annual
        assert rate is not None
        dated = [DatedBalance(day, self.balances[day]) for day in sorted(self.balances) if day < run.accrual_end]
        due_now = coupon_base_units_round_down(run.accrual_start, run.accrual_end, dated, rate)
        assert (run.state, run.amount_base_units) == (CouponRun.State.PAID, due_now)
        self.model.share_out(due_now)
        return run

    def lose(self, relationship: str, net_loss: int) -> None:
        """A default noticed, determined, and written down after its challenge period."""
        cell = Cell.objects.get(code=relationship)
        with transaction.atomic():
            case = self.cases[relationship] = world.notice(cell)
            write_downs.on_loss_determined(world.determine(case, net_loss))
        self.settle()
        self.until(clock.now() + timedelta(seconds=self.series.challenge_seconds + 120))

    def recover(self, relationship: str, amount: int) -> None:
        """Cash that the house receives for a defaulter: N falls by as much."""
        case = self.cases[relationship]
        sent = chain_world.give(self.chain, address_of("House", "USDC"), amount)
        with transaction.atomic():
            lines = [Line(AccountKind.OUTSIDE, "USDC", -amount), Line(AccountKind.RECOVERY, "USDC", amount)]
            entry = derive("house_receipt", sent, 0)
            post(entry_id=entry, cell_id=case.cell_id, kind="recovery", memo="recovery", lines=lines)
            case.refresh_from_db()
            case.loss_base_units -= amount
            case.recoveries_base_units += amount
            case.save()
            write_downs.bring_to_loss(slice_id=self.series.slices.get(relationship=relationship).id)
        self.settle()

    def claim(self, wallet: Signer) -> int:
        """A holder takes what its units have earned; what came out."""
        before = self.cash_of(wallet.address)
        Transactor(self.chain, wallet, mine).call(self.escrow, "SeriesEscrow", "claim", 0, wallet.address)
        self.settle()
        return self.cash_of(wallet.address) - before

    def send(self, sender: Signer, receiver: str, units: int) -> None:
        """A holder sends notes on."""
        Transactor(self.chain, sender, mine).call(self.note.note_address, "TrancheNote", "transfer", receiver, units)
        self.settle()

    def mature(self, caller: Signer) -> None:
        """Anyone may release what is left after the grace."""
        Transactor(self.chain, caller, mine).call(self.escrow, "SeriesEscrow", "mature")
        self.settle()

    # --------------------------------------------------------------------------------------------- views

    @property
    def escrow(self) -> str:
        return self.series.escrow_address

    def said(self, name: str, *arguments: Any) -> int:
        """What the note contract says."""
        return int(read(self.chain, self.note.note_address, "TrancheNote", name, *arguments))

    def owed(self) -> int:
        return int(read(self.chain, self.escrow, "SeriesEscrow", "owedTotal"))

    def cash_of(self, address: str) -> int:
        token = Asset.objects.get(code="USDC").token_address
        return int(read(self.chain, token, "DemoUSDC", "balanceOf", address))

    # ----------------------------------------------------------------------------------------- agreement

    def assert_agrees(self) -> None:
        """Model, rows and contracts say the same to the base unit, slice by slice (B4, B8, B9), and the last comparison
        found nothing."""
        chain_world.assert_reconciled()
        parts = SlicePart.objects.filter(slice__series=self.series)
        outstanding = sum(part.outstanding_base_units for part in parts)
        lost = sum(part.written_down_base_units - part.written_up_base_units for part in parts)
        redeemed = sum(part.redeemed_base_units for part in parts)
        rows = (outstanding, lost, redeemed)
        on_chain = (self.said("principal"), self.said("writtenDown"), self.said("redeemed"))
        assert rows == on_chain == (self.model.principal, self.model.written_down, self.model.redeemed)
        assert sum(rows) == self.said("totalSupply") == self.model.supply
        for part in parts.select_related("slice", "tranche"):
            lost_alone = part.written_down_base_units - part.written_up_base_units
            place = (part.slice.index, part.tranche.seniority)
            on_chain_alone = read(self.chain, self.escrow, "SeriesEscrow", "position", *place)
            assert tuple(on_chain_alone) == (part.outstanding_base_units, lost_alone), f"slice and class {place}"
        for address, units in self.model.units.items():
            held = sum(Holding.objects.filter(wallet__address=address).values_list("units", flat=True))
            assert held == units == self.said("balanceOf", address)
            assert self.said("claimable", address) == self.model.claimable(address)
            assert self.said("principalOf", address) == self.model.principal_of(address)
        assert self.cash_of(self.escrow) == outstanding + self.owed()

    def explained(self) -> dict[str, int]:
        """Every movement of the settlement token into or out of the escrow, each matched by what the ledger says of its
        transaction; the sums by kind."""
        said = self._said_by_the_ledger()
        sums: dict[str, int] = defaultdict(int)
        for transaction_hash, amount in self._movements():
            kinds = said.get((transaction_hash, amount)) or said.get(("", amount))
            assert kinds, f"nothing explains {amount} in {transaction_hash}"
            sums[kinds.pop()] += amount
        assert not any(said.values()), f"the ledger says what the chain does not: {said}"
        return dict(sums)

    def _said_by_the_ledger(self) -> dict[tuple[str, int], list[str]]:
        """(transaction, signed amount) -> what it was for; a subscription is known by its amount alone."""
        final = ChainInstruction.objects.filter(target__address=self.escrow, state="FINAL", entry__isnull=False)
        acts = [act for act in final if act.kind != ChainInstruction.Kind.REPAY]  # principal to claims: nothing moves
        moved = outbox.moved_by(acts)
        claims = HolderClaim.objects.filter(tranche=self.note, amount_base_units__gt=0)
        found: dict[tuple[str, int], list[str]] = defaultdict(list)
        for act in acts:
            amount = -moved[act.id] if act.kind == ChainInstruction.Kind.APPLY_LOSS else moved[act.id]
            found[act.transaction_hash, amount].append(str(act.kind))
        for claim in claims:
            found[claim.transaction_hash, -claim.amount_base_units].append("CLAIM")
        for units in self.issued:
            found["", units].append("SUBSCRIBED")
        paid = Posting.objects.filter(entry__kind="series_paid", account__kind=AccountKind.COUPONS)
        assert sum(paid.values_list("amount_base_units", flat=True)) == -sum(
            claim.amount_base_units for claim in claims
        )
        return found

    def _movements(self) -> list[tuple[str, int]]:
        """(transaction, signed amount) of each transfer of the token that touches the escrow."""
        token = Asset.objects.get(code="USDC").token_address
        logs = self.chain.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": token})
        found = []
        for row in logs:
            event = decode_event(row["topics"], row["data"])
            if event is None or event.name != "Transfer":
                continue
            sign = (event.arguments["to"] == self.escrow) - (event.arguments["from"] == self.escrow)
            if sign and event.arguments["value"]:
                found.append((row["transactionHash"], sign * event.arguments["value"]))
        return found


def valued() -> Tick:
    """An official valuation of the market at the platform's time."""
    seen = replace(market(), as_of=clock.now())
    Snapshot.objects.create(id=seen.id, as_of=seen.as_of, source=seen.source, body=seen.to_json())
    return engine.open_tick(seen.id, 1)


def begin(chain: Chain, clients: list[chain_world.Client], *, years: int, months_between_coupons: int = 6) -> Life:
    """A series on the tails of both, held by three investors, on risk."""
    valued()
    terms = replace(
        world.series_terms([who.cell for who in clients]),
        scheduled_maturity=START.date() + timedelta(days=365 * years),
        final_maturity=START.date() + timedelta(days=365 * years + 200),
        months_between_coupons=months_between_coupons,
    )
    people = [world.newcomer(f"holder {index}", demo_wallet(index).address) for index in WALLETS]
    for person in people:
        world.granted(person)
    bids = [
        Bid(person, demo_wallet(index), 0, 4_000_000 * 10**6, 0) for index, person in zip(WALLETS, people, strict=True)
    ]
    series = issue_series(chain=chain, terms=terms, bids=bids, mine=mine)
    coupons_can_be_paid(chain, clients)
    held = {holding.wallet.address: holding.units for holding in Holding.objects.select_related("wallet")}
    life = Life(chain, clients, series, Note(units=held, principal=sum(held.values())), tuple(held.values()))
    life.noted(series.issue_date)
    life.settle()
    return life


def coupons_can_be_paid(chain: Chain, clients: list[chain_world.Client]) -> None:
    """They are planned; margin is free, which prefunds the spread, and the house has money for the rest."""
    Position.objects.update(quantity=0, settled_value=0)
    for who in clients:
        float_for(chain, who.cell, MILLION)
    for series_id in coupon_plan.unplanned():
        coupon_plan.plan(series_id)


def float_for(chain: Chain, cell: Cell, amount: int) -> None:
    """Money of the house's own, which faces a relationship."""
    sent = chain_world.give(chain, address_of("House", "USDC"), amount)
    with transaction.atomic():
        lines = [Line(AccountKind.OUTSIDE, "USDC", -amount), Line(AccountKind.FLOAT, "USDC", amount)]
        post(entry_id=derive("house_receipt", sent, 0), cell_id=cell.id, kind="capital", memo="float", lines=lines)
