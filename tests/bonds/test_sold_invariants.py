"""Random sales on the real contracts: sealed ladders, minimum fills, caps, upsizing, barred bidders, failing payers.
What the rules give, what the rows say and what the escrow delivered are one thing (B1, B2, B3)."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from bonds.models import Allocation, Holding, Offering, Order, Series, Tranche
from bonds.offering import book, clearing, report, sale, stages
from bonds.offering import plan as plans
from bonds.offering.terms import SeriesTerms
from intermediary import clock
from intermediary.config import note_register, note_sale
from intermediary.errors import Refusal
from intermediary.ledger import settlement_asset
from intermediary.models import Affiliation, Party
from settlement import cycle
from settlement import series as on_chain
from settlement.bindings import read
from settlement.chain import Chain, ChainRefused
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import mint_tokens
from settlement.signer import Signer, demo_wallet
from tests.bonds import chain_life, world
from tests.bonds.test_issue_on_chain import chain as chain  # a fixture
from tests.bonds.test_issue_on_chain import clients as clients  # a fixture
from tests.bonds.test_issue_on_chain import tick, world_of_opposite_books
from tests.settlement import world as chain_world

pytestmark = pytest.mark.world(build=world_of_opposite_books)
UNIT = 1_000 * world.USD  # the denomination
BIDDERS = ("ash", "birch", "cedar", "elm", "fir", "larch")
WALLETS: dict[str, Signer] = {name: demo_wallet(70 + index) for index, name in enumerate((*BIDDERS, "own", "kin"))}
LOOKS = 12  # of three rounds of payment, each a few steps


@dataclass
class Sale:
    """One random sale: `own` belongs to a covered client's group before it can bid, `kin` joins it after its bid."""

    chain: Chain
    covered: Party
    chance: Random
    people: dict[str, User] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)  # cash of each wallet, base units

    # ------------------------------------------------------------------------------------------ the book

    def announce(self, terms: SeriesTerms) -> Offering:
        for name, wallet in WALLETS.items():
            self.people[name] = world.newcomer(name, wallet.address)
            world.granted(self.people[name])
        note_register.enter_all(self.chain, mine)
        self.joins("own")
        with transaction.atomic():
            series = stages.structure(actor="desk", terms=terms)
            sale.announce(actor="desk", series_id=series.id, plan=self.plan(terms))
            sale.guide(actor="desk", series_id=series.id, guidance_bps={one.id: 400 for one in series.tranches.all()})
            sale.advance(clock.now())
        return Offering.objects.select_related("series").get(series=series)

    def plan(self, terms: SeriesTerms) -> plans.OfferingPlan:
        hour, day = timedelta(hours=1), timedelta(days=1)
        plain = plans.plain(terms, clock.now(), hour, day)
        classes = []
        for index, one in enumerate(plain.classes):
            limit, bidders = plans.limit_of(terms, index), self.chance.choice((1, 2))
            cap = -(-limit // bidders // UNIT) * UNIT
            classes.append(replace(one, limit_base_units=limit, cap_base_units=cap, bidders_min=bidders))
        return replace(plain, classes=tuple(classes))

    def joins(self, name: str) -> None:
        """From now on under common control with a covered client."""
        Affiliation.objects.create(party=world.party_of(self.people[name]), affiliate=self.covered)

    def bids(self, tranche: Tranche) -> list[world.Secret]:
        """One ladder each; whoever is barred by then is refused and nothing of it is kept."""
        with pytest.raises(Refusal, match="barred"), transaction.atomic():
            world.sealed(self.people["own"], tranche, (400, UNIT))
        sealed = []
        for name in (*BIDDERS, "kin"):
            spreads = sorted(self.chance.sample(range(300, 500, 25), self.chance.randint(1, 3)))
            most = tranche.original_base_units // UNIT
            steps = [(spread, self.chance.randint(1, most) // 2 * UNIT + UNIT) for spread in spreads]
            minimum = self.chance.choice((0, 0, sum(amount for _, amount in steps) // 2 // UNIT * UNIT))
            with transaction.atomic():
                sealed.append(world.sealed(self.people[name], tranche, *steps, minimum_fill=minimum))
        return sealed

    def clear(self, offering: Offering) -> Offering:
        sealed = [one for tranche in offering.series.tranches.all() for one in self.bids(tranche)]
        with transaction.atomic():
            sale.advance(offering.commits_until)
        forgetful = self.chance.choice(BIDDERS)
        joins_before_revealing = self.chance.random() < 0.5
        if joins_before_revealing:
            self.joins("kin")
        for one in sealed:
            name = one.user.username
            if name == forgetful:
                continue
            if name == "kin" and joins_before_revealing:
                with pytest.raises(Refusal, match="barred"), transaction.atomic():
                    world.revealed(one)
                continue
            with transaction.atomic():
                world.revealed(one)
        if not joins_before_revealing:
            self.joins("kin")
        with transaction.atomic():
            sale.advance(offering.reveals_until)
        offering.refresh_from_db()
        return offering

    # ---------------------------------------------------------------------------------------- the escrow

    def pay(self, one: Allocation, units: int) -> None:
        """What the wallet does by itself with cash it has just got."""
        name = one.party.code
        escrow, number = self.escrow_of(one), one.tranche.seniority
        mint_tokens(chain=self.chain, asset="USDC", to=WALLETS[name].address, amount_base_units=units + UNIT, mine=mine)
        self.given[name] = self.given.get(name, 0) + units + UNIT
        on_chain.subscribe(
            chain=self.chain, escrow=escrow, investor=WALLETS[name], tranche=number, units=units, mine=mine
        )
        if units == one.units:  # not one more than allotted
            with pytest.raises((ChainRefused, Refusal)):
                on_chain.subscribe(
                    chain=self.chain, escrow=escrow, investor=WALLETS[name], tranche=number, units=UNIT, mine=mine
                )

    def escrow_of(self, one: Allocation) -> str:
        return Series.objects.get(tranches=one.tranche_id).escrow_address

    def live_through(self, offering: Offering) -> Offering:
        """Three rounds of payment at most: some pay, some pay a part, some do not."""
        fund_gas(self.chain, *(wallet.address for wallet in WALLETS.values()))
        asked: set[object] = set()
        for _ in range(LOOKS):
            note_sale.step(self.chain, offering, mine)
            offering.refresh_from_db()
            if offering.state != Offering.State.ALLOCATED:
                break
            self.assert_allotted(offering)
            for one in Allocation.objects.filter(tranche__series=offering.series_id, state=Allocation.State.DUE):
                if one.id not in asked and self.allotment(one) == one.units:
                    asked.add(one.id)
                    pays = self.chance.choice((one.units, one.units, one.units, one.units // 2 // UNIT * UNIT, 0))
                    if pays:
                        self.pay(one, pays)
            cycle.settle_all(mine=mine)
            if self.chance.random() < 0.5:  # the round is over for whoever has not paid
                late = plans.round_ends(offering.pays_until, offering.ends_at, offering.payment_round)
                note_sale.step(self.chain, offering, mine, late + timedelta(seconds=1))
                cycle.settle_all(mine=mine)
        if offering.state == Offering.State.ALLOCATED:
            with transaction.atomic():
                sale.pull(actor="desk", series_id=offering.series_id, because="not paid for in the time of this test")
            offering.refresh_from_db()
        for _ in range(3):
            if offering in note_sale.open_sales():
                note_sale.step(self.chain, offering, mine)
            cycle.settle_all(mine=mine)
        offering.refresh_from_db()
        return offering

    def allotment(self, one: Allocation) -> int:
        escrow = self.escrow_of(one)
        if not escrow:
            return 0
        address = WALLETS[one.party.code].address
        return int(read(self.chain, escrow, "SeriesEscrow", "allotment", one.tranche.seniority, address))

    def balance(self, address: str, of: str = "") -> int:
        token = of or settlement_asset().token_address
        return int(read(self.chain, token, "TrancheNote" if of else "DemoUSDC", "balanceOf", address))

    # ----------------------------------------------------------------------------------------- agreement

    def assert_allotted(self, offering: Offering) -> None:
        """Nobody may subscribe more than its rows of now say, and the covered group nothing at all (B3)."""
        escrow = Series.objects.get(id=offering.series_id).escrow_address
        if not escrow:
            return
        for tranche in offering.series.tranches.all():
            for name, wallet in WALLETS.items():
                may = int(read(self.chain, escrow, "SeriesEscrow", "allotment", tranche.seniority, wallet.address))
                rows = Allocation.objects.filter(tranche=tranche, party__code=name, state=Allocation.State.DUE)
                due = sum(one.units for one in rows)
                assert may <= due
                assert name not in ("own", "kin") or may == 0

    def assert_delivered(self, offering: Offering) -> None:
        """Settled: notes, rows and payments are the same, class by class; pulled: everybody has its cash again."""
        tranches = list(offering.series.tranches.all())
        if offering.state == Offering.State.PULLED:
            assert not Holding.objects.filter(tranche__in=tranches, units__gt=0).exists()
            for name, wallet in WALLETS.items():
                assert self.balance(wallet.address) == self.given.get(name, 0)
            return
        assert offering.state == Offering.State.SETTLED
        for tranche in tranches:
            held = 0
            for name, wallet in WALLETS.items():
                rows = Allocation.objects.filter(tranche=tranche, party__code=name)
                paid = sum(rows.values_list("paid_units", flat=True))
                units = sum(
                    Holding.objects.filter(tranche=tranche, wallet__address=wallet.address).values_list(
                        "units", flat=True
                    )
                )
                assert self.balance(wallet.address, tranche.note_address) == units == paid
                assert name not in ("own", "kin") or units == 0
                held += units
            assert held == tranche.original_base_units == self.said(tranche, "principal")
        chain_world.assert_reconciled()

    def said(self, tranche: Tranche, name: str) -> int:
        return int(read(self.chain, tranche.note_address, "TrancheNote", name))


def assert_fair(offering: Offering, chance: Random) -> None:
    """The report replays, its fills are within the orders and do not hang on their sequence (B1), and asking for less
    does not get less while no rival insists on a minimum (B2); nobody of the covered group is in it (B3)."""
    assert report.differences(offering.report) == []
    for one in offering.classes.select_related("tranche"):
        symbol = one.tranche.symbol
        result, bids = report.results(offering.report)[symbol], report.ladders(offering.report, symbol)
        what = book.Offered(
            one.target_base_units, UNIT, one.limit_base_units, one.cap_base_units, bidders_min=one.bidders_min
        )
        cleared = book.clear(what, bids)
        mixed = list(bids)
        chance.shuffle(mixed)
        assert book.clear(what, mixed) == cleared
        assert (cleared.spread_bps, cleared.size_base_units) == (result.spread_bps, result.size_base_units)
        counted = Order.objects.filter(tranche=one.tranche, commitment__in=[bid.key for bid in bids])
        assert not {"own", "kin"} & set(counted.values_list("party__code", flat=True))
        if not cleared.covered or cleared.spread_bps is None:
            continue
        for bid in bids:
            fill = result.fills_base_units[bid.key]
            accepted = bid.below(cleared.spread_bps) + bid.at(cleared.spread_bps)
            assert 0 <= fill <= min(accepted, one.cap_base_units)
            assert not fill or (bid.minimum_fill_base_units <= fill and bid.steps[0].spread_bps <= cleared.spread_bps)
            if any(rival.minimum_fill_base_units for rival in bids if rival is not bid):
                continue
            lower = replace(bid, steps=tuple(replace(s, spread_bps=s.spread_bps - 25) for s in bid.steps))
            again = book.clear(what, [lower if each is bid else each for each in bids])
            assert again.fills_base_units[bid.key] >= fill - UNIT
        assert sum(result.fills_base_units.values()) == result.size_base_units
        assert one.target_base_units <= result.size_base_units <= one.limit_base_units


def assert_allocated(offering: Offering) -> None:
    """Rows say what the report says."""
    for one in offering.classes.select_related("tranche"):
        result = report.results(offering.report)[one.tranche.symbol]
        rows = Allocation.objects.filter(tranche=one.tranche).select_related("order")
        fills = {row.order.commitment: row.units for row in rows}
        assert fills == {key: units for key, units in result.fills_base_units.items() if units}
        assert {row.spread_bps for row in rows} == {result.spread_bps}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 20))])
def test_random_sale_is_what_its_rules_its_rows_and_the_chain_say(
    chain: Chain, clients: list[chain_world.Client], seed: int
) -> None:
    chance = Random(seed)
    tick()
    covered = clients[0].cell.party
    assert covered is not None
    sold = Sale(chain, covered, chance)
    cells = [who.cell for who in clients]
    terms = chance.choice((world.retaining(cells, 1_000), world.series_terms(cells, classes=2)))
    chain_life.float_for(chain, cells[0], 2_000 * UNIT)
    offering = sold.clear(sold.announce(terms))
    assert_fair(offering, chance)
    if offering.state == Offering.State.PULLED:
        assert not Allocation.objects.exists()
        return
    with transaction.atomic():
        clearing.allocate(actor="desk", series_id=offering.series_id, report_hash=offering.report_hash)
    assert_allocated(offering)
    sold.assert_delivered(sold.live_through(offering))
