"""A series whose days can be lived through: on a replay's clock, with relationships that have margin and signed terms,
and a house that has a float. What the chain would report is told as in `tests.bonds.world`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from bonds.models import CouponRun, Series, SlicePart
from bonds.offering.terms import SeriesTerms
from bonds.pricing.schedule import coupon_schedule
from bonds.servicing import due
from intermediary import clock, ledger
from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Cell, ChainTarget, TermsVersion
from settlement.signer import demo_wallet
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets, deposit
from tests.people import as_owner
from tests.settlement.world import terms_of

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


def serviced() -> tuple[list[Cell], Series]:
    """Two relationships with a million of free margin each, a float of two million, and a series on their tails with
    planned coupons: three investors hold it."""
    return _serviced()


def floating() -> tuple[list[Cell], Series]:
    """The same with a coupon over the overnight rate."""
    return _serviced(coupon_kind="SOFR")


@transaction.atomic
def _serviced(**changes: Any) -> tuple[list[Cell], Series]:
    begin()
    assets()
    cells = [world.covered_cell("R1"), world.covered_cell("R2")]
    for cell in cells:
        endow(cell, MILLION, MILLION)
    series = world.on_risk(cells, [world.investor(name) for name in "abc"], terms=year(cells, **changes))
    plan(series)
    return cells, series


def balance(cell: Cell, kind: AccountKind) -> int:
    return ledger.balance(cell.id, kind, "USDC")


def year(cells: list[Cell], **changes: Any) -> SeriesTerms:
    return replace(world.series_terms(cells), **changes)


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
