"""Variation margin: what a relationship's positions have lost or gained since the last payment, paid by movements.

Exposure = sum of (settled value - quantity x mark), exact; positive: the client owes. A loser's payment moves from its
vault to the house, a winner's from the house to its vault, each inside its own cell. A payment is made in whole or not
at all; an unpaid one stays in exposure and is called as margin. Only whole base units move: the fraction stays in
`settled_value` of one position, so nothing is ever lost. What is on its way counts once: a debit has left the margin
already, a credit is margin already (`collateral.counted`). A gain that faces an uncovered loss waits
(`intermediary.held_back`). Payments net over instruments, always; where no opinion says that claims do, margin counts
exposure otherwise (`intermediary.claims`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NoReturn
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Sum

from intermediary import books, clock, ledger, outbox, vaults
from intermediary.collateral import asset_for_value, held_after_haircut
from intermediary.csa import required_for
from intermediary.errors import Refusal
from intermediary.held_back import gains_held_back
from intermediary.ids import derive
from intermediary.models import (
    Account,
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
from intermediary.models.bulk import insert_all
from intermediary.money import add_exactly, from_base_units, multiply_exactly, round_down, round_up
from intermediary.onboarding import terms_of_cells, without_netting
from intermediary.terms import Terms
from intermediary.vaults import Vault

Kind = ChainInstruction.Kind
DAY = timedelta(days=1)
# A used debit allowance wears off at the cap's worth a day; looking three days back misses nothing unless the cap was
# all but used up for three days on end, and then the vault itself refuses and the payment goes back into exposure.
LOOK_BACK = 3 * DAY
ENDED = (Cell.State.DEFAULTED, Cell.State.CLOSED)


@dataclass(frozen=True)
class Due:
    """One relationship's payment to come: the movement, not instructed yet, the dollars below a base unit that do not
    move, by instrument the gains that are held back, and the vault with the caps that its address commits to."""

    movement: ChainInstruction
    left: Decimal
    held_back: Mapping[UUID, Decimal]
    vault: Vault


def exposure(cell_id: UUID, valuation_id: UUID) -> Decimal:
    """Dollars that the client owes since the last payment, exact; negative: owed to it. Refuses a missing mark."""
    owed = exposures([cell_id], valuation_id)[cell_id]
    return refuse_unmarked(cell_id, valuation_id) if owed is None else owed


def refuse_unmarked(cell_id: UUID, valuation_id: UUID) -> NoReturn:
    """Refuse `mark_missing` with what is held and has no mark."""
    missing = _unmarked(cell_id, valuation_id)
    raise Refusal("mark_missing", f"No official mark of {', '.join(missing)}.", instruments=missing)


def held_without_a_mark(cell_id: UUID) -> list[str]:
    """Codes of the instruments held that the last valuation gives no mark of: its requirement is not known now."""
    latest = Valuation.objects.first()
    return _unmarked(cell_id, latest.id) if latest is not None else []


def _unmarked(cell_id: UUID, valuation_id: UUID) -> list[str]:
    marked = Mark.objects.filter(valuation_id=valuation_id).values("instrument_id")
    held = Position.objects.filter(cell_id=cell_id).exclude(quantity=0).exclude(instrument_id__in=marked)
    return list(held.order_by("instrument__code").values_list("instrument__code", flat=True))


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
    """Pay one relationship's variation margin at a valuation, once; the movement, or None when nothing moves."""
    settle_all([cell_id], valuation_id)
    paid = VariationPayment.objects.filter(cell_id=cell_id, valuation_id=valuation_id).select_related("instruction")
    return next((payment.instruction for payment in paid), None)


