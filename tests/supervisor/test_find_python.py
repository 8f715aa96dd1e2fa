"""Which Python installs Bulkhead, and what a person is told who has none that can."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intermediary.config.supervisor.progress import CHECKOUT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with spaces in its name that is the whole PATH of a poor machine."""
    folder = tmp_path / "with space"
    folder.mkdir()
    sh = shutil.which("sh")
    assert sh is not None
    (folder / "sh").symlink_to(sh)
    return folder


def interpreter(folder: Path, name: str, *lines: str) -> Path:
    """A program called `name` that answers like a Python of another kind."""
    program = folder / name
    program.write_text("\n".join(("#!/bin/sh", *lines, f'exec {sys.executable} "$@"', "")))
    program.chmod(0o755)
    return program


def old(folder: Path, name: str) -> Path:
    return interpreter(folder, name, 'case "$2" in *sys.exit*) exit 1;; *print*) echo 3.9.2; exit;; esac')


def find(path: Path, python: str | Path = "") -> tuple[int, str]:
    """Exit status and everything that was said."""
    environment = {**os.environ, "PATH": str(path), "PYTHON": str(python)}
    done = subprocess.run(
        ["/bin/sh", CHECKOUT / "scripts" / "find-python"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.strip()


def test_one_that_can_is_found_behind_one_that_is_too_old(path: Path) -> None:
    old(path, "python3")
    able = interpreter(path, "python3.12")
    assert find(path) == (0, str(able))


def test_too_old_is_told_with_its_version(path: Path) -> None:
    program = old(path, "python3")
    status, said = find(path)
    assert status == 1
    assert said.startswith(f"Bulkhead: Python 3.11 or later is needed; {program} is Python 3.9.2.")


def test_a_python_without_venv_is_told_what_to_install(path: Path) -> None:
    interpreter(path, "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    status, said = find(path)
    assert status == 1
    assert said.endswith("Run: apt install python3-venv")


def test_a_machine_without_python_is_told_what_to_install(path: Path) -> None:
    assert find(path) == (
        1,
        "Bulkhead: Python 3.11 or later is needed and none was found. Run: apt install python3 python3-venv",
    )


def test_the_python_that_a_person_names_is_the_only_one_tried(path: Path) -> None:
    interpreter(path, "python3")
    status, said = find(path, old(path, "python3.9"))
    assert (status, "is Python 3.9.2" in said) == (1, True)
    assert find(path, path / "nowhere") == (1, f"Bulkhead: PYTHON={path / 'nowhere'} cannot be run.")
