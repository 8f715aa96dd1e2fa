"""What a holder is told beside its notes: coupons paid and to come, cash that waits in the escrow, what is kept back
after a risk period, and the notices of its series. Reads only."""

from dataclasses import dataclass
from datetime import UTC, datetime

from bonds.models import CouponPayment, CouponRun, HolderNotice, Reserve, Series, Tranche
from bonds.portal.queries import ClassView, HoldingView
from bonds.portal.statements import accounts_of
from bonds.servicing.account import Kind
from intermediary.models import Party

NOTICES_SHOWN = 20  # what a holder has not read in the last weeks; all of it stands in the series' timelines
BEGINNING, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)  # before the platform and after all


@dataclass(frozen=True)
class NextCoupon:
    """The next payment of one class that the reader holds; whoever holds the units then is paid."""

    run: CouponRun
    held: HoldingView


@dataclass(frozen=True)
class Kept:
    """A series of the reader's whose principal is partly kept back for events of its risk period."""

    series: Series
    outstanding_base_units: int
    reserved_base_units: int

    @property
    def releasable_base_units(self) -> int:
        """What the rest redeems."""
        return self.outstanding_base_units - self.reserved_base_units


@dataclass(frozen=True)
class Cash:
    """Base units: what coupons and repayments have earned the party, and what of it lies in the escrow by our books;
    `claimable` of the note contract is exact to the base unit."""

    coupons: int
    repaid: int
    paid_out: int

    @property
    def waiting(self) -> int:
        """Not taken out yet."""
        return max(0, self.coupons + self.repaid - self.paid_out)


def classes_of(held: list[HoldingView]) -> list[ClassView]:
    """The classes held, each once however many wallets hold it."""
    return list({one.of.tranche.id: one.of for one in held}.values())


def next_coupons(held: list[HoldingView]) -> list[NextCoupon]:
    """The next planned or moving coupon of each class held, the nearest payment first."""
    found = []
    for one in held:
        runs = CouponRun.objects.filter(tranche=one.of.tranche, state__in=CouponRun.UNFINISHED)
        run = runs.order_by("number").first()
        if run is not None:
            found.append(NextCoupon(run, one))
    return sorted(found, key=lambda one: one.run.payment_date)


def coupons_of(party: Party) -> list[CouponPayment]:
    """Coupons that the party was paid, newest first."""
    mine = CouponPayment.objects.filter(party=party)
    return list(mine.select_related("run__tranche__series").order_by("-run__paid_at", "-id"))


def cash_of(party: Party) -> Cash:
    """What all classes the party ever held have earned it, and what it took out."""
    found = [cash for _, cash in cash_by_class(party)]
    return Cash(sum(one.coupons for one in found), sum(one.repaid for one in found), sum(one.paid_out for one in found))


def cash_by_class(party: Party) -> list[tuple[Tranche, Cash]]:
    """The same of each class, by symbol."""
    accounts = accounts_of(party, BEGINNING, END)
    return [
        (one.tranche, Cash(*(one.account.cash(kind) for kind in (Kind.COUPON, Kind.REDEEMED, Kind.PAID_OUT))))
        for one in accounts
    ]


def kept_back(series: list[Series]) -> list[Kept]:
    """Series of these of which something is kept back: the newest review of each slice counts."""
    found = []
    for one in series:
        newest = Reserve.objects.filter(slice__series=one).order_by("slice_id", "-id").distinct("slice_id")
        rows = list(newest)
        if rows and one.state == Series.State.EXTENDED:
            outstanding = sum(row.outstanding_base_units for row in rows)
            found.append(Kept(one, outstanding, sum(row.reserved_base_units for row in rows)))
    return found


def notices_of(party: Party) -> list[HolderNotice]:
    """What the party was told, newest first."""
    return list(HolderNotice.objects.filter(party=party).select_related("series", "tranche")[:NOTICES_SHOWN])
