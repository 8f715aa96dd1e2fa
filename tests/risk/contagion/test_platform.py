"""The platform as a network: the worked example by clearing, isolation computed, freezes, venue, peg."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput
from risk.contagion.capital import refuse_same_dollar_twice
from risk.contagion.network import Holding
from risk.contagion.platform import (
    OWN_MEANS,
    VENUE,
    Facts,
    LayerLeft,
    Relationship,
    default,
    freeze,
    peg_breaks,
    today,
    venue_fails,
)

LAYERS = (LayerLeft("FIRST_LOSS", 1_500_000), LayerLeft("TAIL", 6_000_000), LayerLeft("SENIOR", 3_000_000))
OTHER_LAYERS = (LayerLeft("FIRST_LOSS", 500_000), LayerLeft("TAIL", 1_000_000))


def worked_example(loss: int, margin: int) -> Facts:
    """Dollars. D is long against W (600) and M (400); U trades with neither."""
    return Facts(
        (
            Relationship(
                "D", margin, LAYERS, linked={"W": 600, "M": 400}, loss=loss, costs=171_500, margin_stressed=margin,
                vault="Vault of D",
            ),
            Relationship("W", 9_000_000, OTHER_LAYERS, linked={"D": 600}, vault="Vault of W"),
            Relationship("M", 6_000_000, linked={"D": 400}, vault="Vault of M"),
            Relationship("U", 20_000_000, OTHER_LAYERS, vault="Vault of U"),
        ),
    )  # fmt: skip


def test_the_worked_example_clears_as_its_waterfall_says() -> None:
    found = default(worked_example(18_170_000, 9_841_500), "D")
    assert found.net_loss == 8_500_000
    assert [(kind, int(paid)) for kind, paid, _ in found.layer_losses] == [
        ("FIRST_LOSS", 1_500_000), ("TAIL", 6_000_000), ("SENIOR", 1_000_000),
    ]  # fmt: skip
    assert found.uncovered == {}
    assert found.reached == ()
    assert found.isolation_holds


def test_beyond_all_layers_only_linked_lots_bear_it_in_proportion() -> None:
    """At 60,000 the worked example leaves 16.6165 m UNCOVERED: 60% to W, 40% to M, nothing to U."""
    found = default(worked_example(35_900_000, 8_955_000), "D")
    assert found.net_loss == 27_116_500
    assert found.uncovered == {"W": Fraction(9_969_900), "M": Fraction(6_646_600)}
    assert found.reached == ("W", "M")
    assert found.unlinked == ("U",)
    assert found.isolation_holds


def test_one_pool_would_have_used_others_layers_and_reached_the_unlinked() -> None:
    found = default(worked_example(35_900_000, 8_955_000), "D")
    assert found.pooled_layers == 3_000_000
    assert found.pooled["U"] > 0
    # Whoever loses, no more than what is missing is lost: the loss beyond D's margin and every layer there is.
    assert sum(found.pooled.values()) == 27_116_500 - 10_500_000 - 3_000_000


def test_a_pool_with_enough_layers_lets_strangers_pay_quietly() -> None:
    """12.5 m of loss beyond margin: D's own 10.5 m and 2 m of others' layers, while no creditor loses."""
    found = default(worked_example(22_170_000, 9_841_500), "D")
    assert sum(found.uncovered.values()) == 2_000_000
    assert found.pooled_layers == 2_000_000
    assert set(found.pooled.values()) == {0}


def test_what_is_owed_today_defaults_with_the_rest() -> None:
    facts = worked_example(0, 0)
    (d, *others) = facts.relationships
    d = replace(d, owes={"W": 11_000_000}, costs=0)
    found = default(replace(facts, relationships=(d, *others)), "D")
    assert found.uncovered == {"W": 500_000}


def test_the_networks_capital_is_counted_once() -> None:
    """Every holding of today's network has a source with that much in it; taking a layer twice is refused."""
    layers = tuple(replace(layer, source=f"Retention of D: {layer.kind}") for layer in LAYERS)
    facts = Facts((Relationship("D", 0, layers),))
    lies_there = {layer.source: layer.amount for layer in layers}
    refuse_same_dollar_twice(today(facts).holdings, lies_there)
    twice = Facts((*facts.relationships, Relationship("W", 0, layers[:1])))
    with pytest.raises(BadInput, match="House facing D, House facing W"):
        refuse_same_dollar_twice(today(twice).holdings, lies_there)


def test_a_stress_in_which_positions_gain_makes_what_is_owed_smaller() -> None:
    d = Relationship("D", 0, owes={"W": 6, "M": 3}, linked={"W": 1, "M": 1}, loss=-6)
    others = (Relationship("W", 5), Relationship("M", 5))
    assert default(Facts((d, *others)), "D").uncovered == {"W": 2, "M": 1}
    assert default(Facts((d, *others)), "D", times=2).uncovered == {}


def test_what_others_owe_the_defaulter_is_set_off() -> None:
    """D owes W 10 and costs of 1, is owed 4 by M, and has 3 of margin and 2 of capital: N is 4, and W loses 2."""
    d = Relationship("D", 3, (LayerLeft("FIRST_LOSS", 2),), owes={"W": 10}, costs=1, margin_stressed=3)
    found = default(Facts((d, Relationship("W", 5), Relationship("M", 5, owes={"D": 4}))), "D")
    assert found.net_loss == 4
    assert found.uncovered == {"W": 2}


