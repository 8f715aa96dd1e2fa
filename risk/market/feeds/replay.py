"""Replay of recorded five-minute bars at the snapshot schedule.

Parquet is read by pyarrow, which loads array code; so a child process reads the file once and hands over plain lines
(`extract`), and the feed process itself stays small.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from intermediary.errors import Refusal
from risk.market.feeds.base import Bar, CoinBar, SeriesFeed

RECORDING_FILE = "px_5m_perp_10coins_202507_202512.parquet"
PROJECT_ROOT = Path(__file__).resolve().parents[3]
READ_TIMEOUT_S = 120  # the file reads in about two seconds; a minute more for a cold disk, then something is wrong


class ReplayFeed(SeriesFeed):
    """The recorded market of July to December 2025."""

    source = "recording"

    def __init__(self, history_dir: Path) -> None:
        super().__init__()
        self._path = history_dir / RECORDING_FILE

    def load(self) -> Sequence[Bar]:
        """All bars of the recording. Refuses a file that cannot be read, with the reader's own words."""
        done = subprocess.run(
            [sys.executable, "-m", "risk.market.feeds.extract", str(self._path.resolve())],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=READ_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
            raise Refusal("market.recording_unreadable", f"{self._path}: {reason}", path=str(self._path))
        return [_bar(line) for line in done.stdout.splitlines()]


def _bar(line: str) -> Bar:
    """One line of `extract`: [seconds, {coin: [close, high, low, closed at in seconds]}]. What was not recorded is no
    number, and judged as one."""
    seconds, coins = json.loads(line.replace("null", "NaN"), parse_float=Decimal)
    return Bar(
        as_of=datetime.fromtimestamp(seconds, UTC),
        coins={
            coin: CoinBar(Decimal(close), float(high), float(low), datetime.fromtimestamp(closed_at, UTC))
            for coin, (close, high, low, closed_at) in coins.items()
        },
    )
