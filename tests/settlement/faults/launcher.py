"""Starts `manage.py` processes from a warm interpreter: the libraries are loaded once, each process is a fork of it.

What runs in the fork is `manage.py` itself from its first line, with an environment and settings of its own; only the
second in which Python reads the libraries is saved, which a test that kills a dozen processes would spend on nothing
else. Reads one JSON order a line, answers one a line. Not imported by any test: `Launcher` runs it as a script.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn

import coincurve  # noqa: F401
import django.core.management
import django.db.models  # noqa: F401
import eth_abi.abi  # noqa: F401
import eth_account  # noqa: F401
import eth_utils.crypto  # noqa: F401
import psycopg  # noqa: F401

CHECKOUT = Path(__file__).parents[3]


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork() or run(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def run(order: dict[str, Any]) -> NoReturn:
    """In the fork: become that process."""
    log = os.open(str(order["log"]), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(CHECKOUT)
    sys.path[0] = str(CHECKOUT)
    os.environ.update(order["environment"])
    sys.argv = ["manage.py", *str(order["command"]).split()]
    runpy.run_path(str(CHECKOUT / "manage.py"), run_name="__main__")
    sys.exit(0)  # out of the loop of orders, whose input is no business of this process


if __name__ == "__main__":
    main()
