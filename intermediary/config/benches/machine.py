"""What machine a figure comes from: without it a figure means nothing."""

import ctypes
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def describe(threads: Mapping[str, str]) -> dict[str, object]:
    """Machine, threads of the measured processes and BLAS kernel, as `manage.py bench` prints them beside figures."""
    from numpy import show_config

    blas = show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "load_1_min": round(os.getloadavg()[0], 1),  # what else ran: these machines are shared
            "python": platform.python_version(),
        },
        "threads": dict(threads),
        "blas": {"name": blas["name"], "version": blas["version"], "kernel": _kernel(), "threads_here": _threads()},
    }


def in_words(found: Mapping[str, Any]) -> list[str]:
    """Lines that say what `describe` found."""
    cpu, blas, threads = found["machine"], found["blas"], found["threads"]
    limits = ", ".join(f"{name}={value}" for name, value in threads.items())
    here = f"threads in this process: {blas['threads_here'] or 'unknown'}"
    return [
        f"on {cpu['cpu']}, {cpu['cores']} cores, load {cpu['load_1_min']}, Python {cpu['python']}",
        f"BLAS {blas['name']} {blas['version']}, kernel {blas['kernel']}, {here}",
        f"workers, where there are any: {limits}",
    ]


def hold_blas_to_one_thread() -> None:
    """From here on, in this process: what the environment says counts only before numpy is loaded."""
    for library in _openblas():
        library.scipy_openblas_set_num_threads64_(1)


def _kernel() -> str:
    """The kernel that OpenBLAS chose for this processor, asked of the library that numpy brings."""
    for library in _openblas():
        corename = library.scipy_openblas_get_corename64_
        corename.restype = ctypes.c_char_p
        return str(corename().decode())
    return "unknown: numpy uses a BLAS of the system"


def _threads() -> int | None:
    """How many threads OpenBLAS takes in this process now; None where numpy uses a BLAS of the system."""
    for library in _openblas():
        return int(library.scipy_openblas_get_num_threads64_())
    return None


def _openblas() -> Iterator[ctypes.CDLL]:
    import numpy

    for path in Path(numpy.__file__).parent.parent.glob("numpy.libs/*openblas64_*"):
        yield ctypes.CDLL(str(path))


def _cpu() -> str:
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()
