"""A holder's account of a class: adds up to the base unit, joins at any moment, and holders never exceed the class."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from bonds.servicing.account import Account, Happened, Kind, account

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=10_000)
ORIGINAL = 12_000_000_000_001  # a prime share of nothing: floors matter


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def whole(events: list[Happened]) -> Account:
    return account(events, ORIGINAL, START, END)


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Happened], list[list[Happened]]]:
    """What happened to a class, and to each of its holders: losses, recoveries, repayments, transfers among them."""
    cuts = sorted(draw(st.lists(st.integers(0, ORIGINAL), min_size=1, max_size=4)))
    shares = [high - low for low, high in zip([0, *cuts], [*cuts, ORIGINAL], strict=True)]
    holders = [[Happened(at(0), Kind.ISSUED, units)] for units in shares]
    outstanding, lost, common = ORIGINAL, 0, []
    for day in range(1, draw(st.integers(1, 12))):
        kind = draw(st.sampled_from([Kind.WRITTEN_DOWN, Kind.WRITTEN_UP, Kind.REDEEMED, Kind.SENT]))
        if kind == Kind.SENT:
            giver, taker = (draw(st.integers(0, len(shares) - 1)) for _ in range(2))
            units = draw(st.integers(0, shares[giver]))
            shares[giver], shares[taker] = shares[giver] - units, shares[taker] + units
            holders[giver].append(Happened(at(day), Kind.SENT, -units))
            holders[taker].append(Happened(at(day), Kind.RECEIVED, units))
            continue
        most = lost if kind == Kind.WRITTEN_UP else outstanding
        amount = draw(st.integers(0, most))
        change = amount if kind == Kind.WRITTEN_UP else -amount
        outstanding += change
        lost -= change if kind != Kind.REDEEMED else 0
        common.append(Happened(at(day), kind, outstanding=change))
    return common, holders


@settings(max_examples=120, deadline=None)
@given(lives(), st.integers(0, 13))
def test_accounts_add_up_and_join_at_any_moment(life: tuple[list[Happened], list[list[Happened]]], day: int) -> None:
    common, holders = life
    outstanding = ORIGINAL + sum(event.outstanding for event in common)
    principals = []
    for own in holders:
        events = [*own, *common]
        found = whole(events)
        assert found.opening_principal + sum(line.principal for line in found.lines) == found.closing_principal
        assert found.opening_units + sum(line.units for line in found.lines) == found.closing_units
        first, second = account(events, ORIGINAL, START, at(day)), account(events, ORIGINAL, at(day), END)
        assert (first.closing_units, first.closing_principal) == (second.opening_units, second.opening_principal)
        assert first.lines + second.lines == found.lines
        assert found.cash(Kind.REDEEMED) == -found.total(Kind.REDEEMED)
        principals.append(found.closing_principal)
    assert outstanding - len(holders) < sum(principals) <= outstanding


def test_a_life_of_two_holders_by_hand() -> None:
    common = [
        Happened(at(10), Kind.WRITTEN_DOWN, outstanding=-6),
        Happened(at(20), Kind.WRITTEN_UP, outstanding=3),
        Happened(at(40), Kind.REDEEMED, outstanding=-7),
    ]
    north = [
        Happened(at(0), Kind.ISSUED, 6), Happened(at(5), Kind.COUPON, cash=2), Happened(at(30), Kind.SENT, -2),
    ]  # fmt: skip
    south = [Happened(at(30), Kind.RECEIVED, 2)]
    of_north, of_south = (account([*own, *common], 10, START, END) for own in (north, south))
    assert [(line.kind.value, line.principal, line.principal_after, line.cash) for line in of_north.lines] == [
        ("ISSUED", 6, 6, 0),
        ("COUPON", 0, 6, 2),
        ("WRITTEN_DOWN", -4, 2, 0),
        ("WRITTEN_UP", 2, 4, 0),
        ("SENT", -2, 2, 0),
        ("REDEEMED", -2, 0, 2),
    ]
    assert [line.kind for line in of_south.lines] == [Kind.RECEIVED, Kind.REDEEMED], "what came before is not its own"
    assert of_south.lines[1].cash == 1


def test_nothing_of_a_class_is_an_empty_account() -> None:
    assert whole([Happened(at(3), Kind.WRITTEN_DOWN, outstanding=-5)]) == Account(0, 0, (), 0, 0)
