"""The settlement world on this test's chain."""

from typing import Any

import pytest
from pytest_django import Settings

from settlement.chain import Chain
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
