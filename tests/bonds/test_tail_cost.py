"""What a relationship's tail costs it: at the guidance while the book is open, then at the spread that cleared."""

import pytest

from bonds.models import Tranche
from bonds.portal.tail_cost import tail_costs
from intermediary import ports
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets

pytestmark = pytest.mark.django_db


def test_the_guidance_then_the_cleared_spread_of_its_own_slice() -> None:
    assets()
    cells = [world.covered_cell("R1"), world.covered_cell("R2")]
    series = world.deployed(world.series_terms(cells, classes=2))
    (guided,) = ports.tail_costs(cells[0].id)
    assert (guided.series, guided.issued, guided.spread_bps) == ("BLK-T", False, None)
    assert guided.guidance_bps == 400
    assert guided.principal_base_units == 6 * MILLION
    assert guided.annual_base_units == -(-6 * MILLION * 4 * 365 // (100 * 360))
    Tranche.objects.filter(series=series, seniority=0).update(spread_bps=700)
    assert tail_costs(cells[0].id)[0].spread_bps is None, "not while a class has not cleared"
    Tranche.objects.filter(series=series, seniority=1).update(spread_bps=300)
    (cleared,) = tail_costs(cells[0].id)
    assert cleared.spread_bps == 500, "the mean by principal"
    assert cleared.annual_base_units == -(-3 * MILLION * 10 * 365 // (100 * 360))


def test_a_relationship_that_no_published_series_covers_has_none() -> None:
    assets()
    assert tail_costs(world.covered_cell("R3").id) == []
