"""The client's pages that ask for something: each ends in a stored wish and the page that follows its outcome."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from intermediary import access
from intermediary.models import Asset, Cell, CommandRequest, MarginCall, TradeCheck
from intermediary.money import to_base_units
from intermediary.portal import collateral, forms, reads, wishes
from intermediary.portal.views import context_of, of_cell, reader

get_and_post = require_http_methods(["GET", "HEAD", "POST"])


@login_required
@require_safe
def request_page(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """One wish and what became of it."""
    wish = CommandRequest.objects.filter(id=request_id, user=reader(request)).select_related("cell").first()
    if wish is None:
        raise access.not_found()
    title = wishes.TITLES.get(wish.command, wish.command.replace("_", " ").capitalize())
    context: dict[str, Any] = {"wish": wishes.soon(wish), "title": title}
    if wish.cell:
        context |= context_of(wish.cell)
    return render(request, "portal/request.html", context)


@get_and_post
@of_cell
def withdraw(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Fill in, review before and after, confirm: what is confirmed is exactly what was reviewed."""
    context = context_of(cell)
    context["free"] = collateral.free_base_units(context["state"])
    context["holdings"] = collateral.holdings(cell, context["terms"])
    if "sealed" in request.POST:
        body = forms.unseal(request.POST["sealed"])
        if body is not None and body["cell"] == str(cell.id):
            wish = wishes.ask(
                request, "withdraw", cell, {"asset": body["asset"], "amount_base_units": body["amount_base_units"]}
            )
            return redirect("portal:request", wish.id)
        context["expired"] = True
    form = forms.WithdrawalForm(request.POST if "amount" in request.POST else None)
    if form.is_bound and form.is_valid():
        return render(request, "portal/withdraw_review.html", context | _review(cell, context, form.cleaned_data))
    return render(request, "portal/withdraw.html", context | {"form": form})


def _review(cell: Cell, context: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    asset: Asset = asked["asset"]
    amount: int = asked["amount_base_units"]
    holding = next(one for one in context["holdings"] if one.asset == asset)
    value = collateral.margin_value(asset, amount, holding.price, holding.haircut_bps) if holding.price else None
    state = context["state"]
    after = None if value is None or state is None else state.held_base_units - value
    return {
        "asset": asset,
        "amount": amount,
        "holding": holding,
        "left": holding.held_base_units - amount,
        "value": value,
        "held_after": after,
        "free_after": None if after is None else after - state.required_base_units,
        "too_much": amount > holding.held_base_units or (after is not None and after < state.required_base_units),
        "sealed": forms.seal({"cell": str(cell.id), "asset": asset.code, "amount_base_units": amount}),
    }


@get_and_post
@of_cell
def new_trade(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Enter a trade for the other side to affirm."""
    form = forms.TradeForm(request.POST or None)
    if form.is_bound and form.is_valid():
        asked = form.cleaned_data
        body = {
            "side": asked["side"],
            "counterparty": asked["counterparty"].strip(),
            "instrument": asked["instrument"].code,
            "quantity": f"{asked['quantity']:f}",
            "price": f"{asked['price']:f}",
        }
        return redirect("portal:request", wishes.ask(request, "submit_trade", cell, body).id)
    return render(request, "portal/new_trade.html", context_of(cell) | {"form": form})


@get_and_post
@of_cell
def answer_trade(request: HttpRequest, cell: Cell, trade_id: UUID) -> HttpResponse:
    """One trade with what it would change; affirm it, turn it down, or take it back."""
    row = next((row for row in reads.trades(cell) if row.trade.id == trade_id), None)
    if row is None:
        raise access.not_found()
    if request.method == "POST":
        command = "affirm_trade" if request.POST.get("act") == "affirm" else "cancel_trade"
        return redirect("portal:request", wishes.ask(request, command, cell, {"trade_id": str(trade_id)}).id)
    held = {one.instrument.id: one.quantity for one in reads.positions(cell)}
    before = held.get(row.trade.instrument_id, 0)
    context = {
        "row": row,
        "before": before,
        "after": before + row.quantity,
        "check": TradeCheck.objects.filter(trade=row.trade, cell=cell).first(),
        "mark": reads.latest_marks().get(row.trade.instrument_id),
    }
    return render(request, "portal/trade.html", context_of(cell) | context)


@get_and_post
@of_cell
def answer_call(request: HttpRequest, cell: Cell, call_id: UUID) -> HttpResponse:
    """Agree a call, or say how much is on its way."""
    call = get_object_or_404(MarginCall, id=call_id, cell=cell)
    if request.method == "POST" and request.POST.get("act") == "agree":
        return redirect("portal:request", wishes.ask(request, "agree_call", cell, {"call_id": str(call.id)}).id)
    parts = reads.increments(call)
    unmet = sum(part.unmet_base_units for part in parts)
    form = forms.PledgeForm(request.POST or None, initial={"amount": forms.whole_tokens(unmet, 6)})
    if form.is_bound and form.is_valid():
        amount = to_base_units(form.cleaned_data["amount"], 6)
        body = {"call_id": str(call.id), "amount_base_units": amount}
        return redirect("portal:request", wishes.ask(request, "pledge_call", cell, body).id)
    page = context_of(cell)
    holdings = collateral.holdings(cell, page["terms"])
    deliver = collateral.to_deliver(unmet, holdings[0])
    context = {
        "call": call,
        "deliver": deliver,
        "deliver_text": forms.whole_tokens(deliver or 0, holdings[0].asset.decimals),
        "increments": parts,
        "unmet": unmet,
        "form": form,
        "events": reads.call_events(call),
        "vaults": [one for one in holdings if one.vault],
    }
    return render(request, "portal/call.html", page | context)
