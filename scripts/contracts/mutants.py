"""Breaks one rule of the contracts at a time and asks their tests whether they notice.

`mutants.json` lists the breaks: a source, a text that stands in it once, what replaces it, and the rule that is gone
then. A mutant that no test notices survives, and a survivor fails. The tests are compiled once; a mutant costs the
compilation of the sources that depend on the change and a run of the tests that need no long campaign. Only what
they let pass meets the invariants. A mutant stays killed until the sources, the mutant, or the test that killed it
change.
"""

import hashlib
import json
import re
import sys
import time
from dataclasses import dataclass

from scripts.contracts.tools import WORK, copy_project, forge
from scripts.install import CONTRACTS
from settlement.contracts.build import NAMES

MUTANTS = CONTRACTS / "mutants.json"
PLACE = WORK / "mutants"
KILLED = WORK / "mutants-killed.json"
# Gas figures are those of the optimised artefacts, a mutant is not optimised.
QUICK = ("--no-match-contract", "Invariants|Gas", "--fail-fast")
CAMPAIGN = ("--match-contract", "Invariants")
LEAST = 20  # mutants below which the list itself is not worth much


@dataclass(frozen=True)
class Mutant:
    """One broken rule."""

    source: str
    original: str
    replacement: str
    rule: str

    def apply(self, text: str) -> str:
        """The mutated source. Raises ValueError unless the original stands in it exactly once."""
        if text.count(self.original) != 1:
            raise ValueError(f"{self.source}: the text of '{self.rule}' stands there {text.count(self.original)} times")
        return text.replace(self.original, self.replacement)


def all_mutants() -> list[Mutant]:
    """The list, in order."""
    return [Mutant(*fields) for fields in json.loads(MUTANTS.read_text())]


def verdict_of(mutant: Mutant, killer: str) -> str:
    """Digest of all that the death of a mutant rests on: itself, the sources, the tests' world and the killing test."""
    digest = hashlib.sha256(str(mutant).encode())
    world = [path for path in PLACE.glob("test/*.sol") if not path.name.endswith(".t.sol")]
    for path in sorted([*PLACE.glob("src/**/*.sol"), *world, PLACE / "foundry.toml", PLACE / killer]):
        digest.update(path.relative_to(PLACE).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def put_artefacts() -> bool:
    """Compile the sources as they lie there and put what the tests deploy; False when they do not compile."""
    built = forge("build", "src", "--out", "out/mutant", "--cache-path", "cache/mutant", "--quiet", directory=PLACE)
    if built.returncode != 0:
        return False
    for name in NAMES:
        compiled = json.loads(next((PLACE / "out" / "mutant").glob(f"*/{name}.json")).read_text())
        artefact = {"abi": compiled["abi"], "bytecode": compiled["bytecode"]["object"]}
        (PLACE / "artifacts" / f"{name}.json").write_text(json.dumps(artefact))
    return True


def killer_among(which: tuple[str, ...]) -> str | None:
    """The file of a test that fails; None when the tests notice nothing."""
    few = {"FOUNDRY_FUZZ_RUNS": "64", "FORGE_SNAPSHOT_CHECK": "false"}
    done = forge("test", *which, directory=PLACE, **few)
    if done.returncode == 0:
        return None
    found = re.search(r"Encountered \d+ failing tests? in (test/\w+\.t\.sol):", done.stdout)
    if found is None:
        raise ValueError(f"forge test failed without a failing test:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found[1]


def killer_of(mutant: Mutant) -> str | None:
    """Break the rule, ask the tests, mend it. The tests' own copy of the sources stays as it was compiled."""
    source = PLACE / "src" / mutant.source
    original = source.read_text()
    source.write_text(mutant.apply(original))
    try:
        compiled = put_artefacts()
    finally:
        source.write_text(original)
    if not compiled:
        raise ValueError(f"the mutant '{mutant.rule}' does not compile")
    return killer_among(QUICK) or killer_among(CAMPAIGN)


def main() -> int:
    mutants, began = all_mutants(), time.monotonic()
    copy_project(PLACE)
    killed: dict[str, str] = json.loads(KILLED.read_text()) if KILLED.exists() else {}  # verdict: killing test
    tests = sorted(f"test/{path.name}" for path in PLACE.glob("test/*.t.sol"))
    left = [mutant for mutant in mutants if not any(verdict_of(mutant, test) in killed for test in tests)]
    if left and not (put_artefacts() and killer_among(QUICK) is None):
        print("mutants: the tests fail without any mutant", file=sys.stderr)
        return 1
    survivors = 0
    for mutant in left:
        killer = killer_of(mutant)
        if killer is None:
            survivors += 1
            print(f"mutants: SURVIVES without '{mutant.rule}' ({mutant.source})", file=sys.stderr, flush=True)
            continue
        killed[verdict_of(mutant, killer)] = killer
        KILLED.write_text(json.dumps(killed, indent=0, sort_keys=True))
    seconds = time.monotonic() - began
    print(f"mutants: {len(mutants)}, {survivors} survived, {len(left)} tried in {seconds:.0f} s")
    return 1 if survivors or len(mutants) < LEAST else 0


if __name__ == "__main__":
    raise SystemExit(main())
