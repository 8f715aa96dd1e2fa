"""A series serviced to its end on the real contracts, through a default and two recoveries: every coupon is the one its
terms give, every holder is owed what an independent model says, and every movement of the escrow is in the ledger."""

from datetime import UTC, datetime, time, timedelta

import pytest
from pytest_django import Settings

from bonds.models import CouponPart, CouponPayment, CouponRun, Holding, Series
from bonds.servicing import chain_order
from settlement.chain import Chain
from settlement.signer import demo_wallet
from tests.bonds import chain_life
from tests.bonds.chain_life import WALLETS, Life
from tests.bonds.world import MILLION
from tests.settlement import world as chain_world

pytestmark = pytest.mark.world(build=chain_life.world_in_time)
NORTH, SOUTH, EAST = (demo_wallet(index) for index in WALLETS)
State = Series.State


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    """See the fixture of the same name in tests.settlement."""
    return chain_world.chain_of_world(chain_url, settings, request)


@pytest.fixture
def clients(chain: Chain, built_world: tuple[str, list[chain_world.Client]]) -> list[chain_world.Client]:
    return built_world[1]


def state(life: Life) -> Series.State:
    life.series.refresh_from_db()
    return State(life.series.state)


def written_down(life: Life) -> None:
    """R1 defaults with a net loss of 4m: 2.5m of it beyond the attachment point."""
    life.lose("R1", 4 * MILLION)
    life.model.fall(5 * MILLION // 2)
    life.noted()
    life.assert_agrees()
    assert state(life) == State.ON_RISK


def matured(life: Life) -> None:
    """Scheduled maturity: all principal goes back, half a million and a million of rights live on."""
    life.until_day(life.series.scheduled_maturity + timedelta(days=4))
    life.model.share_out(life.model.principal, repays=True)
    life.assert_agrees()
    assert state(life) == State.MATURED


def recovered_after_anyone_matured(life: Life) -> None:
    """After the grace a holder releases the escrow by itself; what comes back later is theirs at once."""
    final = datetime.combine(life.series.final_maturity, time(), UTC)
    life.until(final + timedelta(days=33))
    life.mature(NORTH)
    life.assert_agrees()
    life.recover("R1", 3 * MILLION // 2)
    life.model.rise(3 * MILLION // 2)
    life.model.share_out(3 * MILLION // 2, repays=True)
    life.assert_agrees()
    assert state(life) == State.REDEEMED


def everyone_is_paid(life: Life) -> None:
    """All take what they can; the residue of rounding stays."""
    for wallet in (NORTH, SOUTH, EAST):
        expected = life.model.take(wallet.address)
        assert life.claim(wallet) == expected
    life.assert_agrees()
    assert 0 <= life.owed() < len(WALLETS) * 20
    for holding in Holding.objects.select_related("wallet"):
        coupons = CouponPayment.objects.filter(wallet=holding.wallet)
        assert sum(coupons.values_list("amount_base_units", flat=True)) > 0


@pytest.mark.parametrize("years", [1, pytest.param(3, marks=pytest.mark.deep)])
def test_every_cent_of_a_serviced_series_is_explained(
    chain: Chain, clients: list[chain_world.Client], years: int
) -> None:
    life = chain_life.begin(chain, clients, years=years)
    life.assert_agrees()
    life.send(NORTH, SOUTH.address, 1_000_000 * 10**6 + 7)
    life.model.transfer(NORTH.address, SOUTH.address, 1_000_000 * 10**6 + 7)
    numbers = list(CouponRun.objects.order_by("number").values_list("number", flat=True))
    life.coupon(numbers[0])
    life.assert_agrees()
    assert life.claim(SOUTH) == life.model.take(SOUTH.address)
    written_down(life)
    before, after = (numbers[1:3], numbers[3:]) if years > 1 else ([], numbers[1:])
    for number in before:
        life.coupon(number)
        life.assert_agrees()
    life.recover("R1", MILLION)
    life.model.rise(MILLION)
    life.noted()
    life.assert_agrees()
    for number in after[:-1]:
        life.coupon(number)
        life.assert_agrees()
    life.coupon(after[-1])
    matured(life)
    recovered_after_anyone_matured(life)
    everyone_is_paid(life)
    sums = life.explained()
    assert sums["SUBSCRIBED"] == 12 * MILLION
    assert sums["APPLY_LOSS"] == -5 * MILLION // 2
    assert sums["WRITE_UP"] == 5 * MILLION // 2
    assert all(chain_order.place_of(part.movement) for part in CouponPart.objects.all()), "the chain says where"
    assert sums["COUPON"] == sum(CouponRun.objects.values_list("amount_base_units", flat=True))
    assert sum(sums.values()) == life.cash_of(life.escrow) == life.owed()
