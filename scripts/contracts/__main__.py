"""`make contracts`: bring artefacts and gas snapshot up to date, run the contracts' tests and slither, say the figures.

The gates of gas stand in the tests (`test/Gas.t.sol`, `test/BondGas.t.sol`); here they are printed beside what was
measured. Everything is run even when an earlier part failed; the exit status is 0 only if all of it holds.
"""

import json
import re
import sys

from scripts.contracts import slither
from scripts.contracts.tools import forge
from scripts.install import CONTRACTS
from settlement.contracts import build

SNAPSHOT = CONTRACTS / "snapshots" / "Settlement.json"
FLOOR_GAS = 19_700  # an isolated vault cannot cost less: its account, its slot, its token balance, one event
GATES_GAS = {"debit_gas_marginal": FLOOR_GAS * 14 // 10, "credit_gas_marginal": FLOOR_GAS * 14 // 10}
GATES_GAS |= {"batch_200_gas": 5_600_000, "mature_gas_largest_series": 30_000_000}


def measured() -> dict[str, int]:
    """The committed gas figures by name."""
    return {name: int(value) for name, value in json.loads(SNAPSHOT.read_text()).items()}


def gas_story(name: str, gas: int) -> str:
    """One figure, with its gate and for a movement its multiple of the floor."""
    gate = f", gate {GATES_GAS[name]:,}" if name in GATES_GAS else ""
    multiple = f" = {gas / FLOOR_GAS:.2f} x the floor" if name.endswith("_marginal") else ""
    return f"  {name} {gas:,}{multiple}{gate}"


def run_tests() -> bool:
    """Forge's tests; tells how many passed and how long the campaigns were."""
    rewrite = {"FORGE_SNAPSHOT_CHECK": "false", "FORGE_SNAPSHOT_EMIT": "true"}
    forge("test", "--match-contract", "Gas", directory=CONTRACTS, **rewrite)
    done = forge("test", directory=CONTRACTS)
    fuzzed = [int(runs) for runs in re.findall(r"testFuzz\w+\([^)]*\) \(runs: (\d+)", done.stdout)]
    calls = [int(number) for number in re.findall(r"invariant_\w+\(\) \(runs: \d+, calls: (\d+)", done.stdout)]
    total = re.search(r"(\d+ tests passed, \d+ failed)", done.stdout)
    if total is None or done.returncode != 0:
        print(f"{done.stdout[-4000:]}{done.stderr[-4000:]}", file=sys.stderr)
    print(f"forge: {total[1] if total else 'did not run'}")
    print(f"  {len(fuzzed)} fuzz tests, {sum(fuzzed):,} runs; {len(calls)} sets of invariants, {sum(calls):,} calls")
    return done.returncode == 0


def run_slither() -> bool:
    """Slither; a failure to run is told like a finding."""
    try:
        return slither.main() == 0
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return False


def main() -> int:
    try:
        print(build.build())
    except build.BuildError as error:
        print(f"contracts: {error}", file=sys.stderr)
        return 1
    held = run_tests()
    print("gas")
    for name, gas in sorted(measured().items()):
        print(gas_story(name, gas))
    return 0 if run_slither() and held else 1


if __name__ == "__main__":
    raise SystemExit(main())
