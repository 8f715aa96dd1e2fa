"""Compile the contracts and write the artefacts the platform runs on; plain Python, no Django, no compiler at run time.

`python settlement/contracts/build.py` compiles with forge and rewrites `artifacts/<Name>.json`: compact, sorted JSON
of the ABI and the creation bytecode. With `--check` nothing is written, and a difference between what is committed
and what the sources compile to is an error. The artefacts depend on the sources and the pinned tools only, so both
calls remember, under `var/contracts/`, what a given set of sources compiled to: unchanged sources are not compiled
again. Node.js is the program named by the environment variable NODE, else `node`; forge is the platform's binary in
`node_modules`, called directly.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARTIFACTS = HERE / "artifacts"
MEMORY = HERE.parent.parent / "var" / "contracts"
OUT = HERE / "out" / "artifacts"

# What the platform deploys or calls. MarginVault is deployed by its factory; its ABI is what matters.
NAMES = (
    "AccessManager",
    "DemoUSDC",
    "DemoWBTC",
    "Eligibility",
    "House",
    "MarginVault",
    "Retention",
    "SeriesEscrow",
    "TrancheNote",
    "VaultFactory",
)


class BuildError(Exception):
    """The contracts could not be compiled, or the committed artefacts are not theirs."""


def input_files() -> Iterator[Path]:
    """Every file the bytecode depends on, in a fixed order."""
    yield from sorted((HERE / "src").rglob("*.sol"))
    for name in ("foundry.toml", "package-lock.json", "solc", "solc.cjs"):
        yield HERE / name


def sources_hash() -> str:
    """SHA-256 over names and contents of the inputs and the list of artefacts, hexadecimal."""
    digest = hashlib.sha256("\n".join(NAMES).encode())
    for path in input_files():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(HERE).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def forge_binary() -> Path:
    """The forge of this platform; raises BuildError when the tools are not installed."""
    machine = platform.machine().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    path = HERE / "node_modules" / "@foundry-rs" / f"forge-{platform.system().lower()}-{machine}" / "bin" / "forge"
    if path.exists():
        return path
    on_path = shutil.which("forge")
    if on_path is None:
        raise BuildError(f"forge is not installed; run `npm ci --ignore-scripts` in {HERE}")
    return Path(on_path)


def compile_contracts() -> dict[str, str]:
    """Compile everything in src; returns the text of each artefact by name.

    Always all of it, apart from the tests' build: what the optimiser makes of a file may depend on the files compiled
    in the same run, and the artefacts must not depend on what somebody compiled before.
    """
    command = [str(forge_binary()), "build", "src", "--force", "--quiet"]
    environment = {**os.environ, "FOUNDRY_PROFILE": "artifacts"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"forge build failed:\n{done.stdout}{done.stderr}")
    return {name: artifact_text(name) for name in NAMES}


def artifact_text(name: str) -> str:
    """The committed form of one compiled contract: compact JSON with sorted keys, and a newline."""
    found = sorted(OUT.glob(f"*/{name}.json"))
    if len(found) != 1:
        raise BuildError(f"{len(found)} compiled contracts are named {name}; exactly one must be")
    compiled = json.loads(found[0].read_text())
    artifact = {"abi": compiled["abi"], "bytecode": compiled["bytecode"]["object"]}
    return json.dumps(artifact, sort_keys=True, separators=(",", ":")) + "\n"


def digest_of(texts: dict[str, str]) -> str:
    """SHA-256 over all artefacts, hexadecimal."""
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def committed() -> dict[str, str]:
    """The artefacts on disk by name, strangers included, so that a stale file is a difference too."""
    return {path.stem: path.read_text() for path in sorted(ARTIFACTS.glob("*.json"))}


def remembered() -> str | None:
    """Digest of what these very sources compiled to before, if they ever did."""
    note = MEMORY / sources_hash()
    return note.read_text() if note.exists() else None


def remember(texts: dict[str, str]) -> None:
    """Note what the present sources compile to."""
    MEMORY.mkdir(parents=True, exist_ok=True)
    (MEMORY / sources_hash()).write_text(digest_of(texts))


def build() -> str:
    """Bring the committed artefacts up to date; returns what was done."""
    if remembered() == digest_of(committed()):
        return "contracts: unchanged, nothing compiled"
    texts = compile_contracts()
    ARTIFACTS.mkdir(exist_ok=True)
    for path in ARTIFACTS.glob("*.json"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        (ARTIFACTS / f"{name}.json").write_text(text)
    remember(texts)
    return f"contracts: {len(texts)} artefacts written"


def differing(on_disk: dict[str, str], compiled: dict[str, str]) -> list[str]:
    """Names whose artefact is missing, stale or not ours, sorted."""
    return sorted(name for name in on_disk.keys() | compiled.keys() if on_disk.get(name) != compiled.get(name))


def check() -> str:
    """Compare the committed artefacts with the sources; raises BuildError naming every one that differs."""
    on_disk = committed()
    if remembered() == digest_of(on_disk):
        return "contracts: artefacts match the sources (compiled before)"
    texts = compile_contracts()
    stale = differing(on_disk, texts)
    if stale:
        raise BuildError(f"artefacts differ from the sources: {', '.join(stale)}; run `make contracts`")
    remember(texts)
    return "contracts: artefacts match the sources"


def main() -> int:
    parser = argparse.ArgumentParser(description="compile the contracts into settlement/contracts/artifacts")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the artefacts differ")
    arguments = parser.parse_args()
    try:
        print(check() if arguments.check else build())
    except BuildError as error:
        print(f"contracts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
