"""The determined loss, pure: from the evidence of a bundle to every number in it.

    T   = Close-out Amount + costs - collateral realised           the client's whole debt, never below zero
    X   = max(0, T - T as it would have been on time)              falls on the intermediary (D4)
    N   = T - X                                                    runs through the layers (D1)

`determination` gathers the evidence from rows that nobody can change and takes its numbers from here, so a bundle
carries all that its numbers follow from: whoever has one checks it by `outcome(bundle)`. Rounding: each dollar sum
once, towards zero. This file knows no database and no clock.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from intermediary import waterfall
from intermediary.closeout_schedule import (
    CloseOutRules,
    Slice,
    close_out_base_units,
    costs_base_units,
    same_slippage,
    value_base_units,
)
from intermediary.money import add_exactly, from_base_units, multiply_exactly
from intermediary.waterfall import LayerBand

Evidence = Mapping[str, Any]


def outcome(evidence: Evidence) -> dict[str, Any]:
    """Every number of a determination, base units of the settlement token; what the evidence says besides is ignored.

    `on_time` is None when the close-out began no valuation late.
    """
    collateral = sum(row["amount_base_units"] for row in evidence["collateral"])
    actual = _debt(evidence, [_piece(row) for row in evidence["slices"]], collateral)
    on_time = _on_time(evidence, collateral) if evidence["valuations_late"] else None
    total = actual.pop("total_loss_base_units")
    added = max(0, total - on_time["total_loss_base_units"]) if on_time else 0
    layers, uncovered = _spread(evidence["layers"], total - added)
    return {
        **actual,
        "on_time": on_time,
        "added_by_us_base_units": added,
        "net_loss_base_units": total - added,
        "layers": layers,
        "uncovered_base_units": uncovered,
    }


def _debt(evidence: Evidence, pieces: Sequence[Slice], collateral: int) -> dict[str, int]:
    """What the book lost, what replacing it cost, what the margin brought, and T."""
    decimals, rules = evidence["settlement_decimals"], CloseOutRules.from_body(evidence["close_out_rules"])
    settled = add_exactly(*(Decimal(row["settled_value_usd"]) for row in evidence["terminated_positions"]))
    close_out = close_out_base_units(settled, pieces, decimals)
    costs = costs_base_units(pieces, rules, decimals)
    return {
        "close_out_amount_base_units": close_out,
        "costs_base_units": costs,
        "collateral_realised_base_units": collateral,
        "total_loss_base_units": waterfall.net_loss(
            close_out_deficit=close_out - collateral, costs=costs, added_by_us=0, recoveries=0
        ),
    }


def _on_time(evidence: Evidence, collateral: int) -> dict[str, int]:
    """The close-out that would have begun when ordinary grace and cure ended: the same slices and sales, with the
    slippage that they had, at the marks of their `on_time` valuations."""
    pieces = [_earlier(row, _piece(row)) for row in evidence["slices"]]
    for sale in evidence["disposals"]:
        sold = Slice(from_base_units(sale["sold_base_units"], sale["decimals"]), Decimal(sale["price"]))
        earlier = _earlier(sale, sold)
        value = multiply_exactly(earlier.quantity, earlier.price)
        collateral += value_base_units(value, evidence["settlement_decimals"]) - int(sale["expected_base_units"])
    return {"valuations_late": evidence["valuations_late"], **_debt(evidence, pieces, collateral)}


def _piece(row: Evidence) -> Slice:
    return Slice(Decimal(row["quantity"]), Decimal(row["price"]))


def _earlier(row: Evidence, piece: Slice) -> Slice:
    return same_slippage(piece, Decimal(row["mark"]), Decimal(row["on_time"]["mark"]))


def _spread(layers: Sequence[Evidence], net_loss: int) -> tuple[list[dict[str, Any]], int]:
    """Each layer with its loss, from the first loss up, and UNCOVERED; a layer that is not funded pays nothing."""
    bands = [LayerBand(place, row["attach_base_units"], row["detach_base_units"]) for place, row in enumerate(layers)]
    spread = waterfall.allocate(net_loss, bands)
    losses = [loss if layers[place]["funded"] else 0 for place, loss in spread.layer_losses]
    paid = [{**row, "loss_base_units": loss} for row, loss in zip(layers, losses, strict=True)]
    return paid, net_loss - sum(losses)
