"""The page on which a holder takes out of the escrows what its notes have earned: coupons and repaid principal.

Cash of a coupon or repayment is the holder's from the payment on and lies in the escrow until `claim` sends it to the
wallet that earned it. Anybody may call that for anybody; the page makes the calls out for the reader's proved wallets
and hands them to one of them. What our books say stands in the table; what is asked of the contract, to the base unit,
is read by the page from the chain.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from bonds.models import HolderClaim, Tranche
from bonds.portal import held
from bonds.portal.collateral import call_data
from bonds.portal.sending import HASH
from intermediary import access
from intermediary.models import Party
from intermediary.portal.deposits import asks_a_wallet, wallet_of


@asks_a_wallet
@require_safe
@login_required
def take_out(request: HttpRequest) -> HttpResponse:
    """What waits in each escrow for the reader's party, and the button that brings it to its wallets."""
    assert isinstance(request.user, User)
    party = access.party_for(request.user)
    rows = [(tranche, cash) for tranche, cash in held.cash_by_class(party) if tranche.series.escrow_address]
    waiting = [tranche for tranche, cash in rows if cash.waiting]
    sent = request.GET.get("sent", "")
    context: dict[str, Any] = {
        "rows": rows,
        "waiting": sum(cash.waiting for _, cash in rows),
        "asked": _asked(party, waiting) if waiting else None,
        "sent": sent if HASH.fullmatch(sent) else "",
        "is_final": HolderClaim.objects.filter(party=party, transaction_hash=sent).exists(),
    }
    return render(request, "investors/take_out.html", context | wallet_of(request))


def _asked(party: Party, waiting: list[Tranche]) -> dict[str, Any]:
    """For each class and wallet the view that says what it may take, and the call that takes it."""
    currency = waiting[0].series.currency
    return {
        "chainId": hex(settings.CHAIN_ID),
        "code": currency.code,
        "decimals": currency.decimals,
        "calls": [
            {
                "note": tranche.note_address,
                "claimable": call_data("claimable(address)", wallet.address),
                "escrow": tranche.series.escrow_address,
                "claim": call_data("claim(uint256,address)", f"{tranche.seniority:x}", wallet.address),
            }
            for tranche in waiting
            for wallet in party.wallets.order_by("id")
        ],
        "sentUrl": f"{reverse('investor:take_out')}?sent=HASH",
    }
