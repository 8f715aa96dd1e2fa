"""Gains that are not paid yet because the other side's loss is not covered (D1, limited recourse).

UNCOVERED belongs to the linked lots in proportion to their unpaid gain since the last settlement. So from the moment a
relationship's loss at the official mark exceeds its margin and its funded layers, the gain of the lots that face it
waits, in their holders' exposure, until the loss is determined. Every other gain, and every gain that faces a covered
relationship, is paid on time. Amounts are exact dollars.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from intermediary import own_tokens
from intermediary.collateral import price_of
from intermediary.models import Asset, Cell, DefaultCase, Layer, Lot, Mark, Position, Valuation
from intermediary.money import add_exactly, divide_down, from_base_units, multiply_exactly

Exposures = Callable[[Sequence[UUID]], Mapping[UUID, Decimal | None]]  # dollars owed; None: a mark is missing
DETERMINED = ("ALLOCATED", "RECOVERY", "CLOSED")


def gains_held_back(
    cell_ids: Sequence[UUID], valuation: Valuation, exposures: Exposures
) -> dict[UUID, dict[UUID, Decimal]]:
    """Cell -> instrument -> unpaid gain of its lots that face an uncovered loss, above zero. Usually empty, and then a
    handful of queries for any number of cells."""
    lots = Lot.objects.filter(cell_id__among=cell_ids, opposite__kind=Cell.Kind.CLIENT).exclude(open_quantity=0)
    uncovered = _uncovered(list(lots.values_list("opposite_id", flat=True).distinct()), valuation, exposures)
    held: dict[UUID, dict[UUID, Decimal]] = {}
    for lot in lots.filter(opposite_id__among=uncovered).order_by("id") if uncovered else ():
        gain = _unpaid_gain(lot, valuation)
        if gain > 0:
            of_cell = held.setdefault(lot.cell_id, {})
            of_cell[lot.instrument_id] = add_exactly(of_cell.get(lot.instrument_id, Decimal(0)), gain)
    return held


def _uncovered(cell_ids: Sequence[UUID], valuation: Valuation, exposures: Exposures) -> list[UUID]:
    """Those whose debt, in default or not, exceeds their margin at market and their funded layers, or is not known."""
    cases = DefaultCase.objects.filter(cell_id__among=cell_ids).exclude(state="CURED").order_by("id")
    newest = dict(cases.values_list("cell_id", "state"))
    asked = [cell_id for cell_id in cell_ids if newest.get(cell_id) not in DETERMINED]
    closing = dict(Cell.objects.filter(closes_out_id__among=asked).values_list("id", "closes_out_id"))
    owed: dict[UUID, Decimal | None] = {}
    for cell_id, dollars in exposures([*asked, *closing]).items():
        owing_id = closing.get(cell_id, cell_id)
        owed[owing_id] = _together(owed.get(owing_id, Decimal(0)), dollars)
    owing = [cell_id for cell_id, debt in owed.items() if debt is None or debt > 0]
    means = _means(owing, valuation)
    return [cell_id for cell_id in owing if (debt := owed[cell_id]) is None or debt > means[cell_id]]


def _together(owed: Decimal | None, closing: Decimal | None) -> Decimal | None:
    return None if owed is None or closing is None else add_exactly(owed, closing)


def _means(cell_ids: Sequence[UUID], valuation: Valuation) -> dict[UUID, Decimal]:
    """Margin at market, seized or not, and what is left of the funded layers, dollars."""
    assets = {asset.code: asset for asset in Asset.objects.all()}
    means = dict.fromkeys(cell_ids, Decimal(0))
    for (cell_id, code), balance in own_tokens.margin(cell_ids).items():
        tokens, price = from_base_units(balance, assets[code].decimals), price_of(assets[code], valuation)
        means[cell_id] = add_exactly(means[cell_id], multiply_exactly(tokens, price))
    decimals = next(asset for asset in assets.values() if asset.is_settlement).decimals
    for layer in Layer.objects.filter(cell_id__among=cell_ids, funded=True):
        left = from_base_units(layer.size_base_units - layer.loss_base_units, decimals)
        means[layer.cell_id] = add_exactly(means[layer.cell_id], left)
    return means


def _unpaid_gain(lot: Lot, valuation: Valuation) -> Decimal:
    """Open quantity x (mark - price last settled at), in the position's proportion, rounded down at 18 places."""
    position = Position.objects.get(cell_id=lot.cell_id, instrument_id=lot.instrument_id)
    if not position.quantity:
        return Decimal(0)
    mark = Mark.objects.get(valuation=valuation, instrument_id=lot.instrument_id).price
    unpaid = add_exactly(multiply_exactly(position.quantity, mark), position.settled_value.copy_negate())
    return divide_down(multiply_exactly(unpaid, lot.open_quantity), position.quantity)
