"""The dollar curve as a factor: what of it is recorded, whose day it is, and what it moves."""

import gzip
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import QuantLib as ql

from intermediary.errors import BadInput
from risk.margin.factors import RecordedRates, rate_moves
from risk.margin.instruments import Instrument
from risk.margin.requirement import Positions, RiskMatrices, requirements
from risk.margin.revaluation import option_price, profit_matrix, resolve
from risk.margin.ruleset import ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios, inputs_of
from risk.market.history import load_history
from risk.market.parameters import load_parameters
from risk.market.rate_moves import JUMP_MAX, RateMoves, deviations_of, load_rate_moves, moves_of
from risk.market.yield_tables import PAR_FILE, yield_tables
from tests.risk.builders import MOMENT, snapshot
from tests.risk.test_revaluation import prices

FRIDAY = date(2025, 10, 3)
USUAL = load_parameters().rate_moves
YEAR = MOMENT + timedelta(days=365)


def quoted(changes: list[tuple[float, float]], start: date = date(2024, 1, 1)) -> RateMoves:
    """Moves of business days from yields of 4% that change so (three months, one year) from each to the next."""
    days = [start + timedelta(days=offset) for offset in range(2 * len(changes) + 7)]
    business = [day for day in days if day.weekday() < 5][: len(changes) + 1]
    levels = 0.04 + np.vstack([[0.0, 0.0], np.cumsum(changes, axis=0)])
    return moves_of({day: (float(short), float(long)) for day, (short, long) in zip(business, levels, strict=True)})


def test_a_weekend_does_not_move_and_monday_moves_by_all_of_it() -> None:
    found = moves_of({FRIDAY: (0.040, 0.036), FRIDAY + timedelta(days=3): (0.041, 0.038)})
    on = found.on([FRIDAY - timedelta(days=1), *(FRIDAY + timedelta(days=day) for day in range(5))])
    assert np.isnan(on[[0, 1, 5]]).all(), "before the first move and after the last quotation nothing is recorded"
    assert (on[2:4] == 0.0).all()
    assert on[4] == pytest.approx([0.002, 0.001])


def test_a_hole_in_the_recording_is_nobodys_move() -> None:
    found = moves_of({FRIDAY: (0.04, 0.04), FRIDAY + timedelta(days=20): (0.05, 0.05)})
    assert np.isnan(found.on([FRIDAY + timedelta(days=20)])).all()


def test_moves_are_those_of_the_past_only(market_history_dir: Path) -> None:
    early, late = (load_rate_moves(market_history_dir, day) for day in (date(2025, 10, 10), date(2026, 1, 10)))
    assert early is not None
    assert late is not None
    assert early.days[-1] == date(2025, 10, 9)
    assert np.array_equal(early.moves[1:], late.moves[1 : len(early.days)])
    assert early.digest != late.digest
    assert deviations_of(early).level == pytest.approx(USUAL.level, rel=1e-5)


def written(directory: Path, cells: dict[int, tuple[str, str]]) -> RateMoves:
    """What is read of 60 business days of yields of 4.40 and 4.46 per cent, on some days these instead."""
    days = [day for offset in range(84) if (day := date(2025, 1, 6) + timedelta(days=offset)).weekday() < 5]
    rows = [",".join([day.isoformat(), *cells.get(place, ("4.40", "4.46"))]) for place, day in enumerate(days)]
    (directory / PAR_FILE).write_bytes(gzip.compress("\n".join(["date,DGS3MO,DGS1", *rows, ""]).encode()))
    found = load_rate_moves(directory, date(2026, 1, 1))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (("4.40", "446"), "with a yield beyond -5% and 30%"),
        (("-44", "4.46"), "with a yield beyond -5% and 30%"),
        (("4.40", "0.446"), "more than 2 points off the one before"),
        (("4.40", "n/a"), "that cannot be read"),
        (("inf", "4.46"), "that cannot be read"),
    ],
)
@pytest.mark.parametrize("place", [0, 30, 59])
def test_a_yield_that_cannot_be_true_is_left_out_and_named(
    tmp_path: Path, wrong: tuple[str, str], why: str, place: int
) -> None:
    whole, found = written(tmp_path, {}), written(tmp_path, {place: wrong})
    day = whole.days[place]
    assert [str(one) for one in found.left_out] == [f"dollar yields: 1 day {why}, first {day}"]
    assert found.days == tuple(one for one in whole.days if one != day)
    assert np.nanmax(np.abs(found.moves)) == 0.0


