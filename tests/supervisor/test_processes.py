"""Ports, identities, children: what the supervisor may touch, and how it keeps a process running."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intermediary.config.supervisor.child import Child, end_strays, strays
from intermediary.config.supervisor.environment import (
    MARKER,
    given_database_urls,
    require_given_servers,
    role_environment,
    shared_environment,
)
from intermediary.config.supervisor.processes import Identity, choose_port, port_is_free, wait_until
from intermediary.config.supervisor.progress import telling_lines
from intermediary.config.supervisor.run import choose_wallet_port, choose_web_port
from intermediary.config.supervisor.state import CannotStart, StateDirectory
from intermediary.config.supervisor.table import LogSays, ProcessSpec, StaysUp, process_table

DATABASES = {
    name: f"postgresql://{name.lower()}@127.0.0.1/bulkhead"
    for name in (
        *("DATABASE_OWNER_URL", "DATABASE_URL", "DATABASE_WORKER_URL"),
        *("DATABASE_POSTER_URL", "DATABASE_APPROVER_URL"),
    )
}


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path)


def python_child(state: StateDirectory, code: str, ready: StaysUp | LogSays | None = None) -> Child:
    spec = ProcessSpec("probe", (sys.executable, "-u", "-c", code), "worker", ready or StaysUp(0.0), stop_seconds=5.0)
    return Child(spec, state, {**os.environ, MARKER: state.name_hash})


def test_a_busy_port_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not port_is_free(port)
        assert choose_port(port, tries=1) != port
        with pytest.raises(CannotStart, match=f"port {port} is in use"):
            choose_web_port("127.0.0.1", str(port))


def test_a_web_port_that_is_no_port_is_refused() -> None:
    for asked in ("http", "0", "70000", "-1"):
        with pytest.raises(CannotStart, match="is not a port number"):
            choose_web_port("127.0.0.1", asked)


def test_the_wallet_never_gets_the_webs_port() -> None:
    assert choose_wallet_port(None, 8100) > 8100
    with pytest.raises(CannotStart, match="port 8000 is the web's"):
        choose_wallet_port("8000", 8000)


def test_a_process_that_took_over_a_pid_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        mine = Identity.of(stranger.pid)
        assert mine is not None
        earlier = Identity(mine.pid, mine.started - 1)
        assert not earlier.alive()
        earlier.send(signal.SIGKILL)
        time.sleep(0.1)
        assert mine.alive()
        assert mine.end(seconds=5.0)


def test_a_child_that_ends_is_started_again_after_a_growing_pause(
    state: StateDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    child = python_child(state, "raise SystemExit('no such table')")
    child.start()
    assert wait_until(lambda: (child.check(), child.failures == 2)[1], seconds=10.0)
    told = capsys.readouterr().out
    assert "probe ended (exit status 1); again in 1 s" in told
    assert "no such table" in told
    assert "probe ended (exit status 1, as before); again in 2 s" in told


def test_a_child_is_ready_when_its_log_of_this_start_says_so(state: StateDirectory) -> None:
    state.log_file("probe").write_text("ready.\n")
    child = python_child(state, "import time; time.sleep(0.5); print('ready.'); time.sleep(60)", LogSays("ready."))
    child.start()
    assert not child.check()
    assert wait_until(child.check, seconds=10.0)
    child.stop()


def test_a_child_that_will_not_stop_is_killed_with_its_helpers(state: StateDirectory) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, 'ready.')\n"
        "time.sleep(60)\n"
    )
    child = python_child(state, code, LogSays("ready."))
    child.spec = ProcessSpec("probe", child.spec.argv, "worker", LogSays("ready."), stop_seconds=0.3)
    child.start()
    assert wait_until(child.check, seconds=10.0)
    helper = Identity.of(int(child.log.read_text().split()[0]))
    assert helper is not None
    child.stop()
    assert wait_until(lambda: not helper.alive(), seconds=5.0)


def test_only_processes_with_our_mark_are_strays(state: StateDirectory, tmp_path: Path) -> None:
    code = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        subprocess.Popen(code, env={**os.environ, MARKER: state.name_hash}) as ours,
        subprocess.Popen(code, env={**os.environ, MARKER: "another"}) as theirs,
    ):
        assert wait_until(lambda: ours.pid in [stray.pid for stray in strays(state)], seconds=5.0)
        assert theirs.pid not in [stray.pid for stray in strays(state)]
        assert end_strays(state) == 1
        assert ours.wait(5.0) == -signal.SIGTERM
        assert theirs.poll() is None
        theirs.kill()


def test_children_end_when_their_supervisor_is_killed(state: StateDirectory) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from intermediary.config.supervisor.child import Child\n"
        "from intermediary.config.supervisor.state import StateDirectory\n"
        "from intermediary.config.supervisor.table import ProcessSpec\n"
        "spec = ProcessSpec('probe', (sys.executable, '-c', 'import time; time.sleep(60)'), 'worker')\n"
        "child = Child(spec, StateDirectory(Path(sys.argv[1])), {})\n"
        "child.start()\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(state.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = Identity.of(int(supervisor.stdout.readline()))
        assert child is not None
        supervisor.kill()
    assert wait_until(lambda: not child.alive(), seconds=5.0)


def test_the_console_shows_reasons_and_no_stack_frames() -> None:
    log = ["Traceback (most recent call last):", '  File "x.py", line 1', "    fail()", "ValueError: no broker"]
    assert telling_lines(log) == ["ValueError: no broker"]


def test_a_process_knows_the_password_of_its_own_role_only(state: StateDirectory) -> None:
    shared = shared_environment(state, {"BROKER_URL": "redis://127.0.0.1", **DATABASES})
    environment = role_environment(shared, DATABASES, "poster")
    assert [key for key in environment if key.startswith("DATABASE_")] == ["DATABASE_ROLE", "DATABASE_POSTER_URL"]
    assert environment["BROKER_URL"] == "redis://127.0.0.1"


def test_some_database_addresses_without_the_others_are_refused() -> None:
    assert given_database_urls({}) == {}
    assert given_database_urls(DATABASES) == DATABASES
    with pytest.raises(CannotStart, match="DATABASE_OWNER_URL, DATABASE_POSTER_URL"):
        given_database_urls({name: DATABASES[name] for name in ("DATABASE_URL", "DATABASE_WORKER_URL")})


def test_a_given_server_that_does_not_answer_is_named() -> None:
    port = choose_port()
    with pytest.raises(CannotStart, match=f"BROKER_URL names 127.0.0.1:{port}, which does not answer"):
        require_given_servers({"BROKER_URL": f"amqp://guest@127.0.0.1:{port}//"})
    require_given_servers({})


def test_the_table_starts_the_web_first_and_keeps_the_demo_out_of_production() -> None:
    def table(mode: str) -> list[ProcessSpec]:
        return process_table(web_host="::1", web_port=8000, wallet_port=8100, mode=mode, beat_file="beat")

    def names(mode: str) -> list[str]:
        return [row.name for row in table(mode)]

    assert names("demo")[0] == names("production")[0] == "web"
    assert set(names("demo")) - set(names("production")) == {"miner", "wallet"}
    assert len(set(names("demo"))) == len(names("demo"))
    wallet = next(row for row in table("demo") if row.name == "wallet")
    origins = {wallet.argv[i + 1] for i, part in enumerate(wallet.argv) if part == "--origin"}
    assert origins == {"http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"}


def test_a_large_log_is_put_aside_at_start(state: StateDirectory) -> None:
    log = state.log_file("probe")
    log.write_bytes(b"x" * 5_000_001)
    assert not state.log_file("probe").exists()
    assert (state.log / "probe.log.1").stat().st_size == 5_000_001


def test_secrets_are_made_once_and_readable_by_their_owner_only(state: StateDirectory) -> None:
    first = state.secret("valkey")
    assert StateDirectory(state.root).secret("valkey") == first
    assert state.secret("secret_key") != first
    assert (state.root / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_too_little_disk_is_refused_before_anything_is_half_done(state: StateDirectory) -> None:
    with pytest.raises(CannotStart, match="MB of free disk are needed"):
        state.require_free_space(10**9)