def settle_all(cell_ids: Sequence[UUID], valuation_id: UUID) -> None:
    """Pay the variation margin of these relationships at a valuation, each once; some twenty-five queries whatever
    their number.

    Nothing moves for less than a base unit, at an overtaken valuation, without a mark, in default, for a cell that is
    not a client's, and when the vault cannot pay the whole amount (too little of the settlement token, or the
    daily cap). Of a gross exposure what comes out even is paid, one position by another.
    """
    assert connection.in_atomic_block, "a payment belongs to a transaction"
    cells = ledger.lock_cells(cell_ids)
    valuation = Valuation.objects.get(id=valuation_id)
    if Valuation.objects.filter(as_of__gt=valuation.as_of).exists():
        return
    settling = _settling(cells.values(), valuation)
    gross = without_netting(settling)
    found = _payable(_dues(settling, valuation, gross))
    _carry([due for due in found if not due.movement.amount_base_units], valuation)
    if dues := [due for due in found if due.movement.amount_base_units]:
        terms = terms_of_cells([due.movement.cell_id for due in dues])
        _lock_what_was_gained(dues, terms)
        outbox.move_all([due.movement for due in dues], memo="variation margin")
        _carry(dues, valuation)
        insert_all([_payment(due.movement, valuation) for due in dues])
        _require_without(dues, terms, gross)


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
    amount = payment.amount_base_units
    state.exposure_base_units += max(0, amount) if without_netting([payment.cell_id]) else amount
    state.required_base_units = required_for(
        state.exposure_base_units, state.independent_amount_base_units, state.threshold_base_units
    )
    state.held_base_units = held_after_haircut(payment.cell_id, state.valuation_id)
    state.save(update_fields=["exposure_base_units", "required_base_units", "held_base_units"])


def _lock_what_was_gained(dues: Sequence[Due], terms: Mapping[UUID, Terms]) -> None:
    """A requirement between two cycles is lower by the gain that was not paid yet, and so is what the vault locks. The
    credit that pays it carries the number without it: until the next requirement the gain is not free a second time."""
    signed = [due for due in dues if due.movement.cell_id in terms]
    credits = {due.movement.cell_id: due for due in signed if due.movement.kind == Kind.CREDIT}
    token = ledger.settlement_asset()
    for state in MarginState.objects.filter(cell_id__among=credits, exposure_base_units__lt=0):
        due, agreed = credits[state.cell_id], terms[state.cell_id]
        movement, cap = due.movement, agreed.max_required_base_units
        left = min(0, state.exposure_base_units + movement.amount_base_units)
        required = required_for(left, state.independent_amount_base_units, state.threshold_base_units)
        more = max(0, required - state.required_base_units)
        number = movement.required_base_units + asset_for_value(
            more, token, Decimal(1), agreed.haircut_of(token.code), token
        )
        movement.required_base_units = min(number, vaults.within(cap, due.vault.most))


