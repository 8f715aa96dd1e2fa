"""The custody triangle on the contagion page: one relationship's margin, had it lain elsewhere.

The officer picks a story of a trader, a venue and a custodian, and what the tokens are; `risk.contagion.custody`
replays it for tokens prefunded at the venue, pooled at a custodian, and segregated as every vault is here.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django import forms

from risk.contagion.custody import Custody, Event, Happening, Triangle, replay
from risk.contagion.platform import Facts

WAYS = (
    (Custody.PREFUNDED, "Prefunded at the venue"),
    (Custody.POOLED, "Pooled at a custodian"),
    (Custody.SEGREGATED, "Segregated, as here"),
)
STORIES = (
    ("venue", "The trader has gained; the venue fails"),
    ("refusal", "The trader has gained; the custodian refuses, then the venue fails"),
    ("both", "The trader has gained; the venue fails, and then the custodian"),
    ("custodian", "The trader's gain is settled; the custodian fails"),
    ("trader", "The trader has lost; the trader fails"),
    ("stuck", "The trader has lost; the custodian refuses, then the trader fails"),
)
LOSING = ("trader", "stuck")
WORDS = {
    Happening.SETTLE: "The result is settled",
    Happening.REFUSE: "The custodian refuses to move anything",
    Happening.VENUE_FAILS: "The venue fails",
    Happening.CUSTODIAN_FAILS: "The custodian fails",
    Happening.TRADER_FAILS: "The trader fails",
}
SCALE = 1000


class CustodyForm(forms.Form):
    """One story. The trader's tokens are the margin of the relationship."""

    story = forms.ChoiceField(choices=STORIES, label="Story")
    trader = forms.ChoiceField(label="Trader")
    moved = forms.DecimalField(
        label="Gain or loss, % of its margin", min_value=0, max_value=1000, max_digits=6, decimal_places=2
    )
    estate = forms.DecimalField(
        label="A failed estate pays, %", min_value=0, max_value=100, max_digits=5, decimal_places=2
    )

    def __init__(self, known: Facts, data: dict[str, str]) -> None:
        super().__init__(data, label_suffix="", auto_id="custody-%s")
        self.fields["trader"].choices = [(one.code, one.code) for one in known.relationships]  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Outcome:
    """How one way of keeping the tokens ends; settlement base units. `kept` the trader can move, `stuck` it cannot,
    `worst_stuck` at the worst moment; what the trader and the venue lose."""

    name: str
    kept: int
    stuck: int
    worst_stuck: int
    trader_loses: int
    venue_loses: int

    @property
    def shares(self) -> list[tuple[str, float, float]]:
        """The trader's part as a bar: tone, where it begins and its width of 1,000."""
        parts = (("f-ok", self.kept), ("f-wait", self.stuck), ("f-bad", self.trader_loses))
        whole, left, found = sum(amount for _, amount in parts) or 1, 0, []
        for tone, amount in parts:
            found.append((tone, SCALE * left / whole, SCALE * amount / whole))
            left += amount
        return found

    @property
    def words(self) -> str:
        """The bar for who does not see it."""
        whole = (self.kept + self.stuck + self.trader_loses) or 1
        shares = [f"{amount / whole:.0%}" for amount in (self.kept, self.stuck, self.trader_loses)]
        return f"{self.name}: the trader keeps {shares[0]}, cannot reach {shares[1]}, loses {shares[2]}"


def asked(query: dict[str, str], known: Facts) -> dict[str, str]:
    """What the address asks for, over a start: the venue fails on the relationship with the largest margin."""
    largest = max(known.relationships, key=lambda one: one.margin, default=None)
    start = {"story": "venue", "trader": largest.code if largest else "", "moved": "20", "estate": "40"}
    return {name: query.get(name, value) for name, value in start.items()}


def played(known: Facts, wanted: dict[str, Any]) -> dict[str, Any]:
    """The story for each way of keeping the tokens: outcomes, and step by step who has lost what."""
    secured = next(one.margin for one in known.relationships if one.code == wanted["trader"])
    moved = Fraction(secured) * Fraction(wanted["moved"]) / 100
    story = _story(wanted["story"], moved, Fraction(wanted["estate"]) / 100)
    states = {way: replay(way, secured, story) for way, _ in WAYS}
    steps = []
    for number, event in enumerate(story, start=1):
        now = [states[way][number] for way, _ in WAYS]
        steps.append((_said(event), [(int(sum(one.lost.values())), int(one.out_of_reach)) for one in now]))
    return {
        "custody_secured": secured,
        "custody_ways": [name for _, name in WAYS],
        "custody_outcomes": [_outcome(name, states[way]) for way, name in WAYS],
        "custody_steps": steps,
    }


def _story(name: str, moved: Fraction, pays: Fraction) -> list[Event]:
    result = Event(Happening.GAIN, -moved if name in LOSING else moved)
    venue, custodian = Event(Happening.VENUE_FAILS, pays), Event(Happening.CUSTODIAN_FAILS, pays)
    refuses, trader = Event(Happening.REFUSE), Event(Happening.TRADER_FAILS)
    rest = {
        "venue": [venue],
        "refusal": [refuses, Event(Happening.SETTLE), venue],
        "both": [venue, custodian],
        "custodian": [Event(Happening.SETTLE), custodian],
        "trader": [trader],
        "stuck": [refuses, trader],
    }
    return [result, *rest[name]]


def _said(event: Event) -> str:
    if event.what is Happening.GAIN:
        return "The trader loses, not settled yet" if event.amount < 0 else "The trader gains, not settled yet"
    return WORDS[event.what]


def _outcome(name: str, states: tuple[Triangle, ...]) -> Outcome:
    end = states[-1]
    claim = max(Fraction(0), end.owed)
    return Outcome(
        name=name,
        kept=0 if end.refused else int(end.secured + claim),
        stuck=int(end.out_of_reach),
        worst_stuck=int(max(one.out_of_reach for one in states)),
        trader_loses=int(end.lost["trader"]),
        venue_loses=int(end.lost["venue"]),
    )
