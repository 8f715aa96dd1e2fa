"""From the quotes of an option chain to surfaces that hold no arbitrage.

Each expiry is fitted freely. One whose free smile contradicts others (total variance falling by more than a tenth
inside what both quote) is refused: no smile in between would be near either. The rest are fitted from the farthest
back, each free of butterflies and below the one after; where the free fit is not, the bound one takes its place and
says so. In this order it is the unquoted wings of near expiries that yield to quotes of far ones, which reach further.
An expiry whose smile then misses most quotes is refused. Every refusal has a code and its numbers; `surface_report`
tells them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import Refusal
from risk.market import arbitrage
from risk.market.arbitrage import Worst
from risk.market.chain import PARITY_SLACK, ExpiryQuotes, SmileQuote
from risk.market.surface import Smile, VolSurface
from risk.market.svi import Svi
from risk.market.svi_fit import QUOTES_MIN, Fit, fit_bound, fit_free, is_free, outliers

Floats = NDArray[np.float64]

DAYS_MIN = 1.0  # within a day of expiry one tick is many volatility points
CONFLICT_SHARE = 0.10  # of total variance, five per cent of volatility: beyond spreads, so a matter of the data
INSIDE_SHARE_MIN = 0.5  # a smile outside most spreads is not this market's


@dataclass(frozen=True)
class Candidate:
    """One expiry that can be tried: the quotes its smile is fitted to, outliers left out, and the free fit."""

    quotes: ExpiryQuotes
    used: tuple[SmileQuote, ...]
    free: Fit


@dataclass(frozen=True)
class Fitted(Candidate):
    """One expiry with its smile: the fit taken, which conditions had to be enforced, and the smile after."""

    fit: Fit
    enforced: tuple[str, ...]
    after: Svi | None

    @property
    def svi(self) -> Svi:
        return self.fit.svi

    def errors(self) -> Floats:
        """Fitted less mid volatility of every believable quote, outliers too."""
        mids: Floats = np.array([quote.mid_vol for quote in self.quotes.quotes])
        return _vols(self.svi, self.quotes) - mids

    def inside(self) -> NDArray[np.bool_]:
        """Whether the fitted volatility lies between bid and ask, so that the price does."""
        vols = _vols(self.svi, self.quotes)
        bids, asks = (np.array([getattr(q, side) for q in self.quotes.quotes]) for side in ("bid_vol", "ask_vol"))
        return np.asarray((vols >= bids) & (vols <= asks))


@dataclass(frozen=True)
class SurfaceFit:
    """The surface of one underlying, how each expiry was fitted, and the refusals by expiry."""

    surface: VolSurface
    fitted: tuple[Fitted, ...]
    refused: tuple[tuple[ExpiryQuotes, Refusal], ...]


def fit_surfaces(expiries: Iterable[ExpiryQuotes]) -> dict[str, SurfaceFit | Refusal]:
    """By underlying the surface, or the refusal where no expiry could be fitted."""
    groups: dict[str, list[ExpiryQuotes]] = defaultdict(list)
    for item in expiries:
        groups[item.underlying].append(item)
    found: dict[str, SurfaceFit | Refusal] = {}
    for underlying, items in groups.items():
        try:
            found[underlying] = fit_surface(items)
        except Refusal as refused:
            found[underlying] = refused
    return found


def fit_surface(expiries: Sequence[ExpiryQuotes]) -> SurfaceFit:
    """The surface of one underlying's expiries, ascending. Refuses when none of them can be fitted."""
    refused: list[tuple[ExpiryQuotes, Refusal]] = []
    candidates: list[Candidate] = []
    for item in expiries:
        fault = _unfit(item)
        if fault is not None:
            refused.append((item, fault))
            continue
        off = outliers(item.quotes, item.years)
        used = tuple(quote for quote in item.quotes if quote not in off)
        if len(used) < QUOTES_MIN:
            refused.append((item, _too_few(item, len(used))))
        else:
            candidates.append(Candidate(item, used, fit_free(used, item.years)))
    refused += _drop_conflicts(candidates)
    fitted: list[Fitted] = []
    for candidate in reversed(candidates):
        result = _bind(candidate, fitted[0].svi if fitted else None)
        if isinstance(result, Fitted):
            fitted.insert(0, result)
        else:
            refused.append((candidate.quotes, result))
    if not fitted:
        raise Refusal(
            "surface.nothing_fitted",
            f"no expiry of {expiries[0].underlying} can be fitted",
            underlying=expiries[0].underlying,
            refused={item.expiry.isoformat(): fault.code for item, fault in refused},
        )
    surface = VolSurface(
        underlying=expiries[0].underlying,
        as_of=expiries[0].as_of,
        smiles=tuple(Smile(item.quotes.expiry, item.quotes.forward, item.svi) for item in fitted),
    )
    arbitrage.require_free(surface)
    return SurfaceFit(surface, tuple(fitted), tuple(sorted(refused, key=lambda pair: pair[0].expiry)))