def _require_without(dues: Sequence[Due], terms: Mapping[UUID, Terms], gross: Collection[UUID]) -> None:
    """What was paid is exposure no longer, and margin more or less, at any valuation: the requirement that stands
    knows it at once, or a gain would be free twice until the next one. Rounded against the client. Of a gross exposure
    it is not known how much was paid: the next requirement finds none of it."""
    cells, owed, gained = [], [], []
    for due in dues:
        if due.movement.cell_id not in terms:
            continue  # nothing is required of it
        cell_id, amount, token = due.movement.cell_id, due.movement.amount_base_units, due.movement.target.asset_id
        came = amount if due.movement.kind == Kind.CREDIT else -amount
        cells.append(cell_id)
        owed.append(0 if cell_id in gross else -came)
        gained.append(came * (10_000 - terms[cell_id].haircut_of(token)) // 10_000)
    with connection.cursor() as cursor:
        cursor.execute(_PAID, [cells, owed, gained])


_PAID = """
    UPDATE intermediary_marginstate AS state SET
        exposure_base_units = state.exposure_base_units - paid.owed,
        required_base_units = greatest(0, state.exposure_base_units - paid.owed
            + state.independent_amount_base_units - state.threshold_base_units),
        held_base_units = state.held_base_units + paid.gained
    FROM unnest(%s::uuid[], %s::numeric[], %s::numeric[]) AS paid (cell_id, owed, gained)
    WHERE state.cell_id = paid.cell_id"""


def debit_in_use(vault: ChainTarget, cap_base_units: int) -> int:
    """How much of the daily debit allowance is used up now, as the vault reckons it: wearing off in a line."""
    now, used, since = clock.now(), 0, None
    for moment, amount in _debits(now).filter(target=vault).order_by("seq").values_list("at", "amount_base_units"):
        used = _worn(used, moment - since, cap_base_units) + amount if since else amount
        since = moment
    return _worn(used, now - since, cap_base_units) if since else 0


def _debits(now: datetime) -> QuerySet[ChainInstruction]:
    debits = ChainInstruction.objects.filter(kind=Kind.DEBIT, at__gt=now - LOOK_BACK)
    return debits.exclude(state=ChainInstruction.State.FAILED)


def _worn(used: int, elapsed: timedelta, cap: int) -> int:
    return max(0, used - cap * (elapsed // timedelta(seconds=1)) // (DAY // timedelta(seconds=1)))


def _settling(cells: Collection[Cell], valuation: Valuation) -> list[UUID]:
    """Who is settled at all, and has not been at this valuation."""
    ids = [cell.id for cell in cells if cell.kind == Cell.Kind.CLIENT and cell.state not in ENDED]
    live = DefaultCase.objects.filter(cell_id__among=ids).exclude(state__in=["CURED", "CLOSED"])
    paid = VariationPayment.objects.filter(cell_id__among=ids, valuation=valuation)
    left_out = {*live.values_list("cell_id", flat=True), *paid.values_list("cell_id", flat=True)}
    return [cell_id for cell_id in ids if cell_id not in left_out]


def _dues(cell_ids: Sequence[UUID], valuation: Valuation, gross: Collection[UUID]) -> list[Due]:
    """What each of them would pay or get, without those for whom nothing moves; of a gross exposure nothing, too."""
    exposed = {
        cell_id: dollars
        for cell_id, dollars in _owed_in_books(cell_ids, valuation).items()
        if dollars or (dollars is not None and cell_id in gross)
    }
    gaining = [cell_id for cell_id, dollars in exposed.items() if dollars < 0]
    held_back = gains_held_back(gaining, valuation, lambda others: _owed_in_books(others, valuation))
    found = []
    for cell_id, present in vaults.read(exposed).items():
        waiting = held_back.get(cell_id, {})
        owed = add_exactly(exposed[cell_id], *waiting.values())
        vault = next((vault for vault in present if vault.asset.is_settlement), None)
        if vault is None or (waiting and owed > 0):
            continue
        decimals = vault.asset.decimals
        amount = round_down(multiply_exactly(owed.copy_abs(), Decimal(1).scaleb(decimals)))
        if amount or cell_id in gross:
            paid = from_base_units(amount, decimals).copy_sign(owed)
            movement = _movement(vault, valuation, amount, paid_by_client=owed > 0)
            found.append(Due(movement, add_exactly(owed, paid.copy_negate()), waiting, vault))
    return found


def _owed_in_books(cell_ids: Sequence[UUID], valuation: Valuation) -> dict[UUID, Decimal | None]:
    """`exposures` by the books that this process keeps."""
    owed = books.exposures(cell_ids, valuation.id)
    return {cell_id: None if found is None else books.dollars(found) for cell_id, found in owed.items()}


def _movement(vault: Vault, valuation: Valuation, amount: int, *, paid_by_client: bool) -> ChainInstruction:
    margin, house, cell_id = AccountKind.CLIENT_MARGIN.value, AccountKind.FLOAT.value, vault.target.cell_id
    return ChainInstruction(
        target=vault.target,
        cell_id=cell_id,
        kind=Kind.DEBIT if paid_by_client else Kind.CREDIT,
        amount_base_units=amount,
        required_base_units=vault.required_in_force,
        entry_id=derive("vm", cell_id, valuation.id),
        arguments={
            "source": margin if paid_by_client else house,
            "destination": house if paid_by_client else margin,
        },
    )


def _payment(movement: ChainInstruction, valuation: Valuation) -> VariationPayment:
    amount = movement.amount_base_units
    return VariationPayment(
        cell_id=movement.cell_id,
        valuation=valuation,
        instruction=movement,
        amount_base_units=amount if movement.kind == Kind.DEBIT else -amount,
    )


def _payable(dues: Sequence[Due]) -> list[Due]:
    """Without those whose vault cannot pay the whole amount, by what it holds or by the daily cap: the terms', or
    the vault's own where amended terms say more."""
    debits = {due.movement.cell_id: due.movement for due in dues if due.movement.kind == Kind.DEBIT}
    caps = {due.movement.cell_id: due.vault.debit_cap for due in dues}
    margin = Account.objects.filter(cell_id__among=debits, kind=AccountKind.CLIENT_MARGIN, asset__is_settlement=True)
    held = dict(margin.values_list("cell_id", "balance_base_units"))
    lately = _debits(clock.now()).filter(target_id__among=[movement.target_id for movement in debits.values()])
    used = dict(lately.values("cell_id").annotate(total=Sum("amount_base_units")).values_list("cell_id", "total"))
    able = {
        cell_id
        for cell_id, terms in terms_of_cells(debits).items()
        if held.get(cell_id, 0) >= debits[cell_id].amount_base_units
        and _is_within_cap(
            debits[cell_id], vaults.within(terms.debit_cap_base_units, caps[cell_id]), int(used.get(cell_id, 0))
        )
    }
    return [due for due in dues if due.movement.kind == Kind.CREDIT or due.movement.cell_id in able]


def _is_within_cap(debit: ChainInstruction, cap: int, debited_lately: int) -> bool:
    """What was debited lately is no less than what of it still counts: usually that is enough to know."""
    amount = debit.amount_base_units
    return debited_lately + amount <= cap or debit_in_use(debit.target, cap) + amount <= cap


def _carry(dues: Sequence[Due], valuation: Valuation) -> None:
    """Every position is settled at its mark, but for gains that are held back; the fraction of a base unit that is
    left stays on the first."""
    if not dues:
        return
    waiting = [(due.movement.cell_id, key, dollars) for due in dues for key, dollars in due.held_back.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            _CARRY,
            [
                [due.movement.cell_id for due in dues],
                [due.left for due in dues],
                valuation.id,
                [cell_id for cell_id, _, _ in waiting],
                [instrument_id for _, instrument_id, _ in waiting],
                [dollars for _, _, dollars in waiting],
            ],
        )


_CARRY = """
    UPDATE intermediary_position AS held SET settled_value = carried.settled_value
    FROM (
        SELECT position.id, position.quantity * coalesce(mark.price, 0) - coalesce(waiting.dollars, 0) + CASE
            WHEN row_number() OVER (PARTITION BY position.cell_id ORDER BY position.id) = 1 THEN due.left_over ELSE 0
            END AS settled_value
        FROM intermediary_position AS position
            JOIN unnest(%s::uuid[], %s::numeric[]) AS due (cell_id, left_over) USING (cell_id)
            LEFT JOIN intermediary_mark AS mark
                ON mark.valuation_id = %s AND mark.instrument_id = position.instrument_id
            LEFT JOIN unnest(%s::uuid[], %s::uuid[], %s::numeric[]) AS waiting (cell_id, instrument_id, dollars)
                ON waiting.cell_id = position.cell_id AND waiting.instrument_id = position.instrument_id
        WHERE position.quantity <> 0 OR position.settled_value <> 0
    ) AS carried WHERE held.id = carried.id"""


def _scaled(dollars: Decimal) -> Decimal:
    return multiply_exactly(dollars, Decimal(1).scaleb(ledger.settlement_asset().decimals))


def _dollars(amount_base_units: int) -> Decimal:
    return from_base_units(amount_base_units, ledger.settlement_asset().decimals)
