"""The recorded tables of dollar rates: SOFR and Treasury yields by business day, in percent. Pure standard library."""

import csv
import gzip
from collections.abc import Mapping
from datetime import date
from math import isfinite
from pathlib import Path

from intermediary.errors import BadInput

SOFR_FILE = "sofr_and_bills_daily_202108_202608.csv.gz"
PAR_FILE = "ust_par_curve_daily_2005_2026.csv.gz"
PAR_MONTHS: Mapping[str, int] = {
    "DGS1MO": 1,
    "DGS3MO": 3,
    "DGS6MO": 6,
    "DGS1": 12,
    "DGS2": 24,
    "DGS5": 60,
    "DGS10": 120,
    "DGS20": 240,
    "DGS30": 360,
}
# The same yields beside SOFR, for the months after the full table ends.
SHORT_MONTHS: Mapping[str, int] = {"US_BILL_3M": 3, "US_BILL_6M": 6, "US_BILL_1Y": 12, "US_BILL_2Y": 24}


def yield_tables(
    path: Path, key: str, *columns: Mapping[str, int], unreadable: list[str] | None = None
) -> list[dict[date, dict[int, float]]]:
    """For each set of columns the days on which all its series stand, as fractions by tenor. A row that cannot be read
    is refused, `rates.malformed`; with a list for them it is skipped, and the text of its day goes there."""
    found: list[dict[date, dict[int, float]]] = [{} for _ in columns]
    with gzip.open(path, "rt") as stream:
        for row in csv.DictReader(stream):
            for table, names in zip(found, columns, strict=True):
                if not all(row[name] for name in names):
                    continue
                try:
                    yields = {months: _fraction(path, row[key], name, row[name]) for name, months in names.items()}
                    table[_day(path, row[key])] = yields
                except BadInput:
                    if unreadable is None:
                        raise
                    unreadable.append(row[key])
    return found


def _day(path: Path, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput("rates.malformed", f"{path.name}: {text!r} is no day", day=text) from error


def _fraction(path: Path, day: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise BadInput("rates.malformed", f"{path.name} {day}: {column} is {text!r}", day=day, column=column, text=text)
    return value / 100.0
