"""A world of three clients for a journey: one long bitcoin and ether with little to spare, two on the other side."""

from datetime import UTC, datetime
from decimal import Decimal

from intermediary.config.demo.world import Bargain, Cast, Client, Contract, Investor
from intermediary.models import Instrument, Party

NEVER_MINUTES = 100_000  # the demo's wallets answer nothing by themselves: the person of the journey does
FUND, MAKER, FAMILY = "R-301", "R-302", "R-303"

CAST = Cast(
    clients=(
        Client(
            "fund", "Larkspur Capital LP", Party.Kind.FUND, "KY", FUND, "long two coins", 40_000_000,
            NEVER_MINUTES,
            first_margin_share=Decimal("1.05"), minimum_transfer_usd=50_000,
            layers_usd=(1_000_000, 2_000_000, 1_500_000),
        ),
        Client(
            "maker", "Fallow Street Markets BV", Party.Kind.MARKET_MAKER, "NL", MAKER, "quotes both sides",
            40_000_000, NEVER_MINUTES, first_margin_share=Decimal(2), layers_usd=(0, 0, 0),
        ),
        Client(
            "family", "Ostrava Family Office", Party.Kind.FAMILY_OFFICE, "GB", FAMILY, "hedges", 40_000_000,
            NEVER_MINUTES, first_margin_share=Decimal(2), layers_usd=(0, 0, 0),
        ),
    ),
    contracts=(
        Contract("BTC-PERP", Instrument.Kind.PERPETUAL, "BTC"),
        Contract("ETH-PERP", Instrument.Kind.PERPETUAL, "ETH"),
    ),
    bargains=(
        Bargain("fund", "maker", "BTC-PERP", Decimal(80)),
        Bargain("fund", "family", "ETH-PERP", Decimal(500)),
    ),
    investors=(Investor("pension", "Ravelin Pension", "SE", "I-401", 10, 2_500_000),),
    equity_usd=50_000_000,
    starts_at=datetime(2025, 10, 10, 21, 15, tzinfo=UTC),
    series="BLK-J-1",
)  # fmt: skip
