"""Runs the checks of the project: `make test` (all), `make lint` (what needs no server), `make deep` (more of each).

Every check runs even when an earlier one failed. Those of the contracts run beside the others and are told of at the
end. The last line counts them all, each lint or contract check as
one and each test as one: "431 passed, 0 failed". The exit status is 0 only if nothing failed.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from intermediary.config.supervisor.progress import CHECKOUT, StepFailed, Ticker, run_step, say
from scripts.install import CONTRACTS, VAR, find_chromium, node_binary

PYTHON = sys.executable
LOGS = VAR / "log"
REPORT = VAR / "pytest.xml"
# One worker more than cores, each with its own servers (300 MB): every test waits for servers a quarter of its time.
# The idle one takes over from the back of another's list.
WORKERS = min((os.cpu_count() or 1) + 1, 4)
SIDE_BY_SIDE = ["-n", str(WORKERS), "--dist", "worksteal"]


@dataclass(frozen=True)
class Check:
    """One command that passes or fails."""

    title: str
    command: list[str]
    directory: Path = CHECKOUT
    environment: dict[str, str] = field(default_factory=dict)


LINT = [
    Check("Style (ruff)", [PYTHON, "-m", "ruff", "check", "."]),
    Check("Format (ruff)", [PYTHON, "-m", "ruff", "format", "--check", "."]),
    Check("Import contracts", [PYTHON, "-c", "from importlinter.cli import lint_imports_command as c; c()"]),
    Check("Migrations are complete", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"]),
    Check("Types (mypy)", [PYTHON, "-m", "mypy", "."]),
]


DEEP_CONTRACT_CHECKS = (
    Check("Contracts read by slither", [PYTHON, "-m", "scripts.contracts.slither"]),
    Check("Rules of a vault proved (halmos)", [PYTHON, "-m", "scripts.contracts.symbolic"]),
    Check("Mutants of the contracts", [PYTHON, "-m", "scripts.contracts.mutants"]),
)


def contract_checks(profile: str) -> list[Check]:
    """The committed artefacts are what the sources compile to; the contracts' own tests pass.

    Deep, they are also read by slither, proved by halmos, and broken rule by rule to see whether their tests notice.
    """
    environment = {"NODE": node_binary(), "FOUNDRY_PROFILE": profile, "FOUNDRY_OFFLINE": "true"}
    forge = sorted(CONTRACTS.glob("node_modules/@foundry-rs/forge-*/bin/forge"))
    return [
        Check(
            "Contracts compile to what is committed",
            [PYTHON, str(CONTRACTS / "build.py"), "--check"],
            CHECKOUT,
            environment,
        ),
        Check("Contract tests (forge)", [str(forge[0] if forge else "forge"), "test"], CONTRACTS, environment),
        *(DEEP_CONTRACT_CHECKS if profile == "deep" else ()),
    ]


def run_checks(checks: list[Check], log: Path, tell: Callable[[str], object] = say) -> tuple[int, int]:
    """How many passed and failed; the story of a failure is told where it happens."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    passed = 0
    for check in checks:
        try:
            run_step(
                check.title,
                check.command,
                directory=check.directory,
                environment=check.environment,
                log=log,
                tell=tell,
            )
            passed += 1
        except StepFailed:
            continue
    return passed, len(checks) - passed


PROFILES = {"test": "default", "deep": "deep"}  # of forge
SUITES: dict[str, tuple[str, dict[str, str]]] = {  # marks and environment
    "test": ("not deep", {}),
    "deep": ("deep or not deep", {"HYPOTHESIS_PROFILE": "deep", "BULKHEAD_DEEP": "1"}),
}


def run_pytest(marks: str, environment: dict[str, str]) -> tuple[int, int]:
    """Run the tests before the reader's eyes; passed and failed as pytest counted them."""
    REPORT.unlink(missing_ok=True)
    chromium = find_chromium()
    if chromium is None:
        marks = f"({marks}) and not browser"
    command = [PYTHON, "-m", "pytest", "-q", "-m", marks, f"--junitxml={REPORT}", "--durations=10", *SIDE_BY_SIDE]
    status = subprocess.run(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment, **({"CHROMIUM_PATH": chromium} if chromium else {})},
    ).returncode
    if chromium is None:
        say("\n  !!! BROWSER TESTS NOT RUN: there is no Chromium on this machine and none could be installed !!!\n")
    if not REPORT.exists():
        return 0, 1
    suite = next(ElementTree.parse(REPORT).getroot().iter("testsuite")).attrib  # noqa: S314 - our own report
    failed = int(suite["failures"]) + int(suite["errors"])
    passed = int(suite["tests"]) - failed - int(suite["skipped"])
    if int(suite["skipped"]):
        say(f"  ! {suite['skipped']} skipped, for the reasons above")
    return passed, failed or int(status != 0)


def main() -> int:
    what = sys.argv[1] if len(sys.argv) > 1 else "test"
    if what == "lint":
        return _end([run_checks(LINT, LOGS / "checks.log")])
    later: list[str] = []  # what is told when nothing else speaks any more
    with ThreadPoolExecutor(1) as aside:
        contracts = aside.submit(run_checks, contract_checks(PROFILES[what]), LOGS / "contracts.log", later.append)
        results = [run_checks(LINT, LOGS / "checks.log"), run_pytest(*SUITES[what])]
        if not contracts.done():
            with Ticker("Contracts"):
                contracts.result()
    for line in later:
        say(line)
    return _end([*results, contracts.result()])


def _end(results: list[tuple[int, int]]) -> int:
    passed, failed = (sum(column) for column in zip(*results, strict=True))
    say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
