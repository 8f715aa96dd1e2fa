"""Embedded services start once, serve everybody, survive the death of one user and end with the last."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from intermediary.config.services import services
from intermediary.config.supervisor import anvil, embedded, postgres
from intermediary.config.supervisor.processes import Identity, wait_until
from intermediary.config.supervisor.progress import CHECKOUT
from intermediary.config.supervisor.state import CannotStart, StateDirectory

OTHER_USER = """
import sys, time
from pathlib import Path
from intermediary.config.services import services
from intermediary.config.supervisor.state import StateDirectory
with services("anvil", state=StateDirectory(Path(sys.argv[1])), environment={}):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "with space", ephemeral=True)


def other_user(state: StateDirectory) -> subprocess.Popen[str]:
    """Another process that holds anvil until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_USER, str(state.root)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_all_three_serve_and_are_gone_afterwards(service_state: StateDirectory) -> None:
    with services("postgres", "valkey", "anvil", state=service_state, environment={}) as running:
        with psycopg.connect(running.postgres_admin_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert redis.Redis.from_url(running.valkey_url).ping()
        assert isinstance(anvil.block_number(running.running["anvil"].port), int)


def test_an_unknown_service_is_refused(state: StateDirectory) -> None:
    with pytest.raises(CannotStart, match="no service called oracle"), services("oracle", state=state):
        pass


def test_a_service_that_the_environment_names_is_not_started(state: StateDirectory) -> None:
    with services("valkey", state=state, environment={"BROKER_URL": "amqp://elsewhere"}) as running:
        assert running.running == {}


def test_a_second_user_joins_and_the_last_one_ends_it(state: StateDirectory) -> None:
    with services("anvil", state=state, environment={}) as first:
        process = first.running["anvil"].process
        with services("anvil", state=state, environment={}) as second:
            assert second.running == first.running
        assert process.alive()
    assert not process.alive()


def test_a_killed_user_leaves_nothing_behind(state: StateDirectory) -> None:
    user = other_user(state)
    assert embedded.is_running(state, "anvil")
    user.kill()
    user.wait()
    assert wait_until(lambda: not embedded.is_running(state, "anvil"), seconds=5.0)


def test_a_killed_user_does_not_stop_the_service_of_another(state: StateDirectory) -> None:
    user = other_user(state)
    with services("anvil", state=state, environment={}) as running:
        user.kill()
        user.wait()
        assert not wait_until(lambda: not running.running["anvil"].alive(), seconds=1.5)


def test_a_service_dies_with_its_killed_keeper_and_is_started_again(state: StateDirectory) -> None:
    with services("anvil", state=state, environment={}) as first:
        record = embedded._record(state, "anvil")
        assert record is not None
        Identity(record["keeper_pid"], record["keeper_started"]).send(signal.SIGKILL)
        assert wait_until(lambda: not first.running["anvil"].alive(), seconds=5.0)
        again = embedded.revive(anvil.EmbeddedAnvil(), state)
        assert again.alive()
        assert anvil.block_number(again.port) == 0


def test_a_chain_that_was_stopped_keeps_its_blocks_and_a_killed_one_is_known_as_lost(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    with services("anvil", state=state, environment={}) as running:
        anvil.rpc(running.anvil_url, "evm_mine")
    assert not anvil.state_was_lost(state)
    with services("anvil", state=state, environment={}) as running:
        assert anvil.block_number(running.running["anvil"].port) == 1
        running.running["anvil"].process.send(signal.SIGKILL)
        assert wait_until(lambda: not running.running["anvil"].alive(), seconds=5.0)
    assert anvil.state_was_lost(state)


def test_a_database_whose_state_directory_was_deleted_is_put_aside(tmp_path: Path) -> None:
    """For root it stands elsewhere, and nobody knows its passwords any more."""
    state, data = StateDirectory(tmp_path / "var"), tmp_path / "elsewhere" / "data"
    (data / "base").mkdir(parents=True)
    state.secret("postgres_admin")
    postgres.set_aside_orphan(data, state)
    assert data.exists()
    shutil.rmtree(tmp_path / "var")
    postgres.set_aside_orphan(data, StateDirectory(tmp_path / "var"))
    assert not data.exists()
    assert [(kept / "base").exists() for kept in data.parent.iterdir()] == [True]
