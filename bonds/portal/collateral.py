"""The account of a series' collateral: what lies in its escrow against what it owes, and the calls that prove it.

Everything here is public. Beside each number stands the call that asks the chain for it at the same block, so that a
reader's own wallet, or any node, says whether it holds.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from eth_utils.crypto import keccak

from bonds.models import EscrowReading, NoteTransfer, Series, Tranche
from bonds.portal import queries
from intermediary.portal.deposits import asks_a_wallet
from intermediary.queries import is_investor

MARK = "1.0000"  # of the collateral: the notes are denominated in the token that the escrow holds
READINGS_SHOWN = 100  # a quarter of daily marks, or a crash's every change
BALANCE = "balanceOf(address)"


@dataclass(frozen=True)
class ClassInEscrow:
    """One class as the chain had it at the reading."""

    tranche: Tranche
    principal: int
    supply: int
    written_down: int
    redeemed: int


@dataclass(frozen=True)
class AskedCall:
    """One view of one contract, and the number we say it answers; base units."""

    what: str
    to: str
    said: int
    function: str
    words: tuple[str, ...] = ()  # addresses

    @property
    def data(self) -> str:
        """Its calldata."""
        return call_data(self.function, *self.words)


@asks_a_wallet
@require_safe
def collateral(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Balance, principal, what is owed, what is over; by block, and the check."""
    series = queries.series_for_reader(series_id)
    readings = list(EscrowReading.objects.filter(series=series)[:READINGS_SHOWN])
    newest = readings[0] if readings else None
    classes = classes_at(series, newest) if newest else []
    calls = calls_at(series, newest, classes, _own(request, series, newest)) if newest else []
    base = settings.DEMO_WALLET_URL
    context = {
        "series": series,
        "readings": readings,
        "newest": newest,
        "classes": classes,
        "mark": MARK,
        "calls": calls,
        "check": _check(series, newest, calls) if newest else None,
        "demo_wallet": f"{base}/{request.user.get_username()}" if base and request.user.is_authenticated else "",
        "base": "investors/base.html" if is_investor(request.user) else "frames/public.html",
    }
    return render(request, "investors/collateral.html", context)


def call_data(signature: str, *words: str) -> str:
    """Calldata of a view: selector, then addresses as words."""
    padded = "".join(one.removeprefix("0x").lower().rjust(64, "0") for one in words)
    return "0x" + keccak(text=signature)[:4].hex() + padded


def classes_at(series: Series, reading: EscrowReading) -> list[ClassInEscrow]:
    """The classes as the chain had them at the reading, senior first."""
    return [
        ClassInEscrow(tranche, *(int(reading.notes[str(tranche.id)][name]) for name in
                                 ("principal", "supply", "written_down", "redeemed")))
        for tranche in series.tranches.order_by("-seniority") if str(tranche.id) in reading.notes
    ]  # fmt: skip


def _own(request: HttpRequest, series: Series, reading: EscrowReading) -> list[tuple[Tranche, str, int]]:
    """The reader's own units in the series by wallet, as they were at the reading's block."""
    held = queries.holdings_of(request.user) if request.user.is_authenticated else []
    found = []
    for one in held:
        tranche, address, units = one.of.tranche, one.holding.wallet.address, one.holding.units
        later = NoteTransfer.objects.filter(tranche=tranche, block_number__gt=reading.block_number)
        for row in later.filter(Q(sender=address) | Q(receiver=address)):
            units += (row.sender == address) * row.units - (row.receiver == address) * row.units
        if tranche.series_id == series.id:
            found.append((tranche, address, units))
    return found


def calls_at(
    series: Series, reading: EscrowReading, classes: list[ClassInEscrow], own: list[tuple[Tranche, str, int]]
) -> list[AskedCall]:
    """What is asked of which contract, and what we say to it; `own` are (class, wallet, units) of the reader."""
    escrow, token = series.escrow_address, series.currency.token_address
    asked = [
        AskedCall("the escrow holds", token, reading.balance_base_units, BALANCE, (escrow,)),
        AskedCall("its classes' principal is", escrow, reading.principal_base_units, "principal()"),
        AskedCall("it owes holders", escrow, reading.owed_base_units, "owedTotal()"),
        AskedCall("it must hold at least", escrow, reading.liabilities_base_units, "liabilities()"),
    ]
    for one in classes:
        note, symbol = one.tranche.note_address, one.tranche.symbol
        asked.append(AskedCall(f"principal of {symbol}", note, one.principal, "principal()"))
        asked.append(AskedCall(f"units of {symbol}", note, one.supply, "totalSupply()"))
    for tranche, wallet, units in own:
        asked.append(AskedCall(f"your units of {tranche.symbol}", tranche.note_address, units, BALANCE, (wallet,)))
    return asked


def _check(series: Series, reading: EscrowReading, calls: list[AskedCall]) -> dict[str, Any]:
    """The same for the reader's browser; amounts as decimal strings."""
    return {
        "chainId": settings.CHAIN_ID,
        "block": hex(reading.block_number),
        "blockHash": reading.block_hash,
        "decimals": series.currency.decimals,
        "unit": series.currency_id,
        "calls": [{"to": one.to, "data": one.data, "said": str(one.said)} for one in calls],
    }
