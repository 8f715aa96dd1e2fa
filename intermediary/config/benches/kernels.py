"""The risk engine's arithmetic at size: 100,000 accounts, 500 instruments, 2,000 scenarios, 30 positions each.

Everything measured is what a tick calls (`risk.margin.measures`, `revaluation`, `requirement`), without a database. The
machine's own limit, the product of two dense matrices in single
precision, stands beside the seconds, because machines differ and are shared: `..._of_sgemm` is the figure to compare
between two of them. BLAS is held to one thread; two cores are two threads of Python on halves of the accounts, as two
workers would have them.
"""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from intermediary.config.benches import Figure, fastest_s, machine, options, partial
from intermediary.config.demo import world
from risk.margin.admission import Resources, assess
from risk.margin.instruments import Instrument
from risk.margin.matrices import RiskMatrices
from risk.margin.measures import DENSE_BLOCK, dense_losses, losses_in_double, shortfall, tail_measures
from risk.margin.positions import Positions
from risk.margin.requirement import requirements
from risk.margin.ruleset import ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios
from risk.margin.tails import expected_shortfall
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot

ACCOUNTS, INSTRUMENTS, HELD = 100_000, 500, 30
RUNS = 7  # of which the fastest counts: what else a shared machine does is no property of the code
SGEMM_SIZE, TURNS = 2_000, 10
HEDGED_BOOKS, HEDGE = 2_000, 0.999
WHAT_IFS = 200
ES_QUANTILE = 0.99
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """What a tick has in hand when it comes to the accounts."""

    snapshot: MarketSnapshot
    matrices: RiskMatrices
    scenarios: ScenarioSet
    positions: Positions
    gross: Floats


