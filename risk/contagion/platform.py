"""This platform as a network, and what a failure in it does: pure, from facts that a caller has read.

Every relationship is two balance sheets: the counterparty with its margin, and the house *facing* it with that
relationship's own layers. The house facing R owes the gains of R's opposites and nothing else; the house's own means
(float, fees) stand apart, and so do its hedges at a venue. A default is also played in one house that holds all margin
and layers together, as an omnibus clearer does: the difference is what the fences are worth.

All amounts are settlement base units.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction

from intermediary.waterfall import LayerBand, allocate, share_pro_rata
from risk.contagion.clearing import Clearing, Settlement, clear, settle
from risk.contagion.network import Claim, Holding, Network, Node

OWN_MEANS, POOL, VENUE = "House, own means", "One house", "Venue"
COUNTERPARTY, FACING, HOUSE, OUTSIDE = "counterparty", "house facing", "house", "outside"
FIRST_LOSS, TAIL, SENIOR = "FIRST_LOSS", "TAIL", "SENIOR"


@dataclass(frozen=True)
class LayerLeft:
    """What a funded layer can still pay, where its tokens lie, and their source."""

    kind: str
    amount: int
    place: str = ""
    source: str = ""

    def holding(self, owner: str) -> Holding:
        """It as capital of the house facing its relationship."""
        return Holding(owner, self.amount, place=self.place, source=self.source)


@dataclass(frozen=True)
class Relationship:
    """One relationship. `loss`, `costs` and `margin_stressed` are those of its worst published stress: what its
    positions lose on top of today's exposure (negative: they gain), what closing them out costs, what its margin is
    then worth. `scenario` names it, `measured_at` is its market's moment; empty and None before it was measured. `owes`
    is what passes from it today to each opposite; `linked` the open notional with each."""

    code: str
    margin: int
    layers: tuple[LayerLeft, ...] = ()
    owes: Mapping[str, int] = field(default_factory=dict)
    linked: Mapping[str, int] = field(default_factory=dict)
    loss: int = 0
    costs: int = 0
    margin_stressed: int = 0
    vault: str = ""
    scenario: str = ""
    measured_at: datetime | None = None

    @property
    def house(self) -> str:
        """Name of the house facing it."""
        return facing(self.code)


@dataclass(frozen=True)
class Facts:
    """The whole platform. `tokens`: everything that lies somewhere, by owner; `at_venue`: the house's money and running
    gain at the venue; `hedged`: notional of its hedges there."""

    relationships: tuple[Relationship, ...]
    own_means: int = 0
    at_venue: int = 0
    hedged: int = 0
    tokens: tuple[Holding, ...] = ()


def facing(code: str) -> str:
    """The house's ring-fenced side of one relationship."""
    return f"House facing {code}"


@dataclass(frozen=True)
class Default:
    """A default played through. `net_loss`: N, what margin does not cover; `layer_losses` in order of payment; `own`
    what stays with the intermediary beyond them; `uncovered` by linked lots' owner; `reached` every performing
    counterparty that loses by it; `pooled` what each of them would lose in one pool, and `pooled_layers` what other
    relationships' layers would have paid there."""

    code: str
    apart: Clearing
    total: Fraction
    from_margin: Fraction
    net_loss: Fraction
    layer_losses: tuple[tuple[str, Fraction, Fraction], ...]
    own: Fraction
    uncovered: dict[str, Fraction]
    reached: tuple[str, ...]
    pooled: dict[str, Fraction]
    pooled_layers: Fraction
    linked: tuple[str, ...]

    @property
    def unlinked(self) -> tuple[str, ...]:
        """Who holds no open lot with the defaulter."""
        return tuple(name for name in self.pooled if name not in self.linked)

    @property
    def isolation_holds(self) -> bool:
        """No performing counterparty is reached except by its linked lots, computed and not assumed (I1)."""
        return all(name in self.linked for name in self.reached)


