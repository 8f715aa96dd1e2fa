"""Tokens that nothing of ours sent to a retention or to an escrow: anybody can send them, and no contract refuses them.

They belong to no layer, no holder and no relationship, so no account has them; the comparison counts them, so that they
are no break. An escrow keeps them for good. Those of a retention two officers can give to a layer, by the contract's
`note`, and take back to the house from there, by its `release`; both are booked as the contract says.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Sum

from intermediary import ledger
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainTarget
from settlement.bindings import decode_event
from settlement.models import ChainLog, Stray

Arguments = Mapping[str, Any]
HOLDERS = (ChainTarget.Kind.RETENTION, ChainTarget.Kind.ESCROW)
LAYERS = (AccountKind.FIRST_LOSS, AccountKind.SENIOR_RETENTION)  # in the contract's own order


def arrived(row: ChainLog, target: ChainTarget, event: Arguments) -> None:
    """Remember a transfer to a retention or an escrow, unless it is an instruction's or a subscriber's payment."""
    if ChainTarget.objects.filter(address=event["from"], kind=ChainTarget.Kind.HOUSE).exists():
        return
    if event["value"] and not (target.kind == ChainTarget.Kind.ESCROW and _is_subscription(row, event)):
        _keep(row, target, event["from"], event["value"])


def assigned(row: ChainLog, event: Arguments) -> None:
    """Officers gave strays to a layer; what the house sets aside is booked by its instruction."""
    target = ChainTarget.objects.get(address=row.address)
    if ChainTarget.objects.filter(address=event["by"], kind=ChainTarget.Kind.HOUSE).exists():
        return
    amount, layer = event["amount"], LAYERS[event["layer"]]
    lines = [Line(AccountKind.OUTSIDE, target.asset_id, -amount), Line(layer, target.asset_id, amount)]
    _post(row, target, "stray_assigned", lines)
    _keep(row, target, event["by"], -amount)


def released(row: ChainLog, event: Arguments) -> None:
    """Officers took retention that stands behind the relationship no more back to the house."""
    target = ChainTarget.objects.get(address=row.address)
    parts = (event["firstLoss"], event["senior"])
    lines = [Line(layer, target.asset_id, -part) for layer, part in zip(LAYERS, parts, strict=True)]
    _post(row, target, "retention_released", [*lines, Line(AccountKind.FLOAT, target.asset_id, sum(parts))])


def lying_at(target: ChainTarget) -> int:
    """Strays that lie in this contract now, base units."""
    return int(target.strays.aggregate(total=Sum("amount_base_units"))["total"] or 0)


def _is_subscription(row: ChainLog, event: Arguments) -> bool:
    """Whether a subscription of this very amount by this sender is behind it. One transaction may hold several, and a
    plain transfer of the same amount beside them: as many are paid as were subscribed."""
    same = ChainLog.objects.filter(transaction_hash=row.transaction_hash, block_id=row.block_id)
    subscribed = same.filter(name="Subscribed", address=event["to"])
    said = [one.arguments for log in subscribed if (one := decode_event(log.topics, log.data))]
    count = sum((one["investor"], one["units"]) == (event["from"], event["value"]) for one in said)
    alike = same.filter(name="Transfer", address=row.address, topics=row.topics, data=row.data)
    return alike.filter(log_index__lt=row.log_index).count() < count


def _keep(row: ChainLog, target: ChainTarget, sender: str, amount_base_units: int) -> None:
    Stray.objects.get_or_create(
        transaction_hash=row.transaction_hash,
        log_index=row.log_index,
        defaults={
            "target": target,
            "sender": sender,
            "amount_base_units": amount_base_units,
            "block_number": row.block.number,
        },
    )


def _post(row: ChainLog, target: ChainTarget, kind: str, lines: list[Line]) -> None:
    ledger.lock_cells([target.cell_id])
    ledger.post(
        entry_id=derive(kind, row.transaction_hash, row.log_index),
        cell_id=target.cell_id,
        kind=kind,
        memo=f"block {row.block.number}, {row.transaction_hash}",
        lines=lines,
    )
