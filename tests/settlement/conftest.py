"""The settlement world on this test's chain."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from settlement.chain import Chain
from tests.conftest import TestDatabase
from tests.settlement.faults.processes import Launcher, Platform
from tests.settlement.faults.proxy import proxy_of
from tests.settlement.world import Client, chain_of_world


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    """A chain and a database of this test's own, with the world of its mark on them."""
    return chain_of_world(chain_url, settings, request)


@pytest.fixture
def who(chain: Chain, built_world: tuple[str, Any]) -> Client:
    """The client of the world `funded_client`, or of a test file's own."""
    made = built_world[1]
    assert isinstance(made, Client)
    return made


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def platform(chain: Chain, committing_db: TestDatabase, launcher: Launcher, tmp_path: Path) -> Iterator[Platform]:
    """Nothing runs yet."""
    with proxy_of(chain.url) as proxy:
        made = Platform(launcher, proxy, committing_db, tmp_path / "processes.log")
        try:
            yield made
        finally:
            made.end()
