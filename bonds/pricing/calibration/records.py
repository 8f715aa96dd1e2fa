"""Recorded issues of catastrophe bonds: expected loss, probability of attachment and coupon, one tranche a row.

A file is refused as a whole when it cannot mean what its columns say: no rows, a missing column, a figure that is no
probability. A row that says too little, or what nobody can have paid for, is dropped, counted and named by its reason.
A probability of attachment that is not given, or is below the expected loss, is unknown (NaN), never guessed here.
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import BadInput

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MONTH, EXPECTED_LOSS, ATTACHMENT, COUPON = "issue_month", "Expected Loss", "Probability of Attachment", "Coupon Rate"
COLUMNS = (MONTH, EXPECTED_LOSS, ATTACHMENT, COUPON)
# Of a file that a person hands in: the market of cat bonds has issued some 1,500 tranches since 1997.
ROWS_MAX = 20_000


@dataclass(frozen=True)
class Issues:
    """`month` (n,) of issue, counted from year 0; `expected_loss`, `first_loss` (NaN where unknown) and `spread` (n,)
    annual fractions of principal, in order of issue. The coupon of a cat bond is its spread over what its collateral
    earns. `dropped` counts rows by reason; `digest` is the SHA-256 of the file."""

    month: NDArray[np.int64]
    expected_loss: Floats
    first_loss: Floats
    spread: Floats
    dropped: Mapping[str, int]
    digest: str

    @property
    def year(self) -> NDArray[np.int64]:
        """(n,) calendar year of issue."""
        return self.month // 12

    @property
    def count(self) -> int:
        return int(self.month.size)

    @property
    def known_first_loss(self) -> Mask:
        """(n,) whether the probability of attachment is recorded."""
        return np.isfinite(self.first_loss)

    def taken(self, rows: NDArray[np.int64] | Mask) -> "Issues":
        """These rows only, or a resample of them; the digest stays that of the file."""
        return Issues(
            self.month[rows], self.expected_loss[rows], self.first_loss[rows], self.spread[rows], {}, self.digest
        )


def read_issues(path: Path) -> Issues:
    """The issues of a CSV file. Raises OSError when it cannot be opened, and BadInput for what is no such file."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise BadInput("calibration.not_text", f"{path.name} is no UTF-8 text", file=path.name) from problem
    lines = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (lines.fieldnames or [])]
    if missing:
        raise BadInput("calibration.column_missing", f"{path.name} has no column {missing}", missing=missing)
    dropped: Counter[str] = Counter()
    found = []
    for number, row in enumerate(lines, start=2):
        if number - 1 > ROWS_MAX:
            raise BadInput("calibration.too_long", f"{path.name} has more than {ROWS_MAX} rows", rows_max=ROWS_MAX)
        one = _issue(row, number)
        why = _why_dropped(one[1], one[3])
        if why:
            dropped[why] += 1
        else:
            found.append(one)
    if not found:
        raise BadInput("calibration.no_rows", f"{path.name} has no row to calibrate on", dropped=dict(dropped))
    found.sort(key=lambda one: one[0])
    month, expected, first, spread = (np.array(column) for column in zip(*found, strict=True))
    first = np.where(first >= expected, first, nan)
    return Issues(month, expected, first, spread, dict(dropped), sha256(content).hexdigest())


def _issue(row: Mapping[str, str | None], number: int) -> tuple[int, float, float, float]:
    expected, first, coupon = (_fraction(row, name, number) for name in (EXPECTED_LOSS, ATTACHMENT, COUPON))
    return _month(row[MONTH] or "", number), expected, first, coupon


def _why_dropped(expected: float, spread: float) -> str:
    if not isfinite(expected) or not isfinite(spread):
        return "expected loss or coupon is not given"
    if expected == 0:
        return "no expected loss"
    return "expected loss above the coupon" if expected > spread else ""


def _month(text: str, number: int) -> int:
    parts = text.strip().split("-")
    if len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit() and 1 <= int(parts[1]) <= 12:
        return int(parts[0]) * 12 + int(parts[1]) - 1
    raise BadInput("calibration.month", f"row {number}: {text!r} is no month as 2023-12", row=number, month=text)


def _fraction(row: Mapping[str, str | None], name: str, number: int) -> float:
    """A fraction of one; NaN where the cell is empty."""
    text = (row[name] or "").strip()
    if not text:
        return nan
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise BadInput("calibration.not_a_number", f"row {number}: {name} is {text!r}", row=number, column=name)
    if value < 0:
        raise BadInput("calibration.negative", f"row {number}: {name} is {text}", row=number, column=name)
    if value > 1:
        message = f"row {number}: {name} is {text}, and fractions of one are expected, not percent"
        raise BadInput("calibration.beyond_one", message, row=number, column=name)
    return value
