"""The clearing vector: Eisenberg & Noe's three rules, networks solved by hand, costs of default, the liquidity gate."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput
from risk.contagion.clearing import clear, settle
from risk.contagion.network import Claim, Holding, Network, Node

NAMES = ("A", "B", "C", "D")


def network(assets: dict[str, int], debts: dict[tuple[str, str], int], keeps: Fraction = Fraction(1)) -> Network:
    names = sorted({*assets, *(name for pair in debts for name in pair)})
    return Network(
        tuple(Node(name, "bank", keeps, keeps) for name in names),
        tuple(Holding(name, amount) for name, amount in assets.items()),
        tuple(Claim(debtor, creditor, amount) for (debtor, creditor), amount in debts.items()),
    )


# Solved by hand


def test_everybody_pays_when_everybody_can() -> None:
    found = clear(network({"A": 5, "B": 0, "C": 0}, {("A", "B"): 5, ("B", "C"): 5}))
    assert found.paid == {"A": 5, "B": 5, "C": 0}
    assert found.defaulters == ()
    assert found.equity == {"A": 0, "B": 0, "C": 5}


def test_a_default_passes_down_a_chain_of_three() -> None:
    """A has 4 of the 10 it owes B; B has 2 beside them and owes C 8: it pays 6, and C loses 2."""
    found = clear(network({"A": 4, "B": 2}, {("A", "B"): 10, ("B", "C"): 8}))
    assert found.paid == {"A": 4, "B": 6, "C": 0}
    assert found.defaulters == ("A", "B")
    assert found.lost_by("B") == 6
    assert found.lost_by("C") == 2


def test_a_ring_of_three_is_solved_exactly() -> None:
    """A owes B 10 and C 10; B owes C 12; C owes A 15; own assets 1, 1, 1.

    Only A fails: it pays all it has, 1 + 15 = 16, half to each. B has 1 + 8 = 9 of 12 and fails, too. C has
    1 + 8 + 9 = 18 of 15 and pays."""
    found = clear(network({"A": 1, "B": 1, "C": 1}, {("A", "B"): 10, ("A", "C"): 10, ("B", "C"): 12, ("C", "A"): 15}))
    assert found.paid == {"A": 16, "B": 9, "C": 15}
    assert found.equity == {"A": 0, "B": 0, "C": 3}


def test_a_ring_in_which_all_fail_has_one_solution() -> None:
    """Everyone owes the next 10 and an outsider 10; own assets 2. p = 2 + p / 2, so each pays 4."""
    debts = {("A", "B"): 10, ("B", "C"): 10, ("C", "A"): 10, ("A", "Z"): 10, ("B", "Z"): 10, ("C", "Z"): 10}
    found = clear(network({"A": 2, "B": 2, "C": 2}, debts))
    assert [found.paid[name] for name in "ABC"] == [4, 4, 4]
    assert found.equity["Z"] == 6


def test_of_several_vectors_the_greatest_is_found() -> None:
    """Two who own nothing and owe one another 1: nobody paying would do as well; both pay."""
    assert clear(network({}, {("A", "B"): 1, ("B", "A"): 1})).paid == {"A": 1, "B": 1}


def test_costs_of_default_shrink_what_creditors_get() -> None:
    """Half of what a defaulter has and receives is lost: A has 4 of 10 and pays 2; B has 2 + 2 of 8 and pays 2."""
    found = clear(network({"A": 4, "B": 2}, {("A", "B"): 10, ("B", "C"): 8}, keeps=Fraction(1, 2)))
    assert found.paid == {"A": 2, "B": 2, "C": 0}
    assert found.cost == {"A": 2, "B": 2, "C": 0}


def test_costs_of_default_bring_down_who_would_have_stood() -> None:
    debts = {("A", "B"): 10, ("B", "C"): 8}
    assert clear(network({"A": 9, "B": 0}, debts)).defaulters == ("A",)
    assert clear(network({"A": 9, "B": 0}, debts, keeps=Fraction(1, 2))).defaulters == ("A", "B")


# The liquidity gate


def test_a_frozen_asset_pays_nothing_today_and_everything_in_the_end() -> None:
    held = (Holding("A", 10, place="custodian"), Holding("B", 1))
    nodes = tuple(Node(name, "bank") for name in "ABC")
    free = Network(nodes, held, (Claim("A", "B", 8), Claim("B", "C", 5)))
    assert settle(free).today.defaulters == ()
    found = settle(free.frozen_at(["custodian"]))
    assert found.today.paid == {"A": 0, "B": 1, "C": 0}
    assert found.stuck == ("A", "B")
    assert found.insolvent == ()
    assert found.late_for("B") == 8
    assert found.lost_by("B") == 0


def test_who_was_stuck_bears_the_cost_of_default_in_the_end() -> None:
    nodes = (Node("A", "bank", Fraction(1, 2)), Node("B", "bank"))
    found = settle(Network(nodes, (Holding("A", 10, frozen=True),), (Claim("A", "B", 8),)))
    assert found.in_the_end.paid["A"] == 5
    assert found.insolvent == ("A",)
    assert found.lost_by("B") == 3


def test_a_claim_that_may_be_refused_counts_zero_today() -> None:
    nodes = tuple(Node(name, "bank") for name in "ABC")
    owed = (Claim("A", "B", 8, frozen=True), Claim("B", "C", 5))
    found = settle(Network(nodes, (Holding("A", 8),), owed))
    assert found.stuck == ("B",)
    assert found.in_the_end.paid == {"A": 8, "B": 5, "C": 0}


def test_a_debt_of_later_is_not_asked_for_today() -> None:
    nodes = tuple(Node(name, "bank") for name in "AB")
    found = settle(Network(nodes, (Holding("A", 3),), (Claim("A", "B", 3), Claim("A", "B", 3, due=False))))
    assert found.today.defaulters == ()
    assert found.insolvent == ("A",)


# A ring-fence and its absence


def test_merged_balance_sheets_pass_on_what_fences_held_back() -> None:
    """Two fenced houses of 1 each: X's client owes 10 and has nothing; Y's owes 10 and pays. Apart, only X's creditor
    loses; as one house with 12 of 20, both creditors lose the same share."""
    nodes = tuple(Node(name, "x") for name in ("client X", "client Y", "house X", "house Y", "winner X", "winner Y"))
    held = (Holding("client Y", 10), Holding("house X", 1), Holding("house Y", 1))
    owed = tuple(
        claim
        for name in "XY"
        for claim in (Claim(f"client {name}", f"house {name}", 10), Claim(f"house {name}", f"winner {name}", 10))
    )
    apart = Network(nodes, held, owed)
    assert [clear(apart).lost_by(f"winner {name}") for name in "XY"] == [9, 0]
    pooled = clear(apart.merged(Node("house", "house"), ("house X", "house Y")))
    assert [pooled.lost_by(f"winner {name}") for name in "XY"] == [4, 4]


# Refusals


@pytest.mark.parametrize(
    ("code", "nodes", "held", "owed"),
    [
        ("contagion.node_twice", ("A", "A"), (), ()),
        ("contagion.unknown_node", ("A",), (Holding("B", 1),), ()),
        ("contagion.unknown_node", ("A",), (), (Claim("A", "B", 1),)),
        ("contagion.negative", ("A",), (Holding("A", -1),), ()),
        ("contagion.negative", ("A", "B"), (), (Claim("A", "B", -1),)),
        ("contagion.owes_itself", ("A",), (), (Claim("A", "A", 1),)),
    ],
)
def test_what_no_balance_sheet_can_be_is_refused_by_name(
    code: str, nodes: tuple[str, ...], held: tuple[Holding, ...], owed: tuple[Claim, ...]
) -> None:
    with pytest.raises(BadInput) as refused:
        Network(tuple(Node(name, "bank") for name in nodes), held, owed)
    assert refused.value.code == code


# What holds in every network

amounts = st.integers(0, 20)
pairs = st.sampled_from([(one, other) for one in NAMES for other in NAMES if one != other])
# Every share in quarters, thirds or halves; listed, because drawing fractions takes longer than clearing the network.
shares = st.sampled_from([Fraction(1), *(Fraction(part, of) for of in (4, 3, 2) for part in range(1, of)), Fraction(0)])
places, counts, answers = st.sampled_from("PQ"), st.integers(0, 8), st.booleans()


@st.composite
def networks(draw: st.DrawFn) -> Network:
    return Network(
        tuple(Node(name, "bank", draw(shares), draw(shares)) for name in NAMES),
        tuple(Holding(name, draw(amounts), place=draw(places)) for name in NAMES),
        tuple(Claim(*draw(pairs), draw(amounts), due=draw(answers), frozen=draw(answers)) for _ in range(draw(counts))),
    )


@given(networks())
def test_liability_is_limited_and_debt_comes_first(drawn: Network) -> None:
    found = clear(drawn)
    outside = drawn.outside()
    for name in drawn.names:
        assert 0 <= found.paid[name] <= found.owed[name]
        assert found.equity[name] >= 0
        assert found.paid[name] <= outside[name] + found.received[name]
        if found.paid[name] < found.owed[name]:
            assert name in found.defaulters
            assert found.equity[name] == 0


@given(networks())
def test_creditors_of_one_debtor_lose_the_same_share(drawn: Network) -> None:
    found = clear(drawn)
    for claim in drawn.claims:
        assert found.paid_on(claim) * found.owed[claim.debtor] == claim.amount * found.paid[claim.debtor]


@given(networks())
def test_nothing_is_made_and_only_costs_are_lost(drawn: Network) -> None:
    found = settle(drawn).in_the_end
    assert sum(found.equity.values()) + sum(found.cost.values()) == sum(drawn.outside().values())
    assert sum(found.received.values()) == sum(found.paid.values())


@given(networks(), st.sampled_from(NAMES), amounts)
def test_more_assets_of_anybody_never_lower_a_payment(drawn: Network, who: str, more: int) -> None:
    richer = Network(drawn.nodes, (*drawn.holdings, Holding(who, more)), drawn.claims)
    before, after = clear(drawn), clear(richer)
    assert all(after.paid[name] >= before.paid[name] for name in NAMES)
    assert all(after.equity[name] >= before.equity[name] for name in NAMES)


@given(networks())
def test_payments_are_a_fixed_point_and_no_iteration_from_above_stops_higher(drawn: Network) -> None:
    """A plain iteration from full payment only falls, and never below the vector found."""
    found, keeps = clear(drawn), {node.name: node for node in drawn.nodes}
    outside, paid = drawn.outside(), drawn.owed()
    for _ in range(12):
        came = {name: Fraction(0) for name in NAMES}
        for claim in drawn.claims:
            if claim.amount:
                came[claim.creditor] += Fraction(claim.amount) * paid[claim.debtor] / found.owed[claim.debtor]
        paid = {
            name: found.owed[name]
            if outside[name] + came[name] >= found.owed[name]
            else keeps[name].keeps_outside * outside[name] + keeps[name].keeps_claims * came[name]
            for name in NAMES
        }
        assert all(paid[name] >= found.paid[name] for name in NAMES)
    for name in NAMES:
        can = outside[name] + found.received[name]
        left = keeps[name].keeps_outside * outside[name] + keeps[name].keeps_claims * found.received[name]
        assert found.paid[name] == (found.owed[name] if can >= found.owed[name] else left)


@given(networks())
def test_a_freeze_never_lets_anybody_pay_more_today(drawn: Network) -> None:
    free, frozen = settle(drawn).today, settle(drawn.frozen_at("P")).today
    assert all(frozen.paid[name] <= free.paid[name] for name in NAMES)


@given(networks(), st.sampled_from(NAMES))
def test_a_default_called_in_advance_never_helps_a_creditor(drawn: Network, who: str) -> None:
    plain, called = clear(drawn), clear(drawn, in_default=[who])
    assert all(called.paid[name] <= plain.paid[name] for name in NAMES)
