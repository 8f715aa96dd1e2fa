"""Gains that are not paid yet because the other side's loss is not covered (D1, limited recourse).

UNCOVERED belongs to the linked lots in proportion to their unpaid gain since the last settlement. So from the moment a
relationship's loss at the official mark exceeds its margin and its funded layers, the gain of the lots that face it
waits, in their holders' exposure, until the loss is determined. Every other gain, and every gain that faces a covered
relationship, is paid on time. Amounts are exact dollars.
"""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from intermediary import ledger
from intermediary.collateral import price_of
from intermediary.models import Account, AccountKind, Cell, DefaultCase, Layer, Lot, Mark, Position, Valuation
from intermediary.money import add_exactly, divide_down, from_base_units, multiply_exactly

ExposureOf = Callable[[UUID], Decimal]
DETERMINED = ("ALLOCATED", "RECOVERY", "CLOSED")


def gains_held_back(cell_id: UUID, valuation: Valuation, exposure_of: ExposureOf) -> dict[UUID, Decimal]:
    """Instrument -> unpaid gain of this cell's lots that face an uncovered loss, above zero. Usually empty."""
    lots = Lot.objects.filter(cell_id=cell_id, opposite__kind=Cell.Kind.CLIENT).exclude(open_quantity=0)
    opposites = set(lots.values_list("opposite_id", flat=True))
    uncovered = {other for other in opposites if _is_uncovered(other, valuation, exposure_of)}
    held: dict[UUID, Decimal] = {}
    for lot in lots.filter(opposite_id__in=uncovered) if uncovered else ():
        gain = _unpaid_gain(lot, valuation)
        if gain > 0:
            held[lot.instrument_id] = add_exactly(held.get(lot.instrument_id, Decimal(0)), gain)
    return held


def _is_uncovered(cell_id: UUID, valuation: Valuation, exposure_of: ExposureOf) -> bool:
    """Whether what the relationship owes, in default or not, exceeds its margin at market and its funded layers."""
    case = DefaultCase.objects.filter(cell_id=cell_id).exclude(state="CURED").first()
    if case is not None and case.state in DETERMINED:
        return False
    owed = exposure_of(cell_id)
    closing = Cell.objects.filter(closes_out=cell_id).first()
    if closing is not None:
        owed = add_exactly(owed, exposure_of(closing.id))
    return owed > 0 and owed > _means(cell_id, valuation)


def _means(cell_id: UUID, valuation: Valuation) -> Decimal:
    """Margin at market, seized or not, and what is left of the funded layers."""
    kinds = [AccountKind.CLIENT_MARGIN, AccountKind.HOUSE, AccountKind.IN_TRANSIT]
    parts = [
        multiply_exactly(
            from_base_units(account.balance_base_units, account.asset.decimals), price_of(account.asset, valuation)
        )
        for account in Account.objects.filter(cell_id=cell_id, kind__in=kinds).select_related("asset")
    ]
    decimals = ledger.settlement_asset().decimals
    for layer in Layer.objects.filter(cell_id=cell_id, funded=True):
        parts.append(from_base_units(layer.size_base_units - layer.loss_base_units, decimals))
    return add_exactly(*parts)


def _unpaid_gain(lot: Lot, valuation: Valuation) -> Decimal:
    """Open quantity x (mark - price last settled at), in the position's proportion, rounded down at 18 places."""
    position = Position.objects.get(cell_id=lot.cell_id, instrument_id=lot.instrument_id)
    if not position.quantity:
        return Decimal(0)
    mark = Mark.objects.get(valuation=valuation, instrument_id=lot.instrument_id).price
    unpaid = add_exactly(multiply_exactly(position.quantity, mark), position.settled_value.copy_negate())
    return divide_down(multiply_exactly(unpaid, lot.open_quantity), position.quantity)
