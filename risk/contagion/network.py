"""The network: nodes, what each owns outside it, and who owes whom.

A node is a legal or ring-fenced balance sheet: a counterparty, a venue, a custodian, the house facing one relationship.
A holding is an asset of a node, which lies in a place; a claim is a debt of one node to another. Both are in amounts
of one unit (settlement base units on the platform) at the prices of the moment. Nothing is signed: an asset and a debt
are never negative, and a netted position is either one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from intermediary.errors import BadInput

Amount = Fraction | int


@dataclass(frozen=True)
class Node:
    """A balance sheet. When it defaults, the shares `keeps_outside` of its own assets and `keeps_claims` of what it is
    paid are left for its creditors (alpha and beta of Rogers & Veraart 2013; 1 and 1: default costs nothing)."""

    name: str
    kind: str
    keeps_outside: Fraction = Fraction(1)
    keeps_claims: Fraction = Fraction(1)


@dataclass(frozen=True)
class Holding:
    """An asset outside the network. `source` names the very tokens it is (place, account, asset), since no token may
    stand as two nodes' capital; `asset` what they are, `place` who keeps them. `frozen`: worth it, not to be moved."""

    owner: str
    amount: Amount
    asset: str = ""
    place: str = ""
    source: str = ""
    frozen: bool = False


@dataclass(frozen=True)
class Claim:
    """`debtor` owes `creditor` an amount. `due` now or later; `frozen` when it may be refused: then it is still worth
    what the debtor can pay in the end, but nobody can count on it today."""

    debtor: str
    creditor: str
    amount: Amount
    due: bool = True
    frozen: bool = False
    note: str = ""


@dataclass(frozen=True)
class Network:
    """Nodes, holdings and claims. Raises BadInput `contagion.*` on what no balance sheet can be."""

    nodes: tuple[Node, ...]
    holdings: tuple[Holding, ...] = ()
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        names = Counter(node.name for node in self.nodes)
        for name, count in names.items():
            if count > 1:
                raise BadInput("contagion.node_twice", "A node stands twice.", node=name)
        for node in self.nodes:
            if not (0 <= node.keeps_outside <= 1 and 0 <= node.keeps_claims <= 1):
                raise BadInput("contagion.share", "What a default leaves is a share from 0 to 1.", node=node.name)
        for holding in self.holdings:
            if holding.owner not in names:
                raise BadInput("contagion.unknown_node", "An owner is no node.", node=holding.owner)
            if holding.amount < 0:
                raise BadInput("contagion.negative", "An asset is never negative.", node=holding.owner)
        for claim in self.claims:
            for name in (claim.debtor, claim.creditor):
                if name not in names:
                    raise BadInput("contagion.unknown_node", "A side of a claim is no node.", node=name)
            if claim.amount < 0:
                raise BadInput("contagion.negative", "A debt is never negative.", node=claim.debtor)
            if claim.debtor == claim.creditor:
                raise BadInput("contagion.owes_itself", "Nobody owes itself.", node=claim.debtor)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes in their order, which is the order of every result."""
        return tuple(node.name for node in self.nodes)

    def outside(self, *, movable: bool = False) -> dict[str, Fraction]:
        """Outside assets of each node; `movable`: only those that are not frozen."""
        totals = dict.fromkeys(self.names, Fraction(0))
        for holding in self.holdings:
            if not (movable and holding.frozen):
                totals[holding.owner] += Fraction(holding.amount)
        return totals

    def owed(self) -> dict[str, Fraction]:
        """What each node owes in all."""
        totals = dict.fromkeys(self.names, Fraction(0))
        for claim in self.claims:
            totals[claim.debtor] += Fraction(claim.amount)
        return totals

    def due_now(self) -> "Network":
        """The same nodes and holdings with the claims that fall due now."""
        return replace(self, claims=tuple(claim for claim in self.claims if claim.due))

    def frozen_at(self, places: Iterable[str]) -> "Network":
        """What lies in these places cannot be moved."""
        stopped = set(places)
        held = tuple(replace(one, frozen=one.frozen or one.place in stopped) for one in self.holdings)
        return replace(self, holdings=held)

    def priced(self, prices: Mapping[str, Fraction]) -> "Network":
        """Holdings of each named asset at this share of their value (a peg of 0.90: nine tenths)."""
        for asset, price in prices.items():
            if price < 0:
                raise BadInput("contagion.negative", "A price is never negative.", asset=asset)
        held = tuple(replace(one, amount=one.amount * prices.get(one.asset, Fraction(1))) for one in self.holdings)
        return replace(self, holdings=held)

    def merged(self, into: Node, names: Iterable[str]) -> "Network":
        """One balance sheet instead of several: their holdings and claims are its own, and claims among them are gone.

        It says what a ring-fence is worth: the same business without it.
        """
        gone = set(names)

        def renamed(name: str) -> str:
            return into.name if name in gone else name

        nodes = (*(node for node in self.nodes if node.name not in gone), into)
        claims = tuple(replace(one, debtor=renamed(one.debtor), creditor=renamed(one.creditor)) for one in self.claims)
        return Network(
            nodes,
            tuple(replace(one, owner=renamed(one.owner)) for one in self.holdings),
            tuple(one for one in claims if one.debtor != one.creditor),
        )
