"""Synthetic hourly files of the recorded schema, of a world whose truth is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]

START = np.datetime64("2020-01-01T00", "h")
DAILY_VOL = 0.03
# GJR-GARCH(1,1) with Student innovations: h' = omega + (alpha + gamma 1{r < 0}) r^2 + beta h, of mean one.
ALPHA, GAMMA, BETA, DOF = 0.05, 0.08, 0.88, 5.0
OMEGA = 1.0 - ALPHA - GAMMA / 2.0 - BETA


def hourly_columns(days: dict[str, int], seed: int = 3, correlation: float = 0.7) -> Columns:
    """Columns of `days[symbol]` whole days each from 2020-01-01, of `gjr_world`."""
    longest = max(days.values())
    hourly, _ = gjr_world(longest, len(days), seed, correlation)
    parts: dict[str, list[NDArray[Any]]] = {}
    for coin, (name, count) in enumerate(days.items()):
        close = 100.0 * np.exp(np.cumsum(hourly[:, coin]))[: count * 24]
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


def gjr_world(days: int, coins: int, seed: int, correlation: float = 0.7) -> tuple[Floats, Floats]:
    """Hourly log returns (24 days, coins), and the daily standard deviation (days, coins) that each day truly had.

    Each coin is an exact GJR-GARCH(1,1)-t(5) of days, driven by its own returns: a day is Brownian at a speed that is
    drawn once for it and shared by all coins, so that its sum is Student and coins fall together."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((days, 24, 1))
    normal = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * random.standard_normal((days, 24, coins))
    speed = np.sqrt((DOF - 2.0) / random.chisquare(DOF, days))
    innovation = normal * speed[:, None, None] / np.sqrt(24.0)  # of a day: unit variance, Student
    variance = np.ones((days + 1, coins))
    for day, shock in enumerate(innovation.sum(axis=1)):
        square = variance[day] * shock**2
        variance[day + 1] = OMEGA + (ALPHA + GAMMA * (shock < 0.0)) * square + BETA * variance[day]
    deviation = DAILY_VOL * np.sqrt(variance[:-1])
    return (innovation * deviation[:, None, :]).reshape(days * 24, coins), deviation


def write(columns: Columns, directory: Path) -> Path:
    """A Parquet file of `columns` in `directory`."""
    path = directory / "synthetic.parquet"
    arrays = {name: pa.array(values) for name, values in columns.items()}
    if "ts_utc" in arrays:
        arrays["ts_utc"] = arrays["ts_utc"].cast(pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table(arrays), path)
    return path
