"""Random lives of a series in the database: losses, recoveries, coupons, transfers and the end, in any order, of one or
two classes, with and without a share that the intermediary retains, at a fixed or a floating coupon.

After every step: principal is accounted for (B8) and lies in the ledger's escrow, a relationship's loss has touched its
own slice only (B9), each class' part of it as its layer has it, junior before senior and rounded down, coupons are what
each day's principal of their class earned at that day's rate (B4), nothing after the risk period writes down (B5), what
is reserved and released adds up and the final maturity ends it (B6).
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise, product
from random import Random
from typing import Any

import pytest

from bonds.loss.tranches import slice_loss_base_units
from bonds.models import CouponPart, CouponRun, Holding, Redemption, Reserve, Series, SliceAct, SlicePart, Tranche
from bonds.offering.terms import CouponKind
from bonds.servicing import coupons, reserves, write_downs
from intermediary import clock
from intermediary.models import AccountKind, Cell, DefaultCase
from risk.market.parameters import load_parameters
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.note_model import break_of, principal_of_each
from tests.bonds.serviced_world import Structure
from tests.bonds.world import MILLION

KINDS: tuple[CouponKind, ...] = ("FIXED", "SOFR")
STRUCTURES = [Structure(*of) for of in product((1, 2), (0, 500, 1_000), KINDS)]
ALWAYS = (Structure(), Structure(1, 1_000, "SOFR"), Structure(2, 500), Structure(2, 1_000, "SOFR"))
TELLING = 5  # the seed of a life with a loss in every class, a recovery, and a default after the risk period
Step = Callable[[], None]
RATES = load_parameters().rates


class Lived:
    """One random life, and what it must leave in the books."""

    def __init__(self, structure: Structure, series: Series, cells: list[Cell], seed: int) -> None:
        self.structure, self.series, self.cells, self.random = structure, series, cells, Random(seed)
        self.classes = list(series.tranches.order_by("seniority"))
        self.balances = {one: {series.issue_date: structure.face_base_units} for one in self.classes}
        self.cases: dict[str, DefaultCase] = {}
        self.overnight: dict[date, Fraction] = {}
        self.valued()

    def valued(self) -> None:
        """A floating coupon follows the overnight rate, which is another from this day on."""
        today = clock.now().date()
        if self.structure.coupon_kind == "SOFR" and today not in self.overnight:
            dearer = Decimal(self.random.randint(-100, 300)).scaleb(-4)
            rates = tuple((days, rate + dearer) for days, rate in RATES)
            life.valued(today, rates)
            self.overnight[today] = life.paid_of(rates)

    def outstanding(self, of_class: Tranche) -> int:
        return sum(SlicePart.objects.filter(tranche=of_class).values_list("outstanding_base_units", flat=True))

    def noted(self) -> None:
        for of_class, balances in self.balances.items():
            balances[clock.now().date()] = self.outstanding(of_class)

    def days_pass(self) -> None:
        self.until(clock.now().date() + timedelta(days=self.random.randint(5, 60)))
        self.valued()

    def until(self, day: date) -> None:
        """Stop at every day on which something is due, so that each balance has its own day."""
        last = CouponRun.objects.order_by("-payment_date")[0].payment_date
        stops = {run.payment_date for run in CouponRun.objects.all()}
        stops |= {stop - coupons.CHARGED_AHEAD for stop in stops} | {last, day}
        for stop in sorted(stops):
            if clock.now().date() < stop <= day:
                life.live_to_day(stop)
                life.serve()
                life.serve()
                self.noted()

    def default(self) -> None:
        """A notice, at any time; its loss at once, later or never."""
        left = [cell for cell in self.cells if cell.code not in self.cases]
        if left:
            cell = self.random.choice(left)
            self.cases[cell.code] = world.notice(cell)

    def determine(self, at_least: int = 0) -> None:
        open_ones = [case for case in self.cases.values() if case.determination_id is None]
        if open_ones:
            loss = self.random.randrange(at_least, 12 * MILLION, 7)
            write_downs.on_loss_determined(world.determine(self.random.choice(open_ones), loss))
            world.settle()
            life.live_until(clock.now() + timedelta(hours=2))
            world.settle_challenges()
            life.serve()
            self.noted()

    def recover(self) -> None:
        known = [case for case in self.cases.values() if case.loss_base_units > 0]
        if known:
            case = self.random.choice(known)
            amount = self.random.randint(1, case.loss_base_units)
            write_downs.on_recovery_received(world.recover(case, amount))
            for _ in range(3):
                world.settle()
            self.noted()

    def transfer(self) -> None:
        sender = self.random.choice(list(Holding.objects.order_by("id")))
        others = Holding.objects.filter(tranche=sender.tranche_id).exclude(id=sender.id)
        receiver = self.random.choice(list(others.order_by("id")))
        units = self.random.randint(0, sender.units)
        Holding.objects.filter(id=sender.id).update(units=sender.units - units)
        Holding.objects.filter(id=receiver.id).update(units=receiver.units + units)

    def steps(self, *, telling: bool) -> Iterator[Step]:
        """What happens before the end: anything, or what must happen for a life to be telling."""
        if telling:
            far = partial(self.determine, 6 * MILLION)  # into the senior class where there are two
            yield from (self.days_pass, self.default, self.transfer, far, self.days_pass, self.recover, self.transfer)
            return
        steps = (self.days_pass, self.days_pass, self.default, self.determine, self.recover, self.transfer)
        for _ in range(9):
            yield self.random.choice(steps)

    def assert_invariants(self) -> None:
        for cell in self.cells:
            found = SlicePart.objects.filter(slice__series=self.series, slice__cell=cell)
            parts = list(found.select_related("slice", "tranche").order_by("tranche__seniority"))
            assert life.balance(cell, AccountKind.ESCROW) == sum(part.outstanding_base_units for part in parts)
            coupon = sum(CouponPart.objects.filter(cell=cell).values_list("amount_base_units", flat=True))
            redeemed = sum(part.redeemed_base_units for part in parts)
            assert life.balance(cell, AccountKind.COUPONS) == coupon + redeemed
            for part in parts:
                assert break_of(part.state) == 0
                self._assert_of_its_own_loss(part)
            for junior, senior in pairwise(parts):
                assert not senior.state.net_written_down_base_units or not junior.outstanding_base_units
        for of_class in self.classes:
            self._assert_held(of_class)
        for review in Reserve.objects.all():
            assert review.reserved_base_units + review.released_base_units == review.outstanding_base_units

    def _assert_held(self, of_class: Tranche) -> None:
        """All units of a class are held, and its principal is its holders' to within a base unit each."""
        held = dict(Holding.objects.filter(tranche=of_class).values_list("id", "units"))
        assert sum(held.values()) == self.structure.face_base_units
        principal = self.outstanding(of_class)
        assert principal - len(held) < sum(principal_of_each(held, principal).values()) <= principal

    def _assert_of_its_own_loss(self, part: SlicePart) -> None:
        """What is written down is the loss of its own relationship in the risk period, as far as it falls on the layer
        of its class, is not the intermediary's and was not repaid."""
        case = self.cases.get(part.slice.relationship)
        inside = case is not None and case.noticed_at <= reserves.risk_end(self.series)
        lost = case.loss_base_units if case is not None and inside else 0
        loss = self.structure.borne(part.tranche.seniority, lost)
        assert slice_loss_base_units(part.state.slice, lost) == loss
        net = part.state.net_written_down_base_units
        assert net <= loss
        if not SliceAct.objects.filter(slice=part.slice, state__in=SliceAct.UNFINISHED).exists():
            assert net == min(loss, part.principal_base_units - part.redeemed_base_units)

    def rate_annual(self, of_class: Tranche, day: date) -> Fraction:
        if self.structure.coupon_kind == "FIXED":
            assert of_class.coupon_rate_annual is not None
            return Fraction(of_class.coupon_rate_annual)
        assert of_class.spread_bps is not None
        return Fraction(of_class.spread_bps, 10_000) + self.overnight[max(one for one in self.overnight if one <= day)]

    def assert_coupons(self) -> None:
        """Each coupon on the balances and at the rates that its days had, rounded down once (B4), and its holders' to
        within a base unit each."""
        for run in CouponRun.objects.select_related("tranche__series"):
            assert run.state == CouponRun.State.PAID
            balances, earned = self.balances[run.tranche], Fraction(0)
            for number in range((run.accrual_end - run.accrual_start).days):
                day = run.accrual_start + timedelta(days=number)
                principal = balances[max(one for one in balances if one <= day)]
                earned += principal * self.rate_annual(run.tranche, day) / 360
            assert run.amount_base_units == int(earned)
            paid = sum(run.payments.values_list("amount_base_units", flat=True))
            assert run.amount_base_units - Holding.objects.filter(tranche=run.tranche).count() < paid
            assert paid <= run.amount_base_units

    def assert_telling(self) -> None:
        """A life in which every class lost principal, some came back, and a default after the risk period."""
        for of_class in self.classes:
            assert SlicePart.objects.filter(tranche=of_class, written_down_base_units__gt=0).exists()
        assert SliceAct.objects.filter(kind=SliceAct.Kind.WRITE_UP, state=SliceAct.State.DONE).exists()
        assert any(case.noticed_at > reserves.risk_end(self.series) for case in self.cases.values())


