"""An option chain: what was quoted, which quotes can be believed, and the forward of each expiry.

Reads a CSV of one moment (optionally gzipped) as Deribit publishes it: one row an option, prices in the coin. Such an
option pays max(S - K, 0)/S coins, so price times forward is an undiscounted Black-76 price in USD. Every quote that is
left out is left out for a stated reason and counted. Only out-of-the-money quotes are fitted: they are the traded ones;
both sides together give the forward by put-call parity. Volatilities come from QuantLib.
"""

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, isfinite, log, nan, sqrt
from pathlib import Path
from statistics import median

import QuantLib as ql

from intermediary.errors import BadInput
from risk.market.surface import SECONDS_A_YEAR

CHAIN_FILE = "deribit_option_chain_20260822.csv.gz"
COLUMNS = (
    "timestamp",
    "currency",
    "option_type",
    "strike",
    "expiry_datetime",
    "bid_price",
    "ask_price",
    "futures_price",
)
STALE_AFTER = timedelta(minutes=5)  # a chain is read in well under a minute; what is older was missed by its source
WIDE_VOL = 0.25  # bid and ask more than 25 volatility points apart say nothing about what lies between ...
WIDE_SHARE = 0.25  # ... nor do those further apart than a quarter of the volatility itself
MALFORMED_SHARE_MAX = 0.05  # a file with more unreadable rows than this is another file than it claims to be
VOL_GUESS = 0.6  # where the solver starts: an ordinary volatility of coins
PARITY_SLACK = 0.002  # of the forward: quotes are seconds apart; what is further off belongs to another market
PARITY_MONEYNESS = 0.3  # deep in the money spreads are wide and say nothing about the forward


@dataclass(frozen=True)
class Quote:
    """Two-sided quote of one option, prices in the coin (nan: no such side), `forward` USD as quoted beside it."""

    underlying: str
    expiry: datetime
    strike: float
    is_call: bool
    bid: float
    ask: float
    forward: float
    quoted_at: datetime


@dataclass(frozen=True)
class SmileQuote:
    """A quote that is fitted: log-moneyness `k` against the expiry's forward, annual volatilities of bid and ask."""

    strike: float
    is_call: bool
    k: float
    bid_vol: float
    ask_vol: float

    @property
    def mid_vol(self) -> float:
        return (self.bid_vol + self.ask_vol) / 2.0


@dataclass(frozen=True)
class ExpiryQuotes:
    """One expiry: `forward` USD, the interval of forwards that parity allows at quoted prices, believable quotes in
    ascending strike, and how many were left out why."""

    underlying: str
    expiry: datetime
    as_of: datetime
    forward: float
    parity: tuple[float, float]
    quotes: tuple[SmileQuote, ...]
    left_out: Mapping[str, int]

    @property
    def years(self) -> float:
        """ACT/365 from the time of the chain."""
        return (self.expiry - self.as_of).total_seconds() / SECONDS_A_YEAR

    @property
    def parity_gap(self) -> float:
        """How far the forward lies outside what parity allows, as a share of it; 0 inside."""
        return _outside(self.forward, *self.parity)


def read_chain(path: Path) -> list[Quote]:
    """All readable quotes of a CSV file. Refuses a file without the columns, and one that is mostly unreadable."""
    opener = gzip.open if path.suffix == ".gz" else open
    quotes, malformed = [], 0
    with opener(path, "rt", newline="") as stream:
        rows = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise BadInput("chain.columns", f"{path.name} has no column {', '.join(missing)}", missing=missing)
        for row in rows:
            try:
                quotes.append(_quote(row))
            except (ValueError, TypeError):
                malformed += 1
    if not quotes or malformed > MALFORMED_SHARE_MAX * (malformed + len(quotes)):
        raise BadInput(
            "chain.malformed", f"{path.name}: {malformed} rows cannot be read", malformed=malformed, read=len(quotes)
        )
    return quotes


