"""A disk that fills up: one sentence that names the directory, a clean stop, and nothing broken left behind."""

from pathlib import Path

import pytest

from intermediary.config.services import services
from intermediary.config.supervisor import anvil, progress, run
from intermediary.config.supervisor.keeper import _is_whole
from intermediary.config.supervisor.progress import FULL_DISK, StepFailed, full_place, run_step
from intermediary.config.supervisor.state import RESERVE_BYTES, CannotStart, StateDirectory

ALWAYS_FULL = Path("/dev/full")  # the kernel's own full disk: every write to it fails with ENOSPC


def test_a_step_that_met_a_full_disk_says_so_in_one_line_and_tries_no_other_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["cp", __file__, str(ALWAYS_FULL)]
    with pytest.raises(StepFailed):
        run_step("Python packages", command, log=tmp_path / "log", must_succeed=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("  ✗ Python packages failed: the disk of ")
    assert "Make room there and run the same command again" in line


def test_a_step_whose_log_cannot_be_written_still_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.symlink_to(ALWAYS_FULL)
    assert run_step("Step", ["true"], log=log)


def test_the_fullest_of_the_named_places_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = {tmp_path: progress.FULL_MB - 1}
    monkeypatch.setattr(progress, "free_mb", lambda place: room.get(place, 10_000))
    assert full_place(tmp_path) == tmp_path
    room[tmp_path] = progress.FULL_MB
    assert full_place(tmp_path) is None
    assert full_place(tmp_path, told=[f"OSError: [Errno 28] {FULL_DISK}"]) == tmp_path


def test_a_running_platform_stops_before_its_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDirectory(tmp_path)
    run._mind_the_disk(state)
    monkeypatch.setattr(run, "free_mb", lambda place: run.STOP_BELOW_MB - 1 if place == tmp_path else 10_000)
    with pytest.raises(run.OutOfRoom, match=f"the disk of {tmp_path} is full"):
        run._mind_the_disk(state)


def test_room_for_a_clean_stop_is_kept_and_given_back(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.keep_reserve()
    state.keep_reserve()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= RESERVE_BYTES
    state.release_reserve()
    state.release_reserve()
    assert not (tmp_path / "reserve").exists()


def test_another_disk_that_the_installation_needs_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, other = StateDirectory(tmp_path / "state"), tmp_path
    monkeypatch.setattr("intermediary.config.supervisor.state.free_mb", lambda place: 9 if place == other else 10_000)
    with pytest.raises(CannotStart, match=f"10 MB of free disk are needed below {other}, 9 MB are left"):
        state.require_free_space(10, other)


def test_a_chain_whose_save_was_cut_short_counts_as_lost(tmp_path: Path) -> None:
    """anvil ends in peace when the disk is full, and leaves the half of its file."""
    state = StateDirectory(tmp_path)
    with services("anvil", state=state, environment={}):
        saved = tmp_path / "anvil" / "state.json"
        saved.symlink_to(ALWAYS_FULL)
    assert anvil.state_was_lost(state)
    saved.unlink()
    with services("anvil", state=state, environment={}):
        pass
    assert not anvil.state_was_lost(state)
    assert _is_whole(str(saved))
    saved.write_bytes(saved.read_bytes()[:-10])
    assert not _is_whole(str(saved))
