"""The recorded index of implied volatility: what a BTC option of 30 days cost, one value a day.

A CSV, gzipped: `date` (the day at whose end, 24:00 UTC, the index stood there), `dvol` in percent a year. Days may be
missing; what is there must be an index. Pure standard library.
"""

import csv
import gzip
from datetime import date
from math import isfinite
from pathlib import Path

from intermediary.errors import BadInput

VOL_INDEX_FILE = "dvol_btc_daily_202211_202511.csv.gz"
COLUMNS = ("date", "dvol")
LIMITS = (1.0, 1_000.0)  # percent: below, a fraction was taken for a percentage; above, nobody has quoted


def read_vol_index(path: Path) -> dict[date, float]:
    """Fractions of one by day, ascending. Raises FileNotFoundError, and BadInput `market.vol_index` naming the row that
    is no day after the one before it with an index between 1% and 1,000%."""
    found: dict[date, float] = {}
    last = date.min
    try:
        with gzip.open(path, "rt") as stream:
            reader = csv.DictReader(stream)
            if any(name not in (reader.fieldnames or ()) for name in COLUMNS):
                raise _bad(path, 1, f"its columns are {reader.fieldnames}, not {', '.join(COLUMNS)}")
            for row in reader:
                day, value = _row(path, reader.line_num, row)
                if day <= last:
                    raise _bad(path, reader.line_num, f"{day} does not come after {last}")
                found[day], last = value, day
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise _bad(path, 0, "it is no gzipped text") from error
    return found


def _row(path: Path, line: int, row: dict[str, str]) -> tuple[date, float]:
    try:
        day, percent = date.fromisoformat(row["date"]), float(row["dvol"])
    except (TypeError, ValueError) as error:
        raise _bad(path, line, f"{row['date']!r}, {row['dvol']!r} is no day with a number") from error
    if not isfinite(percent) or not LIMITS[0] <= percent <= LIMITS[1]:
        raise _bad(path, line, f"{percent} percent is no implied volatility")
    return day, percent / 100.0


def _bad(path: Path, line: int, why: str) -> BadInput:
    return BadInput("market.vol_index", f"{path.name}, line {line}: {why}", file=path.name, line=line)
