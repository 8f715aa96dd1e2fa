"""How one column of a table is shown to an officer, decided by the type of its field.

Money gets its unit and its exact value on hover, times their zone, states a colour and a word, hashes a copy button,
JSON a readable list. Used by lists, by detail pages and by inlines alike.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from intermediary import words as words_of
from intermediary.models import Account, AuditRecord, DefaultCase, DefaultEvent, JournalEntry
from intermediary.models.base import BaseUnitsField, ExactField
from intermediary.templatetags import display

Show = Callable[[Any], Any]

DIGEST_FROM = 20  # shorter texts are shown whole
PLACES_MAX = 8  # no quantity or price of ours means more on a screen; the rest is on hover
# Units of numbers that are not money, by the name of the field.
UNITS = {
    **dict.fromkeys(("price", "mark", "strike", "settled_value", "depth_usd"), "USD"),
    **dict.fromkeys(("guidance_bps", "spread_bps", "minimum_spread_bps"), "bp"),
    **dict.fromkeys(("max_fee_wei", "priority_fee_wei"), "wei"),
}
COINS = ("quantity", "open_quantity")
SHARES = ("expected_loss", "probability", "probability_first_loss", "probability_last_loss", "z_spread",
          "expected_yield")  # fmt: skip
DECIMAL = re.compile(r"-?\d+\.\d+")
STATES = ("state", "outcome", "before", "after")
LABELS = {"at": "When", "asset": "Token", "cell": "Relationship", "opposite": "Opposite relationship", "seq": "Number"}


def column(model: type[models.Model], name: str, asset: str = "") -> Show:
    """The column of this field. `asset` is the path from the row to the asset its amounts are in; empty: settlement."""
    field = model._meta.get_field(name)
    assert isinstance(field, models.Field), f"{name} is not a column of {model.__name__}"
    label = str(field.verbose_name).replace(" base units", "").removesuffix(" id").removesuffix(" bps")
    label = LABELS.get(name, label)
    show = _shown_as(field, asset)

    @admin.display(description=label[:1].upper() + label[1:], ordering=name)
    def shown(row: Any) -> Any:
        return show(row)

    if isinstance(field, models.BooleanField):
        shown.boolean = True  # type: ignore[attr-defined]  # the admin reads it off the function
    shown.__name__ = f"number-{name}" if _is_number(field) else name  # its class, by which numbers stand right
    return shown


def _shown_as(field: "models.Field[Any, Any]", asset: str) -> Show:
    name = field.name
    if isinstance(field, BaseUnitsField):
        return lambda row: display.money(getattr(row, name), follow(row, asset) if asset else None)
    if name in COINS:
        return lambda row: exact(getattr(row, name), row.instrument.underlying if hasattr(row, "instrument") else "")
    if isinstance(field, ExactField | models.DecimalField):
        return lambda row: exact(getattr(row, name), UNITS.get(name, ""))
    if isinstance(field, models.DateTimeField):
        return lambda row: display.when(getattr(row, name))
    if isinstance(field, models.ForeignKey):
        return lambda row: link(getattr(row, name))
    if isinstance(field, models.JSONField):
        return lambda row: tree(getattr(row, name))
    if name in ("state", "before", "after") and field.model in (DefaultCase, DefaultEvent):
        return lambda row: display.default_badge(getattr(row, name)) if getattr(row, name) else display.NOTHING
    if name == "kind" and field.model is JournalEntry:
        return lambda row: words_of.entry(row.kind)
    if name == "kind" and field.model is Account:
        return lambda row: words_of.account(row.kind)
    if name == "action" and field.model is AuditRecord:
        return lambda row: words_of.act(row.action)
    if name in STATES and field.choices:
        return lambda row: display.badge(getattr(row, name), getattr(row, f"get_{name}_display")())
    if field.choices:
        return lambda row: getattr(row, f"get_{name}_display")()
    if isinstance(field, models.CharField | models.TextField | models.UUIDField):
        return lambda row: text(getattr(row, name))
    if name in SHARES:
        return lambda row: display.chance(getattr(row, name))
    if isinstance(field, models.FloatField):
        return lambda row: display.number(getattr(row, name), 6)
    if isinstance(field, models.IntegerField):
        return lambda row: display.number(getattr(row, name), 0, UNITS.get(name, ""))
    return lambda row: getattr(row, name)


def _is_number(field: "models.Field[Any, Any]") -> bool:
    numbers = (BaseUnitsField, models.DecimalField, models.FloatField, models.IntegerField)
    return isinstance(field, numbers) and not field.choices


def follow(row: Any, path: str) -> Any:
    """The value at the end of a path of relations: `target__asset`."""
    for name in path.split("__"):
        row = getattr(row, name)
    return row


def exact(value: Decimal | None, unit: str = "") -> SafeString:
    """A decimal with the places that it has, eight at most, and its unit."""
    if value is None:
        return display.NOTHING
    exponent = value.normalize().as_tuple().exponent
    places = min(PLACES_MAX, max(0, -exponent)) if isinstance(exponent, int) else 0
    return display.number(value, places, unit)


def text(value: Any) -> Any:
    """Words as they are; a long word without spaces (a hash, an address, a key) short and with a copy button; decimals
    without their trailing zeros."""
    if value is None or value == "":
        return display.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = str(value)
    if DECIMAL.fullmatch(words):
        return exact(Decimal(words))
    return display.digest(words, "value") if len(words) >= DIGEST_FROM and " " not in words else words


def link(row: models.Model | None) -> Any:
    """The other row, linked to its own page when it has one."""
    if row is None:
        return display.NOTHING
    try:
        address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    except NoReverseMatch:
        return str(row)
    return format_html('<a class="to" href="{}">{}</a>', address, row)


def tree(value: Any) -> Any:
    """A JSON value as nested lists; money under names that end in `_base_units` as money.

    An object that names an asset counts in that asset's base units, or in the settlement token's: its amounts are
    shown as the integers that they are.
    """
    if value is None or value in ({}, [], ""):
        return display.NOTHING
    if isinstance(value, dict):
        pairs = ((words(key), leaf(key, item, plain="asset" in value)) for key, item in value.items())
        rows = format_html_join("", "<dt>{}</dt><dd>{}</dd>", pairs)
        return format_html('<dl class="facts tree">{}</dl>', rows)
    if isinstance(value, list):
        return format_html('<ul class="tree">{}</ul>', format_html_join("", "<li>{}</li>", ((tree(x),) for x in value)))
    return text(value)


def leaf(key: str, value: Any, *, plain: bool) -> Any:
    """One value of a JSON object, by its name; `plain` leaves amounts in base units."""
    if key.endswith("_base_units") and isinstance(value, int):
        return display.number(value, 0, "base units") if plain else display.money(value)
    return tree(value)


def words(key: str) -> str:
    """A JSON name in words."""
    plain = str(key).removesuffix("_base_units").replace("_", " ")
    return plain[:1].upper() + plain[1:]
