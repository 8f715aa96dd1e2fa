"""Acts on chain about notes, held to the books of their series: the rule behind each kind, and what an act takes that
an officer asks for by the name of a series alone.

An escrow serves one sale. It is set up at the size that was sold, allots what is due, is closed when all of it is
booked and pulled while it is not; holders are entered in the register as two officers granted it, and notes rest on
chain as they do on the platform. No chain is asked.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from bonds.models import Allocation, EligibleWallet, NotePayment, Offering, Series
from bonds.offering import orders, payments, sale, stages
from bonds.servicing import transfers
from intermediary import clock
from intermediary.config import note_sale
from intermediary.config.issuance_spec import chain_spec
from intermediary.errors import BadInput, Refusal

Body = Mapping[str, Any]
State = Offering.State


def refuse_against_the_books(act: str, body: Body) -> None:
    """Refuses, by the kind of act, what the books do not bear out now."""
    _RULES[act](body)


def asked_of_series(act: str, asked: Body) -> dict[str, Any]:
    """What is asked of a sale with what its books say is to be done: allotments that are due, or that are to be taken
    back since the time to pay is over; holders to be paid back. Anything else as it is."""
    if act == "ALLOT":
        offering = _offering(asked["series"], State.ALLOCATED)
        units = _allotments(offering)
        return {**asked, "allotments": [units.get(index, {}) for index in range(offering.series.tranches.count())]}
    if act == "REFUND":
        return {**asked, "holders": note_sale.holders_of(_offering(asked["series"], State.PULLED))}
    return dict(asked)


def _series(body: Body) -> None:
    offering = _offering(body["series"], State.ALLOCATED)
    if chain_spec(offering).body() != body["spec"]:
        raise Refusal("series_differs", "The series was not sold at these terms and sizes.", series=body["series"])


def _eligible(body: Body) -> None:
    """An end may be entered for anybody; a later moment only as it was granted."""
    until = datetime.fromtimestamp(int(body["until"]), UTC)
    if until <= clock.now():
        return
    grants = EligibleWallet.objects.filter(wallet__address__in=body["accounts"]).select_related("wallet")
    newest = grants.order_by("wallet_id", "-id").distinct("wallet_id")
    granted = {grant.wallet.address: grant.valid_until for grant in newest}
    for account in body["accounts"]:
        if granted.get(account) != until:
            found = granted.get(account)
            raise Refusal(
                "not_granted", "Two officers did not grant this wallet to hold notes until then.", wallet=account,
                asked=until.isoformat(), granted=found.isoformat() if found else "",
            )  # fmt: skip


def _allot(body: Body) -> None:
    due = _allotments(_offering(body["series"], State.ALLOCATED, escrow=body["escrow"]))
    for index, units_of in enumerate(body["allotments"]):
        for wallet, units in units_of.items():
            if due.get(index, {}).get(wallet) != int(units):
                raise Refusal(
                    "not_allotted_so", "The books do not allot this wallet so many units now.", wallet=wallet,
                    tranche=index, asked_units=int(units), due_units=due.get(index, {}).get(wallet),
                )  # fmt: skip


def _close(body: Body) -> None:
    """A covered relationship in default gives the offering up besides, unless a caller's transaction takes it back."""
    offering = _offering(body["series"], State.ALLOCATED, escrow=body["escrow"])
    if not payments.is_paid(offering.series_id):
        paid = NotePayment.objects.filter(tranche__series=offering.series_id).values_list("units", flat=True)
        sold = offering.classes.values_list("size_base_units", flat=True)
        raise Refusal(
            "not_paid_for", "Not every class is paid for in full yet.", series=body["series"],
            paid_base_units=sum(paid), sold_base_units=sum(size or 0 for size in sold),
        )  # fmt: skip
    stages.refuse_close(offering.series_id)


def _pull(body: Body) -> None:
    """An escrow may be pulled before its offering: a payment that cannot be booked has no other way out."""
    offering = _offering(body["series"], State.ALLOCATED, State.PULLED, escrow=body["escrow"])
    if offering.state == State.ALLOCATED:
        sale.refuse_paid(offering)
        if not note_sale.has_unbookable(offering):
            note_sale.refuse_sold_out(offering.series_id)


def _refund(body: Body) -> None:
    _offering(body["series"], State.PULLED, escrow=body["escrow"])


def _suspend(body: Body) -> None:
    """As transfers rest on the platform: no longer, and not lifted before."""
    series, until = _find(body["series"]), datetime.fromtimestamp(int(body["until"]), UTC)
    now = clock.now()
    rest_until = transfers.suspended_until(series, now)
    said = {"series": series.code, "rest_until": rest_until.isoformat() if rest_until else ""}
    if until > now and (rest_until is None or until > rest_until):
        raise Refusal("transfers_go_on", "Transfers of this series do not rest until then on the platform.", **said)
    if until <= now and rest_until is not None:
        raise Refusal("transfers_rest", "Transfers of this series rest on the platform still.", **said)


def _allotments(offering: Offering) -> dict[int, dict[str, int]]:
    """Units by wallet and class that an act may allot now; none of any (0) once the time to pay is over."""
    if not payments.overdue(offering.series_id, clock.now()):
        return note_sale.ungiven(offering, note_sale.given_by_logs(offering.series.escrow_address))
    found: dict[int, dict[str, int]] = {}
    due = Allocation.objects.filter(tranche__series=offering.series_id, state=Allocation.State.DUE)
    for one in due.select_related("order__wallet", "tranche"):
        found.setdefault(one.tranche.seniority, {})[one.order.wallet.address] = 0
    return found


def _offering(code: str, *states: Offering.State, escrow: str = "") -> Offering:
    """The offering of a series, in one of these states; `escrow` must be its own."""
    series = _find(code)
    with transaction.atomic():
        offering = orders.locked(series.id, *states)
    if escrow and offering.series.escrow_address != escrow:
        raise Refusal("another_escrow", "This is not the escrow of the series.", series=code, escrow=escrow)
    return offering


def _find(code: str) -> Series:
    series = Series.objects.filter(code=code).first()
    if series is None:
        raise BadInput("no_such_series", f"There is no series {code}.")
    return series


_RULES: dict[str, Callable[[Body], None]] = {
    "SERIES": _series,
    "ELIGIBLE": _eligible,
    "ALLOT": _allot,
    "CLOSE": _close,
    "PULL": _pull,
    "REFUND": _refund,
    "SUSPEND": _suspend,
}
