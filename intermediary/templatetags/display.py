"""How a number, a time, a hash and a state look on every page. Built into all templates; no page formats by hand.

Screens show two decimals and the unit; the exact value is one hover away and is what is copied and exported. Times
are written in UTC and turned to the viewer's zone by the page's script, which leaves UTC on hover. A state is always a
colour, an icon and a word. Colour means: green covered or met, amber warned or waiting, red breached or lost.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from intermediary import words
from intermediary.models import Asset, DefaultCase
from intermediary.money import from_base_units
from intermediary.public.glossary import GLOSSARY

register = template.Library()

MINUS, NOTHING = "−", format_html('<span class="nothing" title="no value">{}</span>', "–")
SETTLEMENT_DECIMALS, SETTLEMENT_CODE = 6, "USDC"
TONES = {
    "ok": ("OPEN ACTIVE SETTLED NETTED PAID FINAL NOVATED CURED DONE APPROVED ALLOCATED LIVE MATCHED FUNDED", "check"),
    "wait": (
        "NO_NEW_RISK ISSUED AGREED PLEDGED REQUESTED INSTRUCTED DRAFT BATCHED INCLUDED SUBMITTED AFFIRMED PENDING"
        " PROPOSED NOTICE ETD_SET REPLACING DETERMINED RECOVERY STALE",
        "clock",
    ),
    "bad": ("DEFAULTED LAPSED DEFAULT_NOTICE REFUSED REJECTED FAILED BROKEN", "alert"),
    "flat": ("CLOSED EXPIRED REDUCED CANCELLED REPLAY", "dot"),
}
TONE_OF = {state: (tone, mark) for tone, (states, mark) in TONES.items() for state in states.split()}


def grouped(value: Decimal, places: int, *, sign: bool = False) -> str:
    """`−1,234.50`: thousands separators, a real minus sign, `+` when the sign is asked for."""
    text = f"{abs(value):,.{places}f}"
    if value < 0 and Decimal(text.replace(",", "")) != 0:
        return MINUS + text
    return ("+" if sign and value > 0 else "") + text


@register.simple_tag
def money(
    amount_base_units: int | None, asset: Asset | None = None, sign: bool = False, unit: bool = True, live: str = ""
) -> SafeString:
    """An amount with its unit: two decimals (four for a token that is not the settlement token), exact on hover."""
    if amount_base_units is None:
        return NOTHING
    decimals, code = (asset.decimals, asset.code) if asset else (SETTLEMENT_DECIMALS, SETTLEMENT_CODE)
    exact = from_base_units(amount_base_units, decimals)
    shown = grouped(exact, 4 if asset and not asset.is_settlement else 2, sign=sign)
    return _figure(shown, exact, f"{grouped(exact, decimals)} {code}", code if unit else "", live)


@register.simple_tag
def short_money(amount_base_units: int | None, sign: bool = False) -> SafeString:
    """A settlement amount in millions for narrow places: `12.35 m USDC`."""
    if amount_base_units is None:
        return NOTHING
    exact = from_base_units(amount_base_units, SETTLEMENT_DECIMALS)
    shown = grouped(exact / 1_000_000, 2, sign=sign)
    return _figure(shown, exact, f"{grouped(exact, SETTLEMENT_DECIMALS)} {SETTLEMENT_CODE}", "m USDC", "")


@register.simple_tag
def number(
    value: Decimal | float | int | None, places: int = 2, unit: str = "", sign: bool = False, live: str = ""
) -> SafeString:
    """A plain number with its unit."""
    if value is None:
        return NOTHING
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return _figure(grouped(exact, places, sign=sign), exact, f"{exact.normalize():f} {unit}".strip(), unit, live)


@register.simple_tag
def price(value: Decimal | None, unit: str = "USD", live: str = "") -> SafeString:
    """A price with as many places as its size deserves."""
    if value is None:
        return NOTHING
    places = 2 if abs(value) >= 100 else 4 if abs(value) >= 1 else 5
    return number(value, places, unit, False, live)


@register.simple_tag
def quantity(value: Decimal | None, unit: str = "") -> SafeString:
    """A signed number of coins, exact, without trailing zeros."""
    if value is None:
        return NOTHING
    places = max(0, -int(value.normalize().as_tuple().exponent))
    return number(value, places, unit, True)


@register.simple_tag
def percent(part: Decimal | float | int | None, whole: Decimal | float | int = 1, places: int = 1) -> SafeString:
    """`part` of `whole` as a percentage; a dash when there is no whole."""
    if part is None or not whole:
        return NOTHING
    return number(Decimal(str(part)) / Decimal(str(whole)) * 100, places, "%")


SMALLEST_CHANCE = Decimal("0.00001")


@register.simple_tag
def chance(probability: float | None, live: str = "") -> SafeString:
    """A probability as a percentage; one too small for three places is said to be below them, none is none."""
    if probability is None:
        return NOTHING
    exact = Decimal(str(probability)) * 100
    shown = grouped(exact, 3)
    if 0 < exact < SMALLEST_CHANCE * 100:
        shown = f"below {grouped(SMALLEST_CHANCE * 100, 3)}"
    return _figure(shown, exact, f"{float(exact):.3g} %", "%", live)


def _figure(shown: str, exact: Decimal, hover: str, unit: str, live: str) -> SafeString:
    key = format_html(' data-live="{}"', live) if live else ""
    tail = format_html('<span class="unit">{}</span>', unit) if unit else ""
    return format_html('<data class="num" value="{}" title="{}"{}>{}</data>{}', f"{exact:f}", hover, key, shown, tail)


@register.simple_tag
def when(moment: datetime | None, style: str = "full") -> SafeString:
    """A time: `full` (day and minute) or `clock` (time of day)."""
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    shown = f"{utc:%H:%M:%S}" if style == "clock" else f"{utc:%-d %b %Y %H:%M}"
    return format_html(
        '<time datetime="{}" title="{} UTC" data-style="{}">{} UTC</time>',
        utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S}", style, shown,
    )  # fmt: skip


@register.simple_tag
def countdown(deadline: datetime | None) -> SafeString:
    """Time left on the platform's clock, counted down by the page."""
    if deadline is None:
        return NOTHING
    utc = deadline.astimezone(UTC)
    return format_html(
        '<time class="countdown num" datetime="{}" title="until {} UTC" data-countdown role="timer">by {} UTC</time>',
        utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S}", f"{utc:%H:%M}",
    )  # fmt: skip


