"""The form in which an officer composes a series, and the draft that it stands for. What a form can know by itself it
refuses at once; the rest (calendar, tails, documents) a worker finds, and its problems come back beside the fields."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from bonds.models import Document
from bonds.offering.terms import RECORD_BUSINESS_DAYS
from intermediary import cover
from intermediary.config.office.lines import AmountField
from intermediary.models import Cell
from intermediary.money import from_base_units

CLASSES_MOST = 4  # more classes of one tail than that nobody tells apart
HASH_LINE = re.compile(r"(?P<title>[^:]{1,120}):\s*(?P<sha256>[0-9a-f]{64})")
BUFFER = re.compile(r"(?:(?P<months>\d+)\s*:\s*)?(?P<factor>\d+(?:\.\d+)?)")
DECIMALS = 6


class SeriesForm(forms.Form):
    """One series; its classes are the fields `class_<n>_...`, junior first."""

    code = forms.RegexField(r"^[A-Z0-9-]{3,20}$", label="Code", help_text="Capital letters, digits and dashes.")
    title = forms.CharField(label="Title", max_length=120)
    relationships = forms.MultipleChoiceField(
        label="Relationships", widget=forms.CheckboxSelectMultiple, help_text="Each gets a ring-fenced slice: its tail."
    )
    issue_date = forms.DateField(label="Issue date", widget=forms.DateInput(attrs={"type": "date"}))
    scheduled_maturity = forms.DateField(label="Scheduled maturity", widget=forms.DateInput(attrs={"type": "date"}))
    final_maturity = forms.DateField(
        label="Final maturity",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="The hard stop of an extension.",
    )
    long_stop = forms.DateField(
        label="Long stop", required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Until then recoveries reach written-down units; empty: without end.",
    )  # fmt: skip
    coupon_kind = forms.ChoiceField(
        label="Coupon",
        choices=[("FIXED", "Spread plus a fixed yield"), ("SOFR", "Spread plus each day's SOFR, simple")],
    )
    collateral_yield_percent = forms.DecimalField(
        label="Yield of the collateral, % a year", min_value=Decimal(0), max_value=Decimal(25), max_digits=6,
        decimal_places=4, help_text="Fixed for a fixed coupon; the first estimate for a floating one.",
    )  # fmt: skip
    months_between_coupons = forms.ChoiceField(
        label="Coupons", choices=[("1", "every month"), ("3", "every quarter"), ("6", "every half year")]
    )
    record_business_days = forms.IntegerField(
        label="Record date, business days before payment", min_value=RECORD_BUSINESS_DAYS,
        max_value=RECORD_BUSINESS_DAYS, help_text="1: the contract pays who holds units as the payment date begins.",
    )  # fmt: skip
    denomination_base_units = AmountField(label="Denomination")
    retained_bps = forms.IntegerField(
        label="Retained of every slice, bp", min_value=0, max_value=9_999, help_text="500 to 2,000: a vertical slice."
    )
    clean_up_call_bps = forms.IntegerField(
        label="Clean-up call below, bp", min_value=0, max_value=9_999, help_text="Of original principal; 0: none."
    )
    loss_determination_days = forms.IntegerField(label="Loss determined within, days", min_value=1, max_value=1_000)
    extension_buffers = forms.CharField(
        label="Kept back of an estimated loss",
        help_text="Months since the notice: factor, then the factor for ever after.",
    )
    challenge_hours = forms.IntegerField(label="Challenge period, hours", min_value=1, max_value=720)
    expert_hours = forms.IntegerField(label="Expert's period, hours", min_value=1, max_value=2_160)
    maturity_grace_days = forms.IntegerField(label="Grace after the final maturity, days", min_value=1, max_value=365)
    stored_documents = forms.MultipleChoiceField(
        label="Documents stored here", required=False, widget=forms.CheckboxSelectMultiple
    )
    other_documents = forms.CharField(
        label="Documents kept elsewhere", required=False, widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One a line: title: SHA-256.",
    )  # fmt: skip

    def __init__(self, data: Any = None, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial=dict(initial or DEFAULTS), label_suffix="")
        self.fields["relationships"].choices = tails_offered()  # type: ignore[attr-defined]
        self.fields["stored_documents"].choices = [  # type: ignore[attr-defined]
            (one.sha256, f"{one.title} ({one.filename}, {one.sha256[:12]}…)")
            for one in Document.objects.defer("content").order_by("-id")[:30]
        ]
        for number in range(CLASSES_MOST):
            needed = number == 0
            self.fields[f"class_{number}_name"] = forms.CharField(label="Name", max_length=60, required=needed)
            self.fields[f"class_{number}_symbol"] = forms.CharField(label="Symbol", max_length=20, required=False)
            self.fields[f"class_{number}_isin"] = forms.CharField(label="ISIN", max_length=12, required=False)
            for end in ("from", "to"):
                self.fields[f"class_{number}_{end}"] = forms.DecimalField(
                    label=f"{end.capitalize()}, % of the tail",
                    required=False,
                    min_value=Decimal(0),
                    max_value=Decimal(100),
                )

    def clean(self) -> dict[str, Any]:
        """A class that is named is said in full."""
        found = super().clean() or {}
        for number in range(CLASSES_MOST):
            if found.get(f"class_{number}_name"):
                for part in ("symbol", "isin", "from", "to"):
                    if found.get(f"class_{number}_{part}") in (None, ""):
                        self.add_error(f"class_{number}_{part}", "Say this of a class, too.")
        return found

    def clean_extension_buffers(self) -> list[list[Any]]:
        """`3: 1.5, 6: 1.25, 1.0` as steps; the last has no months."""
        steps: list[list[Any]] = []
        for part in str(self.cleaned_data["extension_buffers"]).split(","):
            found = BUFFER.fullmatch(part.strip())
            if found is None:
                raise forms.ValidationError("Write steps like 3: 1.5, 6: 1.25, 1.0")
            steps.append([int(found["months"]) if found["months"] else None, found["factor"]])
        return steps

    def clean_other_documents(self) -> list[dict[str, Any]]:
        """Titles with hashes."""
        found = [HASH_LINE.fullmatch(line.strip()) for line in str(self.cleaned_data["other_documents"]).splitlines()]
        if not all(found):
            raise forms.ValidationError("Write a title, a colon and 64 hexadecimal digits.")
        return [{"title": one["title"].strip(), "sha256": one["sha256"]} for one in found if one]

    @property
    def classes(self) -> list[tuple[int, list[Any]]]:
        """The fields of each class, for the page."""
        parts = ("name", "symbol", "isin", "from", "to")
        return [(number, [self[f"class_{number}_{part}"] for part in parts]) for number in range(CLASSES_MOST)]

    @property
    def plain(self) -> list[Any]:
        """Every other field but those the page sets by hand."""
        by_hand = {"relationships", "stored_documents", "other_documents"}
        return [field for field in self if not field.name.startswith("class_") and field.name not in by_hand]


DEFAULTS: dict[str, Any] = {
    "coupon_kind": "FIXED",
    "months_between_coupons": "3",
    "record_business_days": RECORD_BUSINESS_DAYS,
    "denomination_base_units": "1,000",
    "retained_bps": 500,
    "clean_up_call_bps": 1_000,
    "loss_determination_days": 180,
    "extension_buffers": "3: 1.5, 6: 1.25, 1.0",
    "challenge_hours": 48,
    "expert_hours": 240,
    "maturity_grace_days": 30,
    "class_0_name": "Class A",
    "class_0_from": 0,
    "class_0_to": 100,
}
SAME = (
    "title",
    "coupon_kind",
    "record_business_days",
    "denomination_base_units",
    "retained_bps",
    "clean_up_call_bps",
    "loss_determination_days",
    "extension_buffers",
    "challenge_hours",
    "expert_hours",
    "maturity_grace_days",
    "relationships",
)


def tails_offered() -> list[tuple[str, str]]:
    """Relationships with a tail that a slice can carry: code, and where it lies."""
    found = []
    for cell in Cell.objects.filter(kind=Cell.Kind.CLIENT, state__in=["OPEN", "NO_NEW_RISK"]).order_by("code"):
        tail = cover.tail_of(cell.id)
        if tail is not None:
            edges = [
                f"{from_base_units(edge, DECIMALS):,.0f}" for edge in (tail.attach_base_units, tail.detach_base_units)
            ]
            waits = ", its line awaits this cover" if tail.line else ""
            found.append((cell.code, f"{cell.code}: {edges[0]} to {edges[1]} USDC{waits}"))
    return found


def body_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """The draft: plain JSON as `bonds.offering.composing` reads it."""
    stored = Document.objects.filter(sha256__in=cleaned["stored_documents"]).values_list("title", "sha256")
    named = [number for number in range(CLASSES_MOST) if cleaned.get(f"class_{number}_name")]
    return {
        **{name: cleaned[name] for name in SAME},
        **{
            name: cleaned[name].isoformat() if cleaned[name] else ""
            for name in ("issue_date", "scheduled_maturity", "final_maturity", "long_stop")
        },
        "collateral_yield_percent": str(cleaned["collateral_yield_percent"]),
        "months_between_coupons": int(cleaned["months_between_coupons"]),
        "classes": [
            {
                **{part: cleaned[f"class_{number}_{part}"] for part in ("name", "symbol", "isin")},
                **{f"{end}_bps": int(cleaned[f"class_{number}_{end}"] * 100) for end in ("from", "to")},
            }
            for number in named
        ],
        "documents": [{"title": title, "sha256": digest, "stored": True} for title, digest in stored]
        + cleaned["other_documents"],
    }


def initial_of(code: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The form as the draft was sent."""
    steps = [f"{months}: {factor}" if months is not None else factor for months, factor in body["extension_buffers"]]
    initial = {
        **body,
        "code": code,
        "months_between_coupons": str(body["months_between_coupons"]),
        "denomination_base_units": f"{from_base_units(body['denomination_base_units'], DECIMALS):,.0f}",
        "extension_buffers": ", ".join(steps),
        "stored_documents": [one["sha256"] for one in body["documents"] if one.get("stored")],
        "other_documents": "\n".join(
            f"{one['title']}: {one['sha256']}" for one in body["documents"] if not one.get("stored")
        ),
    }
    for number, one in enumerate(body["classes"]):
        initial |= {f"class_{number}_{part}": one[part] for part in ("name", "symbol", "isin")}
        initial |= {f"class_{number}_{end}": Decimal(one[f"{end}_bps"]) / 100 for end in ("from", "to")}
    return initial
