"""Pages on which a holder sends notes on to another holder, and sees what was sent and received.

The rules are asked first, by a worker that may read whose wallet an address is; what passes is put before the holder's
own wallet, which sends it. Cash between the two is theirs: the price shown is the model's, for information. Holdings
follow what the chain says, so a transfer that was made without these pages shows here as well.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from bonds.models import NoteTransfer
from bonds.portal import queries
from bonds.portal.forms import TransferForm
from bonds.servicing.account import Kind
from intermediary import access, clock
from intermediary.models import CommandRequest
from intermediary.portal import wishes
from intermediary.portal.deposits import ANY_HASH, asks_a_wallet, wallet_of

REVIEWED_FOR = timedelta(minutes=5)  # eligibility and suspension may change; what is older is reviewed again
TRANSFERS_SHOWN = 200  # the newest; the statement of a period has all of them
HASH = re.compile("0x[0-9a-f]{64}")


@dataclass(frozen=True)
class Moved:
    """One transfer as one of its two sides reads it."""

    row: NoteTransfer
    signed_units: int  # positive: received
    own: str  # the reader's address
    other: str  # the other side's

    @property
    def kind(self) -> Kind:
        """As a statement names it."""
        if self.signed_units < 0:
            return Kind.SENT
        return Kind.ISSUED if self.row.standing == NoteTransfer.Standing.ISSUED else Kind.RECEIVED

    @property
    def standing(self) -> str | None:
        """Where units that were received lie; None of what was sent: whose the other side is, is not ours to tell."""
        return self.row.standing if self.signed_units > 0 else None


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def transfers(request: HttpRequest) -> HttpResponse:
    """What the party's wallets sent and received, and the form to send; a sent form is reviewed by a worker first."""
    held = queries.holdings_of(request.user)
    form = TransferForm(held, request.POST or None)
    if form.is_bound and form.is_valid():
        return redirect("investor:transfer", wishes.ask(request, "review_transfer", None, form.body()).id)
    sent = request.GET.get("sent", "")
    rows = moves_of(request.user)[:TRANSFERS_SHOWN]
    context = {
        "holdings": held,
        "form": form,
        "rows": rows,
        "sent": sent if HASH.fullmatch(sent) else "",
        "is_final": any(one.row.transaction_hash == sent for one in rows),
    }
    return render(request, "investors/transfers.html", context, status=422 if form.is_bound else 200)


@asks_a_wallet
@require_safe
@login_required
def transfer(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The review of one transfer: refused by name, or what changes, at which price, and the wallet to send it with."""
    assert isinstance(request.user, User)
    wish = CommandRequest.objects.filter(id=request_id, user=request.user, command="review_transfer").first()
    if wish is None:
        raise access.not_found()
    wish = wishes.soon(wish)
    context: dict[str, Any] = {"wish": wish, "stale": clock.now() - wish.at > REVIEWED_FOR}
    if wish.state == CommandRequest.State.DONE and not context["stale"]:
        context |= _review(request, wish.body)
    return render(request, "investors/transfer.html", context | wallet_of(request))


def moves_of(user: queries.Reader) -> list[Moved]:
    """Every final transfer of the reader's wallets in which they were a side, newest first; issue counts as received.
    Between two wallets of the same party it is one of each."""
    if not isinstance(user, User):
        return []
    mine = addresses_of(user)
    rows = transfers_of(mine).order_by("-block_number", "-log_index")
    return [side for row in rows for side in sides_of(row, mine)]


def addresses_of(user: User) -> set[str]:
    """Of the wallets of the party that this person acts for."""
    return set(access.party_for(user).wallets.values_list("address", flat=True))


def transfers_of(mine: set[str]) -> QuerySet[NoteTransfer]:
    """Every final transfer in which one of these addresses was a side."""
    found = NoteTransfer.objects.filter(Q(sender__in=mine) | Q(receiver__in=mine))
    return found.select_related("tranche__series")


def sides_of(row: NoteTransfer, mine: set[str]) -> list[Moved]:
    """The transfer as each of these addresses reads it; two where both sides are of them."""
    found = []
    if row.receiver in mine:
        found.append(Moved(row, row.units, row.receiver, row.sender))
    if row.sender in mine:
        found.append(Moved(row, -row.units, row.sender, row.receiver))
    return found


def _review(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    held = queries.holdings_of(request.user)
    one = next((found for found in held if str(found.holding.id) == body["holding"]), None)
    if one is None:
        raise access.not_found()
    units, tranche = int(body["units"]), one.of.tranche
    principal = units * one.of.outstanding_base_units // tranche.original_base_units
    price, accrued = one.of.clean_price, one.of.accrued_base_units
    return {
        "one": one,
        "units": units,
        "units_after": one.holding.units - units,
        "receiver": body["receiver"],
        "principal": principal,
        "value": None if price is None else int(principal * Decimal(str(price)) / 100),
        "accrued": None if accrued is None else accrued * units // tranche.original_base_units,
        "asked": {
            "chainId": hex(settings.CHAIN_ID),
            "token": tranche.note_address,
            "vault": body["receiver"],
            "amount": str(units),
            "code": tranche.symbol,
            "decimals": tranche.series.currency.decimals,
            "proved": [one.holding.wallet.address],
            "sentUrl": f"{reverse('investor:transfers')}?sent={ANY_HASH}".replace(ANY_HASH, "HASH"),
        },
    }
