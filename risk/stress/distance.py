"""Reverse stress: the smallest move of the market that exhausts something of one relationship.

Along an axis - one coin, or all of them by the same relative move - prices move and implied volatility answers as the
market's does (`VolResponse`, at most doubled). At every move positions, margin and close-out cost are valued anew;
there is no delta approximation. What is exhausted need not be monotonic in the move: a book with options may be short
at -10% and fine at -40%. So a scan in steps of one percent finds the first step at whose end the level is passed, and
bisection finds the crossing inside it. A crossing and return inside one step is not seen. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.margin.addons import close_out_cost
from risk.margin.gross import delta_to_close
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions
from risk.margin.revaluation import InstrumentTable, profit_matrix
from risk.margin.shocks import ShockSet
from risk.market.parameters import VolResponse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Level = Literal["requirement", "call", "margin", "first_loss", "tail", "senior"]
Side = Literal["down", "up"]

LEVELS: tuple[Level, ...] = ("requirement", "call", "margin", "first_loss", "tail", "senior")
SIDES: tuple[Side, ...] = ("down", "up")
ALL_COINS = ""
STEP = 0.01  # of the scan; the crossing inside a step is bisected
DEEPEST, HIGHEST = -0.99, 3.0  # what lies beyond is told as never: a fall of 99%, a rise to four times the price
HALVINGS = 14  # of a step of 1%: the move is known to 6e-7
VOL_RATIO_MAX = 2.0  # the largest of the published scenarios; no market has answered a fall with more for long


@dataclass(frozen=True, kw_only=True)
class Means:
    """What one relationship has, USD. `exposure` it already owes; `required_now` and `held_now` of its last
    requirement, `held_now` after haircut; `unsecured` threshold; `independent` amount, kept as it is; `smallest_call`
    its minimum transfer; `layers` funded first loss, tail and senior retention; `counted` (I,) share of a margin
    asset's value left by its haircut, by row of the instrument table."""

    exposure: float
    independent: float
    unsecured: float
    held_now: float
    smallest_call: float
    layers: tuple[float, float, float]
    counted: Floats


class Crossing(NamedTuple):
    """A move that passes a level: simple return, and its size in daily standard deviations of the log return."""

    move: float
    sigmas: float


@dataclass(frozen=True)
class AxisDistance:
    """The first crossings along one axis and side; `coin` is empty for all coins together. None: none in range."""

    coin: str
    side: Side
    crossings: dict[Level, Crossing | None]


def scan_moves(side: Side) -> Floats:
    """Moves of the scan in their order, from none outwards; by relative steps of one percent upwards."""
    if side == "down":
        falls: Floats = -STEP * np.arange(0.0, round(-DEEPEST / STEP) + 1)
        return falls
    steps = np.arange(0.0, int(np.log1p(HIGHEST) / np.log1p(STEP)) + 1)
    rises: Floats = np.append(np.expm1(steps * np.log1p(STEP)), HIGHEST)
    return rises


def axis_shocks(coins: tuple[str, ...], moves: Floats, daily_vol: Floats, response: VolResponse) -> ShockSet:
    """(S, U) every coin by the same move, with the volatility that the market would answer it with."""
    ratio = (1.0 + moves)[:, None] * np.ones((1, len(coins)))
    sigmas = np.log(ratio) / daily_vol
    answer = response.down * np.maximum(-sigmas, 0.0) + response.up * np.maximum(sigmas, 0.0)
    return ShockSet.of_prices(coins, ratio, np.minimum(np.exp(answer), VOL_RATIO_MAX))


class ReverseStress:
    """The market that many relationships are measured in: every instrument at every move of the scan, once."""

    def __init__(self, matrices: RiskMatrices, response: VolResponse) -> None:
        self.matrices, self.response = matrices, response
        self._scans = {side: self._profit(matrices.table, scan_moves(side)) for side in SIDES}

    def distances(self, held: Positions, margin: Positions, means: Means) -> list[AxisDistance]:
        """First crossings of one account (both of one row): along all coins together, then along each that it has."""
        account = _Account.of(self.matrices, held, margin, means)
        found = [AxisDistance(coin, side, {}) for coin in account.axes for side in SIDES]
        brackets = [
            bracket
            for one in found
            for bracket in self._brackets(account, one, scan_moves(one.side), self._scans[one.side])
        ]
        lower, upper = self._bisect(account, brackets)
        for bracket, low, high in zip(brackets, lower, upper, strict=True):
            move = high if bracket.inside else low
            one = bracket.axis
            one.crossings[bracket.level] = Crossing(float(move), account.sigmas(one.coin, float(move)))
        return [AxisDistance(one.coin, one.side, {key: one.crossings.get(key) for key in LEVELS}) for one in found]

    def _profit(self, table: InstrumentTable, moves: Floats) -> Floats:
        return profit_matrix(table, axis_shocks(table.coins, moves, self.matrices.daily_vol, self.response))

    def _brackets(self, account: "_Account", axis: AxisDistance, moves: Floats, profit: Floats) -> "list[_Bracket]":
        """Per level the step of the scan that first passes it; a level passed already has no step, only its place."""
        short = account.shortage(profit[account.rows], moves, account.on_axis(axis.coin))
        found = []
        for number, level in enumerate(LEVELS):
            passed = np.flatnonzero(short[number] > 0.0)
            if passed.size:
                first = int(passed[0])
                found.append(_Bracket(axis, level, float(moves[max(first - 1, 0)]), float(moves[first]), first > 0))
        return found

    def _bisect(self, account: "_Account", brackets: "Sequence[_Bracket]") -> tuple[Floats, Floats]:
        """All crossings of an account at once: one revaluation of what it holds a halving."""
        low, high = (np.array([getattr(one, name) for one in brackets]) for name in ("low", "high"))
        if not brackets:
            return low, high
        masks = np.stack([account.on_axis(one.axis.coin) for one in brackets], axis=1)
        level = np.array([LEVELS.index(one.level) for one in brackets])
        each = np.arange(len(brackets))
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            short = account.shortage(self._profit(account.table, middle), middle, masks)[level, each]
            low, high = np.where(short > 0.0, low, middle), np.where(short > 0.0, middle, high)
        return low, high


