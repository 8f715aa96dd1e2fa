"""The classes of a term sheet on the axis of net loss of one relationship, drawn."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bonds.offering.terms import SeriesTerms
from intermediary.money import from_base_units

register = template.Library()

BANDS = ("f-tail", "f-senior", "f-ok", "f-wait")  # of the classes, junior first
WIDTH = 1000


@register.simple_tag
def tranche_axis(item: Mapping[str, Any], terms: SeriesTerms) -> SafeString:
    """First-loss retention, then the classes from junior to senior; the line is the loss now."""
    edges = item["edges_base_units"]
    end = max(item["detach_base_units"], item["loss_now_base_units"]) * 11 // 10
    shapes = [("0", f"{WIDTH}", "f-track"), ("0", f"{edges[0] * WIDTH / end:.2f}", "f-first")]
    words = []
    for index, (low, high) in enumerate(pairwise(edges)):
        shapes.append((f"{low * WIDTH / end:.2f}", f"{(high - low) * WIDTH / end:.2f}", BANDS[index % len(BANDS)]))
        words.append(f"{terms.classes[index].name} from {_usdc(low)} to {_usdc(high)}")
    at = f"{min(item['loss_now_base_units'] * WIDTH / end, WIDTH - 2):.2f}"
    said = (
        f"{item['relationship']}: {', '.join(words)}; net loss at these marks {_usdc(item['loss_now_base_units'])} USDC"
    )
    drawn = format_html_join("", '<rect x="{}" y="0" width="{}" height="20" class="{}"/>', shapes)
    return format_html(
        '<svg class="bar bar-tall" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label="{0}">{1}'
        '<line x1="{2}" x2="{2}" y1="0" y2="20" class="s-ink" vector-effect="non-scaling-stroke"/></svg>',
        said, drawn, at,
    )  # fmt: skip


@register.simple_tag
def class_key(terms: SeriesTerms) -> SafeString:
    """Which colour is which class."""
    rows = [("f-first", "First-loss retention")]
    rows += [(BANDS[index % len(BANDS)], one.name) for index, one in enumerate(terms.classes)]
    keys = format_html_join(
        "", '<span><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true"><rect width="12" height="12" '
        'class="{}"/></svg> {}</span>', rows,
    )  # fmt: skip
    return format_html('<p class="key small">{}</p>', keys)


def _usdc(amount_base_units: int) -> str:
    return f"{from_base_units(amount_base_units, 6):,.0f}"
