"""Wishes of investors stored by a page and carried out by a worker: the body's plain values become arguments."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from bonds.offering import orders
from bonds.portal import holder_requests
from intermediary.models import CommandRequest


def _place_order(request: CommandRequest) -> dict[str, Any]:
    order = orders.place_order(
        user=request.user,
        tranche_id=UUID(request.body["tranche"]),
        amount_base_units=int(request.body["amount_base_units"]),
        minimum_spread_bps=int(request.body["minimum_spread_bps"]),
    )
    return {"order": str(order.id)}


def _withdraw_order(request: CommandRequest) -> dict[str, Any]:
    order = orders.withdraw_order(user=request.user, order_id=UUID(request.body["order"]))
    return {"order": str(order.id)}


COMMANDS: Mapping[str, Callable[[CommandRequest], dict[str, Any]]] = {
    "place_order": _place_order,
    "withdraw_order": _withdraw_order,
    **holder_requests.COMMANDS,
}
