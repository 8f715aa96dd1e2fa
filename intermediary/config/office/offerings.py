"""Offerings: the book of each, what was sealed, then who would pay what, and the acts that two officers decide on.

While bids are sealed there is nothing to see but their number. The amounts appear when the book is cleared, with the
report that everyone can check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from bonds.models import Allocation, OfferedClass, Offering, Order, Series
from bonds.offering import plan as plans
from bonds.offering import proposals
from bonds.offering.book import Clearing
from bonds.offering.terms import SeriesTerms, terms_from
from bonds.portal import book_queries
from bonds.servicing.maturity import BEFORE
from intermediary import queries
from intermediary.config import redemption_requests
from intermediary.config.office.lines import DECIMALS, AmountField
from intermediary.config.office.pages import show
from intermediary.money import from_base_units
from intermediary.portal.wishes import ask

State = Offering.State
MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
STARTS_IN, WINDOW, TO_PAY = timedelta(days=1), timedelta(hours=4), timedelta(days=2)  # a form's start, not a rule


class ReasonForm(forms.Form):
    """Why, for the audit trail."""

    reason = forms.CharField(label="Reason", min_length=8, max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))


class AnnounceForm(ReasonForm):
    """Times of a sale in UTC, and what each class sells."""

    opens_at = forms.DateTimeField(label="Bids from (UTC)", widget=MOMENT)
    commits_until = forms.DateTimeField(label="Bids until (UTC)", widget=MOMENT, help_text="Nobody can move it.")
    reveals_until = forms.DateTimeField(label="Reveals until (UTC)", widget=MOMENT)
    pays_until = forms.DateTimeField(label="First payments until (UTC)", widget=MOMENT)
    ends_at = forms.DateTimeField(
        label="Last payments until (UTC)", widget=MOMENT, help_text="The escrow takes nothing afterwards."
    )

    def __init__(self, terms: SeriesTerms, now: datetime, data: Any = None) -> None:
        self.terms = terms
        start = plans.plain(terms, now + STARTS_IN, WINDOW, TO_PAY)
        initial: dict[str, Any] = {name: value.replace(second=0, microsecond=0) for name, value in start.times.items()}
        super().__init__(data, initial=initial)
        for index, one in enumerate(terms.classes):
            face = f"{from_base_units(terms.face_base_units(index), DECIMALS):,.0f}"
            most = f"{from_base_units(plans.limit_of(terms, index), DECIMALS):,.0f}"
            for name, label, hint in (
                ("limit", f"{one.symbol}: sell at most", f"Upsizing at the same spread; target {face}, most {most}."),
                ("cap", f"{one.symbol}: most for one investor", "Its cheapest steps count."),
            ):
                self.fields[f"{name}_{index}"] = AmountField(label=label, help_text=hint, initial=face)
            self.fields[f"bidders_{index}"] = forms.IntegerField(
                label=f"{one.symbol}: fewest investors", min_value=1, initial=1, help_text="A book of fewer is pulled."
            )

    def plan(self) -> plans.OfferingPlan:
        """What was entered."""
        said = self.cleaned_data
        return plans.OfferingPlan(
            **{name: said[name] for name in ("opens_at", "commits_until", "reveals_until", "pays_until", "ends_at")},
            classes=tuple(
                plans.ClassPlan(one.symbol, said[f"limit_{index}"], said[f"cap_{index}"], said[f"bidders_{index}"])
                for index, one in enumerate(self.terms.classes)
            ),
        )


@dataclass(frozen=True)
class BookView:
    """One class: sealed bids before the clearing; curve, result and allocations after it."""

    offered: OfferedClass
    sealed: int
    orders: list[Order]
    result: Clearing | None
    curve: list[tuple[int, int]]
    chart: dict[str, Any] | None
    allocations: list[Allocation]

    @property
    def paid_units(self) -> int:
        return sum(one.paid_units for one in self.allocations)


def offerings(request: HttpRequest) -> HttpResponse:
    """Every series that is or can be offered."""
    rows = [
        (one, Offering.objects.filter(series=one).first(), len(proposals.waiting(one.id)))
        for one in Series.objects.order_by("-id")
    ]
    return show(request, "offerings", "Offerings", rows=rows)


def offering(request: HttpRequest, series_id: UUID, form: forms.Form | None = None) -> HttpResponse:
    """One offering with the acts that are next."""
    series = get_object_or_404(Series, id=series_id)
    found = Offering.objects.filter(series=series).first()
    return show(
        request,
        "offering",
        f"Offering of {series.code}",
        status=422 if form else 200,
        series=series,
        offering=found,
        books=[_book(one) for one in found.classes.select_related("tranche")] if found else [],
        waiting=proposals.waiting(series.id),
        acts=_acts(series, found),
        form=form,
        announce=_announce_form(series) if found is None and form is None else form,
        reason=ReasonForm(),
    )


@require_POST
def act(request: HttpRequest, series_id: UUID, name: str) -> HttpResponse:
    """Store what an officer asks for; the worker makes the proposal under the same rules."""
    series = get_object_or_404(Series, id=series_id)
    if name not in COMMANDS:
        raise Http404
    form = _announce_form(series, request.POST) if name == proposals.ANNOUNCE else ReasonForm(request.POST)
    if not form.is_valid():
        return offering(request, series_id, form)
    body: dict[str, Any] = {"series_id": str(series.id), "reason": form.cleaned_data["reason"]}
    if isinstance(form, AnnounceForm):
        body["plan"] = form.plan().body()
    return redirect("admin:request", ask(request, COMMANDS[name], None, body).id)


COMMANDS = {
    proposals.ANNOUNCE: "propose_announcement",
    proposals.GUIDE: "propose_guidance",
    proposals.ALLOCATE: "propose_allocation",
    proposals.PULL: "propose_pull",
    **{act: f"propose_{act}" for act in redemption_requests.ACTS},
}
ACTS: dict[str, Callable[[Offering], bool]] = {
    proposals.GUIDE: lambda one: one.state == State.ANNOUNCED,
    proposals.ALLOCATE: lambda one: one.state == State.PRICED,
    proposals.PULL: lambda one: one.state not in (State.SETTLED, State.PULLED),
}
WORDS = {
    proposals.GUIDE: ("Propose guidance", "The worker prices each class by the loss model at the last valuation."),
    proposals.ALLOCATE: ("Propose the allocation", "Exactly the report of the cleared book, by its hash."),
    proposals.PULL: ("Propose to pull", "The reason is published; whoever paid is refunded."),
}


def _acts(series: Series, found: Offering | None) -> list[tuple[str, str, str]]:
    """(act, its words, what it does) that can be proposed now and is not waiting."""
    if series.state in BEFORE:
        return [(name, *words) for name, words in redemption_requests.WORDS.items()]
    if found is None:
        return []
    asked = {proposals.act_of(one) for one in proposals.waiting(series.id)}
    return [(name, *WORDS[name]) for name, is_next in ACTS.items() if is_next(found) and name not in asked]


def _announce_form(series: Series, data: Any = None) -> AnnounceForm:
    return AnnounceForm(terms_from(series.terms), queries.platform_clock().now, data)


def _book(one: OfferedClass) -> BookView:
    found = one.offering
    cleared = bool(found.report)
    curve = book_queries.demand_curve(found, one.tranche.symbol) if cleared else []
    result = book_queries.result_of(found, one.tranche.symbol) if cleared else None
    orders = Order.objects.filter(tranche=one.tranche).select_related("party").order_by("at")
    allocations = Allocation.objects.filter(tranche=one.tranche).select_related("party", "order__wallet")
    return BookView(
        offered=one,
        sealed=book_queries.sealed_bids(one),
        orders=list(orders),
        result=result,
        curve=curve,
        chart=_chart(one, curve, result) if curve else None,
        allocations=list(allocations.order_by("payment_round", "id")),
    )


def _chart(one: OfferedClass, curve: list[tuple[int, int]], result: Clearing | None) -> dict[str, Any]:
    """Demand by spread, with the target and the clearing spread."""
    points = [[spread, float(from_base_units(amount, DECIMALS))] for spread, amount in curve]
    target = float(from_base_units(one.target_base_units, DECIMALS))
    clears = result.spread_bps if result else None
    marks = [{"at": clears, "label": f"clears at {clears} bp"}] if clears is not None else []
    return {
        "kind": "lines",
        "unit": "USDC",
        "x": "value",
        "xName": "basis points",
        "tight": True,
        "scale": False,
        "series": [{"name": "demand", "tone": "accent", "points": points, "step": True, "area": True}],
        "limits": [{"value": target, "label": "target", "tone": "wait"}],
        "marks": marks,
    }
