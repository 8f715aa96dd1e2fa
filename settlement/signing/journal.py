"""What a signer has signed, one line each, on disk before the answer leaves; and what that makes of the last day.

The same request is signed again with the same result and counts once. Of a transaction that is offered again dearer,
the dearest counts. A journal that cannot be written means that nothing is signed.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from settlement.signing.policy import Spending
from settlement.signing.refused import NotSigned

DAY_SECONDS = 24 * 3600


class _Day:
    """One account's last 24 hours: the newest last, and their sum."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, int]] = {}
        self._total = 0

    def with_(self, key: str, amount: int, now: float) -> int:
        """What the day would come to with this."""
        while self._of and (oldest := next(iter(self._of.items())))[1][0] <= now - DAY_SECONDS:
            self._total -= self._of.pop(oldest[0])[1]
        before = self._of.get(key, (now, 0))[1]
        return self._total - before + max(before, amount)

    def add(self, key: str, amount: int, at: float) -> None:
        self._total = self.with_(key, amount, at)
        before = self._of.pop(key, (at, 0))[1]
        self._of[key] = (at, max(before, amount))


class Journal:
    """The file, and the sums of the last day. One process writes it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._days: dict[str, _Day] = {}
        text = path.read_text()
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # the machine died in the middle of this line: its answer never left
                continue
            self._days.setdefault(row["of"], _Day()).add(row["key"], int(row["amount"]), float(row["at"]))
        self._is_cut = bool(text) and not text.endswith("\n")

    def sign_off(self, spending: Spending, digest: bytes) -> None:
        """Write down what is about to be signed. Refuses `over_the_day` when the day's limit would be passed, and
        `journal_not_written`."""
        now, day = time.time(), self._days.setdefault(spending.of, _Day())
        total = day.with_(spending.key, spending.amount, now)
        if total > spending.limit:
            raise NotSigned(
                "over_the_day", f"{spending.of}: the limit of 24 hours is reached.", total=total, limit=spending.limit
            )
        row = {"at": now, "of": spending.of, "key": spending.key, "amount": str(spending.amount)}
        self._write(row | {"digest": "0x" + digest.hex()})
        day.add(spending.key, spending.amount, now)

    def _write(self, row: dict[str, Any]) -> None:
        line = (("\n" if self._is_cut else "") + json.dumps(row) + "\n").encode()
        self._is_cut = True  # until it is not: half a line must not spoil the next one
        try:
            written = os.write(self._file, line)
            if written < len(line):  # a disk that is nearly full takes a part, and calls that success
                raise OSError(f"{written} of {len(line)} bytes")
            os.fsync(self._file)
        except OSError as error:
            raise NotSigned("journal_not_written", f"The journal cannot be written: {error}", status=503) from error
        self._is_cut = False
