"""What a relationship pays out of its own free margin: the spread of the notes that cover it, ahead of each coupon.

Only margin beyond the requirement is taken, never more than is asked, and the vault moves it like any other payment of
the relationship. What its free margin does not hold is not taken: the caller says who pays instead.
"""

from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.db.models import F

from intermediary import ledger, outbox, vaults
from intermediary.collateral import balances, value_after_haircut, value_of_holdings
from intermediary.errors import Refusal
from intermediary.margining import required_now
from intermediary.models import AccountKind, Cell, ChainInstruction, ChainTarget, DefaultCase, MarginState
from intermediary.onboarding import current_terms
from intermediary.withdrawals import available

CLOSED_CASES = (DefaultCase.State.CURED, DefaultCase.State.CLOSED)


def take_free_margin(
    *, effect_id: UUID, cell_id: UUID, amount_base_units: int, destination: AccountKind, memo: str
) -> ChainInstruction | None:
    """Move up to this much of the settlement token from free margin to the house, once per `effect_id`.

    None where nothing is free: no vault, no signed terms, an open default, or all of it is required.
    """
    assert connection.in_atomic_block, "a charge belongs to a transaction"
    made = ChainInstruction.objects.filter(entry_id=effect_id).first()
    if made is not None:
        return made
    cell = ledger.lock_cells([cell_id])[cell_id]
    asset, present = ledger.settlement_asset(), vaults.vaults_of(cell_id)
    vault = present.get(asset.code)
    amount = min(amount_base_units, _free(cell, vault, asset.code))
    if vault is None or amount <= 0:
        return None
    terms, (required, valuation) = current_terms(cell_id), required_now(cell_id)
    held = balances(cell_id)
    left = {**held, asset.code: held[asset.code] - amount}
    wanted = vaults.required_by_token(required, left, terms, valuation, vaults.caps(present))[asset.code]
    moved = outbox.move(
        effect_id=effect_id,
        target=vault,
        cell_id=cell_id,
        kind=ChainInstruction.Kind.DEBIT,
        source=AccountKind.CLIENT_MARGIN,
        destination=destination,
        amount_base_units=amount,
        memo=memo,
        required_base_units=min(wanted, left[asset.code]),
    )
    MarginState.objects.filter(cell_id=cell_id).update(held_base_units=value_of_holdings(left, valuation, terms))
    return moved


def give_back(
    *, effect_id: UUID, cell_id: UUID, amount_base_units: int, source: AccountKind, memo: str
) -> ChainInstruction | None:
    """Pay what was taken and not used back into the margin, once per `effect_id`; what the vault locks stays as it is.
    None where there is no vault to pay it to. It is margin from now on, as everything instructed to a vault is."""
    assert connection.in_atomic_block, "a repayment belongs to a transaction"
    ledger.lock_cells([cell_id])
    made = ChainInstruction.objects.filter(entry_id=effect_id).first()
    asset = ledger.settlement_asset()
    vault = vaults.vaults_of(cell_id).get(asset.code)
    if made is not None or vault is None:
        return made
    made = outbox.move(
        effect_id=effect_id,
        target=vault,
        cell_id=cell_id,
        kind=ChainInstruction.Kind.CREDIT,
        source=source,
        destination=AccountKind.CLIENT_MARGIN,
        amount_base_units=amount_base_units,
        memo=memo,
        required_base_units=vaults.required_in_force(vault),
    )
    value = value_after_haircut(amount_base_units, asset, Decimal(1), current_terms(cell_id).haircut_of(asset.code))
    MarginState.objects.filter(cell_id=cell_id).update(held_base_units=F("held_base_units") + value)
    return made


def _free(cell: Cell, vault: ChainTarget | None, asset: str) -> int:
    open_case = DefaultCase.objects.filter(cell=cell).exclude(state__in=CLOSED_CASES).exists()
    if vault is None or open_case or cell.state == Cell.State.DEFAULTED:
        return 0
    try:
        free = available(cell.id, asset)
    except Refusal:  # no signed terms or no price to say what is free by: then nothing is
        return 0
    return min(free, ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, asset))
