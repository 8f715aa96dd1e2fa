"""One dollar twice, the custody triangle, concentration."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput
from risk.contagion.capital import circular_capital, refuse_circular_capital, refuse_same_dollar_twice, sources
from risk.contagion.concentration import concentration
from risk.contagion.custody import Custody, Event, Happening, Triangle, replay
from risk.contagion.network import Claim, Holding

H = Happening
HALF = Fraction(1, 2)

# The same dollar twice


def test_a_planted_double_count_is_refused_by_name() -> None:
    """A retention of 10 stands as the capital of two layers."""
    held = (
        Holding("first loss of R-1", 10, source="retention of R-1"),
        Holding("first loss of R-2", 4, source="retention of R-2"),
        Holding("senior of R-2", 10, source="retention of R-1"),
    )
    with pytest.raises(BadInput) as refused:
        refuse_same_dollar_twice(held, {"retention of R-1": 10, "retention of R-2": 4})
    assert refused.value.code == "contagion.same_dollar_twice"
    assert refused.value.data == {
        "source": "retention of R-1",
        "owners": "first loss of R-1, senior of R-2",
        "counted_twice": 10.0,
    }


def test_capital_that_lies_nowhere_is_refused() -> None:
    with pytest.raises(BadInput, match="tail of R-1"):
        refuse_same_dollar_twice((Holding("tail of R-1", 5, source="escrow"),), {})


def test_parts_of_one_source_are_fine_up_to_what_lies_there() -> None:
    held = (Holding("A", 4, source="s"), Holding("B", 6, source="s"), Holding("C", 99))
    refuse_same_dollar_twice(held, {"s": 10})
    (source,) = sources(held, {"s": 10})
    assert source.counted == 10
    assert source.counted_twice == 0


def test_nodes_whose_capital_is_one_another_are_refused_as_a_ring() -> None:
    """A's capital is a deposit at B, B's is C's shares, and C's is a claim on A."""
    with pytest.raises(BadInput) as refused:
        refuse_circular_capital((Claim("B", "A", 5), Claim("C", "B", 5), Claim("A", "C", 5), Claim("D", "A", 1)))
    assert refused.value.code == "contagion.circular_capital"
    assert refused.value.data["ring"] == "A, B, C, A"


def test_capital_that_ends_outside_is_no_ring() -> None:
    outside = (Claim("B", "A", 5), Claim("C", "B", 5), Claim("C", "A", 5), Claim("A", "C", 0))
    refuse_circular_capital(outside)
    assert circular_capital(outside) == []


# The custody triangle


def end(custody: Custody, *story: Event) -> Triangle:
    return replay(custody, 100, story)[-1]


@pytest.mark.parametrize(
    ("custody", "trader_loses"),
    [(Custody.PREFUNDED, 60), (Custody.POOLED, 10), (Custody.SEGREGATED, 10)],
)
def test_when_a_venue_fails_only_what_it_holds_or_owes_is_lost(custody: Custody, trader_loses: int) -> None:
    """100 secured, an unsettled gain of 20, an estate that pays half."""
    state = end(custody, Event(H.GAIN, Fraction(20)), Event(H.VENUE_FAILS, HALF))
    assert state.lost == {"trader": trader_loses, "venue": 0}
    assert state.secured + state.lost["trader"] == 120


def test_settling_more_often_leaves_less_to_lose_unless_the_tokens_lie_at_the_venue() -> None:
    story = (Event(H.GAIN, Fraction(20)), Event(H.SETTLE), Event(H.VENUE_FAILS, Fraction(0)))
    assert end(Custody.SEGREGATED, *story).lost["trader"] == 0
    assert end(Custody.PREFUNDED, *story).lost["trader"] == 120


@pytest.mark.parametrize(
    ("custody", "trader_loses", "out_of_reach"),
    [(Custody.PREFUNDED, 0, 0), (Custody.POOLED, 50, 0), (Custody.SEGREGATED, 0, 100)],
)
def test_a_custodian_that_fails_costs_a_pool_and_delays_the_segregated(
    custody: Custody, trader_loses: int, out_of_reach: int
) -> None:
    state = end(custody, Event(H.CUSTODIAN_FAILS, HALF))
    assert (float(state.lost["trader"]), float(state.out_of_reach)) == (trader_loses, out_of_reach)


def test_a_refusal_delays_and_when_it_relents_nothing_was_lost() -> None:
    story = (Event(H.GAIN, Fraction(20)), Event(H.REFUSE), Event(H.SETTLE))
    state = end(Custody.SEGREGATED, *story)
    assert state.owed == 20
    assert state.out_of_reach == 120
    state = end(Custody.SEGREGATED, *story, Event(H.RELENT), Event(H.SETTLE))
    assert state.secured == 120
    assert state.out_of_reach == 0
    assert state.lost == {"trader": 0, "venue": 0}


def test_a_refusal_makes_mirrored_credit_the_venues_loss() -> None:
    """The venue's credit rests on tokens at the custodian: while those cannot move, a trader's default is its loss."""
    loss = Event(H.GAIN, Fraction(-30))
    assert end(Custody.SEGREGATED, loss, Event(H.TRADER_FAILS)).lost == {"trader": 0, "venue": 0}
    assert end(Custody.SEGREGATED, loss, Event(H.REFUSE), Event(H.TRADER_FAILS)).lost == {"trader": 0, "venue": 30}
    assert end(Custody.PREFUNDED, loss, Event(H.REFUSE), Event(H.TRADER_FAILS)).lost == {"trader": 0, "venue": 0}


def test_a_loss_beyond_what_is_secured_is_the_venues() -> None:
    state = end(Custody.SEGREGATED, Event(H.GAIN, Fraction(-130)), Event(H.SETTLE), Event(H.TRADER_FAILS))
    assert state.lost == {"trader": 0, "venue": 30}
    assert state.secured == 0


def test_no_story_goes_on_after_its_end() -> None:
    with pytest.raises(BadInput, match="gone"):
        replay(Custody.POOLED, 1, (Event(H.VENUE_FAILS, HALF), Event(H.GAIN, HALF)))
    with pytest.raises(BadInput, match="share"):
        replay(Custody.POOLED, 1, (Event(H.VENUE_FAILS, Fraction(2)),))
    with pytest.raises(BadInput, match="gone already"):
        replay(Custody.POOLED, 1, (Event(H.CUSTODIAN_FAILS), Event(H.CUSTODIAN_FAILS)))


stories = st.lists(
    st.one_of(
        st.integers(-40, 40).map(lambda gain: Event(H.GAIN, Fraction(gain))),
        st.sampled_from([Event(H.SETTLE), Event(H.REFUSE), Event(H.RELENT)]),
    ),
    max_size=6,
)
ends = st.sampled_from([Event(H.VENUE_FAILS, HALF), Event(H.VENUE_FAILS), Event(H.TRADER_FAILS), Event(H.RELENT)])


@given(st.sampled_from(Custody), stories, ends)
def test_gains_and_losses_add_up_in_every_story(custody: Custody, story: list[Event], last: Event) -> None:
    """What the trader has, less what the venue lost in its stead, is what it brought plus gains, less what it lost."""
    state = end(custody, *story, last)
    gains = sum(event.amount for event in story if event.what is H.GAIN)
    assert state.secured + state.owed + state.lost["trader"] - state.lost["venue"] == 100 + gains
    assert state.secured >= 0
    assert min(state.lost.values()) >= 0


@given(stories, ends)
def test_segregated_tokens_never_cost_the_trader_more_than_others(story: list[Event], last: Event) -> None:
    lost = [end(custody, *story, last).lost["trader"] for custody in (Custody.SEGREGATED, Custody.PREFUNDED)]
    assert lost[0] <= lost[1]


# Concentration


def test_shares_and_index_of_a_known_split() -> None:
    held = (Holding("A", 60, asset="USDC"), Holding("B", 20, asset="USDC"), Holding("B", 20, asset="WBTC"))
    found = concentration(held, "asset")
    assert found.shares == (("USDC", Fraction(4, 5)), ("WBTC", Fraction(1, 5)))
    assert found.hhi == Fraction(17, 25)
    assert found.largest == "USDC"
    assert concentration(held, "place").shares == ()
    assert concentration(held, "place").hhi == 0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_the_index_lies_between_an_equal_split_and_one_name(amounts: list[int]) -> None:
    found = concentration([Holding(str(i), amount, place=str(i)) for i, amount in enumerate(amounts)], "place")
    assert Fraction(1, len(amounts)) <= found.hhi <= 1
    assert sum(share for _, share in found.shares) == 1
