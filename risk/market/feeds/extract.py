"""Child of the replay feed: reads the Parquet recording and prints one JSON line a scheduled snapshot.

`python -m risk.market.feeds.extract FILE`. Each line is [seconds, {coin: [close, high, low, closed at]}]; the close is
the last price by then, high and low span the time since the line before. Floats print as their shortest exact form,
so the parent's decimals equal the recorded prices.
"""

import json
import sys
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from risk.market.feeds.base import schedule
from risk.market.parameters import COINS

BAR_SECONDS = 300


def extract(path: Path) -> list[str]:
    """The lines of the recording at `path`."""
    table = pq.read_table(path, columns=["ts_utc", "symbol", "high", "low", "close"])
    table = table.filter(pc.is_in(table["symbol"], pa.array(COINS, table.schema.field("symbol").type)))
    opened = table["ts_utc"].cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
    table = table.append_column("closed", pc.add(opened, BAR_SECONDS))
    times = [int(moment.timestamp()) for moment in _times(table)]
    slots = pa.chunked_array([pa.array(_slots(table["closed"].to_pylist(), times), pa.int64())])
    table = table.append_column("slot", slots).sort_by("closed")
    grouped = table.group_by(["slot", "symbol"], use_threads=False).aggregate(
        [("close", "last"), ("high", "max"), ("low", "min"), ("closed", "last")]
    )
    bars: dict[int, dict[str, list[float]]] = {}
    for row in grouped.to_pylist():
        if row["slot"] < len(times):
            coins = bars.setdefault(row["slot"], {})
            coins[row["symbol"]] = [row["close_last"], row["high_max"], row["low_min"], row["closed_last"]]
    return [json.dumps([times[slot], bars[slot]], sort_keys=True) for slot in sorted(bars)]


def _times(table: pa.Table) -> list[datetime]:
    bounds = pc.min_max(table["closed"]).as_py()
    first, last = (datetime.fromtimestamp(bounds[key], UTC) for key in ("min", "max"))
    return list(schedule(first + timedelta(hours=1), last))


def _slots(closed: list[int], times: list[int]) -> list[int]:
    """For each bar the index of the first scheduled time at or after its close (len(times) when there is none)."""
    known = {stamp: bisect_left(times, stamp) for stamp in set(closed)}
    return [known[stamp] for stamp in closed]


if __name__ == "__main__":
    sys.stdout.write("\n".join(extract(Path(sys.argv[1]))) + "\n")
