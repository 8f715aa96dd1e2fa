"""A repaid series and the book of the next one on the real contracts: what a holder's wallet needs to roll forward."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from bonds.models import CouponRun, Offering, Series, Tranche
from bonds.offering import clearing
from intermediary import clock
from intermediary.config import deliveries, note_register, note_sale
from settlement import cycle
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.signer import demo_wallet
from tests.bonds import chain_life, world
from tests.bonds.chain_life import START, WALLETS, Life
from tests.bonds.test_issue_on_chain import opposite_books
from tests.bonds.world import MILLION, Secret
from tests.people import as_owner
from tests.settlement import world as chain_world

FIRST, SECOND = (demo_wallet(index) for index in WALLETS[:2])
STEPS_MAX = 6  # deploy, allot, paid, closed, issued


def world_to_roll() -> tuple[str, list[chain_world.Client]]:
    """Two relationships for a series of a year, a third for the next one; the clock stands until a test moves it."""

    def build(chain: Chain) -> list[chain_world.Client]:
        with as_owner():
            clock.start_replay(START)
        found = opposite_books(chain)
        third = chain_world.client(chain, "R3", 2)
        with transaction.atomic():
            world.with_layers(third.cell, series="BLK-N")
        cycle.settle_all(chain=chain)
        return [*found, third]

    return chain_world.on_chain(build)


@dataclass
class Rolling:
    """The old series with its chain, and the next one."""

    life: Life
    into: Tranche

    @property
    def chain(self) -> Chain:
        return self.life.chain

    @property
    def offering(self) -> Offering:
        return Offering.objects.select_related("series").get(series=self.into.series_id)

    def old_is_repaid(self) -> None:
        """The last day begins: what nothing is kept for is repaid and final."""
        self.life.until(_last_day(self.life.series) + timedelta(minutes=10))

    def workers(self) -> None:
        """What the platform's processes do by now on the chain and with what it tells."""
        cycle.settle_all(chain=self.chain)
        deliveries.deliver_pending()

    def cleared(self, *kept: Secret) -> None:
        """The book is closed, revealed, cleared and allocated; contracts stand and wallets are allotted their units."""
        with transaction.atomic():
            world.priced(self.into.series, *kept)
            clearing.allocate(actor="desk", series_id=self.into.series_id, report_hash=self.offering.report_hash)
        for _ in range(2):
            note_sale.step(self.chain, self.offering, mine)
            self.workers()

    def issued(self) -> None:
        """All that is paid is booked, and the series is on risk."""
        for _ in range(STEPS_MAX):
            if self.offering.state == Offering.State.SETTLED:
                return
            self.workers()
            note_sale.step(self.chain, self.offering, mine)


def begin(chain: Chain, clients: list[chain_world.Client]) -> Rolling:
    """Half an hour before the last day of a series of which R1 is in default, unestimated: six of its twelve million
    will be kept back. The next book, of six million, has just been opened; the first two holders are eligible."""
    life = chain_life.begin(chain, clients[:2], years=1)
    CouponRun.objects.update(state=CouponRun.State.CANCELLED)
    life.until(life.series.risk_until - timedelta(hours=1))
    with transaction.atomic():
        world.notice(clients[0].cell)
    life.settle()
    life.until(_last_day(life.series) - timedelta(minutes=30))
    for index in WALLETS[:2]:
        world.granted(holder(index))
    note_register.enter_all(chain, mine)
    fund_gas(chain, FIRST.address, SECOND.address)
    with transaction.atomic():
        return Rolling(life, world.next_class(clients[2].cell))


def holder(index: int) -> User:
    return User.objects.get(username=f"holder {index}")


def _last_day(series: Series) -> datetime:
    last = CouponRun.objects.order_by("-number")[0].payment_date
    day = max(series.scheduled_maturity, last)
    return max(datetime(day.year, day.month, day.day, tzinfo=UTC), series.risk_until)


__all__ = ["FIRST", "MILLION", "SECOND", "Rolling", "begin", "holder", "world_to_roll"]
