"""The worked example, through the whole stack: contracts, vaults, credit line, bond, default, recovery.

D is long 1,000 bitcoin bought at 100,000, W and M are short against it, U has an unrelated book. Variation margin is
last paid at 95,000; then the price gaps and D does not pay. The numbers are read off the ledger, the layers and the
notes at the end, in a database and on a chain of their own; nothing here computes a loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bonds.models import Tranche
from intermediary import ledger
from intermediary.closeout_schedule import CloseOutRules
from intermediary.config import replay
from intermediary.config.demo import bootstrap, keys, wallet
from intermediary.config.demo.world import Bargain, Cast, Client, Contract, Investor
from intermediary.models import AccountKind, DefaultCase, Instrument, Layer, Lot, Party, UncoveredShare
from intermediary.money import millions
from risk import engine
from risk.gate import EngineGate
from risk.market.parameters import COINS, load_parameters
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot, Underlying
from settlement import cycle
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of

START = datetime(2025, 1, 6, tzinfo=UTC)
DELIVER, CURE, CHALLENGE = timedelta(minutes=15), timedelta(minutes=5), timedelta(hours=2)
RECOVERED_USD = 3_400_000
DEPTH_USD = Decimal(1_000_000_000)  # the example replaces everything at one price: depth is no limit in it


def _client(key: str, name: str, code: str, **terms: Any) -> Client:
    defaults: dict[str, Any] = {
        "purpose": "worked example", "reserve_usd": 0, "answers_after_minutes": 1, "deliver_minutes": 15,
        "grace_minutes": 0, "cure_minutes": 5, "minimum_transfer_usd": 250_000, "layers_usd": (0, 0, 0),
    }  # fmt: skip
    return Client(key, name, Party.Kind.FUND, "KY", code, **defaults | terms)


CAST = Cast(
    clients=(
        _client("D", "D", "R-D", first_margin_usd=11_000_000, wbtc=Decimal(50), threshold_usd=12_000_000,
                layers_usd=(1_500_000, 6_000_000, 3_000_000)),
        _client("W", "W", "R-W", first_margin_usd=60_000_000),
        _client("M", "M", "R-M", first_margin_usd=40_000_000),
        _client("U", "U", "R-U", first_margin_usd=20_000_000),
    ),
    contracts=(
        Contract("BTC-PERP", Instrument.Kind.PERPETUAL, "BTC"),
        Contract("ETH-PERP", Instrument.Kind.PERPETUAL, "ETH"),
    ),
    bargains=(
        Bargain("D", "W", "BTC-PERP", Decimal(600)),
        Bargain("D", "M", "BTC-PERP", Decimal(400)),
        Bargain("U", "W", "ETH-PERP", Decimal(1_000)),
    ),
    investors=(
        Investor("one", "First Investor", "LU", "I-1", 0, 3_000_000),
        Investor("two", "Second Investor", "LU", "I-2", 0, 2_000_000),
        Investor("three", "Third Investor", "LU", "I-3", 0, 1_000_000),
    ),
    equity_usd=100_000_000,
    starts_at=START,
    ends_at=START + timedelta(days=30),
    seconds_a_bar=Decimal(0),
    ruleset="worked-example",
    series="WE-1",
    close_out_rules=CloseOutRules(
        participation_bps=10_000, spread_bps=150, impact_bps=0, pause_move_bps=10_000, max_pauses=0, cost_bps=0,
        fixed_cost_base_units=171_500 * 10**6,
    ),
    recovery_at=START + timedelta(days=9),
)  # fmt: skip


@dataclass(frozen=True)
class PathFeed:
    """A feed over a stated path of bitcoin; every other coin stands still. Implements `risk.market.feeds.Feed`."""

    points: tuple[tuple[datetime, Decimal], ...]
    source: str = "worked example"

    @property
    def first(self) -> datetime:
        """Time of the first point."""
        return self.points[0][0]

    @property
    def last(self) -> datetime:
        """Time of the last point."""
        return self.points[-1][0]

    def bars(self, start: datetime, end: datetime) -> Iterator[MarketSnapshot]:
        """Snapshots with start <= as_of <= end."""
        return (market_at(moment, price) for moment, price in self.points if start <= moment <= end)

    def next_after(self, moment: datetime) -> MarketSnapshot | None:
        """The first snapshot later than `moment`."""
        return next((market_at(when, price) for when, price in self.points if when > moment), None)


def market_at(moment: datetime, bitcoin: Decimal) -> MarketSnapshot:
    """The example's market: bitcoin as stated, all else as calibrated."""
    parameters = load_parameters()
    still = {"ETH": Decimal(4_000)}
    return MarketSnapshot(
        as_of=moment,
        source="worked example",
        underlyings={
            coin: Underlying(
                mark=bitcoin if coin == "BTC" else still.get(coin, Decimal(10)),
                basis_annual=Decimal(0),
                funding_8h=Decimal(0),
                depth_usd=DEPTH_USD,
                adv_usd=parameters.coins[coin].adv_usd,
                atm_vol=parameters.coins[coin].atm_vol,
                observed_at=moment,
            )
            for coin in COINS
        },
        rates=parameters.rates,
        usdc_peg=Decimal(1),
        age_limits_s=DEFAULT_AGE_LIMITS_S,
    )


