"""Variation margin: what a relationship's positions have lost or gained since the last payment, paid by movements.

Exposure = sum of (settled value - quantity x mark), exact; positive: the client owes. A loser's payment moves from its
vault to the house, a winner's from the house to its vault, each inside its own cell. A payment is made in whole or not
at all; an unpaid one stays in exposure and is called as margin. Only whole base units move: the fraction stays in
`settled_value` of one position, so nothing is ever lost. What is on its way counts once: a debit has left the margin
already, a credit is not held yet. A gain that faces an uncovered loss waits (intermediary.held_back).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from intermediary import clock, ledger, outbox, vaults
from intermediary.collateral import held_after_haircut
from intermediary.csa import required_for
from intermediary.errors import Refusal
from intermediary.held_back import gains_held_back
from intermediary.ids import derive
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Event,
    MarginState,
    Mark,
    Position,
    Valuation,
    VariationPayment,
)
from intermediary.money import add_exactly, from_base_units, multiply_exactly, round_down, round_up
from intermediary.onboarding import current_terms

Kind = ChainInstruction.Kind
DAY = timedelta(days=1)
# A used debit allowance wears off at the cap's worth a day; looking three days back misses nothing unless the cap was
# all but used up for three days on end, and then the vault itself refuses and the payment goes back into exposure.
LOOK_BACK = 3 * DAY


def exposure(cell_id: UUID, valuation_id: UUID) -> Decimal:
    """Dollars that the client owes since the last payment, exact; negative: owed to it. Refuses a missing mark."""
    owed = exposures([cell_id], valuation_id)[cell_id]
    if owed is None:
        _marks(_open_rows(cell_id), valuation_id)  # names the instruments in its refusal
    assert owed is not None, "a missing mark is refused"
    return owed


def exposure_base_units(cell_id: UUID, valuation_id: UUID) -> int:
    """The same in settlement base units, rounded up: against the client, who owes it."""
    return round_up(_scaled(exposure(cell_id, valuation_id)))


def exposures(cell_ids: Sequence[UUID], valuation_id: UUID) -> dict[UUID, Decimal | None]:
    """`exposure` of many relationships by one query; None where an instrument that is held has no mark.

    PostgreSQL adds and multiplies NUMERIC without rounding: quantities and marks have 18 places, their products 36,
    far inside its range.
    """
    with connection.cursor() as cursor:
        cursor.execute(_EXPOSURES, [valuation_id, list(cell_ids)])
        rows = cursor.fetchall()
    owed: dict[UUID, Decimal | None] = dict.fromkeys(cell_ids, Decimal(0))
    return owed | {cell_id: None if unmarked else dollars for cell_id, dollars, unmarked in rows}


_EXPOSURES = """
    SELECT held.cell_id, sum(held.settled_value - held.quantity * coalesce(mark.price, 0)),
        bool_or(held.quantity <> 0 AND mark.price IS NULL)
    FROM intermediary_position AS held LEFT JOIN intermediary_mark AS mark
        ON mark.valuation_id = %s AND mark.instrument_id = held.instrument_id
    WHERE held.cell_id = ANY(%s) GROUP BY held.cell_id"""


def settle(*, cell_id: UUID, valuation_id: UUID) -> ChainInstruction | None:
    """Pay one relationship's variation margin at a valuation, once; the movement, or None when nothing moves.

    Nothing moves for less than a base unit, at an overtaken valuation, in default, for a cell that is not a client's,
    and when the vault cannot pay the whole amount (too little of the settlement token, or the terms' daily cap).
    """
    assert connection.in_atomic_block, "a payment belongs to a transaction"
    cell = ledger.lock_cells([cell_id])[cell_id]
    paid = VariationPayment.objects.filter(cell=cell, valuation_id=valuation_id).select_related("instruction").first()
    if paid is not None:
        return paid.instruction
    if not _settles(cell) or _overtaken(valuation_id):
        return None
    exposed = exposure(cell_id, valuation_id)
    held_back = _held_back(cell_id, valuation_id) if exposed < 0 else {}
    owed = add_exactly(exposed, *held_back.values())
    if held_back and owed >= 0:
        return None
    asset = ledger.settlement_asset().code
    vault = vaults.vaults_of(cell_id).get(asset)
    amount = round_down(_scaled(owed.copy_abs()))
    if not amount or vault is None or (owed > 0 and not _can_pay(vault, amount)):
        return None
    instruction = _move(cell_id, valuation_id, vault, amount, paid_by_client=owed > 0)
    signed = amount if owed > 0 else -amount
    _carry(cell_id, valuation_id, add_exactly(owed, _dollars(signed).copy_negate()), held_back)
    VariationPayment.objects.create(
        cell=cell, valuation_id=valuation_id, instruction=instruction, amount_base_units=signed
    )
    return instruction


def on_instruction_failed(event: Event) -> None:
    """The chain refused a payment: it is exposure again. Harmless when repeated and for other movements."""
    found = VariationPayment.objects.filter(instruction_id=event.payload["instruction_id"]).first()
    if found is None:
        return
    ledger.lock_cells([found.cell_id])
    payment = VariationPayment.objects.get(id=found.id)
    if payment.reversed_at is not None:
        return
    position = Position.objects.filter(cell_id=payment.cell_id).order_by("id")[0]
    position.settled_value = add_exactly(position.settled_value, _dollars(payment.amount_base_units))
    position.save(update_fields=["settled_value"])
    payment.reversed_at = clock.now()
    payment.save(update_fields=["reversed_at"])
    _require_again(payment)


def _require_again(payment: VariationPayment) -> None:
    """Exposure is the payment's more at any valuation, so the requirement that stands knows it at once."""
    state = MarginState.objects.filter(cell_id=payment.cell_id).first()
    if state is None:
        return
    state.exposure_base_units += payment.amount_base_units
    state.required_base_units = required_for(
        state.exposure_base_units, state.independent_amount_base_units, state.threshold_base_units
    )
    state.held_base_units = held_after_haircut(payment.cell_id, state.valuation_id)
    state.save(update_fields=["exposure_base_units", "required_base_units", "held_base_units"])


def debit_in_use(vault: ChainTarget, cap_base_units: int) -> int:
    """How much of the terms' daily debit allowance is used up now, as the vault reckons it: wearing off in a line."""
    now, used, since = clock.now(), 0, None
    debits = ChainInstruction.objects.filter(target=vault, kind=Kind.DEBIT, at__gt=now - LOOK_BACK)
    for moment, amount in (
        debits.exclude(state=ChainInstruction.State.FAILED).order_by("seq").values_list("at", "amount_base_units")
    ):
        used = _worn(used, moment - since, cap_base_units) + amount if since else amount
        since = moment
    return _worn(used, now - since, cap_base_units) if since else 0


def _worn(used: int, elapsed: timedelta, cap: int) -> int:
    return max(0, used - cap * (elapsed // timedelta(seconds=1)) // (DAY // timedelta(seconds=1)))


def _can_pay(vault: ChainTarget, amount: int) -> bool:
    if ledger.balance(vault.cell_id, AccountKind.CLIENT_MARGIN, vault.asset_id) < amount:
        return False
    cap = current_terms(vault.cell_id).debit_cap_base_units
    return debit_in_use(vault, cap) + amount <= cap


def _move(
    cell_id: UUID, valuation_id: UUID, vault: ChainTarget, amount: int, *, paid_by_client: bool
) -> ChainInstruction:
    margin, house = AccountKind.CLIENT_MARGIN, AccountKind.FLOAT
    return outbox.move(
        effect_id=derive("vm", cell_id, valuation_id),
        target=vault,
        cell_id=cell_id,
        kind=Kind.DEBIT if paid_by_client else Kind.CREDIT,
        source=margin if paid_by_client else house,
        destination=house if paid_by_client else margin,
        amount_base_units=amount,
        memo="variation margin",
        required_base_units=vaults.required_in_force(vault),
    )


def _held_back(cell_id: UUID, valuation_id: UUID) -> dict[UUID, Decimal]:
    valuation = Valuation.objects.get(id=valuation_id)
    return gains_held_back(cell_id, valuation, lambda other: exposure(other, valuation_id))


def _carry(cell_id: UUID, valuation_id: UUID, left: Decimal, held_back: Mapping[UUID, Decimal]) -> None:
    """Every position is settled at its mark, but for gains that are held back; the fraction of a base unit that is
    `left` stays on the first."""
    rows = _open_rows(cell_id)
    marks = _marks(rows, valuation_id)
    for number, row in enumerate(rows):
        unpaid = held_back.get(row.instrument_id, Decimal(0)).copy_negate()
        row.settled_value = add_exactly(_value(row, marks), unpaid, left if number == 0 else 0)
        row.save(update_fields=["settled_value"])


def _settles(cell: Cell) -> bool:
    if cell.kind != Cell.Kind.CLIENT or cell.state in (Cell.State.DEFAULTED, Cell.State.CLOSED):
        return False
    return not DefaultCase.objects.filter(cell=cell).exclude(state__in=["CURED", "CLOSED"]).exists()


def _overtaken(valuation_id: UUID) -> bool:
    return Valuation.objects.filter(as_of__gt=Valuation.objects.get(id=valuation_id).as_of).exists()


def _open_rows(cell_id: UUID) -> list[Position]:
    rows = Position.objects.filter(cell_id=cell_id).order_by("id")
    return [row for row in rows if row.quantity or row.settled_value]


def _marks(rows: Sequence[Position], valuation_id: UUID) -> dict[UUID, Decimal]:
    wanted = [row.instrument_id for row in rows if row.quantity]
    found = Mark.objects.filter(valuation_id=valuation_id, instrument_id__in=wanted)
    marks = dict(found.values_list("instrument_id", "price"))
    if missing := [str(key) for key in wanted if key not in marks]:
        raise Refusal("mark_missing", "An instrument that is held has no mark.", instruments=missing)
    return marks


def _value(row: Position, marks: dict[UUID, Decimal]) -> Decimal:
    return multiply_exactly(row.quantity, marks[row.instrument_id]) if row.quantity else Decimal(0)


def _scaled(dollars: Decimal) -> Decimal:
    return multiply_exactly(dollars, Decimal(1).scaleb(ledger.settlement_asset().decimals))


def _dollars(amount_base_units: int) -> Decimal:
    return from_base_units(amount_base_units, ledger.settlement_asset().decimals)
