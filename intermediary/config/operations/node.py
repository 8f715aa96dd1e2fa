"""What only a chain's node knows: its head, today's fees, what keys can pay with, and how much of a cap is used;
and whether the caps are large enough for a stressed day (`caps`).

Asked once a look round, in two requests, and kept in a row: whoever reads the figures asks no node.
"""

from collections.abc import Mapping
from typing import Any

from intermediary.config.operations import caps
from intermediary.errors import Refusal
from intermediary.models import ChainTarget
from settlement import chains, fence
from settlement.bindings import contract
from settlement.chain import Call, Chain
from settlement.models import ChainSender

TIMEOUT_SECONDS = 3.0  # whoever looks has deadlines to look at as well; a healthy node answers within one


def look_at_all() -> dict[str, dict[str, Any]]:
    """By chain, as it is kept; a node that does not answer says why, and keeps nobody from the next."""
    return {name: _look(name) for name in chains.names()}


def _look(name: str) -> dict[str, Any]:
    try:
        with chains.on(name):
            return _asked(name)
    except Refusal as refusal:
        return {"problem": f"{refusal.code}: {refusal.message}"[:200]}


def _asked(name: str) -> dict[str, Any]:
    rules = chains.configured(name)
    if not rules.rpc_urls:
        raise Refusal("no_chain_configured", "no node is configured")
    node = Chain(rules.rpc_urls[0], rules, timeout_seconds=TIMEOUT_SECONDS)
    node.id()
    senders = ChainSender.objects.filter(
        chain=name, role__in=fence.ROLES
    )  # what set-up keys need is seen when they act
    keys = dict(senders.values_list("role", "address"))
    houses = dict(
        ChainTarget.objects.filter(kind=ChainTarget.Kind.HOUSE, asset__chain__in=chains.asset_chains()).values_list(
            "asset_id", "address"
        )
    )
    views = [(asset, function) for asset in houses for function in ("outflow", "outflowCap")]
    calls: list[Call] = [("eth_getBlockByNumber", ["latest", False])]
    calls += [("eth_getBalance", [address, "latest"]) for address in keys.values()]
    calls += [contract("House").call(houses[asset], function, [], "latest") for asset, function in views]
    latest, *answers = node.batch(calls)
    numbers = [int(answer, 16) if len(answer) > 2 else 0 for answer in answers]
    said = dict(zip(views, numbers[len(keys) :], strict=True))
    return {
        "head": int(latest["number"], 16),
        "base_fee_wei": int(latest.get("baseFeePerGas", "0x0"), 16),
        "gas_wei": dict(zip(keys, numbers, strict=False)),
        "outflow_share": _shares(said),
        "cap_short": caps.shortfalls({asset: said[asset, "outflowCap"] for asset in houses}),
    }


def _shares(said: Mapping[tuple[str, str], int]) -> dict[str, float]:
    """Used part of the cap, by asset; a house without a cap pays nothing out and has none."""
    caps = {asset: cap for (asset, function), cap in said.items() if function == "outflowCap" and cap}
    return {asset: said[asset, "outflow"] / cap for asset, cap in caps.items()}
