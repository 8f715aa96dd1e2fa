"""The Early Termination Date: a noticed default that was not cured becomes final.

The cell is closed to new risk for good; its positions and open lots move to a ring-fenced close-out cell with the
same quantities and settled values, its own rows going to zero by opposite changes, so every instrument still nets to
zero over all cells (D6). Its margin is seized in every token. Counter-legs keep facing the house: no other cell is
touched (I1).
"""

from decimal import Decimal
from uuid import UUID

from intermediary import audit, clock, ledger, outbox
from intermediary.default_cases import Kind, State, instructions, locked_case, move_to, notices, require_state, vaults
from intermediary.ids import derive
from intermediary.models import (
    AccountKind,
    CallEvent,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Lot,
    MarginCall,
    Position,
)

CELL_CODE_LENGTH = 16  # of the column; "CO-" in front of a longer code would not fit


def terminate(case: DefaultCase) -> None:
    """Default the cell, move its book to a close-out cell of its own, seize its margin. The caller checked the time."""
    case.cell.state = Cell.State.DEFAULTED
    case.cell.save(update_fields=["state"])
    close_out = Cell.objects.create(code=_close_out_code(case), kind=Cell.Kind.CLOSE_OUT, closes_out=case.cell)
    _net_open_calls(case.cell)
    case.etd_at = clock.now()
    positions = _move_positions(case.cell, close_out)
    _move_lots(case.cell, close_out)
    move_to(case, State.ETD_SET, "Early Termination Date set.", positions=positions)
    audit.record(actor="system", action="default.early_termination", subject=case.id, positions=positions)
    seize(case_id=case.id)


def seize(*, case_id: UUID) -> list[ChainInstruction]:
    """Take the claimed margin of every token to the house; again for what arrived since.

    At most the claim of each token; what is not owed in the end goes back at determination.
    """
    case = locked_case(case_id)
    require_state(case, State.ETD_SET, State.REPLACING)
    return [
        outbox.move(
            effect_id=derive("seize", case.id, vault.asset_id, len(_seizures(case, vault))),
            target=vault,
            cell_id=case.cell_id,
            kind=Kind.SEIZE,
            source=AccountKind.CLIENT_MARGIN,
            destination=AccountKind.HOUSE,
            amount_base_units=amount,
            memo=f"margin seized in default {case.id}",
            case=str(case.id),
        )
        for vault, amount in unseized(case)
    ]


def unseized(case: DefaultCase) -> list[tuple[ChainTarget, int]]:
    """Margin in each vault that its open claim still reaches, base units above zero.

    A seizure waits while its vault refuses it, and fails only when two people give it up, as they must once its notice
    has lapsed on chain: then nothing more is taken from that vault.
    """
    claims = {row.target_id: row.amount_base_units for row in notices(case)}
    found = []
    for vault in vaults(case.cell_id):
        seizures = _seizures(case, vault)
        held = ledger.balance(case.cell_id, AccountKind.CLIENT_MARGIN, vault.asset_id)
        amount = min(held, claims.get(vault.id, 0) - sum(_moved(row) for row in seizures))
        if amount > 0 and not any(row.state == ChainInstruction.State.FAILED for row in seizures):
            found.append((vault, amount))
    return found


def _seizures(case: DefaultCase, vault: ChainTarget) -> list[ChainInstruction]:
    return [row for row in instructions(case, Kind.SEIZE) if row.target_id == vault.id]


def _moved(seizure: ChainInstruction) -> int:
    """What it took; until the chain is final, what it was told to take."""
    is_final = seizure.state == ChainInstruction.State.FINAL
    return outbox.moved_base_units(seizure) if is_final else seizure.amount_base_units


def _close_out_code(case: DefaultCase) -> str:
    code = f"CO-{case.cell.code}"
    return code if len(code) <= CELL_CODE_LENGTH else f"CO-{case.id.hex[-(CELL_CODE_LENGTH - 3) :]}"


def _move_positions(cell: Cell, close_out: Cell) -> list[dict[str, str]]:
    """Same quantities and settled values, now in the close-out cell. Returns what moved, as evidence."""
    moved = []
    for position in Position.objects.select_for_update().filter(cell=cell).order_by("instrument_id"):
        if not position.quantity and not position.settled_value:
            continue
        Position.objects.create(
            cell=close_out,
            instrument_id=position.instrument_id,
            quantity=position.quantity,
            settled_value=position.settled_value,
        )
        moved.append(
            {
                "instrument": str(position.instrument_id),
                "quantity": str(position.quantity),
                "settled_value_usd": str(position.settled_value),
            }
        )
        position.quantity = position.settled_value = Decimal(0)
        position.save(update_fields=["quantity", "settled_value"])
    return moved


def _move_lots(cell: Cell, close_out: Cell) -> None:
    """Open lots keep their trade and their opposite relationship; the defaulter's own are closed."""
    for lot in Lot.objects.select_for_update().filter(cell=cell).exclude(open_quantity=0).order_by("id"):
        Lot.objects.create(
            cell=close_out,
            trade_id=lot.trade_id,
            instrument_id=lot.instrument_id,
            opposite_id=lot.opposite_id,
            quantity=lot.open_quantity,
            open_quantity=lot.open_quantity,
            price=lot.price,
        )
        lot.open_quantity = Decimal(0)
        lot.save(update_fields=["open_quantity"])


def _net_open_calls(cell: Cell) -> None:
    """A terminated relationship is called no more: what it owes is determined instead."""
    for call in MarginCall.objects.select_for_update().filter(cell=cell, state__in=MarginCall.OPEN_STATES):
        before, call.state = call.state, MarginCall.State.NETTED
        call.save(update_fields=["state"])
        CallEvent.objects.create(
            cell=cell, call=call, before=before, after=call.state, note="Early Termination Date set."
        )
