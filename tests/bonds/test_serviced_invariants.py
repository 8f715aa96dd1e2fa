"""Random lives of a series in the database: losses, recoveries, coupons, transfers and the end, in any order.

After every step: principal is accounted for (B8) and lies in the ledger's escrow, a relationship's loss has touched its
own slice only (B9), coupons are what each day's principal earned (B4), nothing after the risk period writes down (B5),
what is reserved and released adds up and the final maturity ends it (B6).
"""

from datetime import UTC, date, datetime, time, timedelta
from random import Random

import pytest

from bonds.loss.tranches import slice_loss_base_units
from bonds.models import CouponPart, CouponRun, Holding, Redemption, Reserve, Series, SliceAct, SlicePart
from bonds.pricing.coupons import DatedBalance, coupon_base_units_round_down
from bonds.servicing import coupons, reserves, write_downs
from intermediary import clock
from intermediary.models import AccountKind, Cell, DefaultCase
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.note_model import break_of, principal_of_each
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.serviced)
TELLING = 5  # a life with a loss inside its layer, a recovery, and a default after the risk period


class Lived:
    """One random life, and what it must leave in the books."""

    def __init__(self, series: Series, cells: list[Cell], seed: int) -> None:
        self.series, self.cells, self.random = series, cells, Random(seed)
        self.balances = {series.issue_date: 12 * MILLION}
        self.cases: dict[str, DefaultCase] = {}

    def outstanding(self) -> int:
        return sum(world.outstanding(self.series).values())

    def noted(self) -> None:
        self.balances[clock.now().date()] = self.outstanding()

    def days_pass(self) -> None:
        self.until(clock.now().date() + timedelta(days=self.random.randint(5, 60)))

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

    def determine(self) -> None:
        open_ones = [case for case in self.cases.values() if case.determination_id is None]
        if open_ones:
            loss = self.random.randrange(0, 12 * MILLION, 7)
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
        sender, receiver = self.random.sample(list(Holding.objects.order_by("id")), 2)
        units = self.random.randint(0, sender.units)
        Holding.objects.filter(id=sender.id).update(units=sender.units - units)
        Holding.objects.filter(id=receiver.id).update(units=receiver.units + units)

    def assert_invariants(self) -> None:
        for part in SlicePart.objects.filter(slice__series=self.series).select_related("slice__cell"):
            assert break_of(part.state) == 0
            cell = part.slice.cell
            assert life.balance(cell, AccountKind.ESCROW) == part.outstanding_base_units
            coupon = sum(CouponPart.objects.filter(cell=cell).values_list("amount_base_units", flat=True))
            assert life.balance(cell, AccountKind.COUPONS) == coupon + part.redeemed_base_units
            self._assert_of_its_own_loss(part)
        assert sum(Holding.objects.values_list("units", flat=True)) == 12 * MILLION
        held = dict(Holding.objects.values_list("id", "units"))
        principal = self.outstanding()
        assert principal - len(held) < sum(principal_of_each(held, principal).values()) <= principal
        for review in Reserve.objects.all():
            assert review.reserved_base_units + review.released_base_units == review.outstanding_base_units

    def _assert_of_its_own_loss(self, part: SlicePart) -> None:
        """What is written down is the loss of its own relationship in the risk period, as far as it was not repaid."""
        case = self.cases.get(part.slice.relationship)
        inside = case is not None and case.noticed_at <= reserves.risk_end(self.series)
        loss = slice_loss_base_units(part.state.slice, case.loss_base_units) if case is not None and inside else 0
        net = part.written_down_base_units - part.written_up_base_units
        assert net <= loss
        if not SliceAct.objects.filter(slice=part.slice, state__in=SliceAct.UNFINISHED).exists():
            assert net == min(loss, part.principal_base_units - part.redeemed_base_units)

    def assert_coupons(self) -> None:
        """Each paid coupon on the balances that the days had (B4)."""
        rate = world.only_tranche(self.series).coupon_rate_annual
        assert rate is not None
        for run in CouponRun.objects.filter(state=CouponRun.State.PAID):
            dated = [DatedBalance(day, self.balances[day]) for day in sorted(self.balances) if day < run.accrual_end]
            assert run.amount_base_units == coupon_base_units_round_down(
                run.accrual_start, run.accrual_end, dated, rate
            )


SEEDS = [TELLING, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 20) if seed != TELLING)]


@pytest.mark.parametrize("seed", SEEDS)
def test_books_agree_whatever_happens(rolled_back_world: tuple[list[Cell], Series], seed: int) -> None:
    cells, series = rolled_back_world
    lived = Lived(series, cells, seed)
    steps = (lived.days_pass, lived.days_pass, lived.default, lived.determine, lived.recover, lived.transfer)
    for _ in range(9):
        lived.random.choice(steps)()
        lived.assert_invariants()
    lived.until(series.scheduled_maturity + timedelta(days=10))
    lived.default()
    lived.determine()
    lived.determine()
    lived.recover()
    assert seed != TELLING or SliceAct.objects.exists(), "a life without a loss proves nothing"
    lived.assert_invariants()
    lived.assert_coupons()
    life.live_until(datetime.combine(series.final_maturity, time(), UTC) + timedelta(days=2))
    for _ in range(4):
        life.serve()
    lived.assert_invariants()
    series.refresh_from_db()
    assert series.state in (Series.State.MATURED, Series.State.REDEEMED, Series.State.WRITTEN_OFF)
    assert lived.outstanding() == 0
    assert not Redemption.objects.filter(state=Redemption.State.MOVING).exists()
