"""The clearing vector: what everybody pays when nobody can pay more than it has.

Eisenberg & Noe (2001): a node pays all it owes, or all it has, in proportion to its debts; with costs of default
(Rogers & Veraart 2013) a defaulter's own assets shrink to a share and so does what it receives. Several vectors may do;
the greatest is returned, found by their algorithm: everybody pays in full, those who cannot are put in default, their
payments are solved for, and so on. Each round adds a defaulter, so there are at most as many rounds as nodes.
Arithmetic is rational: the result is exact and the same on every machine.

Two questions are answered one after the other (`settle`). *Liquidity*: who can pay what is due today, when a frozen
asset and a claim that may be refused count zero although the value is there? *Value*: what is everybody left with in
the end, when every debt falls due, frozen things are worth what they are, and those who failed to pay today bear the
costs of a default?
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from intermediary.errors import BadInput
from risk.contagion.network import Claim, Network

DEFAULTERS_MAX = 400  # a dense rational solution of more would keep a reader waiting for minutes


@dataclass(frozen=True)
class Clearing:
    """A clearing vector. Amounts by node, in the network's unit.

    `paid` of `owed`; `received` from others; `equity` = kept assets + received - paid, never negative; `cost` what
    defaults destroyed; `defaulters` in the order in which the rounds found them."""

    network: Network
    owed: dict[str, Fraction]
    paid: dict[str, Fraction]
    received: dict[str, Fraction]
    equity: dict[str, Fraction]
    cost: dict[str, Fraction]
    defaulters: tuple[str, ...]

    def unpaid(self, name: str) -> Fraction:
        """What a node fails to pay."""
        return self.owed[name] - self.paid[name]

    def paid_on(self, claim: Claim) -> Fraction:
        """What a claim gets: its proportion of what the debtor pays."""
        owed = self.owed[claim.debtor]
        return Fraction(claim.amount) * self.paid[claim.debtor] / owed if owed else Fraction(0)

    def lost_by(self, name: str) -> Fraction:
        """What a creditor fails to receive over all its claims."""
        return self._lost[name]

    @cached_property
    def _lost(self) -> dict[str, Fraction]:
        lost = dict.fromkeys(self.network.names, Fraction(0))
        for claim in self.network.claims:
            if self.paid[claim.debtor] < self.owed[claim.debtor]:
                lost[claim.creditor] += Fraction(claim.amount) - self.paid_on(claim)
        return lost


@dataclass(frozen=True)
class Settlement:
    """Both answers for a network."""

    network: Network
    today: Clearing
    in_the_end: Clearing

    @property
    def stuck(self) -> tuple[str, ...]:
        """Who fails to pay today although it can pay everything in the end."""
        return tuple(name for name in self.today.defaulters if not self.in_the_end.unpaid(name))

    @property
    def insolvent(self) -> tuple[str, ...]:
        """Who cannot pay all it owes, however long one waits."""
        return tuple(name for name in self.network.names if self.in_the_end.unpaid(name))

    def lost_by(self, name: str) -> Fraction:
        """What a creditor never receives."""
        return self.in_the_end.lost_by(name)

    def late_for(self, name: str) -> Fraction:
        """What a creditor is due today and gets later: not paid today, not lost either (zero where more is lost)."""
        return max(Fraction(0), self._due[name] - self.today.received[name] - self.lost_by(name))

    @cached_property
    def _due(self) -> dict[str, Fraction]:
        due = dict.fromkeys(self.network.names, Fraction(0))
        for claim in self.network.claims:
            if claim.due:
                due[claim.creditor] += Fraction(claim.amount)
        return due


def settle(network: Network) -> Settlement:
    """What is paid today, and what everybody is left with in the end."""
    today = clear(network.due_now(), movable=True)
    return Settlement(network, today, clear(network, in_default=today.defaulters))


def clear(network: Network, *, movable: bool = False, in_default: Collection[str] = ()) -> Clearing:
    """The greatest clearing vector of all claims of a network.

    `movable`: frozen holdings and frozen claims count zero: nobody pays with them, nobody is paid by them.
    `in_default`: nodes that bear the costs of default whatever they can pay.
    Raises BadInput `contagion.too_many_defaulters`.
    """
    if movable:
        network = replace(network, claims=tuple(one for one in network.claims if not one.frozen))
    outside, owed = network.outside(movable=movable), network.owed()
    shares = _shares(network, owed)
    keeps = {node.name: (node.keeps_outside, node.keeps_claims) for node in network.nodes}
    paid, short, known = dict(owed), list[str](), set[str]()
    for _ in range(1, len(network.nodes) + 2):
        received = _received(network.names, shares, paid)
        found = [
            name
            for name in network.names
            if name not in known and _value(name, outside, received, keeps, name in in_default) < owed[name]
        ]
        if not found:
            break
        short += found
        known |= set(found)
        if len(short) > DEFAULTERS_MAX:
            raise BadInput("contagion.too_many_defaulters", "Too many nodes fail.", limit=DEFAULTERS_MAX)
        paid = owed | _payments(short, owed, shares, outside, keeps)
    failed = (*short, *(name for name in network.names if name in in_default and name not in known))
    cost = dict.fromkeys(network.names, Fraction(0))
    for name in failed:
        cost[name] = outside[name] + received[name] - _value(name, outside, received, keeps, True)
    equity = {name: outside[name] + received[name] - cost[name] - paid[name] for name in network.names}
    return Clearing(network, owed, paid, received, equity, cost, failed)


def _value(
    name: str,
    outside: dict[str, Fraction],
    received: dict[str, Fraction],
    keeps: dict[str, tuple[Fraction, Fraction]],
    in_default: bool,
) -> Fraction:
    """What a node can pay from: all it has, or what a default leaves of it."""
    alpha, beta = keeps[name] if in_default else (Fraction(1), Fraction(1))
    return alpha * outside[name] + beta * received[name]


def _shares(network: Network, owed: dict[str, Fraction]) -> dict[str, dict[str, Fraction]]:
    """Creditor -> debtor -> share of the debtor's payments that is the creditor's."""
    shares: dict[str, dict[str, Fraction]] = {name: {} for name in network.names}
    for claim in network.claims:
        if claim.amount:
            of = shares[claim.creditor]
            of[claim.debtor] = of.get(claim.debtor, Fraction(0)) + Fraction(claim.amount) / owed[claim.debtor]
    return shares


def _received(
    names: Sequence[str], shares: dict[str, dict[str, Fraction]], paid: dict[str, Fraction]
) -> dict[str, Fraction]:
    return {name: sum((share * paid[debtor] for debtor, share in shares[name].items()), Fraction(0)) for name in names}


def _payments(
    short: Sequence[str],
    owed: dict[str, Fraction],
    shares: dict[str, dict[str, Fraction]],
    outside: dict[str, Fraction],
    keeps: dict[str, tuple[Fraction, Fraction]],
) -> dict[str, Fraction]:
    """What those who are short pay when all others pay in full: p = alpha e + beta (shares p + full payments)."""
    place = {name: row for row, name in enumerate(short)}
    rows = []
    for name in short:
        alpha, beta = keeps[name]
        row = [Fraction(int(other == name)) for other in short]
        value = alpha * outside[name]
        for debtor, share in shares[name].items():
            if debtor in place:
                row[place[debtor]] -= beta * share
            else:
                value += beta * share * owed[debtor]
        rows.append([*row, value])
    return dict(zip(short, _solved(rows), strict=True))


def _solved(rows: list[list[Fraction]]) -> list[Fraction]:
    """Gauss-Jordan on an augmented matrix. It is never singular: a ring of nodes that owe only one another and lose
    nothing on the way receives what it pays, so its last member is never found short."""
    size = len(rows)
    for column in range(size):
        pivot = next(row for row in range(column, size) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        lead = rows[column][column]
        rows[column] = [value / lead for value in rows[column]]
        for row in range(size):
            factor = rows[row][column]
            if row != column and factor:
                rows[row] = [value - factor * part for value, part in zip(rows[row], rows[column], strict=True)]
    return [row[-1] for row in rows]