def run(say: Callable[[str], object]) -> dict[str, Figure]:
    """All figures of the group."""
    machine.hold_blas_to_one_thread()
    say(f"{ACCOUNTS} accounts with {HELD} positions in {INSTRUMENTS} instruments")
    built = _world()
    figures = _dense(built.matrices)
    figures |= _remargin(built, figures["sgemm_gflops"].value)
    say("one instrument that moved")
    shocks = built.scenarios.shocks
    figures |= partial.figures(built.snapshot, shocks, built.matrices, built.positions, built.gross)
    say("single precision, what-if")
    figures |= _precision(built.matrices) | _what_if(built)
    say("options")
    figures |= options.figures(built.matrices.table, shocks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["peak_mb"] = Figure(peak, "MB", "largest resident size of this process, Django and all included")
    return figures


def _world() -> World:
    snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
    rules = ruleset("standard")
    scenarios = build_scenarios(rules, snapshot.as_of.date(), None)
    matrices = RiskMatrices.build(snapshot, rules, scenarios, _instruments(snapshot))
    positions = _books(ACCOUNTS, matrices)
    return World(snapshot, matrices, scenarios, positions, _gross(positions, matrices))


def _instruments(snapshot: MarketSnapshot) -> tuple[Instrument, ...]:
    """Six in ten options, ten strikes an expiry; of the rest half futures, half perpetuals."""
    return tuple(_instrument(number, snapshot) for number in range(INSTRUMENTS))


def _instrument(number: int, snapshot: MarketSnapshot) -> Instrument:
    coin, turn = snapshot.coins[number % len(snapshot.coins)], number // len(snapshot.coins)
    expiry = snapshot.as_of + timedelta(days=7 * (1 + turn // 10))
    if turn % 5 < 3:
        strike = (snapshot.mark(coin) * Decimal(75 + turn) / 100).quantize(Decimal("0.00000001"))
        return Instrument(
            id=f"{number}", kind="option", underlying=coin, expiry=expiry, strike=strike, is_call=turn % 2 == 0
        )
    if turn % 5 == 3:
        return Instrument(id=f"{number}", kind="future", underlying=coin, expiry=expiry)
    return Instrument(id=f"{number}", kind="perp", underlying=coin)


def _books(accounts: int, matrices: RiskMatrices, held: int = HELD) -> Positions:
    """Long and short, a normal number of hundred thousands of dollars in each of `held` instruments."""
    random = np.random.default_rng(7)
    indices = np.sort(random.integers(0, INSTRUMENTS, size=(accounts, held)), axis=1).ravel()
    notional = 1e5 * random.standard_normal(indices.size)
    return Positions(
        indptr=np.arange(accounts + 1, dtype=np.int64) * held,
        indices=indices,
        quantity=notional / matrices.table.notional_usd[indices],
    )


def _gross(positions: Positions, matrices: RiskMatrices) -> Floats:
    absolute = Positions(positions.indptr, positions.indices, np.abs(positions.quantity))
    return absolute.weighted(matrices.table.notional_usd)


def _remargin(built: World, sgemm: float) -> dict[str, Figure]:
    size = f"{ACCOUNTS} accounts x {INSTRUMENTS} instruments x {built.matrices.profit.shape[1]} scenarios, {HELD} held"
    dense_s = 2.0 * ACCOUNTS * INSTRUMENTS * built.matrices.profit.shape[1] / (sgemm * 1e9)
    figures = {}
    for name, work, what in (
        ("es", _to_shortfall, "to ES 99%: the mean of the 20 worst"),
        ("im", _to_base_margin, "to base IM: ES and Pareto VaR by PWM on the 100 worst"),
    ):
        one, two = _seconds(work, built, 1), _seconds(work, built, 2)
        processor = fastest_s(lambda work=work: work(built), RUNS, time.thread_time)  # type: ignore[misc]
        of = f"{size}, priced instruments {what}, fastest of {RUNS}, kernel worst_of_books, {{}}"
        figures[f"remargin_{name}_1core_s"] = Figure(one, "s", of.format("1 thread"))
        figures[f"remargin_{name}_2core_s"] = Figure(two, "s", of.format("2 threads on halves"))
        figures[f"remargin_{name}_cpu_s"] = Figure(processor, "s", of.format("1 thread, its processor time"))
        figures[f"remargin_{name}_of_sgemm"] = Figure(
            processor / dense_s,
            "ratio",
            f"{dense_s:.2f} s of SGEMM on as many accounts filled with zeros, both in processor time",
        )
    return figures


def _to_shortfall(part: World) -> object:
    return shortfall(part.positions, part.matrices, part.gross, ES_QUANTILE)


def _to_base_margin(part: World) -> object:
    return tail_measures(part.positions, part.matrices, part.gross)


def _seconds(work: Callable[[World], object], built: World, threads: int) -> float:
    edges = [ACCOUNTS * number // threads for number in range(threads + 1)]
    parts = [
        replace(built, positions=built.positions.slice(start, stop), gross=built.gross[start:stop])
        for start, stop in pairwise(edges)
    ]
    with ThreadPoolExecutor(threads) as pool:
        return fastest_s(lambda: list(pool.map(work, parts)), RUNS)


def _dense(matrices: RiskMatrices) -> dict[str, Figure]:
    """Books that hold most instruments: BLAS on our blocks, with spreading the books, against BLAS on a square. The two
    take turns, so that both meet the same machine."""
    books = _books(DENSE_BLOCK, matrices, INSTRUMENTS)
    square = np.random.default_rng(1).standard_normal((SGEMM_SIZE, SGEMM_SIZE)).astype(np.float32)
    out = np.empty_like(square)
    ours_s, square_s = [], []
    for _ in range(TURNS):
        ours_s.append(fastest_s(lambda: dense_losses(books, matrices), 2, time.thread_time))
        square_s.append(fastest_s(lambda: np.matmul(square, square, out=out), 1, time.thread_time))
    ours = 2e-9 * DENSE_BLOCK * INSTRUMENTS * matrices.profit.shape[1] / min(ours_s)
    sgemm = 2e-9 * SGEMM_SIZE**3 / min(square_s)
    of = f"SGEMM {SGEMM_SIZE}^3 taking turns with it, numpy, 1 thread, processor time, fastest of {TURNS}"
    what = f"dense_losses of {DENSE_BLOCK} books x {INSTRUMENTS} held"
    return {
        "sgemm_share": Figure(ours / sgemm, "ratio", f"{what} against {of}"),
        "sgemm_gflops": Figure(sgemm, "GFLOP/s", of),
    }


def _precision(matrices: RiskMatrices) -> dict[str, Figure]:
    of = "largest relative difference of ES 99% to float64, {} books of 15 positions hedged {}"
    worst = max(_error(matrices, hedge) for hedge in (0.9, 0.98, 0.99, 0.995, 0.998, 0.9999))
    return {
        "f32_rel_error": Figure(
            _error(matrices, HEDGE), "relative", of.format(HEDGED_BOOKS, "99.9% (float64 below IM / notional 1e-3)")
        ),
        "f32_rel_error_other_hedges": Figure(worst, "relative", of.format(HEDGED_BOOKS, "90% to 99.99%")),
    }


def _error(matrices: RiskMatrices, hedge: float) -> float:
    """Each position of a random book against `hedge` of itself."""
    one = _books(HEDGED_BOOKS, matrices, HELD // 2)
    other = Positions(one.indptr, one.indices, -hedge * one.quantity)
    books = one.with_held(other)
    exact = np.maximum(expected_shortfall(losses_in_double(books, matrices.profit), ES_QUANTILE), 0.0)
    found = tail_measures(books, matrices, _gross(books, matrices)).es_99
    return float(np.max(np.abs(found - exact) / exact))


def _what_if(built: World) -> dict[str, Figure]:
    """One relationship's requirement and admission with a book that is only being considered."""
    resources = Resources(first_loss=10**12, tail=10**12, senior_retention=10**12, exposure=0)

    def ask(account: int) -> object:
        batch = requirements(built.matrices, built.positions.slice(account, account + 1))
        return assess(batch.outcomes(0), resources)

    took = []
    for account in range(WHAT_IFS):
        started = time.perf_counter()
        ask(account)
        took.append(time.perf_counter() - started)
    of = f"requirement, breakdown and admission test of one book of {HELD} positions, median of {WHAT_IFS}; no database"
    return {"whatif_kernel_ms": Figure(float(np.median(took)) * 1e3, "ms", of)}
