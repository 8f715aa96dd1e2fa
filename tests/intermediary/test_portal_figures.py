"""Figures of a client's pages that are put together there: what is due first, what came since the valuation."""

import json
from datetime import timedelta

import pytest

from intermediary import clock
from intermediary.models import CallIncrement, Cell, MarginCall, MarginState, Valuation
from intermediary.portal import collateral, reads
from intermediary.terms import Terms
from tests.intermediary import faces_world
from tests.intermediary.builders import deposit
from tests.intermediary.faces_world import USD

pytestmark = pytest.mark.django_db


def holdings(cell: Cell) -> list[collateral.Holding]:
    return collateral.holdings(cell, Terms.from_body(json.loads(reads.terms_versions(cell)[0].body)))


def test_a_call_tells_what_is_left_of_it_and_what_of_that_is_due_at_its_deadline() -> None:
    cell = faces_world.build()["R-102"]
    last = Valuation.objects.all()[0]
    call = MarginCall.objects.create(
        cell=cell, amount_base_units=2_400_000 * USD, valuation=last, deliver_by=clock.now() + timedelta(hours=1)
    )
    for hours, unmet in ((0, 220_000), (1, 1_730_000)):
        CallIncrement.objects.create(
            cell=cell, call=call, amount_base_units=2_000_000 * USD, unmet_base_units=unmet * USD,
            deliver_by=call.deliver_by + timedelta(hours=hours),
        )  # fmt: skip
    found = reads.open_calls(cell)[0]
    assert getattr(found, "unmet_base_units") == 1_950_000 * USD  # noqa: B009  # annotated by the query
    assert getattr(found, "due_first_base_units") == 220_000 * USD  # noqa: B009


def test_margin_that_came_since_the_valuation_is_told_apart_from_what_was_counted() -> None:
    cell = faces_world.build()["R-101"]
    state = MarginState.objects.get(cell=cell)
    state.held_base_units = sum(one.value_base_units or 0 for one in holdings(cell))
    assert collateral.arrived_since(holdings(cell), state) == 0
    deposit(cell, 1_000_000 * USD)
    assert collateral.arrived_since(holdings(cell), state) == 995_000 * USD, "after the haircut of 0.5 %"
    assert collateral.arrived_since(holdings(cell), None) == 0
