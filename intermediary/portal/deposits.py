"""Deposits and proofs from the person's own wallet in the browser (EIP-1193).

The pages say what to sign and where it stands; the wallet signs, and the chain alone moves anything. Nothing here holds
a key, and a deposit needs none of it: a plain transfer to the address shown does the same.
"""

import functools
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from intermediary import access, onboarding
from intermediary.margining import deposit_entry_id
from intermediary.models import AccountKind, Asset, Cell, JournalEntry, Wallet
from intermediary.portal import collateral, forms, reads, wishes
from intermediary.portal.acts import get_and_post
from intermediary.portal.views import context_of, of_cell, reader

HASH = re.compile("0x[0-9a-f]{64}")
ANY_HASH, NO_ADDRESS = "0x" + "0" * 64, "0x" + "0" * 40
Page = Callable[..., HttpResponseBase]


def asks_a_wallet(page: Page) -> Page:
    """In the demo this page may reach the wallet process, and no other page may; elsewhere nothing is added."""

    @functools.wraps(page)
    def allowed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        sources = [settings.DEMO_WALLET_URL] if settings.DEMO_WALLET_URL else []
        return csp_update({"connect-src": sources})(page)(request, *args, **kwargs)

    return allowed


@asks_a_wallet
@get_and_post
@of_cell
def deposit(request: HttpRequest, cell: Cell) -> HttpResponse:
    """Which token and how much; then what it changes, and the button that hands it to the wallet."""
    context = context_of(cell) | wallet_of(request)
    context["holdings"] = [one for one in collateral.holdings(cell, context["terms"]) if one.vault]
    form = forms.DepositForm(request.POST or None, initial=_asked_for(request))
    if form.is_bound and form.is_valid():
        review = _review(cell, context, form.cleaned_data)
        if review is not None:
            return render(request, "portal/deposit_review.html", context | review)
        form.add_error("asset", "There is no vault for this token.")
    return render(request, "portal/deposit.html", context | {"form": form})


def _asked_for(request: HttpRequest) -> dict[str, str]:
    """Token and amount of a link to this page, as one would type them; what makes no sense is left out."""
    found = {"asset": request.GET.get("asset", "")}
    try:
        amount = Decimal(request.GET.get("amount", "").replace(",", ""))
    except InvalidOperation:
        return found
    return found | {"amount": f"{amount:,f}"} if amount.is_finite() else found


def _review(cell: Cell, context: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any] | None:
    """Before and after; None without a vault. The value counts at the last official price, as the deposit will."""
    asset, amount = asked["asset"], asked["amount_base_units"]
    holding = next((one for one in context["holdings"] if one.asset == asset), None)
    if holding is None:
        return None
    value = None
    if holding.price is not None:
        value = collateral.margin_value(asset, amount, holding.price, holding.haircut_bps)
    state, call = context["state"], context["open_call"]
    due = sum(part.unmet_base_units for part in reads.increments(call)) if call else 0
    return {
        "asset": asset,
        "chain_id": str(_chain_id(asset) or ""),
        "amount": amount,
        "amount_text": forms.whole_tokens(amount, asset.decimals),
        "holding": holding,
        "vault_after": holding.held_base_units + amount,
        "held_after": None if state is None or value is None else state.held_base_units + value,
        "headroom_after": None if state is None or value is None else state.headroom_base_units + value,
        "due": due,
        "due_after": None if value is None else max(0, due - value),
        "transfer": {
            "chainId": hex(_chain_id(asset)),
            "token": asset.token_address,
            "vault": holding.vault.address,
            "amount": str(amount),
            "code": asset.code,
            "decimals": asset.decimals,
            "proved": _proved(cell),
            "sentUrl": reverse("portal:deposit_sent", args=[cell.code, ANY_HASH]).replace(ANY_HASH, "HASH")
            + f"?token={asset.code}",
        },
    }


@asks_a_wallet
@require_safe
@of_cell
def deposit_sent(request: HttpRequest, cell: Cell, transaction_hash: str) -> HttpResponse:
    """One transaction on its way: in a block, final, credited. The page asks the wallet's node, then us. `?token=` says
    on whose chain to look; the first one's otherwise."""
    _require_hash(transaction_hash)
    context = context_of(cell)
    vaults = [one for one in collateral.holdings(cell, context["terms"]) if one.vault]
    sent = next((one.asset for one in vaults if one.asset.code == request.GET.get("token")), None)
    follow = {
        "chainId": hex(_chain_id(sent) if sent else settings.CHAIN_ID),
        "hash": transaction_hash,
        "stateUrl": reverse("portal:deposit_state", args=[cell.code, transaction_hash, 0]).removesuffix("0/"),
        "vaults": [
            {
                "address": one.vault.address if one.vault else "",
                "token": one.asset.token_address,
                "code": one.asset.code,
                "decimals": one.asset.decimals,
            }
            for one in vaults
        ],
    }
    shown = {"follow": follow, "transaction_hash": transaction_hash}
    return render(request, "portal/deposit_sent.html", context | shown | wallet_of(request))


@require_safe
@of_cell
def deposit_state(request: HttpRequest, cell: Cell, transaction_hash: str, log_index: int) -> JsonResponse:
    """Whether the ledger has booked this transfer to the reader's own vault, and as what."""
    _require_hash(transaction_hash)
    entry = JournalEntry.objects.filter(cell=cell, id=deposit_entry_id(transaction_hash, log_index)).first()
    if entry is None:
        return JsonResponse({"booked": False})
    line = entry.postings.select_related("account").exclude(account__kind=AccountKind.OUTSIDE).get()
    return JsonResponse(
        {
            "booked": True,
            "counts": line.account.kind == AccountKind.CLIENT_MARGIN,
            "asset": line.asset_id,
            "amountBaseUnits": str(line.amount_base_units),
            "entry": str(entry.id),
        }
    )


@asks_a_wallet
@get_and_post
@of_cell
def wallets(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The wallets that the party proved, and the proof of another: its signature becomes a wish."""
    form = forms.ProofForm(request.POST or None)
    if form.is_bound and form.is_valid():
        return redirect("portal:request", wishes.ask(request, "prove_wallet", cell, form.cleaned_data).id)
    assert cell.party is not None, "a client's relationship has a party"
    context = {
        "form": form,
        "rows": Wallet.objects.filter(party=cell.party).order_by("at", "id"),
        "proof": {
            "chainId": hex(settings.CHAIN_ID),
            "proved": _proved(cell),
            # The page puts the chosen address in place of this one.
            "message": onboarding.wallet_typed_data(cell.party, NO_ADDRESS),
        },
    }
    return render(request, "portal/wallets.html", context_of(cell) | context | wallet_of(request))


def _chain_id(asset: Asset) -> int:
    """The chain that this token lies on; 0 where it is not stated."""
    return int(settings.CHAINS[asset.chain]["id"]) if asset.chain else settings.CHAIN_ID


def _proved(cell: Cell) -> list[str]:
    return list(Wallet.objects.filter(party=cell.party_id).order_by("at", "id").values_list("address", flat=True))


def wallet_of(request: HttpRequest) -> dict[str, Any]:
    """Where the demo's wallet of this person answers, and whether wallets can be used at all."""
    base = settings.DEMO_WALLET_URL
    return {
        "demo_wallet": f"{base}/{reader(request).get_username()}" if base else "",
        "chain_id": str(settings.CHAIN_ID) if settings.CHAIN_ID else "",
    }


def _require_hash(text: str) -> None:
    if not HASH.fullmatch(text):
        raise access.not_found()
