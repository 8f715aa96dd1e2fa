"""What pages of notes say in their own way: the axis of net loss of one covered relationship, drawn (its layers, what
they paid, where it stands now), amounts and times of the terms, the pricing measure in words."""

import re

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bonds.models import SeriesEvent, Tranche
from bonds.portal import coupon_words
from bonds.portal.queries import SliceView
from bonds.servicing import overnight
from bonds.servicing.account import Kind
from intermediary.money import from_base_units
from intermediary.templatetags.display import money, number, percent, span

register = template.Library()

TONES = {"FIRST_LOSS": "f-first", "TAIL": "f-tail", "SENIOR": "f-senior"}

# The name of a mark's measure begins with its ruleset and the hash of that, where it has one.
WANG = re.compile(r"(?P<rules>\S+ [0-9a-f]{8} )?wang-lambda-(?P<load>[\d.]+)-k-(?P<degrees>[\d.]+)")
FEARED = re.compile(
    r"(?P<rules>\S+ [0-9a-f]{8} )?feared-wang-lambda-(?P<load>[\d.]+)-c-(?P<fear>[\d.e-]+)-p-(?P<fading>[\d.e-]+)"
)


@register.filter
def length_of_time(seconds: int) -> str:
    """A time of the terms, kept in seconds, in the largest unit that says it exactly: `1 hour`."""
    return f"{seconds} seconds" if seconds % 60 else "1 hour" if seconds == 3_600 else span(seconds // 60)


@register.filter
def measure_words(name: str) -> str:
    """A pricing measure, named by its parameters, as an investor knows it; one that has no words here by its name."""
    found = WANG.fullmatch(name)
    if found:
        return f"Wang transform: load {found['load']}, Student's t with {found['degrees']} degrees of freedom"
    found = FEARED.fullmatch(name)
    if found:
        rules = f" (pricing ruleset {found['rules'].split()[0]})" if found["rules"] else ""
        fear = f"c {found['fear']}, p {found['fading']}"
        return f"Wang transform of a feared probability: load {found['load']}, {fear}{rules}"
    return {"physical": "Physical: the expected loss, without a load"}.get(name, name)


@register.simple_tag
def coupon_rate(tranche: Tranche) -> SafeString:
    """What a class pays a year: a fixed coupon whole, of a floating one its spread over SOFR; a dash before pricing."""
    if overnight.floats(tranche.series):
        return number(tranche.spread_bps, 0, "bp over SOFR")
    return percent(tranche.coupon_rate_annual, 1, 2)


register.filter("coupon_words", coupon_words.coupon)
register.filter("payer_words", coupon_words.payer)
register.filter("record_words", coupon_words.record)
register.filter("kept_back_words", coupon_words.kept_back)


@register.filter
def event_words(kind: Kind) -> str:
    """What a line of a holder's account is."""
    return kind.value.replace("_", " ").capitalize()


@register.simple_tag
def event_amount(event: SeriesEvent) -> SafeString:
    """The amount of an act on the timeline, where JSON keeps it as an exact decimal string."""
    return money(int(event.data["amount_base_units"]))


@register.simple_tag
def loss_axis(view: SliceView) -> SafeString:
    """Layers from zero net loss to the right; red is paid out; the line is the loss at the last valuation's marks."""
    end = view.scale_base_units
    shapes: list[tuple[str, str, str]] = [("0", "1000", "f-track")]
    for layer in view.layers:
        left = layer.attach_base_units * 1000 / end
        shapes.append((f"{left:.2f}", f"{layer.size_base_units * 1000 / end:.2f}", TONES[layer.kind]))
        if layer.loss_base_units:
            shapes.append((f"{left:.2f}", f"{layer.loss_base_units * 1000 / end:.2f}", "f-bad"))
    now = view.mark.loss_now_base_units if view.mark else 0
    at = f"{min(now * 1000 / end, 998):.2f}"
    words = (
        f"Relationship {view.slice.relationship}: net loss at the last marks {from_base_units(now, 6):,.0f} USDC,"
        f" the notes attach at {from_base_units(view.slice.attach_base_units, 6):,.0f}"
        f" and are exhausted at {from_base_units(view.slice.detach_base_units, 6):,.0f}"
    )
    drawn = format_html_join("", '<rect x="{}" y="0" width="{}" height="20" class="{}"/>', shapes)
    return format_html(
        '<svg class="bar bar-tall" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label="{0}">{1}'
        '<line x1="{2}" x2="{2}" y1="0" y2="20" class="s-ink" vector-effect="non-scaling-stroke"/></svg>',
        words, drawn, at,
    )  # fmt: skip
