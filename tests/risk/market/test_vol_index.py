"""A recorded index is read as it is or refused with its line."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from intermediary.errors import BadInput
from risk.market.vol_index import read_vol_index


def written(directory: Path, text: str) -> Path:
    path = directory / "index.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_an_index_is_a_fraction_by_day(tmp_path: Path) -> None:
    path = written(tmp_path, "date,dvol\n2025-01-01,50.5\n2025-01-03,61\n")
    assert read_vol_index(path) == {date(2025, 1, 1): 0.505, date(2025, 1, 3): 0.61}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("day,dvol\n2025-01-01,50\n", 1),
        ("date,dvol\n2025-01-01,50\n2025-01-01,51\n", 3),
        ("date,dvol\n2025-01-02,50\n2025-01-01,51\n", 3),
        ("date,dvol\n2025-01-01,0.5\n", 2),
        ("date,dvol\n2025-01-01,nan\n", 2),
        ("date,dvol\n2025-01-01,-4\n", 2),
        ("date,dvol\n2025-01-01,50000\n", 2),
        ("date,dvol\n2025-01-01,\n", 2),
        ("date,dvol\n2025-01-01\n", 2),
        ("date,dvol\nyesterday,50\n", 2),
    ],
)
def test_what_is_no_index_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(BadInput, match=r"market\.vol_index") as refused:
        read_vol_index(written(tmp_path, text))
    assert refused.value.data["line"] == line


def test_a_file_that_is_not_gzipped_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.csv.gz").write_text("date,dvol\n2025-01-01,50\n")
    with pytest.raises(BadInput, match=r"market\.vol_index"):
        read_vol_index(tmp_path / "plain.csv.gz")
