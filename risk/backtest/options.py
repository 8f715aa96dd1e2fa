"""Option books in the walk: a coin's 30-day options at the recorded index, revalued a day later at the next day's.

Each day every book is opened anew at that day's index and forward, with strikes at the money or one deviation away, and
its loss is what it is worth 24 hours later, a day nearer to expiry, at the next index. Forecasts come from the engine's
revaluation (`profit_matrix`) under the walk's own joint moves, (a) and (b) as for coins; time passes as the ruleset has
it, and implied volatility answers a move as in the engine's scenarios, by a response fitted anew every month on the
days before.
What a daily index of one tenor cannot show is not in it: the smile is flat at entry, in scenarios and at the end, the
forward is the price, and no rate is earned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from risk.backtest.books import Book
from risk.backtest.past import REFIT_WINDOWS, TESTED_MIN, Past
from risk.backtest.walk import Progress, Recorder, Walk
from risk.margin.instruments import Instrument
from risk.margin.revaluation import InstrumentTable, option_price, profit_matrix
from risk.margin.ruleset import Ruleset
from risk.margin.shocks import ShockSet
from risk.market.parameters import VolResponse
from risk.market.realised import WINDOW_HOURS
from risk.market.volatility import fit_vol_response, vol_change

Floats = NDArray[np.float64]

COIN = "BTC"
RESPONSE_WINDOWS = 180  # of the index that the first response is fitted to: three numbers from half a year of days
YEARS, YEARS_LEFT = 30 / 365, 29 / 365
# Legs in the order of the rows of weights: calls and puts at the money and one deviation out, and the coin itself.
LEGS: tuple[tuple[str, float], ...] = (("call", 0.0), ("put", 0.0), ("call", 1.0), ("put", -1.0), ("coin", 0.0))
LEG_EXPIRY = datetime(2100, 1, 1, tzinfo=UTC)  # terms ask for a date; the table's years say how far it is


@dataclass(frozen=True)
class OptionBook:
    """Quantities of LEGS for one long book; `hedged` adds coins against the delta at entry."""

    name: str
    quantities: tuple[float, ...]
    hedged: bool = False


OPTION_BOOKS = (
    OptionBook("straddle long", (1, 1, 0, 0, 0)),
    OptionBook("straddle short", (-1, -1, 0, 0, 0)),
    OptionBook("strangle long", (0, 0, 1, 1, 0)),
    OptionBook("strangle short", (0, 0, -1, -1, 0)),
    OptionBook("risk reversal long", (0, 0, 1, -1, 0)),
    OptionBook("risk reversal short", (0, 0, -1, 1, 0)),
    OptionBook("covered call", (0, 0, -1, 0, 1)),
    OptionBook("straddle long, delta-hedged", (1, 1, 0, 0, 0), hedged=True),
    OptionBook("straddle short, delta-hedged", (-1, -1, 0, 0, 0), hedged=True),
)


def option_books(coin: str = COIN) -> tuple[Book, ...]:
    """As the walk names them."""
    return tuple(Book(f"{coin} {one.name}", "option", (coin,), "option") for one in OPTION_BOOKS)


def option_walk(past: Past, index: Mapping[date, float], progress: Progress = lambda done, of: None) -> Walk | None:
    """Walk with option books through the days whose index, and the next one's, is in `index` (fractions by the day at
    whose end it stood); None where the coin or enough such days are missing. Before enough of them to fit the response,
    and before the walk of coins begins, nothing is tested."""
    if COIN not in past.symbols:
        return None
    column = past.symbols.index(COIN)
    before, after = _quotes(past, index)
    quoted = np.flatnonzero(np.isfinite(before) & np.isfinite(after) & past.usable[:, column])
    if quoted.size < RESPONSE_WINDOWS + TESTED_MIN:
        return None
    every = option_books()
    found = Recorder(every, past, int(quoted[RESPONSE_WINDOWS]))
    surprise = past.returns[quoted, column] / past.deviation[quoted, column]
    change = np.log(after[quoted] / before[quoted])
    noise = np.random.default_rng(past.rules.seed).standard_normal(past.rules.scenarios_total)
    response = fit_vol_response(surprise[:RESPONSE_WINDOWS], change[:RESPONSE_WINDOWS])
    for row, window in enumerate(quoted.tolist()):
        market = _Market.of(float(before[window]), past.rules)
        move = float(np.exp(past.returns[window, column]))
        found.loss[window] = market.losses(market.worth(move, float(after[window]), YEARS_LEFT)[:, None])[:, 0]
        if row < RESPONSE_WINDOWS:
            continue
        if (row - RESPONSE_WINDOWS) % REFIT_WINDOWS == 0:
            response = fit_vol_response(surprise[:row], change[:row])
        at = int(np.flatnonzero(past.coins(window) == column)[0])
        recent = past.recent(window)
        moves, volatility = past.margin(window, recent)
        deviation = float(past.deviation[window, column])
        conditional = market.scenario_losses(recent[:, at], deviation, response, noise)
        of_margin = market.scenario_losses(moves[:, at], float(volatility[at]), response, noise)
        rise = np.full(len(every), volatility[at] / past.fitted(window).floors[column])
        found.put(window, np.arange(len(every)), conditional, of_margin, rise)
        progress(row + 1 - RESPONSE_WINDOWS, quoted.size - RESPONSE_WINDOWS)
    return found.walk()


def _quotes(past: Past, index: Mapping[date, float]) -> tuple[Floats, Floats]:
    """(T,) each: the index at the beginning and at the end of every window, NaN where it is not recorded."""
    days = [time.date() for time in past.days]
    before = np.array([index.get(day - timedelta(days=1), np.nan) for day in days])
    return before, np.array([index.get(day, np.nan) for day in days])


@dataclass(frozen=True)
class _Market:
    """The legs at one day's index, the coin at one dollar: `strikes` (5,), `present` (5,) their worth, `held` (B, 5)
    quantities per dollar of gross notional, `rules` of the scenarios."""

    table: InstrumentTable
    strikes: Floats
    present: Floats
    held: Floats
    rules: Ruleset

    @classmethod
    def of(cls, vol: float, rules: Ruleset) -> "_Market":
        deviation = vol * np.sqrt(YEARS)
        # The strike of an instrument is a decimal, and the one that is priced.
        strikes = [Decimal(f"{np.exp(away * deviation):.8f}") for _, away in LEGS]
        items = tuple(_leg(kind, strike) for (kind, _), strike in zip(LEGS, strikes, strict=True))
        ones = np.ones(len(LEGS))
        years = np.where([item.strike is None for item in items], 0.0, YEARS)
        levels = np.array([float(strike) for strike in strikes])
        d1 = -np.log(levels) / deviation + 0.5 * deviation
        puts = np.array([kind == "put" for kind, _ in LEGS])
        delta = np.where(years > 0.0, ndtr(d1) - puts, 1.0)
        table = InstrumentTable(
            instruments=items,
            coins=(COIN,),
            column=np.zeros(len(LEGS), dtype=np.int64),
            years=years,
            mark=ones,
            vol=ones * vol,
            basis_annual=ones * 0.0,
            forward=ones,
            discount=ones,
            notional_usd=ones,
            delta_usd=delta,
        )
        held = np.array([book.quantities for book in OPTION_BOOKS], dtype=np.float64)
        held[:, -1] -= np.array([book.hedged for book in OPTION_BOOKS]) * (held @ delta)
        held /= np.abs(held).sum(axis=1, keepdims=True)
        return cls(table, levels, _worth(1.0, vol, YEARS, levels), held, rules)

    def worth(self, price: float, vol: float, years: float) -> Floats:
        """(5,) of the legs at another price, index and time to expiry."""
        return _worth(price, vol, years, self.strikes)

    def losses(self, worth: Floats) -> Floats:
        """(B, S) of every book when its legs are worth `worth` (5, S)."""
        result: Floats = -(self.held @ (worth - self.present[:, None]))
        return result

    def scenario_losses(self, moves: Floats, deviation: float, response: VolResponse, noise: Floats) -> Floats:
        """(B, S) under standardised moves (S,) of a coin of this daily volatility, by the engine's revaluation."""
        price = np.exp(moves * deviation)[:, None]
        change = vol_change(moves, response, noise[: moves.size], self.rules.vol_rest_recorded)
        hours = WINDOW_HOURS if self.rules.time_passes else 0.0
        shocks = replace(ShockSet.of_prices((COIN,), price, np.exp(change)[:, None]), hours=hours)
        result: Floats = -(self.held @ profit_matrix(self.table, shocks))
        return result


def _leg(kind: str, strike: Decimal) -> Instrument:
    if kind == "coin":
        return Instrument(id=COIN, kind="spot", underlying=COIN)
    name = f"{COIN} {strike} {kind}"
    return Instrument(id=name, kind="option", underlying=COIN, expiry=LEG_EXPIRY, strike=strike, is_call=kind == "call")


def _worth(price: float, vol: float, years: float, strikes: Floats) -> Floats:
    values = [
        price if kind == "coin" else float(option_price(price, strike, vol * np.sqrt(years), 1.0, kind == "call"))
        for (kind, _), strike in zip(LEGS, strikes.tolist(), strict=True)
    ]
    return np.array(values)