def test_lots_that_the_venue_took_over_leave_uncovered_to_the_linked_first() -> None:
    """4 owed to W, 6 to the house's own hedge, 3 of capital: 7 are missing; W bears its 4, the intermediary 3."""
    d = Relationship("D", 0, (LayerLeft("FIRST_LOSS", 3),), owes={"W": 4, VENUE: 6})
    found = default(Facts((d, Relationship("W", 5))), "D")
    assert found.uncovered == {"W": 4}
    assert found.own == 3


# Freezes


def owing() -> Facts:
    """A owes B 40 and has 100; C owes B 30 and has 20 and layers of 20."""
    return Facts(
        (
            Relationship("A", 100, owes={"B": 40}, vault="Vault of A"),
            Relationship("B", 50, vault="Vault of B"),
            Relationship("C", 20, (LayerLeft("FIRST_LOSS", 20, "Retention of C"),), owes={"B": 30}, vault="Vault of C"),
        ),
        tokens=(
            Holding("A", 100, "USDC", "Vault of A"), Holding("B", 50, "USDC", "Vault of B"),
            Holding("C", 20, "WBTC", "Vault of C"), Holding(OWN_MEANS, 25, "USDC", "House contract"),
        ),
    )  # fmt: skip


def test_a_frozen_vault_pays_late_and_nobody_loses() -> None:
    found = freeze(owing(), ["Vault of A"])
    assert found.late == {"B": 40}
    assert found.lost == {}
    assert found.stopped == {"A": 100}
    assert found.bridge == 25
    assert found.settlement.stuck == ("A", "House facing A", "House facing C")


def test_a_frozen_house_stops_the_bridge_and_no_payment_between_clients() -> None:
    found = freeze(owing(), ["House contract"])
    assert found.late == {}
    assert found.bridge == 0
    assert found.stopped == {OWN_MEANS: 25}


# The venue


def test_a_venue_that_fails_costs_own_means_and_reaches_no_relationship() -> None:
    facts = replace(owing(), own_means=25, at_venue=60, hedged=1_000)
    found = venue_fails(facts, Fraction(1, 2), rehedge_bps=100)
    assert [found.claim, found.recovered, found.rehedge, found.loss] == [60, 30, 10, 40]
    assert [found.from_own_means, found.beyond_own_means] == [25, 15]
    assert found.relationships_reached == ()


# The peg


def test_a_broken_peg_costs_each_owner_a_tenth_of_that_token() -> None:
    assert peg_breaks(owing(), "USDC", Fraction(9, 10)) == {"A": 10, "B": 5, OWN_MEANS: Fraction(5, 2)}


# Isolation in every book

names = ("P", "Q", "R", "S")
sizes = st.integers(0, 30)


@st.composite
def books(draw: st.DrawFn) -> Facts:
    found = []
    for name in names:
        others = draw(st.sets(st.sampled_from([other for other in names if other != name])))
        margin = draw(sizes)
        found.append(
            Relationship(
                name, margin, tuple(LayerLeft(kind, draw(sizes)) for kind in ("FIRST_LOSS", "TAIL")),
                owes={other: draw(sizes) for other in sorted(others)},
                linked={other: draw(st.integers(1, 9)) for other in sorted(others)},
                loss=draw(st.integers(-30, 30)) if others else 0, costs=draw(st.integers(0, 5)),
                margin_stressed=draw(st.integers(0, margin)),
            )
        )  # fmt: skip
    return Facts(tuple(found))


@given(books(), st.sampled_from(names), st.integers(1, 3))
def test_clearing_and_waterfall_say_the_same_of_every_default(facts: Facts, code: str, times: int) -> None:
    """What linked lots lose by clearing is what the layers leave uncovered, up to what the lots gained."""
    found = default(facts, code, times)
    who = next(one for one in facts.relationships if one.code == code)
    gained = max(0, sum(who.owes.values()) + who.loss * times)
    layers = sum(layer.amount for layer in who.layers)
    direct = sum(
        (Fraction(claim.amount) - found.apart.paid_on(claim) for claim in found.apart.network.claims
         if claim.debtor == who.house), Fraction(0),
    )  # fmt: skip
    assert direct == min(gained, max(Fraction(0), found.net_loss - layers))
    assert direct + found.own == max(Fraction(0), found.net_loss - layers)
    assert sum(paid for _, paid, _ in found.layer_losses) == min(found.net_loss, layers)


@given(books(), st.sampled_from(names), st.integers(1, 3))
def test_no_layer_of_another_relationship_pays(facts: Facts, code: str, times: int) -> None:
    found = default(facts, code, times)
    calm = default(replace(facts, relationships=tuple(
        replace(one, loss=0, costs=0, owes={}) if one.code == code else one for one in facts.relationships
    )), code)  # fmt: skip
    for one in facts.relationships:
        if one.code != code and one.code not in found.linked:
            assert found.apart.equity[one.house] == calm.apart.equity[one.house]
