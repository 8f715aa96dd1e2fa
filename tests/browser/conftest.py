"""A small platform for a person with a browser: the real world builder, web, risk worker and beat over real servers.

The test moves the market, the clock and the chain itself; everything that a page asks for goes through the processes.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import connections
from django.test import override_settings

from intermediary.config import screens
from intermediary.config.demo import keys
from intermediary.config.demo.driver import Driver
from intermediary.config.demo.processes import platform_processes
from intermediary.config.demo.wallet_rpc import WalletRpc
from intermediary.config.demo.wallet_server import WalletServer, serving
from intermediary.config.supervisor.state import StateDirectory
from risk.market.feeds.reconstruction import ReconstructionFeed
from settlement.chain import Chain
from tests.browser.world import CAST
from tests.conftest import RoleSwitch, TestDatabase

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def driver(committing_db: TestDatabase, as_role: RoleSwitch, chain_url: str) -> Iterator[Driver]:
    """A built world, standing just before the crash."""
    with override_settings(CHAIN_RPC_URLS=[chain_url]):
        ready = Driver(Chain(chain_url), ReconstructionFeed(), CAST)
        with psycopg.connect(committing_db.url_of("owner")) as connection:
            connection.execute("SELECT platform_clock_start_replay(%s)", [ready.starts_at])
        with as_role("owner"):
            ready.builder.people()
        ready.builder.build()
        yield ready


@pytest.fixture
def person_wallet(chain_url: str) -> Iterator[WalletServer]:
    """The wallet of the people of this world, as the demo's wallet process answers; it signs and plays nobody."""
    with serving(0, WalletRpc(chain_url, keys.people(CAST)), set()) as server:
        yield server


@pytest.fixture
def address(
    driver: Driver,
    committing_db: TestDatabase,
    chain_url: str,
    valkey_url: str,
    person_wallet: WalletServer,
    tmp_path: Path,
) -> Iterator[str]:
    """Where the web answers; the wallet answers its pages."""
    names = ("web", "worker-risk", "beat")
    servers = {"BROKER_URL": valkey_url, "CHAIN_RPC_URLS": chain_url}
    state = StateDirectory(tmp_path)
    with platform_processes(names, state, servers, committing_db.urls, wallet_url=person_wallet.url) as web:
        person_wallet.origins = {web}
        yield web


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator["Browser"]:
    """A real Chromium."""
    executable = os.environ.get("CHROMIUM_PATH")
    if not executable:
        pytest.fail("CHROMIUM_PATH names no browser; `make test` sets it, or leaves these tests out aloud")
    # Playwright keeps an event loop in this thread that rests between its calls; the test's own queries are made then.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with screens.chromium(executable) as opened:
        yield opened
        connections.close_all()  # those made beside the loop are other objects: the next test's database is another
