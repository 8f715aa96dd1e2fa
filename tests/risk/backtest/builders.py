"""Synthetic hourly files of the recorded schema, of a world whose truth is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]

START = np.datetime64("2020-01-01T00", "h")
HOURLY_VOL = 0.006


def hourly_columns(days: dict[str, int], seed: int = 3, correlation: float = 0.7) -> Columns:
    """Columns of `days[symbol]` whole days each from 2020-01-01. Returns are Student (5 degrees) with a common GARCH
    variance that is renewed daily, `correlation` between symbols."""
    random = np.random.default_rng(seed)
    longest = max(days.values())
    deviation = np.sqrt(garch_variances(longest, random)) * HOURLY_VOL
    common = random.standard_normal(longest * 24)
    mixing = np.repeat(np.sqrt(random.chisquare(5.0, longest) / 3.0), 24)  # one a day: daily returns are Student
    parts: dict[str, list[NDArray[Any]]] = {}
    for name, count in days.items():
        own = random.standard_normal(longest * 24)
        shock = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own
        close = 100.0 * np.exp(np.cumsum(shock / mixing * np.repeat(deviation, 24)))[: count * 24]
        before = np.concatenate([[100.0], close[:-1]])
        rows = {
            "ts_utc": (START + np.arange(count * 24)).astype("datetime64[ns]"),
            "symbol": np.array([name] * count * 24, dtype=object),
            "open": before,
            "high": np.maximum(before, close),
            "low": np.minimum(before, close),
            "close": close,
            "volume": np.ones(count * 24),
        }
        for column, values in rows.items():
            parts.setdefault(column, []).append(values)
    return {column: np.concatenate(values) for column, values in parts.items()}


def garch_variances(days: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(days,) variances of mean about 1, persistence 0.95."""
    result = np.empty(days)
    variance = 1.0
    for day in range(days):
        result[day] = variance
        variance = 0.05 + 0.10 * variance * random.standard_normal() ** 2 + 0.85 * variance
    return result


def write(columns: Columns, directory: Path) -> Path:
    """A Parquet file of `columns` in `directory`."""
    path = directory / "synthetic.parquet"
    arrays = {name: pa.array(values) for name, values in columns.items()}
    if "ts_utc" in arrays:
        arrays["ts_utc"] = arrays["ts_utc"].cast(pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table(arrays), path)
    return path
