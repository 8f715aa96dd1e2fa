"""Options under scenarios: the platform's revaluation against two loops over QuantLib, all on one thread.

The loops price the same options under the same shocks and are measured on fewer of them: a loop in Python takes the
same time for each. The agreement of the three is tested, not measured here.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import QuantLib as ql
from numpy.typing import NDArray

from intermediary.config.benches import Figure, fastest_s
from risk.margin.revaluation import InstrumentTable, profit_matrix
from risk.margin.shocks import ShockSet

RUNS, LOOPS = 20, 3  # of which the fastest counts
LOOPED = 20_000  # option-scenarios of a QuantLib loop: tens of milliseconds
Priced = tuple[int, float, float, float, float]  # ql.Option type, strike, forward, deviation, discount


def figures(table: InstrumentTable, shocks: ShockSet) -> dict[str, Figure]:
    """Millions of option-scenarios a second, and ratios to the loops."""
    rows = np.array([row for row, item in enumerate(table.instruments) if item.kind == "option"])
    options = _only(table, rows)
    count = rows.size * shocks.size
    ours = count / fastest_s(lambda: profit_matrix(options, shocks), RUNS, time.thread_time) / 1e6
    cases = list(_cases(options, shocks))
    formula = len(cases) / fastest_s(lambda: [ql.blackFormula(*case) for case in cases], LOOPS, time.thread_time) / 1e6
    instruments = len(cases) / fastest_s(_instrument_loop(cases), LOOPS, time.thread_time) / 1e6
    of = (
        f"profit_matrix of {rows.size} options x {shocks.size} scenarios, kernel option_gains, float64, 1 thread,"
        f" processor time, fastest of {RUNS}"
    )
    loop = "M option-scenarios/s of a loop over {} in Python, same run and clock"
    return {
        "black76_m_per_s": Figure(ours, "M/s", of),
        "black76_vs_quantlib_instruments": Figure(
            ours / instruments, "ratio", f"{instruments:.3f} {loop.format('VanillaOption objects')}"
        ),
        "black76_vs_blackformula": Figure(ours / formula, "ratio", f"{formula:.2f} {loop.format('ql.blackFormula')}"),
    }


def _only(table: InstrumentTable, rows: NDArray[np.int64]) -> InstrumentTable:
    return InstrumentTable(
        instruments=tuple(table.instruments[row] for row in rows.tolist()),
        coins=table.coins,
        column=table.column[rows],
        years=table.years[rows],
        mark=table.mark[rows],
        vol=table.vol[rows],
        basis_annual=table.basis_annual[rows],
        forward=table.forward[rows],
        discount=table.discount[rows],
        notional_usd=table.notional_usd[rows],
        delta_usd=table.delta_usd[rows],
    )


def _cases(table: InstrumentTable, shocks: ShockSet) -> Iterator[Priced]:
    for number in range(LOOPED):
        row, s = number % len(table.instruments), number % shocks.size
        item, column = table.instruments[row], table.column[row]
        carry = np.exp((table.basis_annual[row] + shocks.basis_annual[s]) * table.years[row])
        forward = float(table.mark[row] * shocks.price_ratio[s, column] * carry)
        ratio = shocks.vol_ratio[s, column]  # of 30 days at the money: the loops are timed, not compared
        deviation = float(table.vol[row] * np.sqrt(table.years[row]) * ratio)
        kind = ql.Option.Call if item.is_call else ql.Option.Put
        yield kind, float(item.strike or 0), forward, deviation, float(table.discount[row])


def _instrument_loop(cases: list[Priced]) -> Callable[[], list[float]]:
    """Every option an object with its own quotes, a year from expiry: a scenario sets them and asks for the value."""
    today = ql.Date(10, 10, 2025)
    ql.Settings.instance().evaluationDate = today
    options = {case[:2]: _option(today, *case[:2]) for case in cases}

    def loop() -> list[float]:
        values = []
        for kind, strike, forward, deviation, _ in cases:
            option, level, vol = options[kind, strike]
            level.setValue(forward)
            vol.setValue(deviation)
            values.append(option.NPV())
        return values

    return loop


def _option(today: Any, kind: int, strike: float) -> tuple[Any, Any, Any]:
    level, vol, counter = ql.SimpleQuote(strike), ql.SimpleQuote(0.5), ql.Actual365Fixed()
    curve = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.03, counter))
    surface = ql.BlackVolTermStructureHandle(
        ql.BlackConstantVol(today, ql.NullCalendar(), ql.QuoteHandle(vol), counter)
    )
    option = ql.VanillaOption(ql.PlainVanillaPayoff(kind, strike), ql.EuropeanExercise(today + 365))
    option.setPricingEngine(ql.AnalyticEuropeanEngine(ql.BlackProcess(ql.QuoteHandle(level), curve, surface)))
    return option, level, vol
