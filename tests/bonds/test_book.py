"""The book of one class: the rules one by one, then B1 and B2 over random books against the rules taken literally."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonds.offering.book import Bid, Clearing, Offered, Step, clear
from bonds.offering.rounds import Waiting, hand_on
from intermediary.ids import uuid7

UNIT = 10


def offered(target: int, *, limit: int = 0, cap: int = 10_000, bidders_min: int = 1) -> Offered:
    return Offered(target, UNIT, limit or target, cap, bidders_min)


def bid(key: str, *steps: tuple[int, int], minimum: int = 0) -> Bid:
    return Bid(key, ord(key[0]), tuple(Step(spread, amount) for spread, amount in steps), minimum)


# name, what is offered, bids, spread, fills, removed
LEDGER: list[tuple[str, Offered, list[Bid], int | None, dict[str, int], tuple[str, ...]]] = [
    ("one step each", offered(100), [bid("a", (4, 60)), bid("b", (5, 40))], 5, {"a": 60, "b": 40}, ()),
    ("a ladder is filled step by step", offered(100), [bid("a", (4, 60), (6, 60)), bid("b", (5, 40))], 5,
        {"a": 60, "b": 40}, ()),
    ("the margin is shared pro rata", offered(100), [bid("a", (4, 40)), bid("b", (5, 90)), bid("c", (5, 30))], 5,
        {"a": 40, "b": 50, "c": 10}, ()),
    ("remainders go to the largest, equal ones by rank", offered(60), [bid("b", (5, 30)), bid("c", (5, 50))], 5,
        {"b": 20, "c": 40}, ()),
    ("more is sold at the same spread only", offered(100, limit=130), [bid("a", (4, 60)), bid("b", (5, 60)),
        bid("c", (6, 60))], 5, {"a": 60, "b": 60, "c": 0}, ()),
    ("never beyond the limit", offered(100, limit=130), [bid("a", (4, 60)), bid("b", (5, 100))], 5,
        {"a": 60, "b": 70}, ()),
    ("a cap cuts the dearest steps", offered(100, cap=50), [bid("a", (4, 40), (5, 40)), bid("b", (5, 60))], 5,
        {"a": 50, "b": 50}, ()),
    ("a minimum beyond the cap is out", offered(100, cap=50), [bid("a", (4, 90), minimum=60), bid("b", (5, 50)),
        bid("c", (6, 50))], 6, {"a": 0, "b": 50, "c": 50}, ("a",)),
    ("an unmet minimum is removed and the book cleared again", offered(100), [bid("a", (4, 60)),
        bid("b", (5, 90), minimum=80), bid("c", (6, 40))], 6, {"a": 60, "b": 0, "c": 40}, ("b",)),
    ("the largest unmet minimum goes first", offered(100), [bid("a", (5, 100), minimum=60),
        bid("b", (5, 100), minimum=90)], 5, {"a": 100, "b": 0}, ("b",)),
    ("equal ones the later rank first", offered(100), [bid("a", (5, 100), minimum=60), bid("b", (5, 100), minimum=60)],
        5, {"a": 100, "b": 0}, ("b",)),
    ("not covered", offered(100), [bid("a", (4, 90))], None, {"a": 0}, ()),
    ("not covered once a minimum is removed", offered(100), [bid("a", (4, 60)), bid("b", (5, 90), minimum=80)], None,
        {"a": 0, "b": 0}, ("b",)),
    ("too few bidders", offered(100, bidders_min=2), [bid("a", (4, 100)), bid("b", (5, 100))], None,
        {"a": 0, "b": 0}, ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "what", "bids", "spread", "fills", "removed"), LEDGER, ids=[row[0] for row in LEDGER])
def test_rules(
    name: str, what: Offered, bids: list[Bid], spread: int | None, fills: dict[str, int], removed: tuple[str, ...]
) -> None:
    found = clear(what, bids)
    assert (found.spread_bps, found.fills_base_units, found.removed) == (spread, fills, removed)


@pytest.mark.parametrize(
    "bids",
    [
        [bid("a", (4, 11))],
        [bid("a", (4, 10), minimum=5)],
        [bid("a", (5, 10), (4, 10))],
        [bid("a", (4, 10)), bid("a", (4, 10))],
        [bid("a")],
        [bid("a", (-1, 10))],
    ],
)
def test_what_is_no_ladder_is_refused(bids: list[Bid]) -> None:
    with pytest.raises(ValueError, match=r"."):
        clear(offered(10), bids)


@st.composite
def ladders(draw: st.DrawFn, rank: int) -> Bid:
    spreads = sorted(draw(st.sets(st.integers(0, 8), min_size=1, max_size=3)))
    steps = tuple(Step(spread, UNIT * draw(st.integers(1, 30))) for spread in spreads)
    lots = sum(step.amount_base_units for step in steps) // UNIT
    minimum = UNIT * draw(st.one_of(st.just(0), st.integers(0, lots + 2)))
    return Bid(f"bid {rank}", rank, steps, minimum)


@st.composite
def books(draw: st.DrawFn) -> tuple[Offered, list[Bid]]:
    bids = [draw(ladders(rank)) for rank in range(draw(st.integers(1, 7)))]
    target = UNIT * draw(st.integers(1, 60))
    limit = target + UNIT * draw(st.sampled_from([0, 0, 5, 30]))
    cap = UNIT * draw(st.sampled_from([10, 20, 40, 1000]))
    return Offered(target, UNIT, limit, cap, draw(st.integers(1, 2))), bids


def taken_literally(what: Offered, bids: list[Bid]) -> tuple[int | None, list[str]]:
    """The rules as they are written, one removal and one whole clearing at a time: (spread, removed)."""
    most = {one.key: min(what.cap_base_units, one.amount_base_units) for one in bids}
    removed = [one.key for one in bids if one.minimum_fill_base_units > most[one.key]]
    live = {one.key: one for one in bids if one.key not in removed}

    def demand(one: Bid, spread: int) -> int:
        return min(most[one.key], sum(step.amount_base_units for step in one.steps if step.spread_bps <= spread))

    while True:
        levels = sorted({step.spread_bps for one in live.values() for step in one.steps})
        covering = [at for at in levels if sum(demand(one, at) for one in live.values()) >= what.target_base_units]
        if not covering:
            return None, removed
        spread = covering[0]
        size = min(what.limit_base_units, sum(demand(one, spread) for one in live.values()))
        below = {key: demand(one, spread - 1) for key, one in live.items()}
        at = {key: demand(one, spread) - below[key] for key, one in live.items()}
        left = size - sum(below.values())
        share = {key: below[key] + left // UNIT * at[key] // sum(at.values()) * UNIT for key in live}
        unmet = [one for key, one in live.items() if demand(one, spread) and share[key] < one.minimum_fill_base_units]
        if not unmet:
            return spread, removed
        worst = max(unmet, key=lambda one: (one.minimum_fill_base_units, one.rank))
        removed.append(worst.key)
        del live[worst.key]


@given(books())
def test_one_pass_is_the_rules_taken_literally(book: tuple[Offered, list[Bid]]) -> None:
    what, bids = book
    found, (spread, removed) = clear(what, bids), taken_literally(what, bids)
    assert list(found.removed) == removed
    if found.covered:
        assert found.spread_bps == spread
    else:
        assert spread is None or what.bidders_min > 1


@given(books(), st.randoms(use_true_random=False))
def test_b1_fills_are_within_orders_and_sum_to_the_size(book: tuple[Offered, list[Bid]], chance: Random) -> None:
    what, bids = book
    found = clear(what, bids)
    shuffled = list(bids)
    chance.shuffle(shuffled)
    assert clear(what, shuffled) == found
    if not found.covered:
        assert not any(found.fills_base_units.values())
        return
    assert sum(found.fills_base_units.values()) == found.size_base_units
    assert what.target_base_units <= found.size_base_units <= what.limit_base_units
    for one in bids:
        assert_within(what, one, found)


def assert_within(what: Offered, one: Bid, found: Clearing) -> None:
    fill, spread = found.fills_base_units[one.key], found.spread_bps
    assert spread is not None
    accepted = min(what.cap_base_units, one.below(spread) + one.at(spread))
    assert 0 <= fill <= accepted
    assert fill % UNIT == 0
    assert not fill or fill >= one.minimum_fill_base_units
    if one.key not in found.removed:
        assert fill >= min(what.cap_base_units, one.below(spread)), "better steps are filled in full"


@given(books(), st.data())
def test_b2_asking_for_less_never_gets_less(book: tuple[Offered, list[Bid]], data: st.DataObject) -> None:
    what, bids = book
    mine = data.draw(st.sampled_from(bids))
    steps = list(mine.steps)
    which = data.draw(st.integers(0, len(steps) - 1))
    least = steps[which - 1].spread_bps + 1 if which else 0
    steps[which] = replace(steps[which], spread_bps=data.draw(st.integers(least, steps[which].spread_bps)))
    cheaper = replace(mine, steps=tuple(steps))
    before, after = clear(what, bids), clear(what, [cheaper if one is mine else one for one in bids])
    others_take_any = not any(one.minimum_fill_base_units for one in bids if one is not mine)
    same_orders_stand = before.removed == after.removed
    one_is_enough = what.bidders_min == 1  # a book may lose its second bidder to one who asks for less
    if one_is_enough and (others_take_any or same_orders_stand):
        assert after.fills_base_units[mine.key] >= before.fills_base_units[mine.key] - UNIT


@given(st.integers(0, 200), st.lists(st.tuples(st.integers(1, 60), st.integers(0, 40)), max_size=6))
def test_unpaid_notes_go_by_rank_to_orders_that_accept_the_spread(missing: int, asks: list[tuple[int, int]]) -> None:
    waiting = [Waiting(uuid7(), rank, left, least) for rank, (left, least) in enumerate(asks)]
    parts = hand_on(missing, waiting[::-1])
    assert sum(parts.values()) <= missing
    for one in waiting:
        part = parts.get(one.order_id, 0)
        assert part <= one.left_base_units
        assert not part or part >= one.minimum_fill_base_units
    served = [one for one in waiting if not one.minimum_fill_base_units]
    for earlier, later in pairwise(served):
        if parts.get(later.order_id):
            assert parts[earlier.order_id] == earlier.left_base_units