@register.simple_tag
def age(moment: datetime | None, stale_after_s: int) -> SafeString:
    """How old a value is; past the limit its surroundings turn grey and say since when."""
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    return format_html(
        '<time class="age" datetime="{}" title="{} UTC" data-age data-stale-after="{}">at {} UTC</time>',
        utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S}", stale_after_s, f"{utc:%H:%M:%S}",
    )  # fmt: skip


@register.simple_tag
def digest(value: str | None, kind: str = "hash") -> SafeString:
    """A hash, an address or an id: short, complete on hover, copied by its button."""
    if not value:
        return NOTHING
    text = str(value)
    shown = text if len(text) <= 16 else f"{text[:8]}…{text[-6:]}"
    return format_html(
        '<span class="digest"><code title="{0}">{1}</code><button type="button" class="copy" data-copy="{0}"'
        ' aria-label="Copy this {2}" title="Copy this {2}">{3}</button></span>',
        text, shown, kind, icon("copy"),
    )  # fmt: skip


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """One symbol of the sprite; silent for screen readers unless it has a label."""
    voice = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html('<svg class="ico" {}><use href="{}#{}"></use></svg>', voice, static("bulkhead/icons.svg"), name)


@register.simple_tag
def badge(state: str, label: str = "", tone: str = "") -> SafeString:
    """A state as colour, icon and word."""
    known_tone, mark = TONE_OF.get(state, ("flat", "dot"))
    marks = {"ok": "check", "wait": "clock", "bad": "alert", "flat": "dot"}
    mark = marks[tone] if tone else mark
    return format_html(
        '<span class="tag tag-{}">{}{}</span>', tone or known_tone, icon(mark),
        label or state.replace("_", " ").capitalize(),
    )  # fmt: skip


@register.simple_tag
def default_badge(state: str) -> SafeString:
    """The state of a default case, the same wherever it stands: amber while it may still be cured or is being worked
    out and paid back, red from termination until the loss is borne."""
    tone = {"CURED": "ok", "NOTICE": "wait", "RECOVERY": "wait", "CLOSED": "flat"}.get(state, "bad")
    return badge(state, DefaultCase.State(state).label, tone)


@register.filter
def entry_words(kind: str) -> str:
    """What a journal entry is, in words."""
    return words.entry(kind)


