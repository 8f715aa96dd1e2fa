"""Pages of offerings: what is on sale, sealing a bid, revealing it, and the report of the allocation.

The amounts of a sealed bid never leave the browser: the form's fields for them have no names, and only the commitment
and the declared conflicts are sent (`bulkhead/js/sealed-bid.js`). Each act is stored as a wish and carried out by a
worker, which the page learns by its live stream.
"""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bonds.models import Offering, Order, Series
from bonds.offering.sealing import OPENING_CHARACTERS_MAX
from bonds.offering.terms import terms_from
from bonds.portal import book_queries, coupon_words, queries, rolled
from intermediary import events
from intermediary.access import not_found
from intermediary.errors import BadInput
from intermediary.models import CommandRequest

FIRST_ROWS = 5  # steps of a ladder shown at first; a desk's own has about five


@require_safe
@login_required
def offerings(request: HttpRequest) -> HttpResponse:
    """What is on sale, and the reader's own bids."""
    on_sale = book_queries.offerings_shown()
    shown = [(one, queries.classes_of(one.offering.series), queries.slices_of(one.offering.series)) for one in on_sale]
    running = [one.offering.series_id for one in on_sale]
    context = {
        "shown": shown,
        "orders": book_queries.orders_of(request.user),
        "wishes": book_queries.wishes_of(request.user),
        "past": [series for series in queries.published() if series.id not in running],
    }
    return render(request, "investors/offerings.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def bid(request: HttpRequest, tranche_id: UUID) -> HttpResponse:
    """The form that seals a bid in the browser; what is sent is its commitment, and the election that it is made from.
    `?roll=` chooses one; otherwise the first that stands."""
    offered = book_queries.offered_class(tranche_id)
    offers = rolled.offers_for(request.user, offered.tranche)
    if request.method == "POST":
        body: dict[str, object] = {
            "tranche": str(tranche_id),
            "commitment": request.POST.get("commitment", "").strip().lower(),
            "conflicts": request.POST.getlist("conflicts"),
        }
        if wanted := request.POST.get("roll_forward"):
            body["roll_forward"] = str(_offer(offers, wanted).id)
        return _ask(request, "seal_bid", body)
    wanted = request.GET.get("roll")
    context = {
        "offers": offers,
        "chosen": _offer(offers, wanted) if wanted else next(iter(offers), None),
        "offered": offered,
        "sealed": book_queries.sealed_bids(offered),
        "party": book_queries.party_of(request.user),
        "conflicts": Order.Conflict.choices,
        "rows": range(1, FIRST_ROWS + 1),
        "yield_words": coupon_words.beside(terms_from(offered.tranche.series.terms)),
        "mine": [one for one in book_queries.orders_of(request.user) if one.order.tranche_id == tranche_id],
    }
    return render(request, "investors/bid.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def reveal(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The form that opens a sealed bid with what the browser kept, or with the file that was saved."""
    view = book_queries.own_order(request.user, order_id)
    if request.method == "POST":
        opening, nonce = request.POST.get("opening", ""), request.POST.get("nonce", "")
        if len(opening) > OPENING_CHARACTERS_MAX or len(nonce) > OPENING_CHARACTERS_MAX:
            raise BadInput("opening_unreadable", "This is longer than any opening of a bid.")
        return _ask(request, "reveal_bid", {"order": str(order_id), "opening": opening, "nonce": nonce.strip()})
    return render(request, "investors/reveal.html", {"view": view, "offering": _offering_of(view.order.tranche.series)})


@require_POST
@login_required
def withdraw(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Ask for a sealed bid to be taken out of the open book."""
    return _ask(request, "withdraw_order", {"order": str(order_id)})


@require_safe
def allocation_report(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """The report of the cleared book, for everyone: the bytes whose hash stands on the timeline."""
    offering = _offering_of(queries.series_for_reader(series_id))
    if not offering.report:
        raise not_found()
    response = HttpResponse(offering.report, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{offering.series.code}-allocation.json"'
    return response


def _offer(offers: list[rolled.Offer], election_id: str) -> rolled.Offer:
    found = next((one for one in offers if election_id in [str(each.row.id) for each in one.elections]), None)
    if found is None:
        raise not_found()
    return found


def _offering_of(series: Series) -> Offering:
    found = Offering.objects.select_related("series").filter(series=series).first()
    if found is None:
        raise not_found()
    return found


def _ask(request: HttpRequest, command: str, body: dict[str, object]) -> HttpResponse:
    assert isinstance(request.user, User)
    wish = CommandRequest.objects.create(command=command, user=request.user, body=body)
    events.notify(events.PAGES_CHANNEL, f"request:{wish.id}")
    events.notify(events.WISHES_CHANNEL)
    return redirect("investor:offerings")
