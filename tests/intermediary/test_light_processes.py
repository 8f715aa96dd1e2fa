"""Only risk and bonds workers load array code, and only who asks exchanges loads their library: it costs seconds and
hundreds of megabytes a process."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "scipy", "numba", "QuantLib", "pyarrow", "ccxt")
LOADED = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
PROCESSES = {
    "web": "import intermediary.config.asgi, intermediary.config.urls",
    "default worker and beat": "from intermediary.config.celery import app; app.loader.import_default_modules()",
    "feed, wallet, poster, approver, watcher, miner": (
        "from intermediary.config.management.commands import approver, feed, mine, poster, reconcile, wallet, watcher"
    ),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_without_mathematics_loads_none(process: str) -> None:
    start = "import django; from django.conf import settings; django.setup()"
    code = f"{start}\n{PROCESSES[process]}\n{LOADED}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
