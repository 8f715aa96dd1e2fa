"""Wishes of investors stored by a page and carried out by a worker: the body's plain values become arguments."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from bonds.offering import orders
from bonds.portal import holder_requests
from intermediary.models import CommandRequest


def _seal_bid(request: CommandRequest) -> dict[str, Any]:
    order = orders.commit(
        user=request.user,
        tranche_id=UUID(request.body["tranche"]),
        commitment=request.body["commitment"],
        conflicts=request.body.get("conflicts", []),
        roll_forward=UUID(request.body["roll_forward"]) if request.body.get("roll_forward") else None,
    )
    return {"order": str(order.id), "commitment": order.commitment}


def _withdraw_order(request: CommandRequest) -> dict[str, Any]:
    order = orders.withdraw_order(user=request.user, order_id=UUID(request.body["order"]))
    return {"order": str(order.id)}


def _reveal_bid(request: CommandRequest) -> dict[str, Any]:
    order = orders.reveal(
        user=request.user,
        order_id=UUID(request.body["order"]),
        opening=request.body["opening"],
        nonce=request.body["nonce"],
    )
    return {"order": str(order.id)}


COMMANDS: Mapping[str, Callable[[CommandRequest], dict[str, Any]]] = {
    "seal_bid": _seal_bid,
    "withdraw_order": _withdraw_order,
    "reveal_bid": _reveal_bid,
    **holder_requests.COMMANDS,
}
