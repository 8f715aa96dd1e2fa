"""The model's haircuts stand beside the signed ones, and bind nobody."""

import pytest
from django.db import connection

from intermediary import ports
from intermediary.models import MarginState
from intermediary.onboarding import current_terms
from intermediary.portal.collateral import holdings
from risk import published_haircuts
from risk.models import ModelHaircut
from tests.risk.test_live_layers import world

pytestmark = pytest.mark.django_db


def test_every_margin_asset_has_a_haircut_of_the_model_that_is_shown_and_does_not_bind() -> None:
    clients, opened = world("LINE")
    held = MarginState.objects.get(cell=clients["LINE"].cell).held_base_units
    assert holdings(clients["LINE"].cell, current_terms(clients["LINE"].cell.id))[0].model is None
    published_haircuts.renew(opened.id)
    found = ports.model_haircuts()
    assert {"USDC", "WBTC"} <= found.keys()
    assert found["USDC"].haircut_bps == found["USDC"].floor_bps == 50
    coin = found["WBTC"]
    assert coin.floor_bps == 1_500
    assert coin.haircut_bps >= max(coin.floor_bps, coin.shortfall_bps)
    assert coin.as_of == opened.valuation.as_of
    cash, token = holdings(clients["LINE"].cell, current_terms(clients["LINE"].cell.id))
    assert cash.is_thin  # these terms take nothing off cash
    assert not token.is_thin
    assert "15.0%" in token.model_words
    assert MarginState.objects.get(cell=clients["LINE"].cell).held_base_units == held


def test_haircuts_of_an_older_market_do_not_replace_newer_ones() -> None:
    _, opened = world("LINE")
    published_haircuts.renew(opened.id)
    ModelHaircut.objects.filter(asset="WBTC").update(haircut_bps=1)
    published_haircuts.renew(type(opened).objects.exclude(id=opened.id).get().id)
    assert ports.model_haircuts()["WBTC"].haircut_bps == 1


def test_everybody_may_read_them() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('bulkhead_portal', 'risk_modelhaircut', 'SELECT')")
        assert cursor.fetchone() == (True,)
