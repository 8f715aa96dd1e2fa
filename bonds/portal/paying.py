"""The page on which an investor pays for what it was allocated: its own wallet swaps cash for notes in the escrow.

Delivery against payment is the contract's: `subscribe` takes the cash and mints the units, or neither. The page says
what is due, from which wallet and until when, and hands the calls to the wallet: an approval of exactly the amount,
then the swap. A bid that rolls old notes claims first what those have repaid to the same wallet; two escrows that know
nothing of each other net no more than that. A step that stands on chain already is left out. Whoever pays by another
tool does the same; what counts is the escrow's own log, once it is final.
"""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from bonds.models import Allocation, Tranche
from bonds.portal import book_queries, rolled
from bonds.portal.collateral import call_data
from intermediary import clock
from intermediary.portal.deposits import asks_a_wallet, wallet_of


@asks_a_wallet
@require_safe
@login_required
def pay(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """What is due on one of the reader's bids, and the button that hands it to the wallet."""
    view = book_queries.own_order(request.user, order_id)
    due = view.due
    series = view.order.tranche.series
    netted = rolled.netted(view)
    context: dict[str, Any] = {
        "view": view,
        "netted": netted,
        "series": series,
        "due": due,
        "units": due.units - due.paid_units if due else 0,
        "late": bool(due and due.pay_by and due.pay_by <= clock.now()),
        "asked": _asked(view, due, netted) if due and series.escrow_address else None,
    }
    return render(request, "investors/pay.html", context | wallet_of(request))


def _asked(view: book_queries.OrderView, due: Allocation, netted: rolled.Netted | None) -> dict[str, Any]:
    """The calls, made out for the wallet that the bid named; amounts in base units as decimal strings."""
    tranche, series, wallet = view.order.tranche, view.order.tranche.series, view.order.wallet.address
    units, index = f"{due.units - due.paid_units:x}", f"{tranche.seniority:x}"
    return {
        "chainId": hex(settings.CHAIN_ID),
        "token": series.currency.token_address,
        "escrow": series.escrow_address,
        "amount": str(due.units - due.paid_units),
        "code": series.currency_id,
        "decimals": series.currency.decimals,
        "wallet": wallet,
        "allotment": call_data("allotment(uint256,address)", index, wallet),
        "claims": [_claim(one.tranche, wallet) for one in netted.elections] if netted else [],
        "allowance": call_data("allowance(address,address)", wallet, series.escrow_address),
        "approve": call_data("approve(address,uint256)", series.escrow_address, units),
        "subscribe": call_data("subscribe(uint256,uint256)", index, units),
        "paidUrl": reverse("investor:offerings"),
    }


def _claim(old: Tranche, wallet: str) -> dict[str, str]:
    """What the escrow of the old notes owes the wallet, and the call that pays it there, coupons included."""
    return {
        "symbol": old.symbol,
        "note": old.note_address,
        "escrow": old.series.escrow_address,
        "seniority": str(old.seniority),
        "claimable": call_data("claimable(address)", wallet),
        "claim": call_data("claim(uint256,address)", f"{old.seniority:x}", wallet),
    }
