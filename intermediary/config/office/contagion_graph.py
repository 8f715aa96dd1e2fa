"""The graph of the relationships, laid out for the chart: counterparties on a ring, the house facing each inside it,
the house's own means in the middle, the venue beside. A line inward is a debt to the house facing a counterparty; a
line from there to another counterparty is the lots they hold with each other, the only way between two of them.
"""

from math import cos, pi, sin
from typing import Any

from risk.contagion.platform import OWN_MEANS, VENUE, Default, Facts, Freeze, Relationship, VenueFailure

SHOWN_MAX = 24  # more counterparties on one ring are not told apart: the largest are drawn, and those in the scenario
OUTER, INNER = 100.0, 58.0
DECIMALS = 6  # of the settlement token
SMALLEST, LARGEST = 14, 40  # px of a node


def drawn(known: Facts, default: Default | None, venue: VenueFailure | None, freeze: Freeze | None) -> dict[str, Any]:
    """The chart's data. Red loses, amber waits or pays from its layers, green stands."""
    shown = _shown(known, default)
    codes = [one.code for one in shown]
    nodes, links = [], []
    biggest = max((one.margin for one in shown), default=0) or 1
    for place, one in enumerate(shown):
        angle = 2 * pi * place / len(shown) - pi / 2
        size = SMALLEST + (LARGEST - SMALLEST) * (one.margin / biggest) ** 0.5
        tone, words = _counterparty(one, default, freeze)
        nodes.append(_node(one.code, angle, OUTER, tone, size, f"{one.code}\n{words}"))
        tone, words = _facing(one, default, freeze)
        nodes.append(_node(one.house, angle, INNER, tone, SMALLEST, f"{one.house}\n{words}", quiet=True))
        defaulter = default is not None and default.code == one.code
        links.append(_link(one.code, one.house, "bad" if defaulter else "quiet", 3 if defaulter else 1))
        reached = set(default.uncovered) if defaulter and default else set()
        for other in one.linked:
            if other in codes or other == VENUE:
                tone = "bad" if other in reached else "accent" if defaulter else "quiet"
                links.append(_link(one.house, other, tone, 2 if defaulter else 1))
    tone = "bad" if venue and venue.loss else "ok"
    words = f"margin and layers apart\nfloat and fees {amount_words(known.own_means)}"
    nodes.append({"name": OWN_MEANS, "x": 0, "y": 0, "tone": tone, "size": 26, "label": f"{OWN_MEANS}\n{words}"})
    nodes.append(
        {
            "name": VENUE, "x": -OUTER * 1.15, "y": -OUTER, "tone": "bad" if venue else "quiet", "size": 22,
            "label": f"Venue\nowes the house {amount_words(known.at_venue)}",
        }
    )  # fmt: skip
    links.append(_link(VENUE, OWN_MEANS, "bad" if venue else "quiet", 3 if venue else 1))
    return {"kind": "network", "nodes": nodes, "links": links, "left_out": len(known.relationships) - len(shown)}


def _shown(known: Facts, default: Default | None) -> list[Relationship]:
    wanted = {default.code, *default.uncovered} if default else set()
    ranked = sorted(known.relationships, key=lambda one: (one.code not in wanted, -one.margin, one.code))
    return sorted(ranked[:SHOWN_MAX], key=lambda one: one.code)


def _counterparty(one: Relationship, default: Default | None, freeze: Freeze | None) -> tuple[str, str]:
    if default and default.code == one.code:
        return "bad", f"defaults: loses {amount_words(int(default.total))}"
    if default and one.code in default.uncovered:
        return "bad", f"loses {amount_words(int(default.uncovered[one.code]))} of unpaid gain"
    if default and one.code in default.linked:
        return "ok", "linked lots, paid in full"
    if freeze and one.code in freeze.lost:
        return "bad", f"loses {amount_words(int(freeze.lost[one.code]))}"
    if freeze and (one.code in freeze.late or one.code in freeze.stopped):
        return "wait", f"{amount_words(int(freeze.late.get(one.code, 0)))} late, nothing lost"
    return "ok", f"margin {amount_words(one.margin)}, not touched" if default else f"margin {amount_words(one.margin)}"


def _facing(one: Relationship, default: Default | None, freeze: Freeze | None) -> tuple[str, str]:
    layers = amount_words(sum(layer.amount for layer in one.layers))
    if default and default.code == one.code:
        paid = sum(loss for _, loss, _ in default.layer_losses)
        if default.uncovered:
            return "bad", f"its layers of {layers} are used up"
        return "wait" if paid else "ok", f"its layers pay {amount_words(int(paid))} of {layers}"
    if freeze and one.house in freeze.settlement.stuck:
        return "wait", "pays late"
    return "quiet", f"layers of {layers}, its own"


def _node(
    name: str, angle: float, radius: float, tone: str, size: float, label: str, *, quiet: bool = False
) -> dict[str, Any]:
    x, y = round(radius * cos(angle) * 1.25, 1), round(radius * sin(angle), 1)
    return {"name": name, "x": x, "y": y, "tone": tone, "size": round(size), "label": label, "quiet": quiet}


def _link(source: str, target: str, tone: str, width: int) -> dict[str, Any]:
    return {"source": source, "target": target, "tone": tone, "width": width}


def amount_words(amount_base_units: int) -> str:
    """`12.35 m USDC`: inside a chart no template formats an amount."""
    return f"{amount_base_units / 10 ** (DECIMALS + 6):,.2f} m USDC"
