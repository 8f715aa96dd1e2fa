"""Bars and distances on officers' and clients' pages. SVG with numbers as attributes: no inline style is needed."""

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from intermediary.margin_parts import MarginParts
from intermediary.models import Layer
from intermediary.money import from_base_units
from intermediary.stack import Stack
from intermediary.templatetags.display import MINUS, NOTHING, money, number, short_money

register = template.Library()
FILL = {"MARGIN": "f-margin", "FIRST_LOSS": "f-first", "TAIL": "f-tail", "SENIOR": "f-senior"}
DECIMALS = 6
TALL = 20
SMALLEST_SIGMAS = 0.1  # a nearer move takes one more place: it is near, and not none


@register.simple_tag
def stack_bar(stack: Stack | None) -> SafeString:
    """What stands behind a relationship in its binding stress, in order of payment, and the loss as a line across it.

    What lies beyond the last part is drawn red: it would be UNCOVERED.
    """
    if stack is None:
        return NOTHING
    end = max(stack.whole_base_units, stack.loss_base_units) * 21 // 20 or 1
    shapes, gaps, left = [("f-track", 0.0, 1000.0)], [], 0
    for part in stack.parts:
        if part.size_base_units:
            gaps.append(left * 1000 / end)
            shapes.append((FILL[part.kind], left * 1000 / end, part.size_base_units * 1000 / end))
            left += part.size_base_units
    if stack.beyond_base_units:
        shapes.append(("f-bad", left * 1000 / end, stack.beyond_base_units * 1000 / end))
    words = f"{stack.scenario}: a loss of {_tokens(stack.loss_base_units)} USDC {reach(stack)}"
    return _drawn(shapes, [max(0, stack.loss_base_units) * 1000 / end], words, gaps[1:])


@register.simple_tag
def margin_bar(made: MarginParts | None, thin: bool = False) -> SafeString:
    """What a requirement is made of, part beside part. What a threshold or a debt to the client takes off is the pale
    end of the bar, and the line is the requirement."""
    if made is None or not made.whole_base_units:
        return NOTHING
    whole, left, shapes, gaps = made.whole_base_units, 0, [], []
    for part in made.asked:
        gaps.append(left * 1000 / whole)
        shapes.append((f"f-part-{part.tone}", left * 1000 / whole, part.amount_base_units * 1000 / whole))
        left += part.amount_base_units
    until = made.required_base_units * 1000 / whole
    if until < 1000:
        shapes.append(("f-less", until, 1000 - until))
    said = [f"{part.name} {_tokens(part.amount_base_units)}" for part in (*made.asked, *made.less)]
    words = f"{_tokens(made.required_base_units)} USDC required: {', '.join(said)}"
    return _drawn(shapes, [until] if until < 1000 else [], words, gaps[1:], thin)


@register.filter
def reach(stack: Stack) -> str:
    """Where the loss of a stack would reach, in words that follow its amount."""
    last = stack.reached
    if stack.beyond_base_units:
        return f"exceeds everything by {_tokens(stack.beyond_base_units)} USDC"
    if last is None:
        return "takes nothing"
    share = f"{last.taken_base_units / last.size_base_units:.0%}"
    where = (
        "stays inside the margin and takes" if last.kind == "MARGIN" else f"reaches the {last.name.lower()} and takes"
    )
    return f"{where} {share} of it"


@register.simple_tag
def waterfall_bar(
    layers: Iterable[Any], loss_base_units: int, uncovered_base_units: int, top_base_units: int
) -> SafeString:
    """A determined loss poured through the layers: paid parts solid, what is left of each layer pale, UNCOVERED red."""
    end = max(top_base_units, loss_base_units, 1)
    shapes = [("f-track", 0.0, 1000.0)]
    for layer in layers:
        left, paid = layer.attach_base_units * 1000 / end, layer.loss_base_units * 1000 / end
        shapes.append((f"{FILL[layer.kind]} pale", left, layer.size_base_units * 1000 / end))
        shapes.append((FILL[layer.kind], left, paid))
    if uncovered_base_units:
        width = uncovered_base_units * 1000 / end
        shapes.append(("f-bad", loss_base_units * 1000 / end - width, width))
    words = f"net loss {_tokens(loss_base_units)} USDC, of which {_tokens(uncovered_base_units)} USDC uncovered"
    return _drawn(shapes, [loss_base_units * 1000 / end], words)


@register.simple_tag
def shares_bar(shares: list[tuple[str, float, float]], words: str, thin: bool = False) -> SafeString:
    """Shares of a whole side by side: (tone, where it begins, its width), both of 1,000."""
    return _drawn(shares, [], words, (), thin)


def _tokens(amount_base_units: int) -> str:
    return f"{from_base_units(amount_base_units, DECIMALS):,.0f}".replace("-", MINUS)


def _drawn(
    shapes: list[tuple[str, float, float]],
    lines: list[float],
    words: str,
    gaps: Iterable[float] = (),
    thin: bool = False,
) -> SafeString:
    boxes = format_html_join(
        "", '<rect class="{}" x="{}" y="0" width="{}" height="{}"/>',
        ((fill, f"{left:.2f}", f"{max(width, 0):.2f}", TALL) for fill, left, width in shapes),
    )  # fmt: skip
    strokes = format_html_join(
        "", '<line x1="{0}" x2="{0}" y1="0" y2="{1}" class="{2}" vector-effect="non-scaling-stroke"/>',
        ((f"{at:.2f}", TALL, kind) for places, kind in ((gaps, "s-gap"), (lines, "s-ink")) for at in places),
    )  # fmt: skip
    return format_html(
        '<svg class="bar {}" viewBox="0 0 1000 {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        "<title>{}</title>{}{}</svg>", "bar-thin" if thin else "bar-tall", TALL, words, words, boxes, strokes,
    )  # fmt: skip


@register.filter
def layer_name(kind: str) -> str:
    """`FIRST_LOSS` as a person reads it."""
    return str(Layer.Kind(kind).label)


@register.filter
def tree(value: Any) -> Any:
    """A JSON value as readable nested lists."""
    from intermediary.admin.columns import tree as drawn

    return drawn(value)


@register.simple_tag
def left_of(layer: Any) -> SafeString:
    """What a layer can still pay."""
    return money(layer.size_base_units - layer.loss_base_units)


@register.simple_tag
def distance(crossing: Any) -> SafeString:
    """A first crossing (`risk.stress_queries.Distance`): the move, what moves, and how many daily sigmas that is."""
    if crossing is None:
        return format_html(
            '<span class="quiet" title="no fall of 99% and no rise to four times the price">{}</span>', "never"
        )
    if crossing.percent == 0.0:
        return format_html('<data class="num loss" value="0">{}</data>', "now")
    move = number(crossing.percent, 1, "%", sign=True)
    sigmas = f"{crossing.sigmas:.1f}" if crossing.sigmas >= SMALLEST_SIGMAS else f"{crossing.sigmas:.2f}"
    return format_html('{}<br><span class="quiet small">{} {} σ</span>', move, crossing.coin, sigmas)


@register.simple_tag
def total_of(*amounts_base_units: int) -> SafeString:
    """The sum of settlement amounts, in millions."""
    return short_money(sum(amounts_base_units))
