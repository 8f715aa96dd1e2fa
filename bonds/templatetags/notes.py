"""The axis of net loss of one covered relationship, drawn: its layers, what they paid, and where it stands now."""

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bonds.models import SeriesEvent
from bonds.queries import SliceView
from intermediary.money import from_base_units
from intermediary.templatetags.display import money

register = template.Library()

TONES = {"FIRST_LOSS": "f-first", "TAIL": "f-tail", "SENIOR": "f-senior"}


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
