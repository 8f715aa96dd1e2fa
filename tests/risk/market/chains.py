"""Option chains made from known smiles, so that tests can plant what they want to find."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from pathlib import Path

import numpy as np

from risk.margin.kernels import black76
from risk.market.chain import COLUMNS, ExpiryQuotes, Quote, smile_quotes
from risk.market.svi import Svi

NOW = datetime(2028, 2, 27, 12, tzinfo=UTC)  # two days before a leap day
DAYS = (7, 30, 90)
SMILES = {
    7: Svi(0.0005, 0.035, -0.10, 0.0, 0.06),
    30: Svi(0.003, 0.075, -0.20, 0.0, 0.14),
    90: Svi(0.010, 0.130, -0.25, 0.0, 0.25),
}
FORWARD = 80_000.0
HALF_SPREAD = 0.004  # in volatility


def chain(smiles: Mapping[int, Svi] = SMILES, now: datetime = NOW, half_spread: float = HALF_SPREAD) -> list[Quote]:
    """Calls and puts at 33 strikes, four deviations either way, quoted `half_spread` around each smile (by days)."""
    return [quote for days, svi in smiles.items() for quote in expiry_quotes(days, svi, now, half_spread)]


def expiry_quotes(days: int, svi: Svi, now: datetime = NOW, half_spread: float = HALF_SPREAD) -> list[Quote]:
    """One expiry of `chain`."""
    years = days / 365.0
    reach = 4.0 * sqrt(svi.total_variance(0.0))
    quotes = []
    for k in np.linspace(-reach, 0.8 * reach, 33):
        strike = round(FORWARD * float(np.exp(k)), 2)
        vol = sqrt(svi.total_variance(float(np.log(strike / FORWARD))) / years)
        for is_call in (True, False):
            bid, ask = (
                black76(FORWARD, strike, (vol + side * half_spread) * sqrt(years), 1.0, is_call) / FORWARD
                for side in (-1, 1)
            )
            quotes.append(Quote("BTC", now + timedelta(days=days), strike, is_call, bid, ask, FORWARD, now))
    return quotes


def cleaned(quotes: Sequence[Quote]) -> list[ExpiryQuotes]:
    """What is left of a chain."""
    return list(smile_quotes(quotes))


def changed(quotes: Sequence[Quote], index: int, **fields: object) -> list[Quote]:
    """The chain with one quote altered."""
    return [replace(quote, **fields) if at == index else quote for at, quote in enumerate(quotes)]  # type: ignore[arg-type]


def write(path: Path, quotes: Sequence[Quote], columns: Sequence[str] = COLUMNS) -> Path:
    """The chain as a file of its format."""
    with path.open("w", newline="") as stream:
        rows = csv.DictWriter(stream, columns, extrasaction="ignore")
        rows.writeheader()
        for quote in quotes:
            rows.writerow(
                {
                    "timestamp": quote.quoted_at.isoformat(" "),
                    "currency": quote.underlying,
                    "option_type": "call" if quote.is_call else "put",
                    "strike": quote.strike,
                    "expiry_datetime": quote.expiry.isoformat(),
                    "bid_price": "" if quote.bid != quote.bid else quote.bid,
                    "ask_price": "" if quote.ask != quote.ask else quote.ask,
                    "futures_price": quote.forward,
                }
            )
    return path