def default(facts: Facts, code: str, times: int = 1) -> Default:
    """The relationship `code` defaults in its worst published stress, its loss taken `times` over.

    Its opposites gain what its positions lose. Costs, and what the house's own hedges gain where they took over lots,
    are paid before the gains of linked lots: UNCOVERED falls on those first, up to their gain, and what is left of it
    stays with the intermediary (D1). What others owe the defaulter today is set off against its debt.
    """
    who = next(one for one in facts.relationships if one.code == code)
    gains = _gains(who, times)
    first = who.costs * times + gains.pop(VENUE, 0)
    set_off = _owed_to(facts, code)
    total = max(0, sum(gains.values()) + first - set_off)
    before, apart = clear(_apart(facts, who, {}, 0)), clear(_apart(facts, who, gains, first))
    from_margin = Fraction(min(total, who.margin_stressed))
    net_loss = total - from_margin
    bands: list[LayerBand[int]] = []
    top = 0
    for place, layer in enumerate(who.layers):
        if layer.amount:
            bands.append(LayerBand(place, top, top + layer.amount))
            top += layer.amount
    paid = dict(allocate(int(net_loss), bands).layer_losses)
    pool = clear(_pooled(facts, who, gains, first))
    others = [one.code for one in facts.relationships if one is not who]
    all_layers = sum(layer.amount for one in facts.relationships for layer in one.layers)
    return Default(
        code=code,
        apart=apart,
        total=Fraction(total),
        from_margin=from_margin,
        net_loss=net_loss,
        layer_losses=tuple(
            (layer.kind, Fraction(paid.get(place, 0)), Fraction(layer.amount)) for place, layer in enumerate(who.layers)
        ),
        own=max(Fraction(0), net_loss - top - sum(gains.values())),
        uncovered={name: lost for name in gains if (lost := apart.lost_by(name) - before.lost_by(name))},
        reached=tuple(name for name in others if apart.lost_by(name) > before.lost_by(name)),
        pooled={name: pool.lost_by(name) for name in others},
        pooled_layers=min(max(net_loss - top, Fraction(0)), Fraction(all_layers - top)),
        linked=tuple(name for name in who.linked if name in others),
    )


def _gains(who: Relationship, times: int) -> dict[str, int]:
    """What each opposite gains by the defaulter's loss: what is owed today, and its share of the stressed loss by open
    notional (a real determination takes each lot's own gain). A stress in which its positions gain makes what it owes
    smaller. A loss that no known lot faces is the venue's."""
    owes = {name: amount for name, amount in who.owes.items() if amount}
    loss, owed = who.loss * times, sum(owes.values())
    if loss < 0:
        left = share_pro_rata(max(0, owed + loss), list(owes.values()))
        return {name: amount for name, amount in zip(owes, left, strict=True) if amount}
    weights = {name: amount for name, amount in who.linked.items() if amount} or {VENUE: 1}
    for name, amount in zip(weights, share_pro_rata(loss, list(weights.values())), strict=True):
        owes[name] = owes.get(name, 0) + amount
    return {name: amount for name, amount in owes.items() if amount}


def _owed_to(facts: Facts, code: str) -> int:
    return sum(one.owes.get(code, 0) for one in facts.relationships)


def _apart(facts: Facts, who: Relationship, gains: Mapping[str, int], first: int) -> Network:
    """The network as it is: the defaulter's debt, the house facing it with its layers, and everybody else with what
    they owe today. `first` is paid before anything else; what others owe the defaulter comes in before its margin."""
    others = [one for one in facts.relationships if one is not who]
    nodes = [node for one in facts.relationships for node in _sides(one)]
    nodes += _strangers([*gains, *(name for one in others for name in one.owes)], facts)
    held = [Holding(who.code, who.margin_stressed, place=who.vault, source=who.vault)]
    held += [Holding(one.code, one.margin, place=one.vault, source=one.vault) for one in others]
    held += [layer.holding(one.house) for one in facts.relationships for layer in one.layers]
    set_off = _owed_to(facts, who.code)
    first, came_in = max(0, first - set_off), max(0, set_off - first)
    from_margin = min(first, who.margin_stressed)
    held = _less(_less(held, who.code, from_margin), who.house, first - from_margin)
    held.append(Holding(who.house, came_in))
    owed = [Claim(who.code, who.house, max(0, sum(gains.values()) - came_in))]
    owed += [Claim(who.house, name, amount, note="gain of its lots") for name, amount in gains.items()]
    for one in others:
        due = {name: amount for name, amount in one.owes.items() if name != who.code}
        owed.append(Claim(one.code, one.house, sum(due.values())))
        owed += [Claim(one.house, name, amount) for name, amount in due.items()]
    return Network(tuple(nodes), tuple(held), tuple(claim for claim in owed if claim.amount))


