"""Pages of investors: what they hold, what happened to a series. Thin: reads in, a template out.

A series' page is public; its numbers are the same for everyone. Offerings and bids have pages of their own
(`book_pages`).
"""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bonds.models import Series
from bonds.offering.terms import terms_from
from bonds.portal import book_queries, queries, rolled
from bonds.portal import held as own
from bonds.portal.recoveries import recoveries_of
from intermediary.access import party_for
from intermediary.queries import is_investor


@require_safe
@login_required
def holdings(request: HttpRequest) -> HttpResponse:
    """What the reader's party holds, what it is worth by the model, what it has earned."""
    assert isinstance(request.user, User)
    held = queries.holdings_of(request.user)
    party = party_for(request.user)
    context = {
        "next_coupons": own.next_coupons(held),
        "coupons": own.coupons_of(party),
        "cash": own.cash_of(party),
        "elections": rolled.elections_of(request.user),
        "live_states": Series.LIVE,
        "kept": own.kept_back(_series_held(held)),
        "notices": own.notices_of(party),
        "holdings": held,
        "classes": own.classes_of(held),
        "principal_base_units": sum(one.principal_base_units for one in held),
        "original_base_units": sum(one.holding.units for one in held),
        "value_base_units": sum(one.value_base_units or 0 for one in held),
        "unpriced": [one for one in held if one.value_base_units is None and one.principal_base_units],
        "unpriced_base_units": sum(one.principal_base_units for one in held if one.value_base_units is None),
        "accrued_base_units": sum(one.accrued_base_units or 0 for one in held),
        "orders": book_queries.orders_of(request.user),
        "charts": [(series, queries.risk_chart(series)) for series in _series_held(held)],
    }
    return render(request, "investors/holdings.html", context)


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
        "terms": terms_from(found.terms),
        "classes": queries.classes_of(found),
        "slices": queries.slices_of(found),
        "recoveries": recoveries_of(found),
        "timeline": queries.events_of(found),
        "offering": book_queries.offering_of(found),
        "factor_chart": queries.factor_chart(found),
        "risk_chart": queries.risk_chart(found),
        "base": _base(request),
    }
    return render(request, "investors/series.html", context)


def _series_held(held: list[queries.HoldingView]) -> list[Series]:
    return list({one.of.tranche.series_id: one.of.tranche.series for one in held}.values())


def _base(request: HttpRequest) -> str:
    """Signed-in investors keep their rail; everybody else reads the same page under the public bar."""
    return "investors/base.html" if is_investor(request.user) else "frames/public.html"
