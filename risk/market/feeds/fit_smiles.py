"""Child of the live feed: fits surfaces to option chains as Deribit summarises them.

`python -m risk.market.feeds.fit_smiles`: chains as JSON on stdin, {coin: [[instrument, bid, ask, forward, ms], ...]};
on stdout {"surfaces": {coin: body}, "fits": {coin: how well it fits}, "refused": {coin: why}}. A row that cannot be
read is dropped like a row of a file; a coin of which too many cannot, or of which nothing can be fitted, is refused by
name.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any

from intermediary.errors import BadInput, Refusal
from risk.market.chain import MALFORMED_SHARE_MAX, Quote, smile_quotes
from risk.market.surface_fit import fit_surface
from risk.market.surface_report import kept

EXPIRY_HOUR = 8  # UTC, of every option there
UNREADABLE = (ValueError, TypeError, OverflowError, OSError)


def fit(chains: dict[str, list[list[Any]]]) -> dict[str, dict[str, Any]]:
    """Surfaces, how well they fit, and refusals, by coin."""
    surfaces: dict[str, Any] = {}
    fits: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    for coin, rows in chains.items():
        try:
            found = fit_surface(list(smile_quotes(quotes_of(coin, rows))))
            surfaces[coin], fits[coin] = found.surface.body(), kept(found)
        except Refusal as refusal:
            refused[coin] = f"{refusal} {refusal.data}"
    return {"surfaces": surfaces, "fits": fits, "refused": refused}


def quotes_of(coin: str, rows: Sequence[Sequence[Any]]) -> list[Quote]:
    """The readable quotes of one coin. Refuses `chain.empty`, and `chain.malformed` where too many cannot be read."""
    quotes, malformed = [], 0
    for row in rows:
        try:
            quotes.append(_quote(coin, *row))
        except UNREADABLE:
            malformed += 1
    if malformed > MALFORMED_SHARE_MAX * len(rows):
        message = f"{malformed} of {len(rows)} options of {coin} cannot be read"
        raise BadInput("chain.malformed", message, malformed=malformed, read=len(quotes))
    return quotes


def _quote(coin: str, name: str, bid: Any, ask: Any, forward: Any, milliseconds: Any) -> Quote:
    underlying, day, strike_text, side = name.split("-")
    strike, price = float(strike_text), float(forward)
    if underlying != coin or side not in ("C", "P") or not (isfinite(price) and price > 0 and strike > 0):
        raise ValueError(f"{name} at {forward}")
    return Quote(
        underlying=coin,
        expiry=datetime.strptime(day, "%d%b%y").replace(hour=EXPIRY_HOUR, tzinfo=UTC),
        strike=strike,
        is_call=side == "C",
        bid=_price(bid),
        ask=_price(ask),
        forward=price,
        quoted_at=datetime.fromtimestamp(float(milliseconds) / 1000.0, UTC),
    )


def _price(value: Any) -> float:
    return nan if value is None else float(value)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fit(json.load(sys.stdin))))
