"""Random lives of a series on the real contracts, of one or two classes with or without a retained share: models, rows
and chain agree to the base unit after every step, and in the end every movement of the escrow's cash is in the ledger
(B4, B8, B9)."""

from random import Random

import pytest
from pytest_django import Settings

from bonds.models import CouponRun
from settlement.chain import Chain
from settlement.signer import Signer, demo_wallet
from tests.bonds import chain_life
from tests.bonds.chain_life import WALLETS, Life
from tests.bonds.note_model import borne
from tests.bonds.world import MILLION
from tests.settlement import world as chain_world

pytestmark = [pytest.mark.world(build=chain_life.world_in_time), pytest.mark.deep]
ATTACH, WIDTH = 3 * MILLION // 2, 6 * MILLION
STEPS = 14


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    """See the fixture of the same name in tests.settlement."""
    return chain_world.chain_of_world(chain_url, settings, request)


@pytest.fixture
def clients(chain: Chain, built_world: tuple[str, list[chain_world.Client]]) -> list[chain_world.Client]:
    return built_world[1]


class Lived:
    """The steps, each done on chain and in the model."""

    def __init__(self, life: Life, seed: int, retained_bps: int) -> None:
        self.life, self.random, self.retained_bps = life, Random(seed), retained_bps
        self.losses: dict[str, int] = {}

    def of_layers(self, net_loss: int) -> list[int]:
        """What the notes of each class in one slice bear of N, junior first."""
        width = WIDTH // len(self.life.models)
        edges = range(ATTACH, ATTACH + WIDTH, width)
        return [borne(net_loss, attach, width, self.retained_bps) for attach in edges]

    def any_class(self) -> int:
        return self.random.randrange(len(self.life.models))

    def wallet(self) -> Signer:
        return demo_wallet(self.random.choice(WALLETS))

    def coupon(self) -> None:
        run = CouponRun.objects.filter(state=CouponRun.State.PLANNED).order_by("number").first()
        last = CouponRun.objects.order_by("-number")[0]
        if run is not None and run.number < last.number:
            self.life.coupon(run.number)

    def lose(self) -> None:
        left = sorted({"R1", "R2"} - self.losses.keys())
        if left:
            code, loss = self.random.choice(left), self.random.randrange(0, 9 * MILLION)
            self.losses[code] = loss
            self.life.lose(code, loss)
            for model, fallen in zip(self.life.models, self.of_layers(loss), strict=True):
                model.fall(fallen)
            self.life.noted()

    def recover(self) -> None:
        known = sorted(code for code, loss in self.losses.items() if loss)
        if known:
            code = self.random.choice(known)
            amount = self.random.randint(1, self.losses[code])
            before = self.of_layers(self.losses[code])
            self.losses[code] -= amount
            self.life.recover(code, amount)
            after = self.of_layers(self.losses[code])
            for model, high, low in zip(self.life.models, before, after, strict=True):
                model.rise(high - low)
            self.life.noted()

    def transfer(self) -> None:
        sender, receiver, of = self.wallet(), self.wallet(), self.any_class()
        model = self.life.models[of]
        units = model.units[sender.address]
        if sender.address != receiver.address and units:
            moved = self.random.randint(1, units)
            self.life.send(sender, receiver.address, moved, of)
            model.transfer(sender.address, receiver.address, moved)

    def claim(self) -> None:
        wallet, of = self.wallet(), self.any_class()
        assert self.life.claim(wallet, of) == self.life.models[of].take(wallet.address)


@pytest.mark.parametrize(
    ("seed", "classes", "retained_bps"),
    [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 2, 0), (5, 2, 1_000), (6, 2, 500), (7, 1, 1_000)],
)
def test_model_rows_and_chain_agree_at_every_step(
    chain: Chain, clients: list[chain_world.Client], seed: int, classes: int, retained_bps: int
) -> None:
    life = chain_life.begin(
        chain, clients, years=1, months_between_coupons=1, classes=classes, retained_bps=retained_bps
    )
    lived = Lived(life, seed, retained_bps)
    steps = (lived.coupon, lived.lose, lived.recover, lived.recover, lived.transfer, lived.claim)
    for _ in range(STEPS):
        lived.random.choice(steps)()
        life.assert_agrees()
    sums = life.explained()
    assert sums.get("COUPON", 0) == sum(CouponRun.objects.values_list("amount_base_units", flat=True))
    assert sum(sums.values()) == life.cash_of(life.escrow)
