"""Breaks one rule of the contracts at a time and asks their tests whether they notice.

`mutants.json` lists the breaks: a source, a text that stands in it once, what replaces it, and the rule that is gone
then. A mutant that no test notices survives, and a survivor fails. The tests are compiled once and all mutants of a
source together, as files beside each other; then every mutant meets the tests of its own contract, those left alive
all the quick ones, and those the invariants. A mutant stays killed until the sources, the mutant, or the test that
killed it change.
"""

import hashlib
import json
import re
import shutil
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
# Whose tests most likely notice; the others are asked afterwards.
NEAREST = {
    "MarginVault.sol": "Vault",
    "RollingLimit.sol": "VaultTest",
    "VaultFactory.sol": "VaultTest",
    "House.sol": "HouseTest|Attacks|Starvation",
    "HouseBound.sol": "VaultTest|Retention|BondTest",
    "Retention.sol": "Retention",
    "SeriesEscrow.sol": "BondTest|Races",
    "TrancheNote.sol": "NoteTest|Races",
    "Eligibility.sol": "NoteTest",
}
# What contains the code of a source besides itself: it inherits it, creates it, or uses it as a library.
CONTAINING = {
    "MarginVault.sol": ("VaultFactory.sol",),
    "RollingLimit.sol": ("MarginVault.sol", "VaultFactory.sol"),  # the house's own cap is the same code
    "HouseBound.sol": ("MarginVault.sol", "VaultFactory.sol", "Retention.sol", "SeriesEscrow.sol"),
}
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


def compile_sources(directory: str) -> dict[str, str]:
    """Artefact texts by file and name of each contract of ours. Raises ValueError when something does not compile."""
    out = f"out/{directory}"
    built = forge("build", directory, "--out", out, "--cache-path", f"cache/{directory}", "--quiet", directory=PLACE)
    if built.returncode != 0:
        raise ValueError(f"{directory} does not compile:\n{built.stdout[-2000:]}{built.stderr[-2000:]}")
    texts = {}
    for path in (PLACE / out).glob("*/*.json"):
        if path.stem in NAMES:
            compiled = json.loads(path.read_text())
            artefact = {"abi": compiled["abi"], "bytecode": compiled["bytecode"]["object"]}
            texts[f"{path.parent.name}:{path.stem}"] = json.dumps(artefact)
    return texts


def write_variant(mutant: Mutant, number: int) -> list[str]:
    """Write the broken source and what contains its code as files of their own; the names of what was written."""
    files = (mutant.source, *CONTAINING.get(mutant.source, ()))
    for name in files:
        text = (PLACE / "src" / name).read_text()
        text = mutant.apply(text) if name == mutant.source else text
        for imported in re.findall(r'from "\./(\w+\.sol)"', text):
            ours = f"./v{number}_{imported}" if imported in files else f"../src/{imported}"
            text = text.replace(f'from "./{imported}"', f'from "{ours}"')
        (PLACE / "variants" / f"v{number}_{name}").write_text(text)
    return [name.removesuffix(".sol") for name in files]


def variants(mutants: list[Mutant]) -> list[dict[str, str]]:
    """What the tests deploy instead, by contract, for each of the mutants of one source."""
    shutil.rmtree(PLACE / "variants", ignore_errors=True)
    (PLACE / "variants").mkdir()
    names = [write_variant(mutant, number) for number, mutant in enumerate(mutants)]
    texts = compile_sources("variants")
    return [
        {name: texts[key] for name in names[number] if (key := f"v{number}_{name}.sol:{name}") in texts}
        for number in range(len(mutants))
    ]


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


def killer_of(mutant: Mutant, instead: dict[str, str], unbroken: dict[str, str]) -> str | None:
    """Let the tests deploy the broken contracts and tell which file of tests noticed."""
    for name, text in (unbroken | instead).items():
        (PLACE / "artifacts" / f"{name}.json").write_text(text)
    nearest = ("--match-contract", NEAREST[mutant.source], "--no-match-contract", "Invariants|Gas", "--fail-fast")
    return killer_among(nearest) or killer_among(QUICK) or killer_among(CAMPAIGN)


def unbroken_artefacts() -> dict[str, str]:
    """The contracts as they are, compiled as mutants are. Raises ValueError when the tests fail with them."""
    unbroken = {key.partition(":")[2]: text for key, text in compile_sources("src").items()}
    unbroken |= {name: (PLACE / "artifacts" / f"{name}.json").read_text() for name in NAMES if name not in unbroken}
    for name, text in unbroken.items():
        (PLACE / "artifacts" / f"{name}.json").write_text(text)
    if killer_among(QUICK) is not None:
        raise ValueError("the tests fail without any mutant")
    return unbroken


def try_mutants(left: list[Mutant], killed: dict[str, str]) -> int:
    """Ask the tests about each, source by source; how many survived. Deaths are remembered as they come."""
    unbroken, survivors = unbroken_artefacts(), 0
    for source in dict.fromkeys(mutant.source for mutant in left):
        of_source = [mutant for mutant in left if mutant.source == source]
        for mutant, instead in zip(of_source, variants(of_source), strict=True):
            killer = killer_of(mutant, instead, unbroken)
            if killer is None:
                survivors += 1
                print(f"mutants: SURVIVES without '{mutant.rule}' ({mutant.source})", file=sys.stderr, flush=True)
                continue
            killed[verdict_of(mutant, killer)] = killer
            KILLED.write_text(json.dumps(killed, indent=0, sort_keys=True))
    return survivors


def main() -> int:
    mutants, began = all_mutants(), time.monotonic()
    copy_project(PLACE)
    killed: dict[str, str] = json.loads(KILLED.read_text()) if KILLED.exists() else {}  # verdict: killing test
    tests = sorted(f"test/{path.name}" for path in PLACE.glob("test/*.t.sol"))
    left = [mutant for mutant in mutants if not any(verdict_of(mutant, test) in killed for test in tests)]
    try:
        survivors = try_mutants(left, killed) if left else 0
    except ValueError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - began
    print(f"mutants: {len(mutants)}, {survivors} survived, {len(left)} tried in {seconds:.0f} s")
    return 1 if survivors or len(mutants) < LEAST else 0


if __name__ == "__main__":
    raise SystemExit(main())