@dataclass(frozen=True)
class _Bracket:
    """`level` is first passed between the moves `low` and `high`; at `low` already when not `inside`."""

    axis: AxisDistance
    level: Level
    low: float
    high: float
    inside: bool


@dataclass(frozen=True)
class _Account:
    """One relationship over the instruments that it holds: `rows` of the full table, `quantity` of positions and
    `margin` of margin assets in them, `delta` (U,) USD that would have to be replaced; `is_gross`: it does not net."""

    matrices: RiskMatrices
    means: Means
    rows: Integers
    table: InstrumentTable
    quantity: Floats
    margin: Floats
    delta: Floats
    is_gross: bool

    @classmethod
    def of(cls, matrices: RiskMatrices, held: Positions, margin: Positions, means: Means) -> "_Account":
        """The account with its own, smaller table."""
        count = len(matrices.table.instruments)
        quantity, assets = np.zeros(count), np.zeros(count)
        np.add.at(quantity, held.indices, held.quantity)
        np.add.at(assets, margin.indices, margin.quantity)
        rows = np.flatnonzero((quantity != 0.0) | (assets != 0.0))
        return cls(
            matrices=matrices,
            means=means,
            rows=rows,
            table=_part_of(matrices.table, rows),
            quantity=quantity[rows],
            margin=assets[rows],
            delta=delta_to_close(held, matrices)[0],
            is_gross=held.gross is not None and bool(held.gross[0]),
        )

    @property
    def axes(self) -> list[str]:
        """All coins together, then each that something is held in."""
        columns = sorted(set(self.table.column.tolist()) - {-1})
        return [ALL_COINS, *(self.table.coins[column] for column in columns)]

    def on_axis(self, coin: str) -> Floats:
        """(R,) 1 for a row whose coin moves, 0 for the others."""
        if coin == ALL_COINS:
            return np.ones(self.rows.size)
        moves: Floats = np.where(self.table.column == self.table.coins.index(coin), 1.0, 0.0)
        return moves

    def shortage(self, profit: Floats, moves: Floats, on_axis: Floats) -> Floats:
        """(levels, S) USD by which each level is passed at each move (positive: passed). `profit` (R, S) of the rows;
        `on_axis` (R,) or (R, S) which of them move."""
        means = self.means
        moved = profit * (on_axis if on_axis.ndim == 2 else on_axis[:, None])
        loss = self._loss(moved)
        value = np.where(self.margin != 0.0, self.table.mark, 0.0)
        gross = means.exposure + loss + self._cost(moves, on_axis)
        beyond = gross - (self.margin @ value + self.margin @ moved)
        required = np.maximum(means.exposure + loss + means.independent - means.unsecured, 0.0)
        held = means.held_now + (self.margin * means.counted[self.rows]) @ moved
        first, tail, senior = means.layers
        passed_by: Floats = np.stack(
            [
                required - held,
                required - held - means.smallest_call,
                beyond,
                beyond - first,
                beyond - (first + tail),
                beyond - (first + tail + senior),
            ]
        )
        return passed_by

    def _loss(self, moved: Floats) -> Floats:
        """(S,) USD of positions by what each row moves; what gains makes up for nothing where nothing nets."""
        if not self.is_gross:
            return -self.quantity @ moved
        lost: Floats = np.maximum(-self.quantity[:, None] * moved, 0.0).sum(axis=0)
        return lost

    def _cost(self, moves: Floats, on_axis: Floats) -> Floats:
        """(S,) USD of closing out at each move, in ordinary depth."""
        coins = np.arange(len(self.table.coins))
        own = self.table.column[:, None] == coins
        axis = on_axis if on_axis.ndim == 2 else on_axis[:, None]
        moving = np.einsum("ru,rs->su", own, axis) > 0.0
        size = np.abs(self.delta) * (1.0 + moves[:, None] * moving)
        cost: Floats = close_out_cost(
            self.matrices.liquidity, size, self.matrices.adv_usd, self.matrices.daily_vol
        ).sum(axis=1)
        return cost

    def sigmas(self, coin: str, move: float) -> float:
        """Size of a move in daily standard deviations: of the coin, or of the coins held by their net delta."""
        vol = self.matrices.daily_vol
        if coin == ALL_COINS:
            weight = np.abs(self.delta)
            daily = float(np.average(vol, weights=weight)) if weight.sum() > 0.0 else float(vol.mean())
        else:
            daily = float(vol[self.table.coins.index(coin)])
        return float(abs(np.log1p(move)) / daily)


def _part_of(table: InstrumentTable, rows: Integers) -> InstrumentTable:
    """The table of some of its rows."""
    arrays = ("column", "years", "mark", "vol", "basis_annual", "forward", "discount", "notional_usd", "delta_usd")
    return replace(
        table,
        instruments=tuple(table.instruments[row] for row in rows),
        **{name: getattr(table, name)[rows] for name in arrays},
    )
