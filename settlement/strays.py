"""Tokens that nothing of ours sent to a retention or to an escrow: anybody can send them, and no contract refuses them.

They belong to no layer, no holder and no relationship, so no account has them; the comparison counts them, so that they
are no break. An escrow keeps them for good; what turns out to be a subscriber's payment is taken out of them again.
Those of a retention two officers can give to a layer, by the contract's `note`, and take back to the house from there,
by its `release`; both are booked as the contract says.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet, Sum

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
    if target.kind == ChainTarget.Kind.ESCROW and _off_by(row, target, event["from"], event["value"]) <= 0:
        return
    if event["value"]:
        _keep(row, target, event["from"], event["value"])


def subscribed(row: ChainLog, event: Arguments) -> None:
    """A node may have left this out when its payment was booked: what was taken for a stray then is none."""
    target = ChainTarget.objects.select_related("asset").get(address=row.address)
    if _off_by(row, target, event["investor"], event["units"]) < 0:
        _keep(row, target, event["investor"], -event["units"])


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


def _off_by(row: ChainLog, target: ChainTarget, sender: str, amount_base_units: int) -> int:
    """How many payments of this very amount by this sender are not kept as strays in the transaction of this log
    although no subscription is behind them; below zero, how many are kept although one is. A transaction may hold
    several, and a plain transfer beside them: as many are paid as were subscribed, by what no node disputes."""
    same = ChainLog.objects.filter(transaction_hash=row.transaction_hash, block_id=row.block_id)
    same = same.exclude(refusal__startswith=ChainLog.DISPUTED)
    arrived_by_now = same.filter(Q(applied=True) | Q(id=row.id), name="Transfer", address=target.asset.token_address)
    payments = _count(arrived_by_now, {"from": sender, "to": target.address, "value": amount_base_units})
    sold = _count(
        same.filter(name="Subscribed", address=target.address), {"investor": sender, "units": amount_base_units}
    )
    kept = target.strays.filter(transaction_hash=row.transaction_hash, sender=sender)
    known = [kept.filter(amount_base_units=amount).count() for amount in (amount_base_units, -amount_base_units)]
    return max(payments - sold, 0) - (known[0] - known[1])


def _count(logs: QuerySet[ChainLog], wanted: Arguments) -> int:
    """How many of these logs say exactly this."""
    said = [one.arguments for log in logs if (one := decode_event(log.topics, log.data))]
    return sum(all(one[name] == value for name, value in wanted.items()) for one in said)


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