def test_a_move_beside_a_wrong_yield_stays(tmp_path: Path) -> None:
    """The day before and the day after are as far apart as ever, and that is the later one's move."""
    found = written(tmp_path, {30: ("4.40", "44.6"), **dict.fromkeys(range(31, 60), ("4.40", "4.56"))})
    assert found.moves[30] == pytest.approx([0.001, 0.001])
    assert np.nanmax(np.abs(found.moves[31:])) == 0.0


def test_a_level_that_came_to_stay_is_believed_after_a_hole_that_no_move_spans(tmp_path: Path) -> None:
    found = written(tmp_path, dict.fromkeys(range(30, 60), ("8.40", "8.46")))
    (left_out,) = found.left_out
    assert left_out.days == 5
    assert len(found.days) == 55
    assert np.isnan(found.moves[30]).all()
    assert np.nanmax(np.abs(found.moves)) == 0.0


def test_a_row_without_a_day_is_named_and_one_of_the_future_is_not_known(tmp_path: Path) -> None:
    rows = ["date,DGS3MO,DGS1", "2025-01-06,4.40,4.46", "7 January,4.40,4.46", "2025-01-08,4.40,446", ""]
    (tmp_path / PAR_FILE).write_bytes(gzip.compress("\n".join(rows).encode()))
    found = load_rate_moves(tmp_path, date(2025, 1, 8))
    assert found is not None
    assert [str(one) for one in found.left_out] == ["dollar yields: 1 day that cannot be read, first 7 January"]
    with pytest.raises(BadInput, match=r"rates\.malformed.*7 January"):
        yield_tables(tmp_path / PAR_FILE, "date", {"DGS1": 12})


def test_a_history_with_a_wrong_yield_is_read_and_says_so(market_history_dir: Path, tmp_path: Path) -> None:
    for path in market_history_dir.iterdir():
        (tmp_path / path.name).symlink_to(path)
    day = date(2019, 6, 3)
    rows = ["date,DGS3MO,DGS1", "2019-05-30,2.38,2.30", "2019-05-31,n/a,2.21", ""]
    (tmp_path / PAR_FILE).unlink()
    (tmp_path / PAR_FILE).write_bytes(gzip.compress("\n".join(rows).encode()))
    found = load_history(tmp_path, day)
    assert found is not None
    assert found.rates is not None
    assert found.rates.days[-1] == date(2019, 5, 30)
    assert [str(one) for one in found.left_out] == ["dollar yields: 1 day that cannot be read, first 2019-05-31"]


def test_no_recorded_yield_has_passed_the_limits(market_history_dir: Path) -> None:
    """So that they change no figure of the recorded years."""
    every = load_rate_moves(market_history_dir, date.max)
    assert every is not None
    assert every.left_out == ()
    level, slope = every.moves.T
    assert 2 * np.nanmax(np.abs([level, level - slope])) < JUMP_MAX


def test_calm_years_are_not_blown_up_and_wild_ones_are_remembered() -> None:
    calm = quoted([(1e-6, 1e-6)] * 200)
    standard, now = calm.filtered(USUAL)
    assert now == pytest.approx([USUAL.level, USUAL.slope])
    assert np.nanmax(np.abs(standard.moves[:, 0])) == pytest.approx(1e-6 / USUAL.level)
    wild = quoted([(0.0, 0.004 * (-1) ** day) for day in range(200)])
    standard, now = wild.filtered(USUAL)
    assert now == pytest.approx([0.004, 0.004], rel=1e-6)
    assert np.abs(standard.moves[50:, 0]) == pytest.approx(np.ones(151), rel=1e-2)


def test_a_month_of_quotations_is_needed() -> None:
    short = quoted([(1e-3, 1e-3)] * 5)
    drawn = rate_moves(RecordedRates(short, [FRIDAY]), 4, USUAL, np.random.default_rng(1))
    assert np.array_equal(drawn, rate_moves(RecordedRates(None, []), 4, USUAL, np.random.default_rng(1)))