@register.filter
def account_words(kind: str) -> str:
    """What lies on an account, in words."""
    return words.account(kind)


@register.filter
def margin_line(name: str) -> words.MarginLine:
    """What a line of the independent amount is, why, and what makes it less."""
    return words.margin_line(name)


@register.simple_tag
def term(name: str, shown: str = "") -> SafeString:
    """A word of the vocabulary with its meaning on hover and a link into the glossary. KeyError: not in it."""
    entry = GLOSSARY[name]
    return format_html(
        '<a class="term" href="{}#{}" data-tip="{}">{}</a>',
        reverse("glossary"),
        entry.anchor,
        entry.short,
        shown or name,
    )


@register.filter
def field(item: Any, name: str) -> Any:
    """A value of a mapping by its key; None when it has none."""
    return item.get(name) if hasattr(item, "get") else getattr(item, name, None)


@register.simple_tag
def layers_bar(layers: Any, scale_base_units: int = 0, tall: bool = False) -> SafeString:
    """The layers of one relationship on the axis of net loss, with what each has paid; `scale` is the axis' end."""
    layers = list(layers)
    end = max(scale_base_units, max((layer.detach_base_units for layer in layers), default=0))
    if not end:
        return NOTHING
    shapes = []
    tones = {"FIRST_LOSS": "first", "TAIL": "tail", "SENIOR": "senior"}
    for layer in layers:
        left, width = layer.attach_base_units * 1000 / end, layer.size_base_units * 1000 / end
        shapes.append((left, width, f"f-{tones[layer.kind]}"))
        if layer.loss_base_units:
            shapes.append((left, layer.loss_base_units * 1000 / end, "f-bad"))
    gaps = [layer.attach_base_units * 1000 / end for layer in layers[1:]]
    words = ", ".join(
        f"{tones[layer.kind].capitalize()}: {from_base_units(layer.loss_base_units, 6):,.0f} of"
        f" {from_base_units(layer.size_base_units, 6):,.0f} {SETTLEMENT_CODE} paid"
        for layer in layers
    )
    return _svg(shapes, gaps, "s-gap", words, tall)


@register.simple_tag
def headroom_bar(held_base_units: int, required_base_units: int) -> SafeString:
    """Held margin as a bar against the requirement (the line), on a scale to 160% of the larger one's need."""
    end = max(held_base_units, required_base_units * 8 // 5, 1)
    ratio = held_base_units / required_base_units if required_base_units else 99.0
    tone = "f-bad" if ratio < 1 else "f-wait" if ratio < 1.25 else "f-ok"
    words = f"Held is {ratio:.0%} of required" if required_base_units else "Nothing is required"
    shapes = [(0.0, 1000.0, "f-track"), (0.0, max(0, held_base_units) * 1000 / end, tone)]
    return _svg(shapes, [required_base_units * 1000 / end] if required_base_units else [], "s-ink", words, True)


def _svg(shapes: list[tuple[float, float, str]], lines: list[float], stroke: str, words: str, tall: bool) -> SafeString:
    drawn = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="20" class="{}"/>',
        ((f"{left:.2f}", f"{width:.2f}", shape) for left, width, shape in shapes),
    )  # fmt: skip
    strokes = format_html_join(
        "", '<line x1="{0}" x2="{0}" y1="0" y2="20" class="{1}" vector-effect="non-scaling-stroke"/>',
        ((f"{at:.2f}", stroke) for at in lines),
    )  # fmt: skip
    return format_html(
        '<svg class="bar{}" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>',
        " bar-tall" if tall else "", words, drawn, strokes,
    )  # fmt: skip


@register.filter
def human(name: str) -> str:
    """A field's name in words: `short_by_base_units` is `short by`."""
    return str(name).removesuffix("_base_units").replace("_", " ")


@register.filter
def span(minutes: int) -> str:
    """A length of time from signed terms in the largest unit that says it exactly: 1440 is `24 hours`."""
    unit, name = (1440, "day") if minutes >= 2880 else (60, "hour") if minutes >= 120 else (1, "minute")
    if minutes % unit:
        unit, name = 1, "minute"
    count = minutes // unit
    return f"{count:,} {name}" + ("" if count == 1 else "s")


@register.filter
def is_amount(name: str) -> bool:
    """Whether a field of a refusal or request holds settlement base units, by its name."""
    return str(name).endswith("_base_units")
