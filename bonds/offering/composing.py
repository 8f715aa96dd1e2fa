"""From an officer's draft to the terms of a series: every problem found, each beside the field that it is about.

A draft names relationships and how the classes cut their tails; where the tails lie is their credit lines' business,
in force or awaiting this very cover. All that can be judged alone is judged, so that an officer learns everything at
once. Only here is it asked that dates are business days, that the record date is the one that the contract keeps, and
that the intermediary keeps its part: a published example keeps none, a series for sale must. Runs in a worker
(QuantLib's calendar).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from bonds.models import Document, Series
from bonds.offering.layers import ClassPart, refuse_off_tail, refuse_uneven, slice_in
from bonds.offering.terms import (
    RECORD_BUSINESS_DAYS,
    RETAINED_BPS_MAX,
    RETAINED_BPS_MIN,
    ClassTerms,
    SeriesTerms,
    SliceTerms,
    slice_id_of,
)
from intermediary import cover
from intermediary.errors import BadInput, Refusal
from intermediary.models import Cell, CreditLine
from risk.market.quantlib import is_business_day

Body = Mapping[str, Any]
Found = TypeVar("Found")
CURRENCY = "USDC"
FIELD_OF = {
    "bonds.dates": "scheduled_maturity",
    "bonds.empty": "relationships",
    "bonds.grace": "maturity_grace_days",
    "bonds.coupon_kind": "coupon_kind",
    "bonds.record_date": "record_business_days",
    "bonds.retention": "retained_bps",
    "bonds.vertical": "retained_bps",
    "bonds.clean_up_call": "clean_up_call_bps",
    "bonds.periods": "loss_determination_days",
    "bonds.determination": "loss_determination_days",
    "bonds.long_stop": "long_stop",
    "bonds.extension": "extension_buffers",
    "bonds.isin": "classes",
    "bonds.class_names": "classes",
    "bonds.classes": "classes",
    "bonds.principal": "classes",
    "bonds.document": "documents",
    "layer_empty": "classes",
    "layers_overlap": "classes",
    "layers_gap": "classes",
    "layer_too_thin": "classes",
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with the field `about` of a draft."""

    about: str
    code: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)


@dataclass
class Composed:
    """The terms, None while they are not whole, and every problem."""

    terms: SeriesTerms | None = None
    problems: list[Problem] = field(default_factory=list)

    def tried(self, about: str, work: Callable[..., Found], *asked: Any) -> Found | None:
        """The work's result, or None and its refusal as a problem."""
        try:
            return work(*asked)
        except Refusal as refusal:
            found = Problem(FIELD_OF.get(refusal.code, about), refusal.code, refusal.message, dict(refusal.data))
            if found not in self.problems:  # what is wrong with the classes is wrong in every slice
                self.problems.append(found)
            return None


def compose(code: str, body: Body) -> Composed:
    """The terms that this draft stands for. Whatever is refused becomes a problem; nothing is raised for it."""
    made = Composed()
    parts = [ClassPart(one["name"], one["from_bps"], one["to_bps"]) for one in body["classes"]]
    made.tried("code", _refuse_taken, code, body)
    made.tried("classes", refuse_uneven, parts)
    made.tried("retained_bps", _refuse_odd_retention, body["retained_bps"])
    made.tried("record_business_days", _refuse_other_record_date, body["record_business_days"])
    for name in ("scheduled_maturity", "final_maturity"):
        made.tried(name, _refuse_holiday, date.fromisoformat(body[name]))
    for one in body["documents"]:
        made.tried("documents", _refuse_unknown, one)
    slices = [made.tried("relationships", _slice, code, name, parts, body) for name in body["relationships"]]
    if not made.problems:
        made.terms = made.tried("title", _terms, code, body, tuple(one for one in slices if one is not None))
    return made


