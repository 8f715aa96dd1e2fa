"""The supervisor: everything of one installation, from nothing to a URL, until somebody stops it.

    claim the state directory -> end strays -> services -> world -> processes -> watch -> stop in reverse

It holds no state that matters: killed at any point, the next start finds its way from what is on disk.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg

from intermediary.config.services import EMBEDDED, Services, services
from intermediary.config.supervisor import database_roles, embedded, postgres, world
from intermediary.config.supervisor.child import Child, end_strays
from intermediary.config.supervisor.environment import (
    given_database_urls,
    require_given_servers,
    role_environment,
    shared_environment,
)
from intermediary.config.supervisor.processes import LOOPBACK, choose_port, port_is_free, wait_until
from intermediary.config.supervisor.progress import (
    StepFailed,
    free_mb,
    full_disk_story,
    full_place,
    say,
    tell_failure,
)
from intermediary.config.supervisor.state import CannotStart, StateDirectory, write_private
from intermediary.config.supervisor.table import process_table

DEFAULT_WEB_PORT = 8000
WEB_PORT_TRIES = 100
DEFAULT_WALLET_PORT = DEFAULT_WEB_PORT + WEB_PORT_TRIES  # the demo wallet's, past those that the web tries
WEB_START_SECONDS = 60.0  # a cold file cache on a slow disk; otherwise 2 s
FREE_MB_FIRST, FREE_MB_AGAIN = 600, 150  # database, chain, pages' files and logs; what a day of running adds
STOP_BELOW_MB = 40  # what the processes write in some seconds, many times over; what a stop needs is in reserve
WATCH_SECONDS = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or the terminal's end: not an error, so nothing that handles errors may swallow it."""


class OutOfRoom(Exception):
    """The disk fills up: better to stop while the chain can still be saved."""

    def __init__(self, place: Path) -> None:
        super().__init__(full_disk_story(place))


class ChainLost(Exception):
    """The embedded chain ended without saving itself: the world that refers to it is gone."""


class WorldWantedAnew(Exception):
    """An officer asked on a page to start over."""


@dataclass
class Installation:
    """What this start decided: where, in which mode, on which port, over whose servers."""

    state: StateDirectory
    fresh: bool
    mode: str
    web_host: str
    web_port: int
    wallet_port: int

    @property
    def url(self) -> str:
        shown = LOOPBACK if self.web_host in ("0.0.0.0", "::") else self.web_host  # noqa: S104 - nothing is bound here
        return f"http://{shown}:{self.web_port}/"


def run(state: StateDirectory, *, fresh: bool) -> int:
    """Run until stopped. Returns the exit status; whatever a person must know has been printed."""
    try:
        _heed_signals()
        with _claimed(state, fresh=fresh) as claimed:
            if not claimed:
                return 0
            return _run_claimed(state, fresh=fresh)
    except StopRequested:
        say("Stopped. `make run` starts it again.")
        return 0
    except StepFailed:
        say("Bulkhead could not start: the step above failed. `make run` tries again.")
    except CannotStart as refusal:
        say(f"Bulkhead cannot start: {refusal.message}")
    except OutOfRoom as error:
        say(f"Bulkhead stopped: {error}")
    except OSError as error:
        place = full_place(*_places(state), told=[str(error)])
        reason = full_disk_story(place) if place else f"{error.strerror} ({error.filename or state.root})"
        say(f"Bulkhead cannot start: {reason}")
    except psycopg.errors.DiskFull:
        say(f"Bulkhead cannot start: {full_disk_story(_places(state)[-1])}")
    except psycopg.Error as error:
        say(f"Bulkhead cannot start: the database refused. {str(error).strip().splitlines()[0]}")
    except Exception as error:  # noqa: BLE001 - a fault of ours: one line for the person, all of it in the log
        log = state.log_file("supervisor")
        write_private(log, traceback.format_exc())
        say(f"Bulkhead stopped on a fault of its own: {error!r}. The whole story: {log}")
    return 1


