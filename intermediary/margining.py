"""Margin of a relationship: requirement against what is held, and what follows from the difference.

`assess` takes the independent amount that risk computed and does the rest: exposure, threshold, what is held after
haircut, the call, the number that the vaults lock, and whether the relationship may take new risk (D2). Deposits are
credited here and nowhere else; there is no state of the platform in which they are refused (D7, X1). A Return Amount
is not sent unasked: it lies in the client's own vault and is free to withdraw.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from intermediary import calls, clock, events, ledger, outbox, vaults
from intermediary.allowance import allowances
from intermediary.claims import exposure_base_units
from intermediary.collateral import asset_for_value as asset_for_value
from intermediary.collateral import balances, price_of, value_after_haircut, value_of_holdings
from intermediary.collateral import held_after_haircut as held_after_haircut
from intermediary.csa import Delivery as Delivery
from intermediary.csa import Return as Return
from intermediary.csa import csa as csa
from intermediary.csa import required_for as required_for
from intermediary.csa import warning_level as warning_level
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    Asset,
    Cell,
    ChainTarget,
    ClockStop,
    DefaultCase,
    JournalEntry,
    Lot,
    MarginCall,
    MarginPoint,
    MarginState,
    Position,
    TermsVersion,
    Valuation,
    VariationPayment,
    Wallet,
)
from intermediary.onboarding import current_terms
from intermediary.terms import Terms
from intermediary.variation import held_without_a_mark


def credit_deposit(
    *,
    target: ChainTarget,
    amount_base_units: int,
    sender: str,
    transaction_hash: str,
    log_index: int,
    block_number: int,
) -> JournalEntry | None:
    """Book tokens that reached a vault, once a (transaction, log): as margin when the sender is a proved wallet of the
    cell's party, else in suspense of that vault. None for a transfer of nothing. Margin meets the open call at once.
    """
    assert connection.in_atomic_block, "a deposit belongs to a transaction"
    if amount_base_units == 0:
        return None
    ledger.lock_cells([target.cell_id])
    entry_id = deposit_entry_id(transaction_hash, log_index)
    booked = JournalEntry.objects.filter(id=entry_id).first()
    if booked is not None:
        return booked
    known = Wallet.objects.filter(party__cells=target.cell_id, address__iexact=sender).exists()
    kind = AccountKind.CLIENT_MARGIN if known else AccountKind.SUSPENSE
    entry = ledger.post(
        entry_id=entry_id,
        cell_id=target.cell_id,
        kind="deposit",
        memo=f"from {sender} in block {block_number}",
        lines=[
            Line(AccountKind.OUTSIDE, target.asset_id, -amount_base_units),
            Line(kind, target.asset_id, amount_base_units),
        ],
    )
    if known and TermsVersion.objects.filter(cell_id=target.cell_id).exists():
        _count_deposit(target, amount_base_units)
    events.notify(events.PAGES_CHANNEL, f"cell:{target.cell_id}")
    return entry


def deposit_entry_id(transaction_hash: str, log_index: int) -> UUID:
    """The id of the entry that books this transfer into a vault; it exists exactly when the transfer is booked."""
    return derive("deposit", transaction_hash, log_index)


def assess(
    *,
    cell_id: UUID,
    valuation_id: UUID,
    independent_amount_base_units: int,
    ruleset_hash: str,
    breakdown: dict[str, Any],
    admission: dict[str, Any],
) -> MarginState:
    """Renew one relationship's requirement at a valuation and act on it; harmless when repeated.

    A valuation older than the one that stands is ignored. `admission["passed"]` false stops new risk and calls for
    what would repair the test (D2), true allows new risk again unless a call has lapsed or a default lives. A defaulted
    relationship is recorded, not called.
    """
    assert connection.in_atomic_block, "a requirement belongs to a transaction"
    cell = ledger.lock_cells([cell_id])[cell_id]
    valuation = Valuation.objects.get(id=valuation_id)
    standing = MarginState.objects.filter(cell=cell).select_related("valuation").first()
    if standing is not None and standing.valuation.as_of > valuation.as_of:
        return standing
    terms = current_terms(cell_id)
    exposure, threshold = exposure_base_units(cell_id, valuation_id), threshold_of(cell_id)
    required = required_for(exposure, independent_amount_base_units, threshold)
    holdings = balances(cell_id)
    held = value_of_holdings(holdings, valuation, terms)
    figures = {"exposure_base_units": exposure, "required_base_units": required, "held_base_units": held}
    state, _ = MarginState.objects.update_or_create(
        cell=cell,
        defaults={
            "valuation": valuation,
            "independent_amount_base_units": independent_amount_base_units,
            "threshold_base_units": threshold,
            "ruleset_hash": ruleset_hash,
            "breakdown": breakdown,
            "admission": admission,
            **figures,
        },
    )
    MarginPoint.objects.get_or_create(cell=cell, valuation=valuation, defaults=figures)
    events.notify(events.PAGES_CHANNEL, f"cell:{cell_id}")
    if cell.state in (Cell.State.DEFAULTED, Cell.State.CLOSED):
        return state
    _call_for_what_is_missing(state, terms)
    present = vaults.read([cell_id]).get(cell_id, [])
    if present:
        assets = list(Asset.objects.all())
        outbox.instruct_all(vaults.requirements(present, required, holdings, terms, valuation, assets))
    _follow_admission(cell, passed=bool(admission["passed"]))
    return state


def _call_for_what_is_missing(state: MarginState, terms: Terms) -> None:
    """The call for the requirement, and the one for what the admission test is short of."""
    delivery = calls.margin_delivery(state, terms)
    repair = calls.coverage_missing(state.admission)
    for kind, missing, amount in (
        (MarginCall.Kind.MARGIN, state.required_base_units - state.held_base_units, delivery),
        (MarginCall.Kind.COVERAGE, repair, calls.delivery_of(repair, terms)),
    ):
        calls.renew(
            cell_id=state.cell_id,
            valuation=state.valuation,
            missing_base_units=missing,
            delivery_base_units=amount,
            terms=terms,
            kind=kind,
        )


def threshold_of(cell_id: UUID) -> int:
    """Unsecured exposure allowed now: the active line's; 0 without one, after its expiry, without recourse, and from a
    potential event of default (a lapsed call) on."""
    found = allowances([cell_id], clock.now()).get(cell_id)
    return found.threshold_base_units if found else 0


def required_now(cell_id: UUID) -> tuple[int, Valuation | None]:
    """The requirement in force, and the valuation that it and the price of margin come from.

    Nothing is required of a relationship without positions. Refuses while the requirement is not known: a trade waits
    for its first valuation, a payment that the chain refused has not become exposure again, or what is held has no
    official mark any more.
    """
    if VariationPayment.objects.filter(cell_id=cell_id, instruction__state="FAILED", reversed_at=None).exists():
        raise Refusal("requirement_pending", "A payment failed on chain and is not counted as owed again yet.")
    state = MarginState.objects.filter(cell_id=cell_id).select_related("valuation").first()
    if not Position.objects.filter(cell_id=cell_id).exclude(quantity=0, settled_value=0).exists():
        return 0, state.valuation if state else Valuation.objects.first()
    if state is None or Lot.objects.filter(cell_id=cell_id, at__gt=state.valuation.as_of).exists():
        raise Refusal("requirement_pending", "A trade waits for its first valuation; its requirement is not known yet.")
    if unmarked := held_without_a_mark(cell_id):
        raise Refusal("requirement_pending", "What is held has no official mark now.", instruments=unmarked)
    return state.required_base_units, state.valuation


def free_margin(cell_id: UUID) -> int:
    """Held less required, after haircut; negative when short."""
    required, valuation = required_now(cell_id)
    return held_after_haircut(cell_id, valuation.id if valuation else None) - required


def stop_clocks(reason: str, *, since: datetime | None = None) -> ClockStop:
    """The platform cannot see deposits, and could not from `since` on: deadlines stand still (D7)."""
    with transaction.atomic():
        return calls.stop_clocks(reason, since=since)


def resume_clocks() -> list[ClockStop]:
    """Deposits are seen again; the stops that ended."""
    with transaction.atomic():
        return calls.resume_clocks()


def _count_deposit(target: ChainTarget, amount_base_units: int) -> None:
    """A deposit counts at the last official price, after haircut; without one it counts at the next valuation."""
    terms, valuation, asset = current_terms(target.cell_id), Valuation.objects.first(), target.asset
    if asset.priced_as and (valuation is None or asset.priced_as not in valuation.prices):
        return
    haircut_bps = terms.haircut_of(asset.code)
    value = value_after_haircut(amount_base_units, asset, price_of(asset, valuation), haircut_bps)
    calls.apply_value(cell_id=target.cell_id, value_base_units=value)
    MarginState.objects.filter(cell_id=target.cell_id).update(held_base_units=F("held_base_units") + value)


def _in_trouble(cell_id: UUID) -> bool:
    """A default lives, or a call has lapsed and is not delivered."""
    if MarginCall.objects.filter(cell_id=cell_id, state=MarginCall.State.LAPSED).exists():
        return True
    return DefaultCase.objects.filter(cell_id=cell_id).exclude(state__in=["CURED", "CLOSED"]).exists()


def _follow_admission(cell: Cell, *, passed: bool) -> None:
    if cell.state == Cell.State.OPEN and not passed:
        cell.state = Cell.State.NO_NEW_RISK
    elif cell.state == Cell.State.NO_NEW_RISK and passed and not _in_trouble(cell.id):
        cell.state = Cell.State.OPEN
    else:
        return
    cell.save(update_fields=["state"])
