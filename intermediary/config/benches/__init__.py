"""Benchmarks: what is measured, and on what. `manage.py bench` runs them."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number. `of` says what it was measured on, or what a ratio is against."""

    value: float
    unit: str
    of: str

    def as_dict(self) -> dict[str, float | str]:
        """The JSON form of a figure."""
        return {"value": self.value, "unit": self.unit, "of": self.of}


def fastest_s(work: Callable[[], object], runs: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of `runs`, by the wall or by another clock: what else a machine does makes none faster."""
    took = []
    for _ in range(runs):
        started = clock()
        work()
        took.append(clock() - started)
    return min(took)