def _run_claimed(state: StateDirectory, *, fresh: bool) -> int:
    first = not world.world_is_whole(state)
    state.release_reserve()  # it counts as free
    state.require_free_space(FREE_MB_FIRST if first or fresh else FREE_MB_AGAIN, *_places(state))
    if ended := end_strays(state):
        say(f"  ✓ Ended {ended} processes that a killed start had left behind")
    mode = os.environ.get("BULKHEAD_MODE", "demo")
    host = os.environ.get("WEB_HOST") or LOOPBACK
    while True:
        web_port = choose_web_port(host, os.environ.get("WEB_PORT"))
        wallet_port = choose_wallet_port(os.environ.get("WALLET_PORT"), web_port)
        installation = Installation(state, fresh, mode, host, web_port, wallet_port)
        write_private(state.run / "up.json", json.dumps({"pid": os.getpid(), "url": installation.url}))
        try:
            _serve(installation)
        except ChainLost:
            say("  ! The demo chain ended without saving itself. The demo world is built again from its start.")
            fresh = True
            _heed_signals()
        except WorldWantedAnew:
            say("  ! Starting over was asked for on the desk. The demo world is built again from its start.")
            fresh = True
            _heed_signals()


def _serve(installation: Installation) -> None:
    """One life of the servers: returns only by an exception."""
    state = installation.state
    given = given_database_urls()
    say(f"Starting Bulkhead ({installation.mode}) in {state.root}")
    require_given_servers()
    chain_is_ours = installation.mode == "demo" and not os.environ.get("CHAIN_RPC_URLS")
    if chain_is_ours and world.chain_was_lost(state):
        say("  ! The demo chain was killed at the last stop and lost its blocks. The demo world is built again.")
        world.forget_world(state)
    if installation.fresh:
        world.forget_world(state)
    if chain_is_ours and not world.world_is_whole(state):
        world.empty_chain(state)
    needed = [name for name in EMBEDDED if name != "anvil" or installation.mode == "demo"]
    with services(*needed, state=state) as running:
        if running.running:
            say(f"  ✓ {', '.join(f'{name} on port {one.port}' for name, one in running.running.items())}")
        databases = _databases(installation, running, given)
        shared = shared_environment(state, running.environment) | {
            "WEB_HOST": installation.web_host,
            "WEB_PORT": str(installation.web_port),
            "DEMO_WALLET_URL": f"http://{LOOPBACK}:{installation.wallet_port}",
        }
        world.prepare_world(state, shared, databases, with_demo=installation.mode == "demo")
        table = process_table(
            web_host=installation.web_host,
            web_port=installation.web_port,
            wallet_port=installation.wallet_port,
            mode=installation.mode,
            beat_file=str(state.run / "beat"),
        )
        children = [Child(spec, state, role_environment(shared, databases, spec.database_role)) for spec in table]
        try:
            state.keep_reserve()
            _start_all(installation, children)
            _watch(running, children)
        finally:
            state.release_reserve()
            _stop_all(children)


def _places(state: StateDirectory) -> list[Path]:
    """Where the installation writes; the data of an embedded database may lie on another disk."""
    if os.environ.get("DATABASE_URL"):
        return [state.root]
    home = postgres.data_home(state)
    return [state.root, home if home.exists() else home.parent]


def _databases(installation: Installation, running: Services, given: dict[str, str]) -> dict[str, str]:
    """The five database addresses; roles and database are made where we administer the server."""
    admin_url = running.postgres_admin_url if "postgres" in running.running else os.environ.get("DATABASE_ADMIN_URL")
    if given:
        admin_url = None  # whoever gave the logins made them
    state = installation.state
    if admin_url is not None:
        database_roles.create_roles(state, admin_url)
        database_roles.create_database(admin_url)
    databases = given or database_roles.urls(state, admin_url or "")
    if not world.world_is_whole(state):
        state.forget_step(world.SCHEMA)
        if installation.mode == "demo":
            world.empty_database(admin_url, databases["DATABASE_OWNER_URL"], may_reset=installation.fresh)
    return databases


def _start_all(installation: Installation, children: list[Child]) -> None:
    """The web first and alone, so that the page answers soonest; then the rest together."""
    web, *others = children
    begun = time.monotonic()
    web.start()
    if not wait_until(lambda: web.check() or web.failures > 0, seconds=WEB_START_SECONDS) or web.failures:
        if not web.failures:
            tell_failure("The web server", web.log, reasons_only=True)
        raise CannotStart("web_server_answers", f"the web server did not answer on {installation.url}")
    say(f"  ✓ web ({time.monotonic() - begun:.1f} s)")
    for child in others:
        child.start()
    say(f"\nBulkhead answers on {installation.url}")
    welcome = installation.state.root / "welcome.txt"
    if welcome.exists():
        say(welcome.read_text().rstrip())
    say(f"Logs are in {installation.state.log}. Ctrl-C stops everything.\n")


