"""`python -m intermediary.config.supervisor [--fresh]`: run the platform; what `make run` calls.

The same as `manage.py up`, without loading Django first: that would cost every start two seconds.
"""

import argparse
import sys

from intermediary.config.services import default_state
from intermediary.config.supervisor.progress import say
from intermediary.config.supervisor.run import run
from intermediary.config.supervisor.state import CannotStart


def main(*, fresh: bool) -> int:
    """Run until stopped; the exit status."""
    try:
        return run(default_state(), fresh=fresh)
    except CannotStart as refusal:
        say(f"Bulkhead cannot start: {refusal.message}")
        return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run every part of the platform under one supervisor.")
    parser.add_argument("--fresh", action="store_true", help="start over: new database, new chain")
    sys.exit(main(fresh=parser.parse_args().fresh))
