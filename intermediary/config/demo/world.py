"""The cast of the demonstration: data only.

Eight clients with matched books, three bond investors, two officers. Every trade has two sides, so the books net to
zero. The sizes are such that the crash of 10 October 2025 brings calls, cures and one default inside its bond.
Amounts are whole dollars or coins; the bootstrap turns them into base units.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from intermediary.closeout_schedule import STANDARD_RULES, CloseOutRules
from intermediary.models import Instrument, Party

START = datetime(2025, 10, 10, 14, tzinfo=UTC)
CRASH_FROM = datetime(2025, 10, 10, 20, tzinfo=UTC)
END = datetime(2025, 10, 12, tzinfo=UTC)
SECONDS_A_BAR = Decimal(8)  # 6 hourly and 15 five-minute bars lie before the crash: it comes after about 3 minutes


@dataclass(frozen=True)
class Client:
    """A client and how it behaves. `reserve_usd` is what its wallet can still deliver; `answers_after_minutes` how long
    it takes to answer a call, on platform time. `first_margin_share` is the margin it brings, of its requirement;
    `first_margin_usd` and `threshold_usd` state them outright."""

    key: str
    legal_name: str
    kind: Party.Kind
    jurisdiction: str
    code: str
    purpose: str
    reserve_usd: int
    answers_after_minutes: int
    first_margin_share: Decimal = Decimal("1.30")
    first_margin_usd: int | None = None
    threshold_usd: int = 0
    wbtc: Decimal = Decimal(0)
    deliver_minutes: int = 240
    grace_minutes: int = 360
    cure_minutes: int = 60
    minimum_transfer_usd: int = 250_000
    threshold_share_of_notional_held: Decimal | None = None
    # First loss, tail and senior retention, dollars; the tail is a slice of the demo's bond series.
    layers_usd: tuple[int, int, int] = (800_000, 1_000_000, 700_000)
    full_recourse: bool = True
    netting: Party.NettingOpinion = Party.NettingOpinion.CLEAN


CLIENTS: tuple[Client, ...] = (
    Client(
        "basis", "Meridian Basis Fund LP", Party.Kind.FUND, "KY", "R-101",
        "long spot, short perpetuals: earns the basis", 60_000_000, 5,
    ),
    Client(
        "maker", "Kestrel Markets BV", Party.Kind.MARKET_MAKER, "NL", "R-102",
        "quotes both sides, hedged elsewhere", 80_000_000, 5, layers_usd=(1_000_000, 1_500_000, 1_000_000),
    ),
    Client(
        "miner", "Northlode Mining Inc", Party.Kind.CORPORATE, "CA", "R-103",
        "sells its output forward", 20_000_000, 10, wbtc=Decimal(20),
    ),
    Client(
        "dao", "Halyard DAO", Party.Kind.DAO_UNWRAPPED, "CH", "R-104",
        "hedges the ether and avalanche of its treasury", 15_000_000, 15,
        full_recourse=False, netting=Party.NettingOpinion.REASONED,
    ),
    Client(
        "foundation", "Stiftung Aster", Party.Kind.FOUNDATION, "CH", "R-105",
        "protects its endowment with puts and shorts", 15_000_000, 15,
    ),
    Client(
        "family", "Wexcombe Family Office", Party.Kind.FAMILY_OFFICE, "GB", "R-106",
        "long bitcoin, for decades", 25_000_000, 60, wbtc=Decimal(15),
        layers_usd=(1_200_000, 3_500_000, 2_500_000),
    ),
    Client(
        "options", "Orrery Options Ltd", Party.Kind.FUND, "BM", "R-107",
        "sells options and hedges them", 30_000_000, 20, layers_usd=(1_000_000, 3_000_000, 2_000_000),
    ),
    Client(
        "directional", "Tidewater Alpha SP", Party.Kind.FUND, "KY", "R-108",
        "long a basket of altcoins, on short notice terms", 1_000_000, 5,
        first_margin_share=Decimal("1.05"), deliver_minutes=15, grace_minutes=0, cure_minutes=5,
        threshold_share_of_notional_held=Decimal("0.10"), minimum_transfer_usd=100_000,
        layers_usd=(800_000, 18_000_000, 15_000_000),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Contract:
    """A listed instrument."""

    code: str
    kind: Instrument.Kind
    underlying: str
    expiry: datetime | None = None
    strike: Decimal | None = None


QUARTER = datetime(2025, 12, 26, 8, tzinfo=UTC)
CONTRACTS: tuple[Contract, ...] = (
    *(Contract(f"{coin}-PERP", Instrument.Kind.PERPETUAL, coin)
      for coin in ("BTC", "ETH", "SOL", "XRP", "DOGE", "LINK", "BNB", "HYPE", "AVAX", "ADA")),
    Contract("BTC-SPOT", Instrument.Kind.SPOT, "BTC"),
    Contract("ETH-SPOT", Instrument.Kind.SPOT, "ETH"),
    Contract("BTC-26DEC25", Instrument.Kind.FUTURE, "BTC", QUARTER),
    Contract("BTC-26DEC25-110000-P", Instrument.Kind.PUT, "BTC", QUARTER, Decimal(110_000)),
    Contract("BTC-26DEC25-140000-C", Instrument.Kind.CALL, "BTC", QUARTER, Decimal(140_000)),
    Contract("ETH-26DEC25-4000-P", Instrument.Kind.PUT, "ETH", QUARTER, Decimal(4_000)),
)  # fmt: skip


@dataclass(frozen=True)
class Bargain:
    """One matched trade at the official price of the first bar."""

    buyer: str
    seller: str
    contract: str
    quantity: Decimal


BARGAINS: tuple[Bargain, ...] = (
    # The directional fund's basket, about 43 million dollars, bought from four holders who hedge or quote.
    Bargain("directional", "maker", "SOL-PERP", Decimal(60_000)),
    Bargain("directional", "basis", "SOL-PERP", Decimal(50_000)),
    Bargain("directional", "maker", "XRP-PERP", Decimal(2_200_000)),
    Bargain("directional", "basis", "DOGE-PERP", Decimal(36_000_000)),
    Bargain("directional", "maker", "LINK-PERP", Decimal(60_000)),
    Bargain("directional", "dao", "AVAX-PERP", Decimal(55_000)),
    Bargain("directional", "foundation", "ADA-PERP", Decimal(1_200_000)),
    # Bitcoin: the miner sells forward, the basis fund holds spot against perpetuals, the family office is long.
    Bargain("maker", "miner", "BTC-26DEC25", Decimal(120)),
    Bargain("family", "maker", "BTC-PERP", Decimal(120)),
    Bargain("basis", "miner", "BTC-SPOT", Decimal(80)),
    Bargain("family", "basis", "BTC-PERP", Decimal(80)),
    # Ether and options.
    Bargain("options", "dao", "ETH-PERP", Decimal(1_500)),
    Bargain("foundation", "options", "BTC-26DEC25-110000-P", Decimal(60)),
    Bargain("dao", "options", "ETH-26DEC25-4000-P", Decimal(1_500)),
    Bargain("family", "options", "BTC-26DEC25-140000-C", Decimal(40)),
)


@dataclass(frozen=True)
class Investor:
    """A buyer of notes: the least spread it accepts (basis points over guidance) and for how much."""

    key: str
    legal_name: str
    jurisdiction: str
    code: str
    bid_over_guidance_bps: int
    bid_usd: int


INVESTORS: tuple[Investor, ...] = (
    Investor("pension", "Lindqvist Pension", "SE", "I-201", 10, 12_000_000),
    Investor("catfund", "Aiguille Cat Fund", "LU", "I-202", -20, 14_000_000),
    Investor("insurer", "Morrow Re", "BM", "I-203", 60, 16_000_000),
)


@dataclass(frozen=True)
class Officer:
    """A person of the desk. Two are needed for every decision (D11)."""

    username: str
    name: str


OFFICERS: tuple[Officer, ...] = (Officer("officer.maker", "Ines Duarte"), Officer("officer.checker", "Tomas Berg"))

RECOVERY_AT = datetime(2025, 10, 11, 12, tzinfo=UTC)
RECOVERY_SHARE = Decimal("0.35")  # of the loss: what the defaulter's estate pays after a first settlement


@dataclass(frozen=True)
class Cast:
    """Everything a world is built from. `equity_usd` is the intermediary's capital: retentions and float come out of
    it; `recovery` says when the estate of a defaulter pays which share of its debt."""

    clients: tuple[Client, ...]
    contracts: tuple[Contract, ...]
    bargains: tuple[Bargain, ...]
    investors: tuple[Investor, ...]
    officers: tuple[Officer, ...] = OFFICERS
    equity_usd: int = 200_000_000
    starts_at: datetime = START
    ends_at: datetime = END
    seconds_a_bar: Decimal = SECONDS_A_BAR
    ruleset: str = "standard"
    series: str = "BLK-2025-1"
    close_out_rules: CloseOutRules = STANDARD_RULES
    recovery_at: datetime = RECOVERY_AT
    recovery_share: Decimal = RECOVERY_SHARE

    def client_number(self, key: str) -> int:
        """Place of a client in the cast, which gives it its wallet."""
        return [one.key for one in self.clients].index(key)

    def investor_number(self, key: str) -> int:
        """Place of an investor in the cast."""
        return [one.key for one in self.investors].index(key)


DEMO = Cast(clients=CLIENTS, contracts=CONTRACTS, bargains=BARGAINS, investors=INVESTORS)