def _watch(running: Services, children: list[Child]) -> None:
    """Keep everything running; ends by StopRequested, ChainLost or WorldWantedAnew."""
    begun, told = time.monotonic(), False
    while True:
        for child in children:
            if child.check() and not told:
                say(f"  ✓ {child.spec.name} ({time.monotonic() - begun:.1f} s)")
        if not told and all(child.is_ready for child in children):
            told = True
            say("  ✓ all processes run")
        _mind_the_disk(running.state)
        for name, service in running.running.items():
            if not service.alive():
                _revive(running, name)
        if world.wanted_anew(running.state):
            raise WorldWantedAnew
        time.sleep(WATCH_SECONDS)


def _mind_the_disk(state: StateDirectory) -> None:
    for place in _places(state):
        if free_mb(place) < STOP_BELOW_MB:
            raise OutOfRoom(place)


def _revive(running: Services, name: str) -> None:
    """Start an embedded server that ended; the processes reconnect by themselves. A lost chain is another matter."""
    if name == "anvil":
        world.forget_world(running.state)
        raise ChainLost
    say(f"  ! {name} ended; starting it again")
    before = running.running[name].port
    running.running[name] = embedded.revive(EMBEDDED[name](), running.state)
    if running.running[name].port != before:
        raise CannotStart("port_is_free", f"another program took port {before} of {name}; start again with `make run`.")
    say(f"  ✓ {name} on port {before}")


def _stop_all(children: list[Child]) -> None:
    """In reverse, each with its own allowance; a second request to stop does not cut it short."""
    _ignore_signals()
    started = [child for child in reversed(children) if child.process is not None]
    if started:
        say("\nStopping…")
    for child in started:
        child.ask_to_stop()
    for child in started:
        child.stop()


def choose_web_port(host: str, asked: str | None) -> int:
    """The port asked for, or a refusal; without one, the first free port from 8000, said when it is another."""
    if asked:
        return _asked_port("WEB_PORT", asked, host)
    port = choose_port(DEFAULT_WEB_PORT, tries=WEB_PORT_TRIES, host=host)
    if port != DEFAULT_WEB_PORT:
        say(f"  ! Port {DEFAULT_WEB_PORT} is in use by another program; using {port}")
    return port


def choose_wallet_port(asked: str | None, web_port: int) -> int:
    """Likewise for the demo's wallet, on the loopback only and never the web's, which nobody listens on yet."""
    if asked:
        if asked == str(web_port):
            raise CannotStart("wallet_port_is_free", f"port {asked} is the web's; choose another WALLET_PORT.")
        return _asked_port("WALLET_PORT", asked, LOOPBACK)
    first = DEFAULT_WALLET_PORT if web_port < DEFAULT_WALLET_PORT else web_port + 1
    return choose_port(first, tries=WEB_PORT_TRIES)


def _asked_port(variable: str, asked: str, host: str) -> int:
    """A port that a person named. Refuses what is none and what is in use."""
    if not asked.isdigit() or not 0 < int(asked) < 65536:
        raise CannotStart(f"{variable.lower()}_is_valid", f"{variable}={asked} is not a port number.")
    if not port_is_free(int(asked), host):
        raise CannotStart(
            f"{variable.lower()}_is_free", f"port {asked} is in use by another program; choose another {variable}."
        )
    return int(asked)


@contextlib.contextmanager
def _claimed(state: StateDirectory, *, fresh: bool) -> Iterator[bool]:
    """Be the only supervisor of this state directory; False, with the other's address said, when there is one."""
    with (state.run / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _announced(state)
            if fresh:
                raise CannotStart("not_running", f"it is running{other}; stop it before starting over.") from None
            say(f"Bulkhead is already running{other}.")
            yield False
            return
        yield True


def _announced(state: StateDirectory) -> str:
    """Where the running supervisor serves, as it said when it started; empty in the instant before it did."""
    try:
        other = json.loads((state.run / "up.json").read_text())
    except (OSError, ValueError):
        return ""
    return f" on {other['url']} (process {other['pid']})"


def _heed_signals() -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise StopRequested

    for number in STOP_SIGNALS:
        signal.signal(number, stop)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