def _pooled(facts: Facts, who: Relationship, gains: Mapping[str, int], first: int) -> Network:
    """The same book in one house: all margin and layers are its own, and it owes back all margin (less what is
    owed to the defaulter) and the gains."""
    others = [one for one in facts.relationships if one is not who]
    layers = sum(layer.amount for one in facts.relationships for layer in one.layers)
    assets = layers + who.margin_stressed + sum(one.margin for one in others)
    nodes = [Node(POOL, HOUSE), *(Node(one.code, COUNTERPARTY) for one in others), *_strangers(gains, facts)]
    owed = [Claim(POOL, one.code, max(0, one.margin - one.owes.get(who.code, 0)), note="margin") for one in others]
    owed += [Claim(POOL, name, amount, note="gain of its lots") for name, amount in gains.items()]
    return Network(tuple(nodes), (Holding(POOL, max(0, assets - first)),), tuple(one for one in owed if one.amount))


def _sides(one: Relationship) -> tuple[Node, Node]:
    return Node(one.code, COUNTERPARTY), Node(one.house, FACING)


def _strangers(names: Iterable[str], facts: Facts) -> list[Node]:
    """Opposites that are no performing relationship: the venue account that took over a defaulter's lots."""
    known = {one.code for one in facts.relationships}
    return [Node(name, OUTSIDE) for name in dict.fromkeys(names) if name not in known]


def _less(held: Sequence[Holding], owner: str, amount: int) -> list[Holding]:
    """Holdings with `amount` of an owner's taken out, in their order."""
    found = []
    for one in held:
        taken = min(amount, int(one.amount)) if one.owner == owner else 0
        amount -= taken
        found.append(Holding(one.owner, one.amount - taken, one.asset, one.place, one.source, one.frozen))
    return found


def today(facts: Facts) -> Network:
    """What is due today: each counterparty's loss since the last settlement to the house facing it, and from there to
    its opposites. A counterparty pays from its margin today; a layer pays only once a loss is determined."""
    names = [name for one in facts.relationships for name in one.owes]
    nodes = [node for one in facts.relationships for node in _sides(one)] + _strangers(names, facts)
    held = [Holding(one.code, one.margin, place=one.vault) for one in facts.relationships]
    layers = (layer.holding(one.house) for one in facts.relationships for layer in one.layers)
    held += [replace(layer, frozen=True) for layer in layers]
    owed = []
    for one in facts.relationships:
        owed.append(Claim(one.code, one.house, sum(one.owes.values())))
        owed += [Claim(one.house, name, amount) for name, amount in one.owes.items()]
    return Network(tuple(nodes), tuple(held), tuple(claim for claim in owed if claim.amount))


@dataclass(frozen=True)
class Freeze:
    """Places that do not move. `stopped`: value by owner; `late` by counterparty: due today, paid when it
    thaws (and not late without the freeze); `bridge`: own means that can still move and advance it."""

    settlement: Settlement
    stopped: dict[str, Fraction]
    late: dict[str, Fraction]
    lost: dict[str, Fraction]
    bridge: Fraction