def lives() -> list[Any]:
    """A telling life of a few structures, and of each that and more where time is no matter."""
    found = []
    for structure, seed in product(STRUCTURES, range(1, 7)):
        deep = [] if seed == TELLING and structure in ALWAYS else [pytest.mark.deep]
        marks = [pytest.mark.world(build=structure.build), *deep]
        found.append(pytest.param(structure, seed, marks=marks, id=f"{structure}-{seed}"))
    return found


@pytest.mark.parametrize(("structure", "seed"), lives())
def test_books_agree_whatever_happens(
    rolled_back_world: tuple[list[Cell], Series], structure: Structure, seed: int
) -> None:
    cells, series = rolled_back_world
    lived = Lived(structure, series, cells, seed)
    for step in lived.steps(telling=seed == TELLING):
        step()
        lived.assert_invariants()
    lived.until(series.scheduled_maturity + timedelta(days=10))
    lived.default()
    lived.determine()
    lived.determine()
    lived.recover()
    if seed == TELLING:
        lived.assert_telling()
    lived.assert_invariants()
    lived.assert_coupons()
    life.live_until(datetime.combine(series.final_maturity, time(), UTC) + timedelta(days=2))
    for _ in range(4):
        life.serve()
    lived.assert_invariants()
    series.refresh_from_db()
    assert series.state in (Series.State.MATURED, Series.State.REDEEMED, Series.State.WRITTEN_OFF)
    assert sum(world.outstanding(series).values()) == 0
    assert not Redemption.objects.filter(state=Redemption.State.MOVING).exists()
