"""Breaks one rule of the contracts at a time and asks their tests whether they notice.

`mutants.json` lists the breaks: a source, a text that stands in it once, what replaces it, and the rule that is gone
then. A mutant that no test notices survives, and a survivor fails. The tests are compiled once; a mutant costs the
compilation of the sources that depend on the change and a run of the tests that need no long campaign. Only what
they let pass meets the invariants. A mutant killed once stays killed until sources, tests or the mutant change.
"""

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

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


def key_of(mutant: Mutant, base: str) -> str:
    """What a verdict belongs to: this mutant of these sources under these tests."""
    return hashlib.sha256(f"{base}{mutant}".encode()).hexdigest()


def base_of(place: Path) -> str:
    """Digest over sources, tests and settings."""
    digest = hashlib.sha256()
    for path in sorted([*place.glob("src/**/*.sol"), *place.glob("test/*.sol"), place / "foundry.toml"]):
        digest.update(path.relative_to(place).as_posix().encode() + b"\0" + path.read_bytes())
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


def passes(which: tuple[str, ...]) -> bool:
    """Whether the tests notice nothing."""
    few = {"FOUNDRY_FUZZ_RUNS": "64", "FORGE_SNAPSHOT_CHECK": "false"}
    return forge("test", *which, directory=PLACE, **few).returncode == 0


def survives(mutant: Mutant) -> bool:
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
    return passes(QUICK) and passes(CAMPAIGN)


def main() -> int:
    mutants, began = all_mutants(), time.monotonic()
    copy_project(PLACE)
    base = base_of(PLACE)
    killed: set[str] = set(json.loads(KILLED.read_text())) if KILLED.exists() else set()
    left = [mutant for mutant in mutants if key_of(mutant, base) not in killed]
    if left and not (put_artefacts() and passes(QUICK)):
        print("mutants: the tests fail without any mutant", file=sys.stderr)
        return 1
    survivors = []
    for mutant in left:
        if survives(mutant):
            survivors.append(mutant)
            print(f"mutants: SURVIVES without '{mutant.rule}' ({mutant.source})", file=sys.stderr)
            continue
        killed.add(key_of(mutant, base))
        KILLED.write_text(json.dumps(sorted(killed)))
    seconds = time.monotonic() - began
    print(f"mutants: {len(mutants)}, {len(survivors)} survived, {len(left)} tried in {seconds:.0f} s")
    return 1 if survivors or len(mutants) < LEAST else 0


if __name__ == "__main__":
    raise SystemExit(main())
