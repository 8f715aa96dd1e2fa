"""Small worlds for tests of the risk mathematics: one snapshot, one table of instruments, no database."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache

from risk.margin.instruments import Instrument
from risk.margin.requirement import Positions, RequirementBatch, RiskMatrices, requirements
from risk.margin.ruleset import ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios
from risk.market.parameters import load_parameters
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot, Underlying

MOMENT = datetime(2025, 10, 10, 20, tzinfo=UTC)
EXPIRY = MOMENT + timedelta(days=30)
MARKS = {
    "ADA": "0.77",
    "AVAX": "26.5",
    "BNB": "1241",
    "BTC": "95000",
    "DOGE": "0.2328",
    "ETH": "4016",
    "HYPE": "43.02",
    "LINK": "20.62",
    "SOL": "206.2",
    "XRP": "2.687",
}


def snapshot(marks: Mapping[str, str] | None = None) -> MarketSnapshot:
    """A market at MOMENT with calibrated turnover, depth and volatility."""
    parameters = load_parameters()
    return MarketSnapshot(
        as_of=MOMENT,
        source="test",
        underlyings={
            coin: Underlying(
                mark=Decimal(mark),
                basis_annual=Decimal("0.04"),
                funding_8h=Decimal("0.0001"),
                depth_usd=parameters.coins[coin].depth_usd,
                adv_usd=parameters.coins[coin].adv_usd,
                atm_vol=parameters.coins[coin].atm_vol,
                observed_at=MOMENT,
            )
            for coin, mark in (MARKS | dict(marks or {})).items()
        },
        rates=parameters.rates,
        usdc_peg=Decimal(1),
        age_limits_s=DEFAULT_AGE_LIMITS_S,
    )


@cache
def scenarios(name: str = "standard") -> ScenarioSet:
    """Simulated scenarios of the day, so that no test here needs a recording."""
    return build_scenarios(ruleset(name), date(2025, 10, 10), None)


INSTRUMENTS = (
    *(Instrument(id=f"{coin}-PERP", kind="perp", underlying=coin) for coin in MARKS),
    Instrument(id="BTC", kind="spot", underlying="BTC"),
    Instrument(id="BTC-FUT", kind="future", underlying="BTC", expiry=EXPIRY),
    Instrument(id="BTC-CALL", kind="option", underlying="BTC", expiry=EXPIRY, strike=Decimal(100_000)),
    Instrument(id="BTC-PUT", kind="option", underlying="BTC", expiry=EXPIRY, strike=Decimal(90_000), is_call=False),
    Instrument(id="BTC-INV", kind="perp", underlying="BTC", inverse=True),
    Instrument(id="USDC", kind="cash", underlying="USDC"),
)
INDEX = {item.id: row for row, item in enumerate(INSTRUMENTS)}


@cache
def matrices(name: str = "standard") -> RiskMatrices:
    """Everything priced once for the named ruleset."""
    return RiskMatrices.build(snapshot(), ruleset(name), scenarios(name), INSTRUMENTS)


def book(*accounts: Mapping[str, float]) -> Positions:
    """Accounts as {instrument id: quantity}."""
    return Positions.from_rows([[(INDEX[name], quantity) for name, quantity in row.items()] for row in accounts])


def required(*accounts: Mapping[str, float], held: Positions | None = None, name: str = "standard") -> RequirementBatch:
    """Requirements of the accounts under a ruleset."""
    return requirements(matrices(name), book(*accounts), held)