def smile_quotes(quotes: Iterable[Quote]) -> Iterator[ExpiryQuotes]:
    """The quotes of each underlying and expiry, cleaned, in that order. The time of all is that of the median quote:
    quotes far from it, earlier or later, are stale."""
    known = list(quotes)
    if not known:
        raise BadInput("chain.empty", "a chain without quotes")
    middle = sorted(quote.quoted_at for quote in known)[len(known) // 2]
    groups: dict[tuple[str, datetime], list[Quote]] = defaultdict(list)
    for quote in known:
        groups[quote.underlying, quote.expiry].append(quote)
    for underlying, expiry in sorted(groups):
        if expiry > middle:
            yield _clean(underlying, expiry, middle, groups[underlying, expiry])


def implied_vol(price: float, forward: float, strike: float, years: float, is_call: bool) -> float:
    """Annual Black-76 volatility of an undiscounted `price`, all USD; nan where no volatility gives it."""
    kind = ql.Option.Call if is_call else ql.Option.Put
    guess = VOL_GUESS * sqrt(years)
    try:
        deviation = ql.blackFormulaImpliedStdDev(kind, strike, forward, price, 1.0, 0.0, guess, 1e-12, 200)
    except RuntimeError:
        return nan
    return float(deviation) / sqrt(years)


def _quote(row: Mapping[str, str]) -> Quote:
    strike, forward = float(row["strike"]), float(row["futures_price"])
    if not (isfinite(strike) and isfinite(forward) and strike > 0 and forward > 0):
        raise ValueError(f"strike {strike}, forward {forward}")
    if row["option_type"] not in ("call", "put"):
        raise ValueError(f"option type {row['option_type']}")
    return Quote(
        underlying=row["currency"],
        expiry=_moment(row["expiry_datetime"]),
        strike=strike,
        is_call=row["option_type"] == "call",
        bid=float(row["bid_price"] or nan),
        ask=float(row["ask_price"] or nan),
        forward=forward,
        quoted_at=_moment(row["timestamp"]),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} names no zone")
    return moment.astimezone(UTC)


def _clean(underlying: str, expiry: datetime, as_of: datetime, quotes: list[Quote]) -> ExpiryQuotes:
    forward = median(quote.forward for quote in quotes)
    years = (expiry - as_of).total_seconds() / SECONDS_A_YEAR
    left_out: Counter[str] = Counter()
    latest = {(item.strike, item.is_call): item for item in sorted(quotes, key=lambda item: item.quoted_at)}
    if len(latest) < len(quotes):
        left_out["superseded"] = len(quotes) - len(latest)
    believed = []
    for _, quote in sorted(latest.items()):
        reason = _fault(quote, as_of)
        if reason is None:
            believed.append(quote)
        else:
            left_out[reason] += 1
    parity, off = _parity(believed, forward)
    fitted = []
    for quote in believed:
        reason, smile_quote = ("off parity", None) if quote.strike in off else _smile_quote(quote, forward, years)
        if smile_quote is not None:
            fitted.append(smile_quote)
        if reason is not None:
            left_out[reason] += 1
    return ExpiryQuotes(underlying, expiry, as_of, forward, parity, tuple(fitted), dict(sorted(left_out.items())))


def _fault(quote: Quote, as_of: datetime) -> str | None:
    """Why a quote cannot be believed at all."""
    if abs(quote.quoted_at - as_of) > STALE_AFTER:
        return "stale"
    if not quote.bid > 0:
        return "no bid"
    if not (quote.ask > 0 and isfinite(quote.ask)):
        return "no ask"
    return "crossed" if quote.bid > quote.ask else None


def _smile_quote(quote: Quote, forward: float, years: float) -> tuple[str | None, SmileQuote | None]:
    """The quote as volatilities, or why it is not fitted."""
    if quote.is_call != (quote.strike >= forward):
        return "in the money", None
    bid, ask = (
        implied_vol(price * forward, forward, quote.strike, years, quote.is_call) for price in (quote.bid, quote.ask)
    )
    if not (isfinite(bid) and isfinite(ask)):
        return "no volatility", None
    if ask - bid > min(WIDE_VOL, WIDE_SHARE * (ask + bid) / 2.0):
        return "wide", None
    return None, SmileQuote(quote.strike, quote.is_call, log(quote.strike / forward), bid, ask)


def _parity(quotes: list[Quote], forward: float) -> tuple[tuple[float, float], frozenset[float]]:
    """Forwards at which no conversion at quoted prices pays, and strikes at which one does at `forward`.

    Where most strikes are off it is the forward that is, and the interval is theirs.
    """
    sides: dict[float, dict[bool, Quote]] = defaultdict(dict)
    for quote in quotes:
        if abs(log(quote.strike / forward)) < PARITY_MONEYNESS:
            sides[quote.strike][quote.is_call] = quote
    bounds = {}
    for strike, pair in sides.items():
        if len(pair) == 2:
            call, put = pair[True], pair[False]
            bounds[strike] = (_synthetic(strike, call.bid - put.ask), _synthetic(strike, call.ask - put.bid))
    off = frozenset(at for at, (low, high) in bounds.items() if _outside(forward, low, high) > PARITY_SLACK)
    if not bounds or 2 * len(off) > len(bounds):
        return (
            median(low for low, _ in bounds.values()) if bounds else 0.0,
            median(high for _, high in bounds.values()) if bounds else inf,
        ), off
    agreeing = [bound for at, bound in bounds.items() if at not in off]
    return (max(low for low, _ in agreeing), min(high for _, high in agreeing)), off


def _synthetic(strike: float, call_less_put: float) -> float:
    """The forward of a call less a put, priced in coins: C - P = 1 - K/F. A coin or more is a forward without bound."""
    return strike / (1.0 - call_less_put) if call_less_put < 1.0 else inf


def _outside(forward: float, low: float, high: float) -> float:
    """How far a forward lies outside an interval, as a share of it; 0 inside."""
    return max(low / forward - 1.0, 1.0 - high / forward, 0.0)
