"""What machine a figure comes from: without it a figure means nothing."""

import os
import platform


def describe() -> dict[str, object]:
    """Machine, threads and BLAS kernel, as `manage.py bench` prints them beside the figures."""
    import numpy as np  # noqa: F401  # loads the BLAS that is asked about
    from numpy import show_config

    blas = show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
    return {
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()},
        "threads": {name: os.environ.get(name, "default") for name in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")},
        "blas": {"name": blas["name"], "version": blas["version"], "kernel": os.environ.get("OPENBLAS_CORETYPE", "auto")},
    }


def _cpu() -> str:
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()
