"""The contagion page over a small world: each failure is answered with its numbers, bad questions are refused."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from intermediary import ledger
from intermediary.config.office import custody
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import AccountKind, Cell, Layer, MarginState, Mark, Valuation
from risk.contagion import platform
from risk.contagion.capital import circular_capital
from risk.contagion.network import Claim
from risk.contagion.platform import VENUE
from risk.contagion_queries import balances, facts
from risk.models import StressReport, Tick
from tests.intermediary import office_world
from tests.intermediary.faces_world import USD
from tests.intermediary.test_admin import Roles, as_web, maker, page, world

__all__ = ["as_web", "maker", "world"]
pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]


def fund_layers(cells: dict[str, Cell]) -> None:
    """Tokens of the intermediary and of the bond where the layers say that they lie."""
    kinds = {"FIRST_LOSS": AccountKind.FIRST_LOSS, "TAIL": AccountKind.ESCROW, "SENIOR": AccountKind.SENIOR_RETENTION}
    for layer in Layer.objects.all():
        ledger.post(
            entry_id=uuid7(), cell_id=layer.cell_id, kind="funding", memo="layer",
            lines=[
                Line(kinds[layer.kind], "USDC", layer.size_base_units),
                Line(AccountKind.OUTSIDE, "USDC", -layer.size_base_units),
            ],
        )  # fmt: skip


def asked(client: Client, query: str) -> str:
    answer = client.get(f"{reverse('admin:contagion')}?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


# What the database knows


def test_performing_relationships_stand_with_margin_layers_and_links(world: dict[str, Cell]) -> None:
    known = facts()
    assert [one.code for one in known.relationships] == ["R-101", "R-102", "R-109"]
    first = known.relationships[0]
    assert [layer.amount for layer in first.layers] == [2_000_000 * USD, 6_000_000 * USD, 3_000_000 * USD]
    assert first.loss == 21_000_000 * USD
    assert set(first.linked) == {"R-102", VENUE}  # its opposite R-108 defaulted: that lot faces the venue now


def test_a_default_plays_the_worst_published_stress_and_not_an_expected_shortfall(
    world: dict[str, Cell], maker: Client, as_role: Roles
) -> None:
    """Where an expected shortfall binds the admission test, its loss holds the fall of the margin, too, which is
    nobody's gain. What is lost is the stress report's to say."""
    cell = world["R-101"]
    with as_role("worker"), transaction.atomic():
        state = MarginState.objects.get(cell=cell)
        state.admission |= {"scenario": "es_995", "position_loss": 30_000_000 * USD}
        state.save(update_fields=["admission"])
        assert facts().relationships[0].loss == 0
    assert "No stress of it is measured yet" in asked(maker, "kind=default&code=R-101")
    made_of = {"position_loss": 19_000_000 * USD, "close_out_cost": 5 * USD, "margin_value": 7 * USD}
    with as_role("worker"), transaction.atomic():
        body = {"worst": {"title": "A week of falls"} | made_of}
        StressReport.objects.create(cell=cell, tick=Tick.objects.latest("id"), body=body)
        first = facts().relationships[0]
    assert (first.loss, first.costs, first.margin_stressed) == tuple(made_of.values())
    assert "Its worst published stress: A week of falls" in asked(maker, "kind=default&code=R-101")


def test_what_is_owed_today_is_the_unsettled_gain_of_the_opposite(world: dict[str, Cell]) -> None:
    """R-101 bought 180 BTC from R-102 at 121,500 and sold it 20 m DOGE at 0.25; nothing was settled since."""
    known = {one.code: one for one in facts().relationships}
    marks = dict(Mark.objects.filter(valuation=Valuation.objects.order_by("-as_of")[0]).values_list(
        "instrument__code", "price"))  # fmt: skip
    bitcoin = 180 * (Decimal(121_500) - marks["BTC-PERP"])
    doge = 20_000_000 * (marks["DOGE-PERP"] - Decimal("0.25"))
    assert known["R-101"].owes["R-102"] == pytest.approx(float((bitcoin + doge) * USD), abs=1)


def test_layers_without_tokens_are_told_as_a_dollar_that_is_not_there(world: dict[str, Cell], maker: Client) -> None:
    assert "More capital is counted than lies there" in page(maker, "contagion")


def test_funded_layers_count_every_dollar_once(world: dict[str, Cell]) -> None:
    with transaction.atomic():
        fund_layers(world)
    known = facts()
    lies_there = balances(known.tokens)
    for one in known.relationships:
        assert all(lies_there[layer.source] >= layer.amount for layer in one.layers)
    assert sum(lies_there.values()) == sum(token.amount for token in known.tokens)


# The failures


def test_a_default_beyond_its_layers_reaches_linked_lots_alone(maker: Client, world: dict[str, Cell]) -> None:
    text = asked(maker, "kind=default&code=R-101&times=4")
    assert "only linked lots of R-101 are reached" in text
    assert "unpaid gain of its lots with R-101" in text
    found = platform.default(facts_as_staff(), "R-101", 4)
    assert found.unlinked == ("R-109",)
    assert found.pooled["R-102"] > 0


def test_a_default_within_its_layers_reaches_nobody(maker: Client) -> None:
    assert "no other relationship loses anything" in asked(maker, "kind=default&code=R-101")


def test_a_venue_that_fails_is_the_intermediarys_own_loss(maker: Client) -> None:
    text = asked(maker, "kind=venue&at_venue=40000000&pays=25")
    assert "No relationship is reached" in text
    assert "new money to hedge again" in text


def test_frozen_vaults_delay_and_a_broken_peg_costs_the_owners(maker: Client) -> None:
    assert "nobody loses by waiting" in asked(maker, "kind=freeze&place=Every+vault")
    text = asked(maker, "kind=peg&asset=USDC&price=0.9")
    assert "USDC at 0.9: its owners lose" in text
    assert "Counterparties: margin" in text


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ("venue", "The venue fails"),
        ("stuck", "The custodian refuses to move anything"),
        ("both", "The custodian fails"),
    ],
)
def test_a_story_of_custody_is_replayed_for_every_way(maker: Client, story: str, words: str) -> None:
    text = asked(maker, f"story={story}&trader=R-102&moved=150&estate=40")
    assert words in text
    for name in ("Prefunded at the venue", "Pooled at a custodian", "Segregated, as here"):
        assert f"{name}: the trader keeps" in text


def test_custody_adds_up_and_segregation_loses_the_unpaid_gain_alone(world: dict[str, Cell]) -> None:
    known = facts()
    margin = next(one.margin for one in known.relationships if one.code == "R-102")
    found = custody.played(known, {"story": "venue", "trader": "R-102", "moved": 20, "estate": 40})
    prefunded, pooled, segregated = found["custody_outcomes"]
    gain = margin * 20 // 100
    assert segregated.trader_loses == pytest.approx(gain * 0.6, abs=2)
    assert pooled.trader_loses == segregated.trader_loses
    assert prefunded.trader_loses == pytest.approx((margin + gain) * 0.6, abs=2)
    for one in (prefunded, pooled, segregated):
        assert one.kept + one.stuck + one.trader_loses == pytest.approx(margin + gain, abs=2)
        assert sum(width for _, _, width in one.shares) == pytest.approx(1000)


def test_capital_is_followed_to_its_end_and_a_ring_is_named(maker: Client, world: dict[str, Cell]) -> None:
    text = page(maker, "contagion")
    assert "none comes back to its own owner" in text
    claims = platform.capital_claims(facts_as_staff())
    assert circular_capital(claims) == []
    assert circular_capital([*claims, Claim("R-101", "USDC", 1)]) == ["R-101", "Vault of R-101", "USDC", "R-101"]


@pytest.mark.parametrize(
    "query", ["kind=default&code=R-999", "kind=peg&asset=USDC&price=1.2", "kind=venue&pays=x", "kind=war", "estate=101"]
)
def test_a_bad_question_is_refused_beside_its_field(maker: Client, query: str) -> None:
    answer = maker.get(f"{reverse('admin:contagion')}?{query}")
    assert answer.status_code == 422
    if query != "kind=war":
        assert 'class="error"' in answer.content.decode()


def facts_as_staff() -> Any:
    """The facts with an officer's rights, as the page reads them."""
    from intermediary.config.tenancy import assume

    with transaction.atomic():
        assume("staff")
        return facts()
