"""The same dollar twice: no token may stand as two balance sheets' capital.

Networks look safe when one asset is counted at each of its stations: margin that the house re-pledges to a venue, a
deposit that two layers lean on, a node whose capital is its claim on the node that leans on it. Here every holding
names its source (the very tokens, by place and account), and two things are refused by name: a source that carries
more than lies in it, and a ring of nodes each of whose capital is a claim on the next.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from intermediary.errors import BadInput
from risk.contagion.network import Claim, Holding


@dataclass(frozen=True)
class Source:
    """What lies in one source and who leans on it: (owner, amount) in the order given."""

    name: str
    lies_there: Fraction
    leaned_on: tuple[tuple[str, Fraction], ...]

    @property
    def counted(self) -> Fraction:
        """The sum of all that counts on it."""
        return sum((amount for _, amount in self.leaned_on), Fraction(0))

    @property
    def counted_twice(self) -> Fraction:
        """What is counted beyond what lies there."""
        return max(Fraction(0), self.counted - self.lies_there)


def sources(holdings: Iterable[Holding], balances: Mapping[str, int | Fraction]) -> tuple[Source, ...]:
    """Every source with those who count on it. A source that no balance is known of has nothing in it.

    `balances`: source -> amount that lies there, in the holdings' unit. A holding without a source is not looked at.
    """
    leaning: dict[str, list[tuple[str, Fraction]]] = defaultdict(list)
    for holding in holdings:
        if holding.source and holding.amount:
            leaning[holding.source].append((holding.owner, Fraction(holding.amount)))
    names = sorted({*leaning, *balances})
    return tuple(Source(name, Fraction(balances.get(name, 0)), tuple(leaning[name])) for name in names)


def refuse_same_dollar_twice(holdings: Iterable[Holding], balances: Mapping[str, int | Fraction]) -> None:
    """Raises BadInput `contagion.same_dollar_twice` with the source, its owners and the amount counted twice."""
    for source in sources(holdings, balances):
        if source.counted_twice:
            owners = ", ".join(dict.fromkeys(owner for owner, _ in source.leaned_on))
            raise BadInput(
                "contagion.same_dollar_twice",
                f"{source.name} stands as capital of {owners} for more than lies there.",
                source=source.name,
                owners=owners,
                counted_twice=float(source.counted_twice),
            )


def circular_capital(capital: Iterable[Claim]) -> list[str]:
    """A ring of nodes each of whose capital is a claim on the next, its first name again at the end; empty without one.

    `capital`: claims that their creditor counts as its capital (shares, deposits it would pay losses from).
    """
    backed_by: dict[str, list[str]] = defaultdict(list)
    for claim in capital:
        if claim.amount:
            backed_by[claim.creditor].append(claim.debtor)
    return next((ring for start in sorted(backed_by) if (ring := _ring_from(start, backed_by))), [])


def refuse_circular_capital(capital: Iterable[Claim]) -> None:
    """Capital that is a claim on another node's capital: raises BadInput `contagion.circular_capital` with the ring."""
    ring = circular_capital(capital)
    if ring:
        raise BadInput(
            "contagion.circular_capital",
            "Their capital is one another: " + " is backed by ".join(ring) + ".",
            ring=", ".join(ring),
        )


def _ring_from(start: str, backed_by: Mapping[str, list[str]]) -> list[str]:
    """The shortest ring through a node, its name again at the end; empty without one (breadth first)."""
    paths, seen = [[start]], {start}
    while paths:
        path = paths.pop(0)
        for name in backed_by.get(path[-1], []):
            if name == start:
                return [*path, name]
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []
