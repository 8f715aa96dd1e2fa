"""How a series will be sold: the times and sizes that are announced and then fixed. Standard library only.

Bids are sealed between `opens_at` and `commits_until`, revealed until `reveals_until`, and what is allocated is paid
for until `pays_until`; what is unpaid then is handed on in further rounds until `ends_at`, after which the escrow takes
nothing. Times are UTC. Nobody can move them, so nobody can close a book on a bidder who is known to come late.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from bonds.offering.terms import BPS, RETAINED_BPS_MIN, SeriesTerms
from intermediary.errors import BadInput

ROUNDS_MAX = 3  # of payment: the clearing, then twice to those whom the clearing cut
SHORTEST = timedelta(minutes=30)  # of bidding, of revealing and of paying: a desk must be able to notice and act


@dataclass(frozen=True)
class ClassPlan:
    """What one class sells, under its symbol; base units. The target is the face of the terms."""

    symbol: str
    limit_base_units: int
    cap_base_units: int
    bidders_min: int = 1


@dataclass(frozen=True)
class OfferingPlan:
    """The times of an offering, and one plan a class, junior first."""

    opens_at: datetime
    commits_until: datetime
    reveals_until: datetime
    pays_until: datetime
    ends_at: datetime
    classes: tuple[ClassPlan, ...]

    def body(self) -> dict[str, Any]:
        """The plain JSON value that a proposal is bound to."""
        times = {name: value.isoformat() for name, value in self.times.items()}
        return times | {"classes": [asdict(one) for one in self.classes]}

    @property
    def times(self) -> dict[str, datetime]:
        names = ("opens_at", "commits_until", "reveals_until", "pays_until", "ends_at")
        return {name: getattr(self, name) for name in names}

    def refuse_unfit(self, terms: SeriesTerms, now: datetime) -> None:
        """Refuse times that are over, out of order or too short, and sizes that the terms cannot carry."""
        moments = list(self.times.values())
        spans = [later - earlier for earlier, later in pairwise(moments)]
        if any(span < SHORTEST for span in spans[:3]) or spans[3] < timedelta():
            raise BadInput(
                "offering.times", f"Bidding, revealing and paying each last at least {SHORTEST.seconds // 60} minutes."
            )
        if self.commits_until <= now:
            raise BadInput("offering.times_past", "The time for bids is over already.", now=now.isoformat())
        if [one.symbol for one in self.classes] != [one.symbol for one in terms.classes]:
            raise BadInput("offering.classes", "The plan names the classes of the terms, junior first.")
        for index, one in enumerate(self.classes):
            _refuse_unfit_class(one, terms, index)


def from_body(body: dict[str, Any]) -> OfferingPlan:
    """The plan in a proposal's body."""
    names = ("opens_at", "commits_until", "reveals_until", "pays_until", "ends_at")
    times = {name: datetime.fromisoformat(body[name]) for name in names}
    return OfferingPlan(**times, classes=tuple(ClassPlan(**one) for one in body["classes"]))


def plain(terms: SeriesTerms, opens_at: datetime, window: timedelta, to_pay: timedelta) -> OfferingPlan:
    """Every class at its face without upsizing or cap; bids and reveals each take `window`."""
    faces = [terms.face_base_units(index) for index in range(len(terms.classes))]
    closes = opens_at + window
    return OfferingPlan(
        opens_at=opens_at,
        commits_until=closes,
        reveals_until=closes + window,
        pays_until=closes + window + to_pay,
        ends_at=closes + window + 2 * to_pay,
        classes=tuple(ClassPlan(one.symbol, face, face) for one, face in zip(terms.classes, faces, strict=True)),
    )


def limit_of(terms: SeriesTerms, index: int) -> int:
    """The most of a class that can be sold: all but the least vertical slice that the intermediary keeps."""
    most = sum(most_of_part(item.widths_base_units[index]) for item in terms.slices)
    return max(terms.face_base_units(index), most - most % terms.denomination_base_units)


def most_of_part(width_base_units: int) -> int:
    """The most principal in a part of this width."""
    return width_base_units * (BPS - RETAINED_BPS_MIN) // BPS


def round_ends(plan_pays_until: datetime, ends_at: datetime, payment_round: int) -> datetime:
    """When this round of payment ends; the first at `pays_until`, the last at `ends_at`, the others evenly between."""
    step = (ends_at - plan_pays_until) / (ROUNDS_MAX - 1)
    return plan_pays_until + step * (payment_round - 1)


def _refuse_unfit_class(one: ClassPlan, terms: SeriesTerms, index: int) -> None:
    face, unit = terms.face_base_units(index), terms.denomination_base_units
    if one.cap_base_units <= 0 or any(amount % unit for amount in (one.limit_base_units, one.cap_base_units)):
        raise BadInput("off_denomination", "Limit and cap are multiples of the denomination.", symbol=one.symbol)
    if one.bidders_min < 1 or one.bidders_min * one.cap_base_units < face:
        raise BadInput(
            "offering.cap",
            "The cap an investor lets the fewest bidders cover the target.",
            symbol=one.symbol,
            target_base_units=face,
            cap_base_units=one.cap_base_units,
            bidders_min=one.bidders_min,
        )
    if not face <= one.limit_base_units <= limit_of(terms, index):
        raise BadInput(
            "offering.limit",
            "A class grows at most into what the intermediary keeps beyond its least share.",
            symbol=one.symbol,
            limit_base_units=one.limit_base_units,
            most_base_units=limit_of(terms, index),
        )
