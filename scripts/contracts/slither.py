"""Runs slither over the contracts and holds every finding against `slither.json`, which explains those that stand.

A finding is explained by its check and the function or contract it is about, for a reason. One that is not explained
fails, and so does an explanation nothing is found for any more.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from scripts.contracts.tools import WORK, environment, forge, tool
from scripts.install import CONTRACTS

EXPLAINED = CONTRACTS / "slither.json"
OUT = WORK / "slither"
Finding = tuple[str, str]  # check, and what it is about


def place_of(element: dict[str, Any]) -> str:
    """`Contract.name` of a function, variable or event, or the contract's own name."""
    parent = element.get("type_specific_fields", {}).get("parent", {})
    if element["type"] == "contract":
        return str(element["name"])
    if element["type"] == "node" or parent.get("type") == "function":
        return place_of(parent)
    return f"{parent.get('name', '')}.{element['name']}"


def findings() -> Iterator[Finding]:
    """What slither says about our own sources. Raises RuntimeError when it could not look."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    out = str(OUT / "out")
    built = forge(
        *("build", "src", "--build-info", "--build-info-path", f"{out}/build-info", "--out", out),
        *("--cache-path", str(OUT / "cache"), "--force", "--quiet"),
        directory=CONTRACTS,
    )
    if built.returncode != 0:
        raise RuntimeError(f"forge build failed:\n{built.stdout}{built.stderr}")
    report = OUT / "report.json"
    options = ["--ignore-compile", "--foundry-out-directory", out, "--filter-paths", "node_modules"]
    command = [str(tool("slither")), ".", *options, "--json", str(report)]
    done = subprocess.run(command, cwd=CONTRACTS, env=environment(), capture_output=True, text=True, check=False)
    if not report.exists() or not json.loads(report.read_text())["success"]:
        raise RuntimeError(f"slither failed:\n{done.stdout}{done.stderr}")
    for detector in json.loads(report.read_text())["results"].get("detectors", []):
        yield detector["check"], place_of(detector["elements"][0])


def explained() -> dict[Finding, str]:
    """The reason each standing finding is no fault."""
    return {
        (group["check"], place): group["reason"]
        for group in json.loads(EXPLAINED.read_text())
        for place in group["places"]
    }


def main() -> int:
    found, reasons = list(findings()), explained()
    unexplained = sorted({finding for finding in found if finding not in reasons})
    stale = sorted(reasons.keys() - set(found))
    for check, place in unexplained:
        print(f"slither: {check} in {place} is not explained", file=sys.stderr)
    for check, place in stale:
        print(f"slither: {check} in {place} is explained and not found any more", file=sys.stderr)
    print(f"slither: {len(found)} findings, {len(unexplained)} unexplained")
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
