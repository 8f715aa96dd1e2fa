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
from tests.bonds.note_model import BPS, Note
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
    """One series with its chain, and the models of its classes, junior first, that both are held against."""

    chain: Chain
    clients: list[chain_world.Client]
    series: Series
    models: tuple[Note, ...]
    issued: tuple[int, ...]
    cases: dict[str, DefaultCase] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.classes = list(self.series.tranches.order_by("seniority"))
        self.balances: list[dict[date, int]] = [{} for _ in self.models]

    @property
    def note(self) -> Tranche:
        """The only class."""
        (note,) = self.classes
        return note

    @property
    def model(self) -> Note:
        """Of the only class."""
        (model,) = self.models
        return model

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
        """The models' principal stands so from today on."""
        for balances, model in zip(self.balances, self.models, strict=True):
            balances[day or clock.now().date()] = model.principal

    # ---------------------------------------------------------------------------------------------- acts

    def coupon(self, number: int) -> None:
        """The spread a month ahead, the coupon of every class on its day: what the terms give on the model's balances,
        to the unit."""
        payment_date = CouponRun.objects.get(tranche=self.classes[0], number=number).payment_date
        if clock.now().date() < payment_date - coupons.CHARGED_AHEAD:
            self.until_day(payment_date - coupons.CHARGED_AHEAD)
        self.until_day(payment_date)
        for note, model, balances in zip(self.classes, self.models, self.balances, strict=True):
            run, rate = CouponRun.objects.get(tranche=note, number=number), note.coupon_rate_annual
            assert rate is not None
            dated = [DatedBalance(day, balances[day]) for day in sorted(balances) if day < run.accrual_end]
            due_now = coupon_base_units_round_down(run.accrual_start, run.accrual_end, dated, rate)
            assert (run.state, run.amount_base_units) == (CouponRun.State.PAID, due_now)
            model.share_out(due_now)

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

    def claim(self, wallet: Signer, of: int = 0) -> int:
        """A holder takes what its units of a class have earned; what came out."""
        before = self.cash_of(wallet.address)
        Transactor(self.chain, wallet, mine).call(self.escrow, "SeriesEscrow", "claim", of, wallet.address)
        self.settle()
        return self.cash_of(wallet.address) - before

    def send(self, sender: Signer, receiver: str, units: int, of: int = 0) -> None:
        """A holder sends notes of a class on."""
        note = self.classes[of].note_address
        Transactor(self.chain, sender, mine).call(note, "TrancheNote", "transfer", receiver, units)
        self.settle()

    def mature(self, caller: Signer) -> None:
        """Anyone may release what is left after the grace."""
        Transactor(self.chain, caller, mine).call(self.escrow, "SeriesEscrow", "mature")
        self.settle()

    # --------------------------------------------------------------------------------------------- views

    @property
    def escrow(self) -> str:
        return self.series.escrow_address

    def said(self, name: str, *arguments: Any, of: int = 0) -> int:
        """What the note contract of a class says."""
        return int(read(self.chain, self.classes[of].note_address, "TrancheNote", name, *arguments))

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
        for of in range(len(self.models)):
            self._assert_class_agrees(of)
        assert self.cash_of(self.escrow) == sum(model.principal for model in self.models) + self.owed()

    def _assert_class_agrees(self, of: int) -> None:
        note, model = self.classes[of], self.models[of]
        parts = SlicePart.objects.filter(tranche=note).select_related("slice")
        outstanding = sum(part.outstanding_base_units for part in parts)
        lost = sum(part.written_down_base_units - part.written_up_base_units for part in parts)
        redeemed = sum(part.redeemed_base_units for part in parts)
        rows = (outstanding, lost, redeemed)
        on_chain = tuple(self.said(name, of=of) for name in ("principal", "writtenDown", "redeemed"))
        assert rows == on_chain == (model.principal, model.written_down, model.redeemed)
        assert sum(rows) == self.said("totalSupply", of=of) == model.supply
        for part in parts:
            lost_alone = part.written_down_base_units - part.written_up_base_units
            place = (part.slice.index, of)
            on_chain_alone = read(self.chain, self.escrow, "SeriesEscrow", "position", *place)
            assert tuple(on_chain_alone) == (part.outstanding_base_units, lost_alone), f"slice and class {place}"
        for address, units in model.units.items():
            holdings = Holding.objects.filter(tranche=note, wallet__address=address)
            held = sum(holdings.values_list("units", flat=True))
            assert held == units == self.said("balanceOf", address, of=of)
            assert self.said("claimable", address, of=of) == model.claimable(address)
            assert self.said("principalOf", address, of=of) == model.principal_of(address)

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
        claims = HolderClaim.objects.filter(tranche__series=self.series, amount_base_units__gt=0)
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


def begin(
    chain: Chain,
    clients: list[chain_world.Client],
    *,
    years: int,
    months_between_coupons: int = 6,
    classes: int = 1,
    retained_bps: int = 0,
) -> Life:
    """A series on the tails of both, each class held by three investors in thirds, on risk."""
    valued()
    terms = replace(
        world.retaining([who.cell for who in clients], retained_bps, classes=classes),
        scheduled_maturity=START.date() + timedelta(days=365 * years),
        final_maturity=START.date() + timedelta(days=365 * years + 200),
        months_between_coupons=months_between_coupons,
    )
    people = [world.newcomer(f"holder {index}", demo_wallet(index).address) for index in WALLETS]
    for person in people:
        world.granted(person)
    bids = [
        Bid(person, demo_wallet(index), of, terms.face_base_units(of) // len(people), 0)
        for of in range(classes)
        for index, person in zip(WALLETS, people, strict=True)
    ]
    if retained_bps:
        widths = sum(sum(one.widths_base_units) for one in terms.slices)
        float_for(chain, clients[0].cell, widths * retained_bps // BPS)
    series = issue_series(chain=chain, terms=terms, bids=bids, mine=mine)
    coupons_can_be_paid(chain, clients)
    models = tuple(_issued(note) for note in series.tranches.order_by("seniority"))
    issued = tuple(units for model in models for units in model.units.values())
    life = Life(chain, clients, series, models, issued)
    life.noted(series.issue_date)
    life.settle()
    return life


def _issued(note: Tranche) -> Note:
    holdings = Holding.objects.filter(tranche=note).select_related("wallet")
    held = {holding.wallet.address: holding.units for holding in holdings}
    return Note(units=held, principal=sum(held.values()))


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
