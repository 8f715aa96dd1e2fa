"""The environment of slither and halmos, below `var/`, and what forge compiles for them.

They bring 60 packages that nothing else needs, so they have an environment and a hashed lock of their own, installed
by the first step that wants them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from intermediary.config.supervisor.progress import CHECKOUT, run_step
from scripts.install import CONTRACTS, VAR, VENV, Stamp, cache_environment, hash_of, node_binary
from settlement.contracts.build import forge_binary

LOCK = CHECKOUT / "requirements-contracts.lock"
TOOLS = VAR / "contract-tools"
WORK = VAR / "contracts"
LOG = VAR / "log" / "contract-tools.log"
# What a forge project of ours consists of; mutants and the symbolic check work on copies.
PROJECT = ("src", "test", "artifacts", "snapshots", "roles.json", "foundry.toml", "solc", "solc.cjs", "package.json")


def tool(name: str) -> Path:
    """A program of the environment, which is made when it is not there or its lock has changed."""
    stamp = Stamp(TOOLS / ".done", hash_of([LOCK]) + sys.version)
    if not stamp.holds():
        shutil.rmtree(TOOLS, ignore_errors=True)
        LOG.parent.mkdir(parents=True, exist_ok=True)
        run_step("Environment of slither and halmos", [sys.executable, "-m", "venv", TOOLS], log=LOG)
        uv, python = VENV / "bin" / "uv", TOOLS / "bin" / "python"
        install: list[str | Path] = [python, "-m", "pip", "install", "--require-hashes", "-r", LOCK]
        if uv.exists():
            install = [uv, "pip", "install", "--python", python, "--require-hashes", "-r", LOCK]
        run_step("slither and halmos", install, environment=cache_environment(), log=LOG)
        stamp.write()
    return TOOLS / "bin" / name


def environment(**more: str) -> dict[str, str]:
    """Our forge on PATH, our solc's Node.js, the tools' own programs."""
    path = os.pathsep.join([str(forge_binary().parent), str(TOOLS / "bin"), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "NODE": node_binary(), "FOUNDRY_OFFLINE": "true", **more}


def copy_project(place: Path) -> Path:
    """A forge project like ours at `place`, with our node packages; what was compiled there before stays."""
    place.mkdir(parents=True, exist_ok=True)
    for name in PROJECT:
        source, target = CONTRACTS / name, place / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    packages = place / "node_modules"
    if not packages.exists():
        packages.symlink_to(CONTRACTS / "node_modules")
    return place


def forge(*arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run forge in a project and keep what it says."""
    command = [str(forge_binary()), *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment(**variables), capture_output=True, text=True, check=False
    )
