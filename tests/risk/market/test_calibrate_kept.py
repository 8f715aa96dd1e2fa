"""Calibration of a recording that lacks something: kept and said, or refused by name; never a bare error."""

import gzip
import json
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from risk.market.calibrate import calibrate
from risk.market.history import FIVE_MINUTE_FILE, HOURLY_FILE
from risk.market.parameters import COINS, PARAMETERS_FILE, parameters_from
from risk.market.vol_index import VOL_INDEX_FILE

LAST = date(2019, 11, 30)
FIRST = LAST - timedelta(days=560)


def write(path: Path, first: date, bars: int, minutes: int, seed: int) -> None:
    """Ten coins from 00:00 of `first`."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(0.0005 * np.sqrt(minutes) * random.standard_normal((bars, len(COINS))), axis=0))
    opened = np.datetime64(first, "us") + np.arange(bars) * np.timedelta64(minutes, "m")
    columns = {
        "ts_utc": pa.array(np.repeat(opened, len(COINS))).cast(pa.timestamp("us", tz="UTC")),
        "symbol": pa.array(list(COINS) * bars),
        "close": pa.array(close.ravel()),
        "volume": pa.array(np.full(close.size, 5.0)),
    }
    pq.write_table(pa.table(columns), path)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """560 days of hours, their last 32 in five minutes, and nothing else."""
    directory = tmp_path_factory.mktemp("recorded")
    write(directory / HOURLY_FILE, FIRST, 24 * 561, 60, seed=1)
    write(directory / FIVE_MINUTE_FILE, LAST - timedelta(days=31), 288 * 32, 5, seed=2)
    return directory


def in_force() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PARAMETERS_FILE.read_text())
    return found


def index(days: int, last: date) -> bytes:
    rows = [f"{last - timedelta(days=days - 1 - row)},{50 + row % 7}" for row in range(days)]
    return gzip.compress("\n".join(["date,dvol", *rows, ""]).encode())


def test_what_is_not_recorded_stays_as_it_is_in_force_and_is_named(recorded: Path, tmp_path: Path) -> None:
    errors = StringIO()
    call_command(
        "calibrate", "--history", str(recorded), "--last-day", LAST.isoformat(), "--out", str(tmp_path), stderr=errors
    )
    found, before = json.loads((tmp_path / "parameters.json").read_text()), in_force()
    assert set(found["kept"]) == {"atm_vol over vol_now", "vol_response", "rates", "rate_moves", "turnover_profile"}
    assert all(before["calibrated_to"] in why for why in found["kept"].values())
    for name in ("vol_response", "rates", "rate_moves"):
        assert found[name] == before[name]
    assert found["coins"]["ADA"] != before["coins"]["ADA"]
    ratios = [float(body["coins"]["BTC"]["atm_vol"]) / body["coins"]["BTC"]["vol_now"] for body in (found, before)]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-3)
    assert parameters_from(found).version == found["version"]
    for name in ("kept vol_response", "kept rates", "kept surfaces"):
        assert name in errors.getvalue()


def test_an_index_that_ended_serves_for_its_response_alone(recorded: Path) -> None:
    path = recorded / VOL_INDEX_FILE
    try:
        path.write_bytes(index(300, LAST - timedelta(days=20)))
        found = calibrate(recorded, LAST, in_force())
        assert set(found["kept"]) == {"atm_vol over vol_now", "rates", "rate_moves", "turnover_profile"}
        assert (LAST - timedelta(days=20)).isoformat() in found["kept"]["atm_vol over vol_now"]
        assert found["vol_response"] != in_force()["vol_response"]
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (LAST + timedelta(days=2), "not_recorded"),
        (FIRST + timedelta(days=20), "too_short"),
        (FIRST + timedelta(days=400), "too_short"),
        (LAST - timedelta(days=33), "no_turnover"),
        (date(2018, 1, 1), "no_history"),
    ],
)
def test_prices_that_do_not_reach_are_refused_with_what_is_missing(recorded: Path, last: date, code: str) -> None:
    with pytest.raises(CommandError, match=rf"calibrate\.{code}"):
        call_command("calibrate", "--history", str(recorded), "--last-day", last.isoformat(), stdout=StringIO())