def path_to(gap: Decimal) -> PathFeed:
    """100,000, then 95,000, then the gap; then time passes at that price until the case is worked out."""
    gap_at = START + timedelta(hours=2)
    due = gap_at + DELIVER
    moments = [gap_at, due, due + CURE, due + CURE * 2, due + CURE * 2 + CHALLENGE, due + CURE * 3 + CHALLENGE]
    still = ((moment, gap) for moment in moments)
    return PathFeed(((START, Decimal(100_000)), (START + timedelta(hours=1), Decimal(95_000)), *still))


class Stage:
    """One run of the example on an empty database and chain."""

    def __init__(self, chain: Chain, gap: Decimal, say: bootstrap.Say) -> None:
        self.chain, self.feed, self.say = chain, path_to(gap), say
        self.builder = bootstrap.Builder(cast=CAST, chain=chain, feed=self.feed, say=say)

    def refusal_under_standard(self) -> dict[str, Any]:
        """The same trade under the standard ruleset, judged before it is made: refused, with the numbers."""
        bitcoin = Instrument.objects.get(code="BTC-PERP")
        cell = self.builder.cells["D"]
        verdict = EngineGate(under="standard").check_trades({cell.id: [(bitcoin.id, Decimal(1_000))]})[cell.id]
        assert not verdict.passed, "the standard ruleset refuses this line"
        return {"scenario": verdict.binding_scenario, **verdict.data}

    def play(self) -> None:
        """Every bar of the path after the first, each worked through to rest."""
        for snapshot in self.feed.bars(START + timedelta(seconds=1), CAST.ends_at):
            self.say(f"bitcoin at {snapshot.mark('BTC')}, {snapshot.as_of:%H:%M}")
            self._bar(snapshot)

    def recover(self) -> None:
        """The estate pays 3.4 million; the layers are recomputed."""
        self.say(f"a recovery of {RECOVERED_USD:,} dollars")
        asset = ledger.settlement_asset()
        house = address_of("House", asset.code)
        wallet.transfer(self.chain, keys.estate(), asset, house, RECOVERED_USD * 10**6, mine)
        later = self.feed.last + timedelta(hours=1)
        self._bar(market_at(later, self.feed.points[-1][1]))

    def _bar(self, snapshot: MarketSnapshot) -> None:
        snapshot_id = replay.offer(snapshot, None, Decimal(0))
        tick = engine.open_tick(snapshot_id, shards=1)
        engine.run_shard(tick.id, 0)
        replay.work_through(
            settle=lambda: cycle.settle_all(mine=mine), act=lambda: wallet.step(self.chain, CAST, mine), cast=CAST
        )
        replay.expected_nets_to_zero()

    def figures(self) -> dict[str, str]:
        """Losses by layer, the notes' factor, UNCOVERED, and what accounts without a linked lot lost; $m."""
        cell = self.builder.cells["D"]
        losses = {layer.kind: layer.loss_base_units for layer in Layer.objects.filter(cell=cell)}
        case = DefaultCase.objects.get(cell=cell)
        return {
            "first_loss": millions(losses[Layer.Kind.FIRST_LOSS]),
            "tail_bond": millions(losses[Layer.Kind.TAIL]),
            "senior_retention": millions(losses[Layer.Kind.SENIOR]),
            "uncovered": millions(case.uncovered_base_units),
            "factor": class_factor(),
            "unlinked_lost": millions(self._unlinked_lost(case)),
        }

    def _unlinked_lost(self, case: DefaultCase) -> int:
        """Shares of UNCOVERED, and margin missing from vaults, of relationships without a lot facing the defaulter."""
        linked = set(Lot.objects.filter(opposite=case.cell).values_list("cell_id", flat=True))
        lost = 0
        for client in CAST.clients:
            cell = self.builder.cells[client.key]
            if cell.id in linked or cell.id == case.cell_id:
                continue
            assert client.first_margin_usd is not None
            held = ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, ledger.settlement_asset().code)
            shares = UncoveredShare.objects.filter(cell=cell).values_list("amount_base_units", flat=True)
            lost += client.first_margin_usd * 10**6 - held + sum(shares)
        return lost


def class_factor() -> str:
    """Outstanding principal of the notes over their original principal, two places."""
    tranche = Tranche.objects.get(series__code=CAST.series)
    original = sum(part.principal_base_units for part in tranche.parts.all())
    outstanding = sum(part.outstanding_base_units for part in tranche.parts.all())
    return f"{Decimal(outstanding) / Decimal(original):.2f}"


def run(chain: Chain, gap: Decimal, say: bootstrap.Say, *, in_full: bool) -> dict[str, Any]:
    """Build, play and read the figures; `in_full` adds the standard ruleset's refusal and the recovery."""
    stage = Stage(chain, gap, say)
    found: dict[str, Any] = {}
    stage.builder.build_until_trades()
    if in_full:
        found["standard_ruleset_refuses"] = stage.refusal_under_standard()
    stage.builder.build_trades()
    stage.play()
    found["determined"] = stage.figures()
    if in_full:
        stage.recover()
        found["recovered"] = stage.figures()
    return found