def test_recorded_rows_take_their_own_day_and_all_others_the_calibrated_deviation() -> None:
    moves = quoted([(0.001, 0.0005 * (-1) ** day) for day in range(60)])
    day = moves.days[-1]
    found = rate_moves(RecordedRates(moves, [day, day + timedelta(days=90)]), 20_000, USUAL, np.random.default_rng(1))
    standard, now = moves.filtered(USUAL)
    assert found[0] == pytest.approx(standard.moves[-1] * now)
    assert np.isfinite(found).all()
    drawn = np.asarray(rate_moves(RecordedRates(None, []), 20_000, USUAL, np.random.default_rng(1)))
    assert drawn.std(axis=0) == pytest.approx([USUAL.level, USUAL.slope], rel=0.02)
    assert np.corrcoef(*drawn.T).item(0, 1) == pytest.approx(USUAL.correlation, abs=0.02)


def test_a_rate_is_moved_between_three_months_and_a_year_and_flat_beyond() -> None:
    shock = replace(prices(1.0), rate_level=np.array([0.01]), rate_slope=np.array([0.004]))
    for years, move in ((0.01, 0.006), (0.25, 0.006), (0.5, 0.008), (1.0, 0.01), (5.0, 0.01)):
        assert shock.rate_move(years) == pytest.approx(move)


@pytest.mark.parametrize("is_call", [True, False])
def test_an_option_under_a_move_of_rates_is_black_76_on_the_forward_and_discount_of_it(is_call: bool) -> None:
    option = Instrument(
        id="O", kind="option", underlying="BTC", expiry=YEAR, strike=Decimal(100_000), is_call=is_call
    )  # fmt: skip
    future = Instrument(id="F", kind="future", underlying="BTC", expiry=YEAR)
    table = resolve([option, future], snapshot())
    shock = replace(prices(0.9), rate_level=np.array([0.02]), rate_slope=np.array([0.5]))
    found = profit_matrix(table, shock)[:, 0]
    forward, deviation = table.forward[0] * 0.9 * np.exp(0.02), float(table.vol[0])
    kind = ql.Option.Call if is_call else ql.Option.Put
    after = ql.blackFormula(kind, 100_000.0, forward, deviation, table.discount[0] * np.exp(-0.02))
    before = float(option_price(table.forward[0], 100_000.0, deviation, table.discount[0], is_call))
    assert found[0] == pytest.approx(after - before, rel=1e-9)
    assert found[1] == pytest.approx(forward - table.forward[0], rel=1e-12)


@cache
def drawn(scale: float) -> ScenarioSet:
    """The day's simulated scenarios with this much of the curve's moves."""
    return build_scenarios(replace(ruleset("standard"), rate_scale=scale), MOMENT.date(), None)


def test_curve_moves_reach_what_is_paid_later_and_more_of_them_never_need_less() -> None:
    """A forward sold against the coin: nothing but carry, of which the rate is one part."""
    pair = [
        Instrument(id="BTC", kind="spot", underlying="BTC"),
        Instrument(id="F", kind="future", underlying="BTC", expiry=YEAR),
    ]
    needed = []
    for scale in (0.0, 1.0, 20.0):
        rules = replace(ruleset("standard"), rate_scale=scale, basis_vol_annual=0.0)
        scenarios = replace(drawn(scale), shocks=replace(drawn(scale).shocks, basis_annual=np.zeros(2_000)))
        built = RiskMatrices.build(snapshot(), rules, scenarios, pair)
        hedged = Positions.from_rows([[(0, 1.0), (1, -np.exp(-0.04))]])
        needed.append(requirements(built, hedged).base[0])
    assert needed[0] < 1e-6 * 95_000
    assert needed[2] > 10 * needed[1] > 10 * needed[0]
    assert np.array_equal(drawn(0.0).shocks.price_ratio, drawn(1.0).shocks.price_ratio), "the others are drawn as ever"


def test_what_is_recorded_of_the_curve_is_in_the_hash_of_the_inputs(market_history_dir: Path) -> None:
    day = date(2025, 10, 10)
    history = load_history(market_history_dir, day)
    assert history is not None
    assert history.rates is not None
    with_rates, without = (
        inputs_of(ruleset("standard"), day, used, load_parameters()) for used in (history, replace(history, rates=None))
    )
    assert with_rates != without
    days = list(history.days)
    moves = rate_moves(RecordedRates(history.rates, days), len(days), USUAL, np.random.default_rng(1))
    still = np.asarray(moves)[:, 0] == 0.0
    assert still[[day.weekday() >= 5 for day in days]].all()
    assert still.mean() < 0.5
