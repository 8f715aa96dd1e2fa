"""A file that cannot be trusted is refused by name and number, before any figure is computed."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intermediary.errors import BadInput
from risk.backtest.prices import read_prices
from tests.risk.backtest.builders import Columns, hourly_columns, write


def delete(name: str) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        del columns[name]

    return change


def put(name: str, row: int, value: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns[name][row] = value

    return change


def rows(keep: Callable[[int], np.ndarray[tuple[int], np.dtype[np.int64]]]) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        index = keep(len(columns["close"]))
        for name in columns:
            columns[name] = columns[name][index]

    return change


def spike(columns: Columns) -> None:
    for name in ("open", "high", "low", "close"):
        columns[name][50] *= 1_000.0


def odd_minute(columns: Columns) -> None:
    columns["ts_utc"] = columns["ts_utc"].copy()
    columns["ts_utc"][7] += np.timedelta64(5, "m")


def frozen(first: int, hours: int) -> Callable[[Columns], None]:
    """The close of bar `first` for so many bars; each still opens where the one before closed."""

    def change(columns: Columns) -> None:
        price = columns["close"][first]
        for name in ("open", "high", "low", "close"):
            columns[name][first + 1 : first + hours] = price
        after = first + hours
        columns["open"][after] = price
        columns["high"][after] = max(price, columns["close"][after])
        columns["low"][after] = min(price, columns["close"][after])

    return change


REFUSALS = [
    ("missing_column", delete("close"), {"column": "close"}),
    ("missing_column", delete("volume"), {"column": "volume"}),
    ("empty", rows(lambda n: np.arange(0)), {"rows": 0}),
    ("not_finite", put("close", 30, np.nan), {"rows": 1, "symbol": "AAA", "first": "2020-01-02T06:00:00+00:00"}),
    ("not_finite", put("open", 30, np.inf), {"rows": 1}),
    ("not_positive", put("close", 30, 0.0), {"rows": 1, "symbol": "AAA"}),
    ("not_positive", put("low", 30, -1.0), {"rows": 1}),
    ("crossed", put("high", 30, 0.5), {"rows": 1}),
    ("outside_bar", put("close", 30, 500.0), {"rows": 1, "symbol": "AAA", "first": "2020-01-02T06:00:00+00:00"}),
    ("outside_bar", put("close", 30, 20.0), {"rows": 1, "symbol": "AAA"}),
    ("outside_bar", put("open", 30, 500.0), {"rows": 1, "symbol": "AAA"}),
    ("stale", frozen(50, 24), {"symbol": "AAA", "times": 1, "hours": 24, "first": "2020-01-03T02:00:00+00:00"}),
    ("stale", frozen(0, 200), {"symbol": "AAA", "times": 1, "hours": 200, "first": "2020-01-01T00:00:00+00:00"}),
    ("gap", rows(lambda n: np.delete(np.arange(n), [40, 41])), {"symbol": "AAA", "times": 1, "hours": 2}),
    ("duplicate", rows(lambda n: np.sort(np.append(np.arange(n), 60))), {"symbol": "AAA", "times": 1}),
    ("unsorted", rows(lambda n: np.arange(n)[::-1]), {"symbol": "AAA"}),
    ("implausible_move", spike, {"symbol": "AAA", "times": 2}),
    ("not_hourly", odd_minute, {"rows": 1, "first": "2020-01-01T07:05:00+00:00"}),
]


@pytest.mark.parametrize(("code", "change", "numbers"), REFUSALS)
def test_a_bad_file_is_refused(
    tmp_path: Path, code: str, change: Callable[[Columns], None], numbers: dict[str, object]
) -> None:
    columns = hourly_columns({"AAA": 10, "BBB": 10})
    change(columns)
    with pytest.raises(BadInput) as refused:
        read_prices(write(columns, tmp_path))
    assert refused.value.code == f"backtest.{code}"
    assert refused.value.data | numbers == refused.value.data


def test_a_symbol_that_stands_still_to_the_end_or_for_all_time_is_refused(tmp_path: Path) -> None:
    for first in (0, 100):
        columns = hourly_columns({"AAA": 10})
        for name in ("open", "high", "low", "close"):
            columns[name][first:] = columns["open"][first]
        with pytest.raises(BadInput, match=r"backtest\.stale") as refused:
            read_prices(write(columns, tmp_path))
        assert refused.value.data["hours"] >= 240 - first


def test_23_equal_closes_are_a_quiet_market(tmp_path: Path) -> None:
    columns = hourly_columns({"AAA": 10, "BBB": 10})
    frozen(50, 23)(columns)
    prices = read_prices(write(columns, tmp_path))
    assert (np.diff(prices.log_close[51:74, 0]) == 0.0).all()


def test_a_file_that_is_no_parquet_or_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(BadInput, match=r"backtest\.not_parquet"):
        read_prices(tmp_path / "text.parquet")
    with pytest.raises(BadInput, match=r"backtest\.no_file"):
        read_prices(tmp_path / "absent.parquet")


def test_columns_of_the_wrong_type_are_refused(tmp_path: Path) -> None:
    for name, code in (("ts_utc", "bad_time"), ("symbol", "bad_symbol"), ("close", "not_numeric")):
        table = pq.read_table(write(hourly_columns({"AAA": 10}), tmp_path))
        values = pa.array([1.5] * table.num_rows) if name != "close" else pa.array(["a"] * table.num_rows)
        pq.write_table(table.set_column(table.column_names.index(name), name, values), tmp_path / "wrong.parquet")
        with pytest.raises(BadInput, match=rf"backtest\.{code}"):
            read_prices(tmp_path / "wrong.parquet")


def test_a_row_is_the_close_of_its_hour(tmp_path: Path) -> None:
    columns = hourly_columns({"AAA": 3, "BBB": 2})
    prices = read_prices(write(columns, tmp_path))
    assert prices.symbols == ("AAA", "BBB")
    assert prices.time_of(0) == datetime(2020, 1, 1, tzinfo=UTC)
    assert prices.log_close.shape == (73, 2)
    assert np.isnan(prices.log_close[0]).all(), "the first bar closes an hour later"
    assert prices.log_close[1, 0] == np.log(columns["close"][0])
    assert np.isnan(prices.log_close[49:, 1]).all()
