"""The client's pages that only read."""

import csv
import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_safe

from intermediary import access, ports, queries
from intermediary.call_forecast import coin_margin, fall_to_call, forecasts
from intermediary.collateral import coming_base_units
from intermediary.layer_risk import layers_table
from intermediary.margin_parts import parts_of
from intermediary.models import Asset, Cell, JournalEntry, MarginState
from intermediary.money import from_base_units
from intermediary.portal import collateral as vaults
from intermediary.portal import isolation as linked
from intermediary.portal import reads
from intermediary.terms import Terms

P = ParamSpec("P")
Page = Callable[Concatenate[HttpRequest, Cell, P], HttpResponse]
STATEMENT_SPAN = timedelta(days=1)
STATEMENT_LIMIT = timedelta(days=366)  # a year is one file; more is asked for year by year
ENTRIES_SHOWN = 300
STALE_FACTOR = 3  # a page is greyed after three missed valuations


def of_cell(page: Page[P]) -> Callable[..., HttpResponse]:
    """Sign-in, then the reader's own relationship by its code; anything else does not exist."""

    def found(request: HttpRequest, code: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return page(request, access.cell_for(reader(request), code), *args, **kwargs)

    functools.update_wrapper(found, page)
    return login_required(found)


def reader(request: HttpRequest) -> User:
    """The signed-in person of a page that requires one."""
    assert isinstance(request.user, User), "the page requires a signed-in person"
    return request.user


def context_of(cell: Cell) -> dict[str, Any]:
    """What every page of a relationship shows around its own matter."""
    state = reads.margin_state(cell)
    signed = reads.terms_versions(cell)
    terms = signed[0] if signed else None
    body = Terms.from_body(json.loads(terms.body)) if terms else None
    calls = reads.open_calls(cell)
    return {
        "cell": cell,
        "state": state,
        "signed": terms,
        "terms": body,
        "open_call": calls[0] if calls else None,
        "open_calls": calls,
        "not_renewed": ports.own_refusal(cell.id),
        "stale_after": (body.valuation_minutes if body else 240) * 60 * STALE_FACTOR,
    }


@login_required
@require_safe
def first(request: HttpRequest) -> HttpResponse:
    """To the reader's first relationship."""
    cells = queries.cells_of(request.user)
    if not cells:
        raise access.not_found()
    return redirect("portal:overview", cells[0].code)


@require_safe
@of_cell
def overview(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Required, held, free; the next expected call; the day so far."""
    context = context_of(cell)
    state: MarginState | None = context["state"]
    rows, terms = reads.positions(cell), context["terms"]
    coins = coin_margin([state], {cell.id: terms}).get(cell.id, 0) if state and terms else 0
    context |= {
        "free": vaults.free_base_units(state),
        "made": parts_of(state) if state else None,
        "coverage": None if not state or not state.required_base_units else _ratio(state),
        "forecasts": forecasts(state, terms, coins) if state else [],
        "fall_to_call": fall_to_call(state, terms, coins) if state else None,
        "history": reads.history_chart(cell),
        "minus_threshold": -state.threshold_base_units if state else 0,
        "unpaid": sum((row.gain for row in rows if row.gain is not None), Decimal(0)),
        "called": [(call, reads.increments(call)) for call in context["open_calls"]],
        "case": reads.default_case(cell),
    }
    return render(request, "portal/overview.html", context)


def _ratio(state: MarginState) -> Decimal:
    return Decimal(state.held_base_units) / Decimal(state.required_base_units) * 100


@require_safe
@of_cell
def positions(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Open positions at the latest marks."""
    rows = reads.positions(cell)
    totals = {
        "value": sum((abs(row.value) for row in rows if row.value is not None), Decimal(0)),
        "net": sum((row.value for row in rows if row.value is not None), Decimal(0)),
        "gain": sum((row.gain for row in rows if row.gain is not None), Decimal(0)),
    }
    bars = {
        "kind": "bars",
        "unit": "USD",
        "categories": [row.instrument.code for row in rows],
        "series": [{"name": "Value", "tone": "accent", "values": [float(row.value or 0) for row in rows]}],
    }
    return render(request, "portal/positions.html", context_of(cell) | {"rows": rows, "totals": totals, "bars": bars})


@require_safe
@of_cell
def trades(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Trades entered, waiting, novated, refused."""
    rows = reads.trades(cell)
    waiting = [row for row in rows if row.awaits_me]
    return render(request, "portal/trades.html", context_of(cell) | {"rows": rows, "waiting": waiting})


@require_safe
@of_cell
def calls(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The inbox of margin calls."""
    context = context_of(cell)
    context["called"] = [(call, reads.increments(call), reads.call_events(call)) for call in context["open_calls"]]
    return render(request, "portal/calls.html", context | {"rows": reads.calls(cell)})


@require_safe
@of_cell
def collateral(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Vaults, assets, haircuts, movements."""
    context = context_of(cell)
    held = vaults.holdings(cell, context["terms"])
    context |= {
        "holdings": held,
        "coming": coming_base_units(cell.id, held[0].asset.code) if held else 0,
        "movements": list(vaults.movements(cell)),
        "withdrawals": vaults.withdrawals(cell),
        "free": vaults.free_base_units(context["state"]),
    }
    return render(request, "portal/collateral.html", context)


@require_safe
@of_cell
def credit(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The line, its use, the layers behind it, the admission test."""
    context = context_of(cell)
    state: MarginState | None = context["state"]
    line, layers = reads.active_line(cell), reads.layers(cell)
    used = 0
    if state:
        used = min(state.threshold_base_units, max(0, state.exposure_base_units + state.independent_amount_base_units))
    context |= {"line": line, "layers": layers, "used": used, "left": sum(x.size_base_units for x in layers)}
    context |= {"awaiting": reads.awaiting_line(cell), "tails": ports.tail_costs(cell.id)}
    context |= layers_table(layers, cell.id)
    return render(request, "portal/credit.html", context)


@require_safe
@of_cell
def isolation(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Whose losses can reach me."""
    found = linked.links(cell)
    totals = {
        "notional": sum(link.notional_base_units for link in found),
        "gain": sum(link.unpaid_gain_base_units for link in found),
        "chance": linked.chance_of_any(found),
        "suffered": sum(link.suffered_base_units for link in found),
        "others": max(0, len(queries.public_codes()) - 1 - len([link for link in found if link.register])),
    }
    measured = next((link.uncovered_risk for link in found if link.uncovered_risk), None)
    context = {"links": found, "totals": totals, "picture": linked.picture(cell, found), "measured": measured}
    return render(request, "portal/isolation.html", context_of(cell) | context)


@require_safe
@of_cell
def terms(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The signed terms, every version, hashes and signatures; beside a cap what an older vault is held to instead."""
    context = context_of(cell) | {"versions": reads.terms_versions(cell)}
    agreed = context["terms"]
    if agreed:
        debit_cap, lower = reads.lower_caps(cell, agreed)
        tokens = Asset.objects.filter(Q(is_settlement=True) | Q(code__in=dict(agreed.max_required_by_token)))
        most = [
            (token, agreed.most_required(token.code), lower.get(token.code))
            for token in tokens.order_by("-is_settlement", "code")
        ]
        context |= {"most_required": most, "vault_debit_cap": debit_cap}
    return render(request, "portal/terms.html", context)


@require_safe
@of_cell
def statements(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Entries of a span of days, with opening and closing balances of the client's own tokens."""
    since, until = _span(request)
    moved = list(vaults.movements(cell, since, until))
    balances = []
    for asset in Asset.objects.order_by("-is_settlement", "code"):
        opening = vaults.balance_before(cell, asset, since)
        change = sum(one.amount_base_units for one in moved if one.asset == asset)
        balances.append((asset, opening, change, opening + change))
    entries = _entries(cell, since, until)
    context = {
        "since": since, "until": until - timedelta(days=1), "moved": moved, "balances": balances,
        "entries": entries.reverse()[:ENTRIES_SHOWN], "entry_count": entries.count(),
    }  # fmt: skip
    return render(request, "portal/statements.html", context_of(cell) | context)


@require_safe
@of_cell
def statements_csv(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Every posting of the span, exact, as CSV."""
    since, until = _span(request)
    answer = HttpResponse(content_type="text/csv")
    name = f"{cell.code}-{since:%Y%m%d}-{until - timedelta(days=1):%Y%m%d}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(answer)
    writer.writerow(["time_utc", "entry", "kind", "memo", "account", "asset", "amount", "balance_after"])
    for entry in _entries(cell, since, until):
        for line in entry.postings.all():
            amounts = (line.amount_base_units, line.balance_after_base_units)
            exact = [f"{from_base_units(amount, line.asset.decimals):f}" for amount in amounts]
            at = entry.at.astimezone(UTC).isoformat()
            writer.writerow([at, entry.id, entry.kind, entry.memo, line.account.kind, line.asset_id, *exact])
    return answer


def _entries(cell: Cell, since: datetime, until: datetime) -> QuerySet[JournalEntry]:
    """As they were written: platform time stands still meanwhile, and those of one transaction are of one moment; there
    the account of what is on its way, which has most lines, tells the order."""
    found = JournalEntry.objects.filter(cell=cell, at__gte=since, at__lt=until)
    found = found.annotate(last_line=Max("postings__version")).order_by("at", "recorded_at", "last_line", "id")
    return found.prefetch_related("postings__account", "postings__asset")


def _span(request: HttpRequest) -> tuple[datetime, datetime]:
    """Midnight of the first day to midnight after the last, UTC; today on the platform's clock by default."""
    today = queries.platform_clock().now.date()
    start = _date(request.GET.get("from")) or today
    end = _date(request.GET.get("to")) or max(start, today)
    since = datetime(start.year, start.month, start.day, tzinfo=UTC)
    until = datetime(end.year, end.month, end.day, tzinfo=UTC) + STATEMENT_SPAN
    return since, min(max(until, since + STATEMENT_SPAN), since + STATEMENT_LIMIT)


def _date(text: str | None) -> Any:
    try:
        return parse_date(text) if text else None
    except ValueError:
        return None
