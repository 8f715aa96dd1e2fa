"""A scratch world that is asked to end half-way takes its services and its directory with it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from intermediary.config.supervisor.keeper import start_time_ticks
from intermediary.config.supervisor.progress import CHECKOUT

PROGRAM = """
import signal
import django
django.setup()
from intermediary.config.scratch import scratch_services
with scratch_services("anvil") as running:
    print(*(service.process.pid for service in running.running.values()), flush=True)
    signal.pause()
"""


def test_a_scratch_world_that_is_told_to_end_leaves_nothing_behind() -> None:
    home = Path(tempfile.mkdtemp(prefix="scratch-"))
    home.chmod(0o711)  # an unprivileged PostgreSQL must pass through it
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "intermediary.config.settings", "BULKHEAD_MODE": "demo"}
    environment |= {"HOME": str(home), "TMPDIR": str(home)}
    try:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True
        ) as world:
            assert world.stdout is not None
            services = [int(pid) for pid in world.stdout.readline().split()]
            assert len(services) == 2
            assert all(start_time_ticks(pid) is not None for pid in services)
            world.terminate()
            assert world.wait(timeout=60) == 128 + signal.SIGTERM
        assert all(start_time_ticks(pid) is None for pid in services)
        assert list(home.iterdir()) == []
    finally:
        shutil.rmtree(home)
