"""Single processes of the platform beside a world that a command or a test drives itself.

They are rows of the supervisor's own table, started with the same command, database role and environment, so that what
is looked at is what `make run` runs. Stopped at the end of the block.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from intermediary.config.supervisor.child import Child
from intermediary.config.supervisor.environment import role_environment, shared_environment
from intermediary.config.supervisor.processes import LOOPBACK, choose_port, wait_until
from intermediary.config.supervisor.progress import run_step
from intermediary.config.supervisor.state import CannotStart, StateDirectory
from intermediary.config.supervisor.table import DJANGO, process_table

START_SECONDS = 60.0  # a worker loads the numeric stack, on a machine that does other things as well

# The platform's own settings, also when the caller runs under a test's.
AS_IN_THE_DEMO = {"BULKHEAD_MODE": "demo", "DJANGO_SETTINGS_MODULE": "intermediary.config.settings"}


@contextmanager
def platform_processes(
    names: tuple[str, ...],
    state: StateDirectory,
    addresses: Mapping[str, str],
    databases: Mapping[str, str],
    *,
    wallet_url: str = "",
) -> Iterator[str]:
    """Run the named processes with their logs below `state`, and yield the URL of the web.

    `addresses` holds BROKER_URL and CHAIN_RPC_URLS, `databases` the five database addresses; `wallet_url` is where
    the caller answers as the demo's wallet, which the pages then know of.
    Raises CannotStart when one does not get ready, StepFailed when the pages' files cannot be collected.
    """
    port = choose_port()
    shared = shared_environment(state, addresses) | AS_IN_THE_DEMO | {"DEMO_WALLET_URL": wallet_url}
    if "web" in names:
        collect = (*DJANGO, "collectstatic", "--no-input", "-v", "0")
        run_step("Pages' style and scripts", collect, log=state.log_file("static"), environment=shared)
    table = process_table(
        web_host=LOOPBACK, web_port=port, wallet_port=choose_port(), mode="demo", beat_file=str(state.run / "beat")
    )
    rows = {spec.name: spec for spec in table}
    children = [
        Child(rows[name], state, role_environment(shared, databases, rows[name].database_role)) for name in names
    ]
    try:
        for child in children:
            child.start()
        for child in children:
            _await(child)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        for child in reversed(children):
            child.ask_to_stop()
        for child in reversed(children):
            child.stop()


def _await(child: Child) -> None:
    if not wait_until(lambda: child.check() or child.failures > 0, seconds=START_SECONDS) or child.failures:
        raise CannotStart("process_is_ready", f"{child.spec.name} did not start; its log is {child.log}.")
