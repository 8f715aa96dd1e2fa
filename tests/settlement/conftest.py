"""The settlement world on this test's chain."""

import pytest
from pytest_django import Settings

from settlement.chain import Chain
from tests.settlement.world import house_with_contracts


@pytest.fixture
def chain(chain_url: str, settings: Settings, db: None) -> Chain:
    """A chain with the house's contracts; the database rolls back."""
    settings.CHAIN_RPC_URLS = [chain_url]
    return house_with_contracts(chain_url)
