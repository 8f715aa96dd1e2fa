"""Only risk and bonds workers load array code, and only who asks exchanges loads their library: it costs seconds and
hundreds of megabytes a process."""

import subprocess
import sys

HEAVY = ("numpy", "scipy", "numba", "QuantLib", "pyarrow", "ccxt")
PROCESSES = {
    "web": "import intermediary.config.asgi, intermediary.config.urls",
    "default worker and beat": "from intermediary.config.celery import app; app.loader.import_default_modules()",
    "feed, wallet, poster, approver, watcher, miner": (
        "from intermediary.config.management.commands import approver, feed, mine, poster, reconcile, wallet, watcher"
    ),
}


def test_a_process_without_mathematics_loads_none() -> None:
    """One interpreter loads what each of them loads, since what all together do not load none of them does."""
    lines = ["import sys, django; from django.conf import settings; django.setup()"]
    for process, loads in PROCESSES.items():
        lines += [loads, f"print({process!r}, [name for name in {HEAVY!r} if name in sys.modules])"]
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [f"{process} []" for process in PROCESSES]
