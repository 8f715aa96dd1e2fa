"""Shocks: joint moves of the market, whatever their origin (drawn scenarios, the stress list, the jump grid).

One shape for all of them lets one revaluation price everything. A shock strikes at once, as those of the stress list
and the jump grid do, or it takes hours, by which all that expires is older at its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Self

import numpy as np
from numpy.typing import NDArray

from risk.margin.stress import FORECAST_MOVES, StressScenario
from risk.market.parameters import VolResponse
from risk.market.snapshot import MarketSnapshot

Floats = NDArray[np.float64]
BY_COIN = ("price_ratio", "vol_ratio", "vol_term", "vol_skew", "premium")
BY_SHOCK = ("basis_annual", "rate_level", "rate_slope", "peg_move")
VOL_RATIO_MAX = 2.0  # the largest of the published scenarios; no market has answered a fall with more for long
SHORT_YEARS, LONG_YEARS = 0.25, 1.0  # the tenors whose rates are moved; between them linear in the logarithm of time


@dataclass(frozen=True)
class ShockSet:
    """S joint shocks of U coins, `coins` naming the columns.

    `price_ratio` (S, U) stressed over current price, >= 0; `vol_ratio` (S, U) of implied volatility at the money in 30
    days; `vol_term` (S, U) change of its logarithm for each e-fold that an expiry is nearer than 30 days; `vol_skew`
    (S, U) relative change of volatility for each deviation that a strike lies above the forward, negative when puts
    grow dearer; `premium` (S, U) of perpetuals over spot as a fraction of the stressed spot; `basis_annual` (S,) change
    of the forward basis beyond the dollar rate's; `rate_level` (S,) change of the one-year dollar rate and `rate_slope`
    (S,) of that rate less the three-month one; `peg` (S,) USD per USDC, no more than which is left, and `peg_move` (S,)
    its relative change from there. `hours` until all of it has happened: what expires is nearer to it by then.
    """

    coins: tuple[str, ...]
    price_ratio: Floats
    vol_ratio: Floats
    vol_term: Floats
    vol_skew: Floats
    premium: Floats
    basis_annual: Floats
    rate_level: Floats
    rate_slope: Floats
    peg: Floats
    peg_move: Floats
    hours: float = 0.0

    def __post_init__(self) -> None:
        shape = (self.peg.size, len(self.coins))
        for name in BY_COIN:
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if any(getattr(self, name).shape != self.peg.shape for name in BY_SHOCK):
            raise ValueError(f"{', '.join(BY_SHOCK)} and peg must have one value a shock")

    @property
    def size(self) -> int:
        """Number of shocks."""
        return int(self.peg.size)

    def of_coins(self, coins: tuple[str, ...]) -> Self:
        """The same shocks of these coins alone; raises ValueError for a coin that they do not move."""
        if coins == self.coins:
            return self
        if unknown := [coin for coin in coins if coin not in self.coins]:
            raise ValueError(f"no shock of {', '.join(unknown)}")
        columns = [self.coins.index(coin) for coin in coins]
        moved = {name: getattr(self, name)[:, columns] for name in BY_COIN}
        return replace(self, coins=coins, **moved)

    def carried(self, root: float) -> Self:
        """Moves of price, volatility surface, basis and rates times `root`, that of time, and the time itself times its
        square. Premium and peg, which are pulled back, stay what they are."""
        return replace(
            self,
            price_ratio=self.price_ratio**root,
            vol_ratio=self.vol_ratio**root,
            vol_term=self.vol_term * root,
            vol_skew=self.vol_skew * root,
            basis_annual=self.basis_annual * root,
            rate_level=self.rate_level * root,
            rate_slope=self.rate_slope * root,
            hours=self.hours * root**2,
        )

    def rate_move(self, years: float) -> Floats:
        """(S,) change of the continuously compounded annual rate to a time in `years`; beyond a tenor that of it."""
        move: Floats = self.rate_level - self.rate_slope * slope_share(years)
        return move

    @classmethod
    def of_prices(cls, coins: tuple[str, ...], price_ratio: Floats, vol_ratio: Floats | None = None) -> Self:
        """Shocks that move prices (and volatilities, when given) only."""
        count = price_ratio.shape[0]
        return cls(
            coins=coins,
            price_ratio=price_ratio,
            vol_ratio=np.ones_like(price_ratio) if vol_ratio is None else vol_ratio,
            vol_term=np.zeros_like(price_ratio),
            vol_skew=np.zeros_like(price_ratio),
            premium=np.zeros_like(price_ratio),
            basis_annual=np.zeros(count),
            rate_level=np.zeros(count),
            rate_slope=np.zeros(count),
            peg=np.ones(count),
            peg_move=np.zeros(count),
        )


def slope_share(years: float) -> float:
    """How much of the slope's move a rate to a time in `years` lacks: 1 up to three months, 0 from a year on."""
    time = min(max(years, SHORT_YEARS), LONG_YEARS)
    return log(LONG_YEARS / time) / log(LONG_YEARS / SHORT_YEARS)


def stress_shocks(snapshot: MarketSnapshot, scenarios: Sequence[StressScenario]) -> ShockSet:
    """The named scenarios as shocks around `snapshot`, in their order; slippage is not part of the shock."""
    coins = snapshot.coins
    ratio = [
        [float(item.stressed_mark(coin, snapshot.mark(coin)) / snapshot.mark(coin)) for coin in coins]
        for item in scenarios
    ]
    ones = np.ones((1, len(coins)))
    still = np.zeros((len(scenarios), len(coins)))
    return ShockSet(
        coins=coins,
        price_ratio=np.array(ratio),
        vol_ratio=np.array([[float(item.vol_multiplier)] for item in scenarios]) * ones,
        vol_term=still,
        vol_skew=still,
        premium=np.array([[float(item.premium)] for item in scenarios]) * ones,
        basis_annual=np.array([float(item.basis_annual) for item in scenarios]),
        rate_level=np.zeros(len(scenarios)),
        rate_slope=np.zeros(len(scenarios)),
        peg=np.array([float(item.peg) for item in scenarios]),
        peg_move=np.zeros(len(scenarios)),
    )


def jump_shocks(coins: tuple[str, ...], moves: Sequence[float], vol_moves: Sequence[float]) -> ShockSet:
    """The jump grid, every move with every volatility move, then the price of zero as the last shock."""
    pairs = [(1.0 + move, 1.0 + vol_move) for move in moves for vol_move in vol_moves] + [(0.0, 1.0)]
    grid = np.array(pairs)
    ones = np.ones((1, len(coins)))
    return ShockSet.of_prices(coins, grid[:, :1] * ones, grid[:, 1:] * ones)


def answered_shocks(coins: tuple[str, ...], moves: Floats, daily_vol: Floats, response: VolResponse) -> ShockSet:
    """(S, U) every coin by the same move, with the volatility that the market would answer it with, at most doubled."""
    ratio = (1.0 + moves)[:, None] * np.ones((1, len(coins)))
    sigmas = np.log(ratio) / daily_vol
    answer = response.down * np.maximum(-sigmas, 0.0) + response.up * np.maximum(sigmas, 0.0)
    return ShockSet.of_prices(coins, ratio, np.minimum(np.exp(answer), VOL_RATIO_MAX))


def forecast_shocks(coins: tuple[str, ...], daily_vol: Floats, response: VolResponse) -> ShockSet:
    """Every coin at -5%, -10% and -20%, answered: what the next call would be."""
    return answered_shocks(coins, np.array([float(move) for move in FORECAST_MOVES]), daily_vol, response)
