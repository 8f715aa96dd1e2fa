"""Liquidity and capital: what is laid out is counted once, against the float that is there."""

from datetime import timedelta

import pytest

from intermediary import ledger
from intermediary.config.office.liquidity import Need, _coming, _falls, _own_means
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import AccountKind, CallIncrement, Cell, MarginState
from intermediary.onboarding import terms_of_cells
from risk.contagion_queries import facts
from tests.intermediary import office_world
from tests.intermediary.faces_world import USD

pytestmark = pytest.mark.world(build=office_world.build)


@pytest.mark.parametrize(("laid_out", "left", "beyond"), [(0, 8, 0.0), (2, 6, 0.0), (8, 0, 0.0), (10, -2, 200.0)])
def test_a_need_is_drawn_against_the_float(laid_out: int, left: int, beyond: float) -> None:
    need = Need("A case", laid_out, 8, 1)
    assert need.left == left
    (_, used, red) = need.shares
    assert red[2] == pytest.approx(beyond)
    assert used[2] + red[2] == pytest.approx(1000 * laid_out / max(8, laid_out))


def test_a_loss_is_laid_out_only_beyond_the_cash_in_the_vault(rolled_back_world: dict[str, Cell]) -> None:
    states = list(MarginState.objects.select_related("cell"))
    terms = terms_of_cells([state.cell_id for state in states])
    bare = _falls(states, terms, {}, 10**12)
    rich = _falls(states, terms, {state.cell_id: 10**18 for state in states}, 10**12)
    assert [one.name for one in bare] == ["Every coin −5%", "Every coin −10%", "Every coin −20%"]
    assert all(one.laid_out > 0 for one in bare)
    assert not any(one.laid_out for one in rich)
    assert [one.called for one in bare] == [one.called for one in rich]


def test_an_open_call_comes_by_its_deadline(rolled_back_world: dict[str, Cell]) -> None:
    first = CallIncrement.objects.filter(call__state="ISSUED", unmet_base_units__gt=0).order_by("deliver_by").first()
    assert first is not None
    soon = {name: amount for name, amount, _ in _coming(first.deliver_by - timedelta(minutes=30))}
    assert soon["within 1 hour"] >= first.unmet_base_units
    late = {name: amount for name, amount, _ in _coming(first.deliver_by + timedelta(minutes=1))}
    assert late["overdue"] >= first.unmet_base_units


def test_what_was_advanced_for_one_relationship_is_no_means(rolled_back_world: dict[str, Cell]) -> None:
    """The float facing a relationship is below zero while the house pays its opposites for it."""
    before = facts().own_means
    for code, amount in (("R-101", -5 * USD), ("R-102", 9 * USD)):
        lines = [Line(AccountKind.FLOAT, "USDC", amount), Line(AccountKind.OUTSIDE, "USDC", -amount)]
        cell_id = rolled_back_world[code].id
        ledger.post(entry_id=uuid7(), cell_id=cell_id, kind="advance", memo="advance", lines=lines)
    assert facts().own_means == before + 4 * USD == sum(_own_means()[kind] for kind in MEANS)


MEANS = (AccountKind.FLOAT, AccountKind.FEES, AccountKind.INTEREST)