def freeze(facts: Facts, places: Iterable[str]) -> Freeze:
    """Nothing that lies in these places moves: who is paid late, who loses, and what can bridge it."""
    stopped_places = set(places)
    before, found = settle(today(facts)), settle(today(facts).frozen_at(stopped_places))
    stopped: dict[str, Fraction] = {}
    movable = Fraction(0)
    for one in facts.tokens:
        if one.place in stopped_places:
            stopped[one.owner] = stopped.get(one.owner, Fraction(0)) + one.amount
        elif one.owner == OWN_MEANS:
            movable += one.amount
    codes = [one.code for one in facts.relationships]
    late = {code: more for code in codes if (more := found.late_for(code) - before.late_for(code)) > 0}
    lost = {code: more for code in codes if (more := found.lost_by(code) - before.lost_by(code)) > 0}
    return Freeze(found, stopped, late, lost, movable)


@dataclass(frozen=True)
class VenueFailure:
    """The venue of the hedges fails: the claim, what its estate pays, what re-hedging costs, who bears it."""

    claim: Fraction
    recovered: Fraction
    rehedge: Fraction
    from_own_means: Fraction
    beyond_own_means: Fraction
    relationships_reached: tuple[str, ...]

    @property
    def loss(self) -> Fraction:
        """What the intermediary loses."""
        return self.claim - self.recovered + self.rehedge


def venue_fails(facts: Facts, pays: Fraction, rehedge_bps: int) -> VenueFailure:
    """The estate pays the share `pays`; the hedges are set up again elsewhere at `rehedge_bps` of notional. The loss is
    the intermediary's own (D12): the houses facing relationships neither owe nor own anything there."""
    rehedge = Fraction(facts.hedged * rehedge_bps, 10_000)
    nodes = [node for one in facts.relationships for node in _sides(one)]
    nodes += [Node(OWN_MEANS, HOUSE), Node(VENUE, OUTSIDE), Node("Market", OUTSIDE)]
    held = [Holding(one.code, one.margin) for one in facts.relationships]
    held += [Holding(one.house, layer.amount) for one in facts.relationships for layer in one.layers]
    held += [Holding(OWN_MEANS, facts.own_means), Holding(VENUE, facts.at_venue * pays)]
    before = Network(tuple(nodes), tuple(held))
    owed = (Claim(VENUE, OWN_MEANS, facts.at_venue), Claim(OWN_MEANS, "Market", rehedge))
    after = clear(Network(before.nodes, before.holdings, tuple(claim for claim in owed if claim.amount)))
    worth = before.outside()
    lost = facts.at_venue - after.received[OWN_MEANS] + rehedge
    return VenueFailure(
        claim=Fraction(facts.at_venue),
        recovered=after.received[OWN_MEANS],
        rehedge=rehedge,
        from_own_means=min(lost, Fraction(facts.own_means)),
        beyond_own_means=max(Fraction(0), lost - facts.own_means),
        relationships_reached=tuple(
            one.code
            for one in facts.relationships
            if after.equity[one.code] < worth[one.code] or after.equity[one.house] < worth[one.house]
        ),
    )


def peg_breaks(facts: Facts, asset: str, price: Fraction) -> dict[str, Fraction]:
    """What each owner loses on the tokens it holds when `asset` is worth this share of itself."""
    owners = tuple(dict.fromkeys(one.owner for one in facts.tokens))
    before = Network(tuple(Node(name, OUTSIDE) for name in owners), facts.tokens)
    was, now = before.outside(), before.priced({asset: price}).outside()
    return {name: was[name] - now[name] for name in owners if was[name] != now[name]}


def capital_claims(facts: Facts) -> tuple[Claim, ...]:
    """Whose capital leans on whom: each owner on the keeper of its tokens, each keeper on the tokens, and the house's
    own means on what the venue owes them. The chains end at the tokens, whose issuers are no node."""
    kept = [Claim(one.place, one.owner, one.amount) for one in facts.tokens]
    kept += [Claim(one.asset, one.place, one.amount) for one in facts.tokens]
    return (*kept, *((Claim(VENUE, OWN_MEANS, facts.at_venue),) if facts.at_venue else ()))
