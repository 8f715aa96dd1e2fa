"""A series whose days can be lived through: on a replay's clock, with relationships that have margin and signed terms,
and a house that has a float. What the chain would report is told as in `tests.bonds.world`."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import expm1
from typing import Any

from django.db import transaction

from bonds.models import CouponRun, Series, SlicePart
from bonds.offering.terms import CouponKind
from bonds.pricing.schedule import coupon_schedule
from bonds.servicing import due
from intermediary import clock, ledger
from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Cell, ChainTarget, TermsVersion
from risk import engine
from risk.models import Snapshot
from settlement.signer import demo_wallet
from tests.bonds import world
from tests.bonds.note_model import BPS, borne
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets, deposit
from tests.people import as_owner
from tests.risk.builders import snapshot as market
from tests.settlement.world import terms_of

FIRST_LOSS, TAIL = 3 * MILLION // 2, 6 * MILLION  # of each relationship, see `world.covered_cell`
START = datetime(2026, 1, 7, 12, tzinfo=UTC)


def begin() -> None:
    """The clock of the world stands at its start until a test moves it."""
    with as_owner():
        clock.start_replay(START)


def live_until(moment: datetime) -> None:
    """Let time pass."""
    clock.move_to(moment, rate=Decimal(0), ceiling=moment)


def live_to_day(day: Any) -> None:
    """Let time pass until the first hour of a day."""
    live_until(datetime(day.year, day.month, day.day, 1, tzinfo=UTC))


def serve() -> int:
    """What is due by now, and what the chain makes of it."""
    done = due.serve(clock.now())
    world.settle()
    return done


def endow(cell: Cell, margin_base_units: int, float_base_units: int = 0) -> None:
    """Free margin in a vault under signed terms, and a float that faces the relationship."""
    key = demo_wallet(int(cell.code.removeprefix("R")))
    terms = replace(terms_of(cell.code, key), ruleset="standard")
    TermsVersion.objects.create(
        cell=cell,
        version=1,
        body=terms.canonical,
        hash=terms.hash,
        client_signer=key.address,
        client_signature="0x",
        house_signer=key.address,
        house_signature="0x",
    )
    usdc, _ = assets()
    ChainTarget.objects.create(kind=ChainTarget.Kind.VAULT, cell=cell, asset=usdc, address=world.address(), opened=True)
    if margin_base_units:
        deposit(cell, margin_base_units)
    if float_base_units:
        _spend(cell, AccountKind.FLOAT, -float_base_units)


def plan(series: Series, shares: dict[str, str] | None = None) -> None:
    """The coupons as `coupon_plan` writes them; shares of the spread by relationship, else of principal."""
    for tranche in series.tranches.all():
        periods = coupon_schedule(series.issue_date, series.scheduled_maturity, series.months_between_coupons)
        for number, one in enumerate(periods, start=1):
            CouponRun.objects.create(
                tranche=tranche,
                number=number,
                accrual_start=one.accrual_start,
                accrual_end=one.accrual_end,
                record_date=one.record_date,
                payment_date=one.payment_date,
            )
        for part in SlicePart.objects.filter(tranche=tranche).select_related("slice"):
            whole = Decimal(part.principal_base_units) / tranche.original_base_units
            part.spread_share = Decimal(shares[part.slice.relationship]) if shares else whole
            part.save(update_fields=["spread_share"])


@dataclass(frozen=True)
class Structure:
    """How a series on the tails of two relationships is cut: its classes, alike and end to end; the share of each that
    the intermediary retains; and its coupon."""

    classes: int = 1
    retained_bps: int = 0
    coupon_kind: CouponKind = "FIXED"

    def __str__(self) -> str:
        return f"{self.classes}-{self.retained_bps}-{self.coupon_kind}"

    @property
    def face_base_units(self) -> int:
        """Of one class over both slices."""
        return 2 * TAIL * (BPS - self.retained_bps) // BPS // self.classes

    def borne(self, seniority: int, net_loss_base_units: int) -> int:
        """What the notes of one class in one slice bear of its relationship's N."""
        width = TAIL // self.classes
        return borne(net_loss_base_units, FIRST_LOSS + seniority * width, width, self.retained_bps)

    @transaction.atomic
    def build(self) -> tuple[list[Cell], Series]:
        """Two relationships with a million of free margin each, a float of two million, and a series on their tails
        with planned coupons: three investors hold it, in thirds of each class."""
        begin()
        assets()
        cells = [world.covered_cell("R1"), world.covered_cell("R2")]
        for cell in cells:
            endow(cell, MILLION, MILLION)
        terms = world.retaining(cells, self.retained_bps, classes=self.classes)
        terms = replace(terms, coupon_kind=self.coupon_kind)
        series = world.on_risk(cells, [world.investor(name) for name in "abc"], terms=terms)
        plan(series)
        return cells, series


def serviced() -> tuple[list[Cell], Series]:
    """One class, nothing retained, a fixed coupon."""
    return Structure().build()


def floating() -> tuple[list[Cell], Series]:
    """The same with a coupon over the overnight rate."""
    return Structure(coupon_kind="SOFR").build()


def valued(day: date, rates: tuple[tuple[int, Decimal], ...], *, official: bool = True, hour: int = 12) -> None:
    """A market of these rates on a day."""
    seen = replace(market(), as_of=datetime.combine(day, time(hour), UTC), rates=rates)
    Snapshot.objects.create(id=seen.id, as_of=seen.as_of, source=seen.source, body=seen.to_json())
    if official:
        engine.open_tick(seen.id, 1)


def paid_of(rates: tuple[tuple[int, Decimal], ...]) -> Fraction:
    """The simple rate of one day, ACT/360, to seven places."""
    return Fraction(str(round(expm1(float(rates[0][1]) / 365) * 360, 7)))


def balance(cell: Cell, kind: AccountKind) -> int:
    return ledger.balance(cell.id, kind, "USDC")


def days(count: int) -> timedelta:
    return timedelta(days=count)


def spend_float(cell: Cell) -> None:
    """The house has used the float that faces a relationship."""
    _spend(cell, AccountKind.FLOAT, balance(cell, AccountKind.FLOAT))


def spend_margin(cell: Cell, amount_base_units: int) -> None:
    """The client has taken this much out of its vault."""
    _spend(cell, AccountKind.CLIENT_MARGIN, amount_base_units)


def _spend(cell: Cell, kind: AccountKind, amount_base_units: int) -> None:
    lines = [Line(kind, "USDC", -amount_base_units), Line(AccountKind.OUTSIDE, "USDC", amount_base_units)]
    post(entry_id=uuid7(), cell_id=cell.id, kind="spent", memo="spent", lines=lines)
