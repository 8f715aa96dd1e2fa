"""Reverse stress: the smallest move of the market that exhausts something of one relationship.

Along an axis - one coin, or all of them by the same relative move - prices move and implied volatility answers as the
market's does (`VolResponse`, at most doubled). At every move positions, margin and close-out cost are valued anew;
there is no delta approximation. What is exhausted need not be monotonic in the move: a book with options may be short
at -10% and fine at -40%. So a scan in steps of one percent finds the first step at whose end the level is passed, and
bisection finds the crossing inside it. A crossing and return inside one step is not seen.

Many relationships are measured at once: the scan reads every instrument off one matrix, and each halving of all their
brackets values an instrument once, at the moves of those who hold it. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.margin.addons import close_out_cost
from risk.margin.gross import delta_to_close
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions
from risk.margin.revaluation import InstrumentTable, profit_matrix
from risk.margin.shocks import answered_shocks
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
MARGIN_LEVELS = (0, 1)  # of LEVELS: of margin after haircut against the requirement; the others are of the whole loss
SCANNED = 128  # relationships at every move of the scan: arrays of a megabyte or two


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


class ReverseStress:
    """The market that many relationships are measured in: every instrument at every move of the scan, once."""

    def __init__(self, matrices: RiskMatrices, response: VolResponse) -> None:
        self.matrices, self.response = matrices, response
        table, vol = matrices.table, matrices.daily_vol
        self._scans = {
            side: profit_matrix(table, answered_shocks(table.coins, scan_moves(side), vol, response)) for side in SIDES
        }

    def distances(self, held: Positions, margin: Positions, means: Sequence[Means]) -> list[list[AxisDistance]]:
        """First crossings of each account: along all coins together, then along each that it has."""
        if not means:
            return []
        books = _Books.of(self.matrices, held, margin, means)
        brackets = _joined([one for side in SIDES for one in self._brackets(books, side)])
        moves = self._bisect(books, brackets)
        sigmas = np.abs(np.log1p(moves)) / books.axis_vol[brackets.account, brackets.axis]
        crossings: dict[tuple[int, int, int], dict[Level, Crossing]] = {}
        rows = zip(*(part.tolist() for part in (*brackets.places, moves, sigmas)), strict=True)
        for account, axis, side, level, move, size in rows:
            crossings.setdefault((account, axis, side), {})[LEVELS[level]] = Crossing(move, size)
        names = (ALL_COINS, *self.matrices.table.coins)
        return [
            [
                AxisDistance(names[axis], side, {level: passed.get(level) for level in LEVELS})
                for axis in np.flatnonzero(has).tolist()
                for number, side in enumerate(SIDES)
                for passed in (crossings.get((account, axis, number), {}),)
            ]
            for account, has in enumerate(books.has_axis)
        ]

    def _brackets(self, books: "_Books", side: Side) -> "list[_Brackets]":
        """Per account, axis and level the step of the scan that first passes it; a level passed already has no step,
        only its place."""
        moves, found = scan_moves(side), []
        for start in range(0, books.accounts, SCANNED):
            part = slice(start, min(start + SCANNED, books.accounts))
            short, beyond = books.scanned(part, self._scans[side], moves)
            for level, limit in enumerate(books.limits.T):
                passed = (short if level in MARGIN_LEVELS else beyond) > limit[part, None, None]
                first = passed.argmax(axis=2)
                account, axis = np.nonzero(passed.any(axis=2) & books.has_axis[part])
                step = first[account, axis]
                place = (account + start, axis, np.full_like(axis, SIDES.index(side)), np.full_like(axis, level))
                found.append(_Brackets(*place, moves[np.maximum(step - 1, 0)], moves[step]))
        return found

    def _bisect(self, books: "_Books", brackets: "_Brackets") -> Floats:
        """(B,) all crossings at once: where each level is passed, a halving of every step at a time."""
        low, high = brackets.low.copy(), brackets.high.copy()
        inside = np.flatnonzero(low != high)
        open_ones = brackets.take(inside)
        gaps = _Gaps(books, open_ones, self)
        for _ in range(HALVINGS if inside.size else 0):
            middle = (low[inside] + high[inside]) / 2.0
            is_passed = gaps.at(middle) > books.limits[open_ones.account, open_ones.level]
            low[inside] = np.where(is_passed, low[inside], middle)
            high[inside] = np.where(is_passed, middle, high[inside])
        return high


@dataclass(frozen=True)
class _Brackets:
    """(B,) each: `level` (of LEVELS) of an account along an axis and side is first passed between the moves `low` and
    `high`; where these are one, it is passed already."""

    account: Integers
    axis: Integers
    side: Integers
    level: Integers
    low: Floats
    high: Floats

    @property
    def places(self) -> tuple[Integers, Integers, Integers, Integers]:
        return self.account, self.axis, self.side, self.level

    def take(self, chosen: Integers) -> "_Brackets":
        return _Brackets(*(part[chosen] for part in (*self.places, self.low, self.high)))  # type: ignore[arg-type]


def _joined(parts: "Sequence[_Brackets]") -> _Brackets:
    names = ("account", "axis", "side", "level", "low", "high")
    return _Brackets(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))


@dataclass(frozen=True)
class _Holdings:
    """What accounts hold, (n,) each, by account and then by axis: `key` of both, `row` of the full table, `units`."""

    key: Integers
    row: Integers
    units: Floats

    @classmethod
    def of(cls, positions: Positions, table: InstrumentTable) -> "_Holdings":
        """Parts of one instrument are added up; cash is on the axis of all coins alone."""
        rows, axes = len(table.instruments), len(table.coins) + 1
        merged, which = np.unique(positions.owners() * rows + positions.indices, return_inverse=True)
        units = np.bincount(which, weights=positions.quantity, minlength=merged.size)
        merged, units = merged[units != 0.0], units[units != 0.0]
        key = merged // rows * axes + table.column[merged % rows] + 1
        order = np.argsort(key, kind="stable")
        return cls(key[order], merged[order] % rows, units[order])

    def by_axis(self, values: Floats, first: int, accounts: int, axes: int) -> Floats:
        """(accounts, axes, S) sums of `values` (n, S) of the holdings of these accounts; of all coins the whole."""
        total = np.zeros((accounts * axes, values.shape[1]))
        key, begins = np.unique(self.key, return_index=True)
        if begins.size:
            total[key - first * axes] = np.add.reduceat(values, begins, axis=0)
        found = total.reshape(accounts, axes, -1)
        found[:, 0] = found.sum(axis=1)
        return found

    def of_accounts(self, part: slice, axes: int) -> "_Holdings":
        chosen = slice(*np.searchsorted(self.key, [part.start * axes, part.stop * axes]))
        return _Holdings(self.key[chosen], self.row[chosen], self.units[chosen])


@dataclass(frozen=True)
class _Books:
    """Relationships that are measured together, A of them along U + 1 axes, the first of which is all coins.

    `delta` (A, U) USD that would have to be replaced; `is_gross` (A,): does not net; `means` (A, 4) exposure,
    independent amount, threshold and margin after haircut; `value` (A,) of margin assets; `limits` (A, levels) by which
    a shortage must be larger for the level to be passed; `has_axis` (A, U + 1); `axis_vol` (A, U + 1) daily.
    """

    matrices: RiskMatrices
    held: _Holdings
    margin: _Holdings
    counted: Floats
    delta: Floats
    is_gross: NDArray[np.bool_]
    means: Floats
    value: Floats
    limits: Floats
    has_axis: NDArray[np.bool_]
    axis_vol: Floats

    @classmethod
    def of(cls, matrices: RiskMatrices, held: Positions, margin: Positions, means: Sequence[Means]) -> "_Books":
        """Of as many accounts as there are means."""
        table, axes = matrices.table, len(matrices.table.coins) + 1
        positions, assets = _Holdings.of(held, table), _Holdings.of(margin, table)
        delta = delta_to_close(held, matrices)
        weight = delta.sum(axis=1)
        together = np.where(weight > 0.0, (delta * matrices.daily_vol).sum(axis=1), matrices.daily_vol.mean())
        has_axis = np.zeros((len(means), axes), dtype=np.bool_)
        for holdings in (positions, assets):
            has_axis.flat[holdings.key] = True
        has_axis[:, 0] = True
        owner = assets.key // axes
        counted = np.stack([one.counted for one in means])[owner, assets.row]
        value = np.bincount(owner, weights=assets.units * table.mark[assets.row], minlength=len(means))
        return cls(
            matrices=matrices,
            held=positions,
            margin=assets,
            counted=counted,
            delta=delta,
            is_gross=np.zeros(len(means), dtype=np.bool_) if held.gross is None else held.gross,
            means=np.array([(one.exposure, one.independent, one.unsecured, one.held_now) for one in means]),
            value=value.astype(np.float64, copy=False),
            limits=np.array([(0.0, one.smallest_call, 0.0, *np.cumsum(one.layers)) for one in means]),
            has_axis=has_axis,
            axis_vol=np.column_stack(
                [together / np.where(weight > 0.0, weight, 1.0), np.tile(matrices.daily_vol, (len(means), 1))]
            ),
        )

    @property
    def accounts(self) -> int:
        """How many."""
        return int(self.is_gross.size)

    def cost(self, size: Floats, coin: Integers | slice) -> Floats:
        """USD of closing out this much of these coins, in ordinary depth."""
        matrices = self.matrices
        return close_out_cost(matrices.liquidity, size, matrices.adv_usd[coin], matrices.daily_vol[coin])

    def lost(self, owner: Integers, losses: Floats) -> Floats:
        """`losses` of holdings of these accounts: what gains makes up for nothing where nothing nets."""
        gross = self.is_gross[owner]
        losses[gross] = np.maximum(losses[gross], 0.0)
        return losses

    def shortages(self, account: Integers | slice, loss: Floats, cost: Floats, margin: Floats, counted: Floats) -> Any:
        """USD that margin after haircut lacks of the requirement, and that margin lacks of the whole loss, when
        positions lose `loss` and margin gains `margin`, `counted` of it after haircut; arrays of one value an account
        or more along axes behind."""
        shape = (-1,) + (1,) * (loss.ndim - 1)
        exposure, independent, unsecured, held = (part.reshape(shape) for part in self.means[account].T)
        required = np.maximum(exposure + loss + independent - unsecured, 0.0)
        return required - (held + counted), exposure + loss + cost - (self.value[account].reshape(shape) + margin)

    def scanned(self, part: slice, profit: Floats, moves: Floats) -> Any:
        """(accounts, axes, S) `shortages` of some accounts at each move of the scan, of which `profit` (I, S) is."""
        axes, count = self.has_axis.shape[1], part.stop - part.start
        held, margin = self.held.of_accounts(part, axes), self.margin.of_accounts(part, axes)
        losses = self.lost(held.key // axes, profit[held.row] * -held.units[:, None])
        gains = profit[margin.row] * margin.units[:, None]
        share = self.counted[slice(*np.searchsorted(self.margin.key, [part.start * axes, part.stop * axes]))]
        each = self.cost((self.delta[part, None, :] * (1.0 + moves[:, None])), slice(None)).transpose(0, 2, 1)
        still = self.cost(self.delta[part], slice(None))
        others = still.sum(axis=1, keepdims=True) - still
        cost = np.concatenate([each.sum(axis=1, keepdims=True), each + others[:, :, None]], axis=1)
        return self.shortages(
            part,
            held.by_axis(losses, part.start, count, axes),
            cost,
            margin.by_axis(gains, part.start, count, axes),
            margin.by_axis(gains * share[:, None], part.start, count, axes),
        )


class _Gaps:
    """The shortages of brackets at moves of their own: what each holds along its axis, by instrument."""

    def __init__(self, books: _Books, brackets: _Brackets, market: ReverseStress) -> None:
        self.books, self.brackets = books, brackets
        self._held, self._margin = (_Cells(market, one, brackets) for one in (books.held, books.margin))
        self._by_margin = np.isin(brackets.level, MARGIN_LEVELS)
        coins, every = books.delta.shape[1], brackets.axis == 0
        self._bracket = np.repeat(np.arange(every.size), np.where(every, coins, 1))
        self._coin = np.repeat(brackets.axis - 1, np.where(every, coins, 1))
        self._coin[every[self._bracket]] = np.tile(np.arange(coins), int(every.sum()))
        still = books.cost(books.delta, slice(None))
        alone = still[brackets.account, np.maximum(brackets.axis - 1, 0)]
        self._other_cost = np.where(every, 0.0, still.sum(axis=1)[brackets.account] - alone)

    def at(self, moves: Floats) -> Floats:
        """(B,) USD that is short at `moves` (B,)."""
        books, account = self.books, self.brackets.account
        loss = self._held.summed(books.lost(self._held.owner, -self._held.gains(moves)))
        margin = self._margin.gains(moves)
        counted = self._margin.summed(margin * books.counted[self._margin.holding])
        size = books.delta[account[self._bracket], self._coin] * (1.0 + moves[self._bracket])
        moved = np.bincount(self._bracket, weights=books.cost(size, self._coin), minlength=moves.size)
        short, beyond = books.shortages(account, loss, self._other_cost + moved, self._margin.summed(margin), counted)
        found: Floats = np.where(self._by_margin, short, beyond)
        return found


class _Cells:
    """Brackets times the holdings along the axis of each, sorted by instrument, so that each is valued once."""

    def __init__(self, market: ReverseStress, holdings: _Holdings, brackets: _Brackets) -> None:
        axes = len(market.matrices.table.coins) + 1
        first = brackets.account * axes
        begin = np.searchsorted(holdings.key, first + brackets.axis)
        end = np.searchsorted(holdings.key, np.where(brackets.axis == 0, first + axes, first + brackets.axis + 1))
        count = end - begin
        bracket = np.repeat(np.arange(count.size), count)
        holding = np.repeat(begin - (np.cumsum(count) - count), count) + np.arange(bracket.size)
        order = np.argsort(holdings.row[holding], kind="stable")
        self.bracket, self.holding = bracket[order], holding[order]
        self.owner, self._units = brackets.account[self.bracket], holdings.units[self.holding]
        self._size, self._response = count.size, market.response
        rows, begins = np.unique(holdings.row[self.holding], return_index=True)
        ends = np.append(begins, self.bracket.size)[1:]
        self._parts = [
            (*_alone(market.matrices, row), slice(*edges))
            for row, *edges in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True)
        ]

    def gains(self, moves: Floats) -> Floats:
        """(n,) USD that each holding gains at the move of its bracket."""
        here, found = moves[self.bracket], np.empty(self.bracket.size)
        for table, vol, part in self._parts:
            found[part] = profit_matrix(table, answered_shocks(table.coins, here[part], vol, self._response))[0]
        return found * self._units

    def summed(self, values: Floats) -> Floats:
        """(B,) sums of `values` (n,) over the holdings of each bracket."""
        total = np.bincount(self.bracket, weights=values, minlength=self._size)
        return total.astype(np.float64, copy=False)


def _alone(matrices: RiskMatrices, row: int) -> tuple[InstrumentTable, Floats]:
    """The table of one instrument, in a market of its coin alone (of any, for cash), and that coin's volatility."""
    table, column = matrices.table, max(int(matrices.table.column[row]), 0)
    arrays = ("years", "mark", "vol", "basis_annual", "forward", "discount", "notional_usd", "delta_usd")
    alone = replace(
        table,
        instruments=(table.instruments[row],),
        coins=(table.coins[column],),
        column=np.minimum(table.column[[row]], 0),
        **{name: getattr(table, name)[[row]] for name in arrays},
    )
    return alone, matrices.daily_vol[[column]]
