"""The worked example as anybody gets it: one command, its figures exact, and nothing left behind.

The command runs as a process of its own, since that is what it promises: services of its own whatever addresses the
environment names, one JSON object on stdout, and no directory, database or process afterwards.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermediary.config.supervisor.progress import CHECKOUT

NOBODY = "127.0.0.1:1"  # an address where nothing listens stands for a platform that must not be touched
ELSEWHERE = {
    "DATABASE_URL": f"postgresql://web:x@{NOBODY}/bulkhead",
    "DATABASE_WORKER_URL": f"postgresql://worker:x@{NOBODY}/bulkhead",
    "BROKER_URL": f"redis://{NOBODY}/0",
    "CHAIN_RPC_URLS": f"http://{NOBODY}",
}


@pytest.fixture
def empty_home() -> Iterator[Path]:
    """Home and directory for temporary files of the command; an unprivileged PostgreSQL must pass through it."""
    root = Path(tempfile.mkdtemp(prefix="worked-example-"))
    root.chmod(0o711)
    yield root
    shutil.rmtree(root)


def worked_example(home: Path) -> dict[str, Any]:
    """What the command prints on stdout: one JSON object and nothing else."""
    environment = os.environ | ELSEWHERE | {"BULKHEAD_MODE": "demo", "HOME": str(home), "TMPDIR": str(home)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "manage.py", "worked_example", "--json"]
    result = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4_000:]
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def processes_below(directory: Path) -> list[str]:
    """Command lines that name the directory."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(directory) in text:
            lines.append(text)
    return lines


@pytest.mark.timeout(600)  # a minute on a quiet machine
def test_the_worked_example_is_exact_and_leaves_nothing_behind(empty_home: Path) -> None:
    figures = worked_example(empty_home)

    refusal = figures.pop("standard_ruleset_refuses")
    assert figures == {
        "at_78000": {
            "first_loss": "1.500000",
            "tail_bond": "6.000000",
            "senior_retention": "1.000000",
            "uncovered": "0.000000",
            "factor": "0.00",
            "unlinked_lost": "0.000000",
        },
        "after_recovery": {
            "first_loss": "1.500000",
            "tail_bond": "3.600000",
            "senior_retention": "0.000000",
            "uncovered": "0.000000",
            "factor": "0.40",
            "unlinked_lost": "0.000000",
        },
        "at_60000": {
            "first_loss": "1.500000",
            "tail_bond": "6.000000",
            "senior_retention": "3.000000",
            "uncovered": "16.616500",
            "factor": "0.00",
            "unlinked_lost": "0.000000",
        },
    }
    assert refusal["passed"] is False
    layers = refusal["first_loss"] + refusal["tail"] + refusal["senior_retention"]
    assert layers == 10_500_000 * 10**6
    loss = refusal["exposure"] + refusal["position_loss"] + refusal["close_out_cost"]
    assert refusal["net_loss"] == loss - refusal["margin_value"]
    assert refusal["short_by"] == refusal["net_loss"] - layers > 0

    assert list(empty_home.iterdir()) == []
    assert processes_below(empty_home) == []
