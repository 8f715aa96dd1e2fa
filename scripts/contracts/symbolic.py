"""Asks halmos whether the rules of `symbolic/` hold in every state, for every caller and argument."""

import re
import subprocess
import sys
import time

from scripts.contracts.tools import environment, tool
from scripts.install import CONTRACTS

ENDS = re.compile(r"\[(PASS|FAIL|TIMEOUT|ERROR)\]\S* (check_\w+)")
# The slowest check takes half a minute on a quiet core; a question that takes ten times as long is a finding.
SOLVER_SECONDS = 300
TOTAL_SECONDS = 1_800


def rules() -> set[str]:
    """Every rule written down in `symbolic/`."""
    return {
        rule
        for path in (CONTRACTS / "symbolic").glob("*.sol")
        for rule in re.findall(r"function (check_\w+)", path.read_text())
    }


def main() -> int:
    began = time.monotonic()
    command = [str(tool("halmos")), "--root", ".", "--forge-build-out", "out/symbolic", "--function", "check_"]
    done = subprocess.run(
        [*command, "--solver-timeout-assertion", f"{SOLVER_SECONDS}s"],
        cwd=CONTRACTS,
        env=environment(FOUNDRY_PROFILE="symbolic"),
        capture_output=True,
        text=True,
        check=False,
        timeout=TOTAL_SECONDS,
    )
    ended = {rule: verdict for verdict, rule in ENDS.findall(done.stdout)}
    held = {rule for rule, verdict in ended.items() if verdict == "PASS"}
    for rule in sorted(rules() - held):
        print(f"halmos: {rule}: {ended.get(rule, 'was not tried')}", file=sys.stderr)
    if not rules() or rules() - held or done.returncode != 0:
        print(f"{done.stdout[-2000:]}{done.stderr[-2000:]}", file=sys.stderr)
        return 1
    print(f"halmos: {len(held)} rules hold in every state, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
