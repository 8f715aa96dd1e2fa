"""Figures of a client's pages that are put together there: what is due first."""

from datetime import timedelta

import pytest

from intermediary import clock
from intermediary.models import CallIncrement, MarginCall, Valuation
from intermediary.portal import reads
from tests.intermediary import faces_world
from tests.intermediary.faces_world import USD

pytestmark = pytest.mark.django_db


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
