"""Every stored requirement can be computed again from what is stored with it, and a change of any of it is named."""

from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from intermediary.errors import Refusal
from intermediary.models import Cell, MarginState, Party
from risk import replay
from risk.margin.ruleset import ruleset
from risk.margin.scenarios import build_scenarios
from risk.models import RequirementRecord
from tests.conftest import TestDatabase
from tests.risk.builders import MOMENT, scenarios
from tests.risk.tick_world import market, mixed_world, tick

pytestmark = pytest.mark.world(build=mixed_world)


@pytest.fixture
def world(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> None:
    """The mixed world, in which calls have moved."""


def test_every_requirement_in_force_and_every_kept_one_is_reproduced(world: None) -> None:
    tick(market(11, "60000"))
    states = list(MarginState.objects.select_related("cell", "valuation"))
    records = list(RequirementRecord.objects.select_related("cell", "tick"))
    assert len(states) >= 10
    assert records
    replayed = [replay.of_state(state) for state in states] + [replay.of_record(record) for record in records]
    assert [(one.cell, one.differs) for one in replayed if one.differs] == []
    assert all(one.found == one.stored for one in replayed)
    assert sum(one.found > 0 for one in replayed) >= 10
    printed = StringIO()
    call_command("replay", stdout=printed)
    assert printed.getvalue().count("the same") == len(replayed)


def test_whatever_a_figure_follows_from_is_named_when_it_is_another(world: None) -> None:
    record = RequirementRecord.objects.select_related("cell", "tick").order_by("id").last()
    assert record is not None
    record.breakdown["inputs"] = "00" * 32
    assert replay.of_record(record).differs == ("inputs",)
    record.book["positions"] = {key: str(2 * float(held)) for key, held in record.book["positions"].items()}
    assert {"book", "independent_amount", "expected_shortfall_99"} <= set(replay.of_record(record).differs)
    record.ruleset_hash = "11" * 32
    with pytest.raises(Refusal, match="No ruleset of this release"):
        replay.of_record(record)
    record.book = {}
    with pytest.raises(Refusal, match="without its book"):
        replay.of_record(record)
    state = MarginState.objects.get(cell__code="AMPLE")
    MarginState.objects.filter(id=state.id).update(independent_amount_base_units=1)
    printed = StringIO()
    with pytest.raises(CommandError, match="1 not reproduced"):
        call_command("replay", cell="AMPLE", kept=0, stdout=printed)
    assert "differs in independent_amount" in printed.getvalue()


def test_the_type_of_an_entity_changes_no_figure(world: None) -> None:
    state = MarginState.objects.select_related("cell", "valuation").get(cell__code="AMPLE")
    for kind in Party.Kind:
        Party.objects.filter(cells=state.cell).update(kind=kind)
        assert replay.of_state(state).differs == ()


def test_inputs_name_day_ruleset_and_nothing_of_the_period() -> None:
    drawn, day = scenarios(), MOMENT.date()
    assert build_scenarios(replace(ruleset("standard"), seed=8), day, None).inputs != drawn.inputs
    assert build_scenarios(ruleset("standard"), MOMENT.date().replace(day=11), None).inputs != drawn.inputs
    assert drawn.over(36.0, 24.0).inputs == drawn.inputs
    assert drawn.over(36.0, 24.0).id != drawn.id
