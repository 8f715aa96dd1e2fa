"""The worked example as data: its people, its trades, its rules and its path of bitcoin. Nothing happens here.

Whole dollars and coins, as the example is told: D is long 1,000 bitcoin bought at 100,000 from W and M, and U has an
unrelated book. What follows from these figures is computed by the platform (`worked_example`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from intermediary.closeout_schedule import CloseOutRules
from intermediary.config.demo.world import Bargain, Cast, Client, Contract, Investor
from intermediary.models import Instrument, Party
from risk.market.parameters import COINS, load_parameters
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot, Underlying

DEFAULTER = "D"
START = datetime(2025, 1, 6, tzinfo=UTC)
GAP_AT = START + timedelta(hours=2)
DELIVER, CURE, STEP = timedelta(minutes=15), timedelta(minutes=5), timedelta(minutes=5)
CHALLENGE = timedelta(hours=1) + STEP  # the series' challenge period, which begins once the loss is final on chain
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


def path_before_the_gap() -> PathFeed:
    """100,000, where the trades are made, then 95,000, where variation margin is paid for the last time."""
    return PathFeed(((START, Decimal(100_000)), (START + timedelta(hours=1), Decimal(95_000))))


def path_after_the_gap(gap: Decimal) -> PathFeed:
    """The gap; then time passes at that price: the call falls due, time to cure and to challenge the loss ends."""
    due = GAP_AT + DELIVER
    cured = due + CURE
    challenged = cured + CHALLENGE
    # Blocks may carry a time some seconds ahead, so the escrow pays the loss a step after its period is over.
    moments = (GAP_AT, due, cured, challenged, challenged + STEP)
    return PathFeed(tuple((moment, gap) for moment in moments))
