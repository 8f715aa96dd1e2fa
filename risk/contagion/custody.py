"""The custody triangle: a trader, the venue it trades at, and the custodian who keeps what secures the trades.

Three ways to secure a trade at a venue. *Prefunded*: the trader's tokens lie at the venue itself. *Pooled*: they lie at
a custodian, on one account with everybody's. *Segregated*: at a custodian, on the trader's own account, and the venue
only mirrors them as credit. Gains and losses run at the venue until they are settled. The replay takes the events of a
story in their order and says what each party has lost, and what it cannot reach for now.

Amounts are one unit throughout; `gain` is signed, positive for the trader.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from intermediary.errors import BadInput


class Custody(StrEnum):
    """Where the trader's tokens lie."""

    PREFUNDED = "prefunded"
    POOLED = "pooled"
    SEGREGATED = "segregated"


class Happening(StrEnum):
    """What may happen. `amount` of its event: a signed gain, or the share of claims that a failed estate pays."""

    GAIN = "gain"
    SETTLE = "settle"
    REFUSE = "refuse"  # the custodian, or the venue behind it, refuses to move anything from now on
    RELENT = "relent"  # it moves again
    VENUE_FAILS = "venue fails"
    CUSTODIAN_FAILS = "custodian fails"
    TRADER_FAILS = "trader fails"


@dataclass(frozen=True)
class Event:
    """One event of the story."""

    what: Happening
    amount: Fraction = Fraction(0)


@dataclass(frozen=True)
class Triangle:
    """The state between events. `secured`: the trader's tokens; `owed`: the running gain (negative: loss) not settled;
    `refused`: nothing moves; `lost`: by party, so far; `over`: the venue or the trader is gone."""

    custody: Custody
    secured: Fraction
    owed: Fraction = Fraction(0)
    refused: bool = False
    over: bool = False
    custodian_gone: bool = False
    lost: dict[str, Fraction] = field(default_factory=lambda: {"trader": Fraction(0), "venue": Fraction(0)})

    @property
    def out_of_reach(self) -> Fraction:
        """What is the trader's and cannot be moved now: tokens under a refusal, and a gain that nobody pays."""
        return self.secured + max(Fraction(0), self.owed) if self.refused else Fraction(0)


def replay(custody: Custody, secured: Fraction | int, story: Iterable[Event]) -> tuple[Triangle, ...]:
    """The state at the start and after each event. Raises BadInput `contagion.story` on what cannot follow."""
    if secured < 0:
        raise BadInput("contagion.negative", "What secures a trade is never negative.")
    states = [Triangle(custody, Fraction(secured))]
    for event in story:
        states.append(_after(states[-1], event))
    return tuple(states)


def _after(now: Triangle, event: Event) -> Triangle:
    what, amount = event.what, Fraction(event.amount)
    if now.over and what is not Happening.RELENT and what is not Happening.CUSTODIAN_FAILS:
        raise BadInput("contagion.story", "Nothing is traded once the venue or the trader is gone.", event=str(what))
    match what:
        case Happening.GAIN:
            return replace(now, owed=now.owed + amount)
        case Happening.SETTLE:
            return now if now.refused else _settled(now)
        case Happening.REFUSE:
            return replace(now, refused=True)
        case Happening.RELENT:
            return replace(now, refused=False)
        case Happening.VENUE_FAILS:
            return _venue_fails(now, _share(amount))
        case Happening.CUSTODIAN_FAILS:
            return _custodian_fails(now, _share(amount))
        case Happening.TRADER_FAILS:
            return _trader_fails(now)


def _settled(now: Triangle) -> Triangle:
    """Gains are paid in, losses are paid out of what secures them; the rest stays owed."""
    paid = max(now.owed, -now.secured)
    return replace(now, secured=now.secured + paid, owed=now.owed - paid)


def _venue_fails(now: Triangle, pays: Fraction) -> Triangle:
    """A running gain is a claim on the estate; a loss is still owed to it, out of what secures it. Tokens that lie at
    the venue are a claim on the estate as well; those at a custodian are not the venue's."""
    claim = max(Fraction(0), now.owed)
    kept = _settled(replace(now, owed=min(Fraction(0), now.owed)))
    claim += kept.secured if now.custody is Custody.PREFUNDED else 0
    held = Fraction(0) if now.custody is Custody.PREFUNDED else kept.secured
    lost = _more(kept.lost, trader=claim * (1 - pays), venue=-kept.owed)
    return replace(kept, secured=held + claim * pays, owed=Fraction(0), over=True, lost=lost)


def _custodian_fails(now: Triangle, pays: Fraction) -> Triangle:
    """A segregated account is the trader's own and only waits for a new keeper; a pooled one is a claim on the estate;
    prefunded tokens were never there."""
    if now.custodian_gone:
        raise BadInput("contagion.story", "The custodian is gone already.")
    if now.custody is Custody.POOLED:
        lost = _more(now.lost, trader=now.secured * (1 - pays))
        return replace(now, secured=now.secured * pays, lost=lost, custodian_gone=True)
    return replace(now, refused=now.refused or now.custody is Custody.SEGREGATED, custodian_gone=True)


def _trader_fails(now: Triangle) -> Triangle:
    """The venue takes what secures the loss; what that does not cover it loses, all of it while a refusal holds."""
    reach = Fraction(0) if now.refused and now.custody is not Custody.PREFUNDED else now.secured
    loss = max(Fraction(0), -now.owed)
    taken = min(loss, reach)
    left = replace(now, secured=now.secured - taken, owed=max(Fraction(0), now.owed), over=True)
    return replace(left, lost=_more(now.lost, venue=loss - taken))


def _share(amount: Fraction) -> Fraction:
    if not 0 <= amount <= 1:
        raise BadInput("contagion.share", "What an estate pays is a share from 0 to 1.", share=float(amount))
    return amount


def _more(lost: dict[str, Fraction], *, trader: Fraction | int = 0, venue: Fraction | int = 0) -> dict[str, Fraction]:
    return {"trader": lost["trader"] + trader, "venue": lost["venue"] + venue}