def _terms(code: str, body: Body, slices: tuple[SliceTerms, ...]) -> SeriesTerms:
    return SeriesTerms(
        code=code,
        title=body["title"],
        currency=CURRENCY,
        issue_date=date.fromisoformat(body["issue_date"]),
        scheduled_maturity=date.fromisoformat(body["scheduled_maturity"]),
        final_maturity=date.fromisoformat(body["final_maturity"]),
        collateral_yield_annual=Decimal(body["collateral_yield_percent"]).scaleb(-2),
        denomination_base_units=body["denomination_base_units"],
        challenge_seconds=body["challenge_hours"] * 3_600,
        expert_seconds=body["expert_hours"] * 3_600,
        maturity_grace_seconds=body["maturity_grace_days"] * 86_400,
        classes=tuple(ClassTerms(one["name"], one["symbol"], one["isin"]) for one in body["classes"]),
        slices=slices,
        months_between_coupons=body["months_between_coupons"],
        coupon_kind=body["coupon_kind"],
        retained_bps=body["retained_bps"],
        clean_up_call_bps=body["clean_up_call_bps"],
        loss_determination_days=body["loss_determination_days"],
        extension_buffers=tuple((months, Decimal(factor)) for months, factor in body["extension_buffers"]),
        long_stop=date.fromisoformat(body["long_stop"]) if body["long_stop"] else None,
        record_business_days=body["record_business_days"],
        document_hashes=tuple((one["title"], one["sha256"]) for one in body["documents"]),
    )


def _slice(code: str, relationship: str, parts: list[ClassPart], body: Body) -> SliceTerms:
    cell = Cell.objects.filter(code=relationship, kind=Cell.Kind.CLIENT).first()
    if cell is None or cell.state not in (Cell.State.OPEN, Cell.State.NO_NEW_RISK):
        raise Refusal(
            "relationship_not_open", f"{relationship} is no performing relationship.", relationship=relationship
        )
    tail = cover.tail_of(cell.id)
    if tail is None:
        raise Refusal(
            "no_tail_to_carry", f"No credit line of {relationship} has or awaits a tail.", relationship=relationship
        )
    _refuse_late_cover(cell, date.fromisoformat(body["scheduled_maturity"]), tail)
    item = slice_in(
        tail,
        cell_id=cell.id,
        relationship=relationship,
        parts=parts,
        denomination=body["denomination_base_units"],
        retained_bps=body["retained_bps"],
    )
    refuse_off_tail(item, slice_id_of(code, cell.id), tail)
    return item


def _refuse_late_cover(cell: Cell, maturity: date, tail: cover.Tail) -> None:
    """A line expires before its cover does (D2)."""
    line = tail.line or CreditLine.objects.filter(cell=cell, state=CreditLine.State.ACTIVE).first()
    if line is not None and line.expires_at.date() > maturity:
        raise Refusal(
            "line_outlives_cover",
            f"The line of {cell.code} would outlive this cover.",
            relationship=cell.code,
            line_expires_at=line.expires_at.isoformat(),
            scheduled_maturity=maturity.isoformat(),
        )


def _refuse_taken(code: str, body: Body) -> None:
    if Series.objects.filter(code=code).exists():
        raise Refusal("series_exists", "A series of this code stands already.", series=code)
    taken = Series.objects.filter(tranches__isin__in=[one["isin"] for one in body["classes"]]).first()
    taken = taken or Series.objects.filter(tranches__symbol__in=[one["symbol"] for one in body["classes"]]).first()
    if taken is not None:
        raise Refusal("bonds.class_names", f"{taken.code} has a class of this symbol or ISIN.", series=taken.code)


def _refuse_odd_retention(retained_bps: int) -> None:
    if not RETAINED_BPS_MIN <= retained_bps <= RETAINED_BPS_MAX:
        raise BadInput(
            "bonds.retention",
            f"The intermediary keeps {RETAINED_BPS_MIN / 100:g} to {RETAINED_BPS_MAX / 100:g}% of every slice that it"
            " sells: a part of the risk, and no more than its float can stand for.",
            retained_bps=retained_bps,
            least_bps=RETAINED_BPS_MIN,
            most_bps=RETAINED_BPS_MAX,
        )


def _refuse_other_record_date(business_days: int) -> None:
    if business_days != RECORD_BUSINESS_DAYS:
        raise BadInput(
            "bonds.record_date",
            "A coupon goes to the units held as its payment date begins: one business day before, and no other record.",
            record_business_days=business_days,
            only_business_days=RECORD_BUSINESS_DAYS,
        )


def _refuse_holiday(day: date) -> None:
    if not is_business_day(day):
        raise BadInput(
            "not_a_business_day", f"{day:%A %-d %B %Y} is no business day of the dollar.", day=day.isoformat()
        )


def _refuse_unknown(one: Mapping[str, str]) -> None:
    """A document is stored here, or it is kept elsewhere and says so by its hash alone."""
    if one.get("stored") and not Document.objects.filter(sha256=one["sha256"]).exists():
        raise BadInput("document_missing", f"{one['title']} is not stored under this hash.", sha256=one["sha256"])