def _unfit(item: ExpiryQuotes) -> Refusal | None:
    """Why an expiry is not even tried."""
    if item.years * 365.0 < DAYS_MIN:
        return Refusal("surface.too_near", f"expires in {item.years * 365.0:.2f} days", days=item.years * 365.0)
    if item.parity_gap > PARITY_SLACK:
        low, high = item.parity
        return Refusal(
            "surface.forward_off_parity",
            f"forward {item.forward:g} lies outside {low:g} to {high:g}, which put-call parity allows",
            forward=item.forward,
            low=low,
            high=high,
        )
    if len(item.quotes) < QUOTES_MIN or not item.quotes[0].k < 0 < item.quotes[-1].k:
        return _too_few(item, len(item.quotes))
    return None


def _too_few(item: ExpiryQuotes, count: int) -> Refusal:
    return Refusal(
        "surface.too_few_quotes",
        f"{count} believable quotes, {QUOTES_MIN} on both sides of the forward are needed",
        quotes=count,
        left_out=dict(item.left_out),
    )


def _drop_conflicts(candidates: list[Candidate]) -> list[tuple[ExpiryQuotes, Refusal]]:
    """Takes out, one by one, the expiry that contradicts most others; of several that with the fewest quotes."""
    dropped: list[tuple[ExpiryQuotes, Refusal]] = []
    while conflicts := _conflicts(candidates):
        index = max(conflicts, key=lambda key: (len(conflicts[key]), -len(candidates[key].used)))
        worst, other = min(conflicts[index], key=lambda pair: pair[0].value)
        dropped.append((candidates.pop(index).quotes, _calendar_refusal(worst, other, len(conflicts[index]))))
    return dropped


def _conflicts(candidates: Sequence[Candidate]) -> dict[int, list[tuple[Worst, str]]]:
    """By index of a candidate what contradicts it, with the expiry of the other."""
    found: dict[int, list[tuple[Worst, str]]] = defaultdict(list)
    for (i, early), (j, late) in combinations(enumerate(candidates), 2):
        worst = _contradiction(early.quotes, early.free.svi, late.quotes, late.free.svi)
        if worst is not None:
            found[i].append((worst, late.quotes.expiry.isoformat()))
            found[j].append((worst, early.quotes.expiry.isoformat()))
    return found


def _contradiction(early: ExpiryQuotes, first: Svi, late: ExpiryQuotes, second: Svi) -> Worst | None:
    low = max(early.quotes[0].k, late.quotes[0].k)
    high = min(early.quotes[-1].k, late.quotes[-1].k)
    grid = np.linspace(low, high, 101)
    later = second.total_variance(grid)
    gain = (later - first.total_variance(grid)) / later
    index = int(np.argmin(gain))
    return Worst(float(gain[index]), float(grid[index])) if gain[index] < -CONFLICT_SHARE else None


def _calendar_refusal(worst: Worst, other: str, conflicts: int) -> Refusal:
    return Refusal(
        "surface.calendar_arbitrage",
        f"total variance falls by {-worst.value:.1%} against the expiry {other} at log-moneyness {worst.k:.3f}",
        gain=worst.value,
        log_moneyness=worst.k,
        against=other,
        conflicts=conflicts,
    )


def _bind(candidate: Candidate, after: Svi | None) -> Fitted | Refusal:
    """The free fit where it holds, else the bound one; a refusal where neither can be near the quotes."""
    item, free = candidate.quotes, candidate.free
    enforced: list[str] = []
    bound: Fit | None = free
    if not is_free(free.svi, after):
        if not arbitrage.butterfly(free.svi).holds:
            enforced.append("butterfly")
        if after is not None and not arbitrage.calendar(free.svi, after).holds:
            enforced.append("calendar")
        bound = fit_bound(candidate.used, item.years, after, free)
    if bound is None:
        return _refusal(item, free, after, enforced, 0.0)
    if bound is not free and not enforced:
        enforced.append("between")
    fitted = Fitted(item, candidate.used, free, bound, tuple(enforced), after)
    share = float(fitted.inside().mean())
    return fitted if share >= INSIDE_SHARE_MIN else _refusal(item, free, after, enforced, share)


def _refusal(item: ExpiryQuotes, free: Fit, after: Svi | None, enforced: list[str], inside_share: float) -> Refusal:
    numbers: dict[str, Any] = {"inside_share": inside_share, "quotes": len(item.quotes)}
    if "butterfly" in enforced or after is None:
        worst = arbitrage.butterfly(free.svi)
    else:
        worst = arbitrage.calendar(free.svi, after)
    if not enforced:
        return Refusal("surface.poor_fit", f"{inside_share:.0%} of quotes hold the fitted smile", **numbers)
    return Refusal(
        f"surface.{enforced[0]}_arbitrage",
        f"no smile free of arbitrage is near the quotes: {worst.value:.3g} at log-moneyness {worst.k:.3f}",
        value=worst.value,
        log_moneyness=worst.k,
        **numbers,
    )


def _vols(svi: Svi, quotes: ExpiryQuotes) -> Floats:
    k = np.array([quote.k for quote in quotes.quotes])
    vols: Floats = np.sqrt(svi.total_variance(k) / quotes.years)
    return vols
