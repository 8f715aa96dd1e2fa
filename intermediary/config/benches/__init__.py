"""Benchmarks: what is measured, and on what. `manage.py bench` runs them."""

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
