"""Pages of investors: what they hold, what is offered, what happened to a series. Thin: reads in, a template out.

A series' page is public; its numbers are the same for everyone. An order is stored as a wish and carried out by a
worker, which the page learns by its live stream.
"""

from decimal import Decimal, InvalidOperation
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from bonds.models import Series
from bonds.portal import queries
from intermediary import events
from intermediary.errors import BadInput
from intermediary.models import CommandRequest
from intermediary.money import to_base_units
from intermediary.queries import is_investor

SETTLEMENT_DECIMALS = 6


@require_safe
@login_required
def holdings(request: HttpRequest) -> HttpResponse:
    """What the reader's party holds, what it is worth by the model, what it has earned."""
    held = queries.holdings_of(request.user)
    context = {
        "holdings": held,
        "principal_base_units": sum(one.principal_base_units for one in held),
        "original_base_units": sum(one.holding.units for one in held),
        "value_base_units": sum(one.value_base_units or 0 for one in held),
        "accrued_base_units": sum(one.accrued_base_units for one in held),
        "orders": queries.orders_of(request.user),
        "charts": [(series, queries.risk_chart(series)) for series in _series_held(held)],
    }
    return render(request, "investors/holdings.html", context)


@require_safe
@login_required
def offerings(request: HttpRequest) -> HttpResponse:
    """Series whose book is open, with the order form of each class; the reader's own orders."""
    offered = [(series, queries.classes_of(series), queries.slices_of(series)) for series in queries.offered()]
    context = {
        "offered": offered,
        "orders": queries.orders_of(request.user),
        "wishes": queries.wishes_of(request.user),
        "past": [series for series in queries.published() if series.state != Series.State.MARKETING],
    }
    return render(request, "investors/offerings.html", context)


@require_safe
def all_series(request: HttpRequest) -> HttpResponse:
    """Every published series."""
    rows = [(series, queries.classes_of(series)) for series in queries.published()]
    return render(request, "investors/all_series.html", {"rows": rows, "base": _base(request)})


@require_safe
def series(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """One series: classes, covered relationships on the loss axis, factor, timeline, terms."""
    found = queries.series_for_reader(series_id)
    context = {
        "series": found,
        "classes": queries.classes_of(found),
        "slices": queries.slices_of(found),
        "timeline": queries.events_of(found),
        "factor_chart": queries.factor_chart(found),
        "risk_chart": queries.risk_chart(found),
        "base": _base(request),
    }
    return render(request, "investors/series.html", context)


@require_POST
@login_required
def order(request: HttpRequest, tranche_id: UUID) -> HttpResponse:
    """Ask for an order to be placed: an amount in whole tokens and a minimum spread in basis points."""
    body = {
        "tranche": str(tranche_id),
        "amount_base_units": _amount(request.POST.get("amount", "")),
        "minimum_spread_bps": _basis_points(request.POST.get("minimum_spread_bps", "")),
    }
    return _ask(request, "place_order", body)


@require_POST
@login_required
def withdraw(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Ask for an order to be taken out of the book."""
    return _ask(request, "withdraw_order", {"order": str(order_id)})


def _ask(request: HttpRequest, command: str, body: dict[str, object]) -> HttpResponse:
    assert isinstance(request.user, User)
    wish = CommandRequest.objects.create(command=command, user=request.user, body=body)
    events.notify(events.PAGES_CHANNEL, f"request:{wish.id}")
    events.notify(events.WISHES_CHANNEL)
    return redirect("investor:offerings")


def _amount(text: str) -> int:
    try:
        return to_base_units(text.replace(",", "").strip(), SETTLEMENT_DECIMALS)
    except (ValueError, InvalidOperation) as problem:
        raise BadInput("amount_unreadable", "State the amount in USDC, for example 250,000.") from problem


def _basis_points(text: str) -> int:
    try:
        value = Decimal(text.strip())
    except InvalidOperation as problem:
        raise BadInput("spread_unreadable", "State the minimum spread in basis points, for example 425.") from problem
    if not value.is_finite() or value != value.to_integral_value():
        raise BadInput("spread_unreadable", "State the minimum spread in whole basis points.")
    return int(value)


def _series_held(held: list[queries.HoldingView]) -> list[Series]:
    return list({one.of.tranche.series_id: one.of.tranche.series for one in held}.values())


def _base(request: HttpRequest) -> str:
    """Signed-in investors keep their rail; everybody else reads the same page under the public bar."""
    return "investors/base.html" if is_investor(request.user) else "frames/public.html"
