"""The determined loss: one replayable bundle, two people, one atomic allocation.

    T   = Close-out Amount + costs - collateral realised           the client's whole debt, never below zero
    X   = max(0, T - T as it would have been on time)              falls on the intermediary (D4)
    N   = T - X                                                    runs through the layers (D1)

`bundle` computes all of it from rows that nobody can change; the proposal carries the bundle, so whoever has it can
recompute every number. The approval recomputes it once more and refuses when anything differs. Rounding: each dollar
sum once, towards zero.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from intermediary import allocation, approvals, audit, closeout, ledger, onboarding, uncovered, waterfall
from intermediary.access import require_officer
from intermediary.canonical import hash_of
from intermediary.closeout_schedule import (
    Slice,
    close_out_base_units,
    costs_base_units,
    same_slippage,
    value_base_units,
)
from intermediary.collateral import price_of
from intermediary.default_cases import (
    UNFINISHED,
    Kind,
    State,
    instructions,
    locked_case,
    move_to,
    propose,
    require_state,
    rules_of,
)
from intermediary.errors import Refusal
from intermediary.models import (
    AccountKind,
    Asset,
    ChainInstruction,
    DefaultCase,
    Layer,
    Mark,
    Proposal,
    Valuation,
)
from intermediary.money import add_exactly, from_base_units, multiply_exactly


def propose_determination(*, maker: User, case_id: UUID, reason: str) -> Proposal:
    """Propose the loss of a case whose book is replaced and whose collateral is sold and paid for.

    Refuses `not_replaced`, `seizure_in_flight`, `collateral_unsold`, `disposal_unpaid`.
    """
    require_officer(maker)
    case = locked_case(case_id)
    require_state(case, State.REPLACING)
    _refuse_unfinished(case)
    return propose(
        maker=maker,
        kind=Proposal.Kind.LOSS_DETERMINATION,
        cell_id=case.cell_id,
        body=bundle(case),
        reason=reason,
    )


def approve_determination(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> DefaultCase:
    """The second person approves; the loss is allocated in the same transaction.

    Refuses `determination_outdated` when the bundle computed now is not the one that was proposed.
    """
    require_officer(checker)
    proposal = Proposal.objects.get(id=proposal_id)
    body = approvals.body_of(proposal)
    holders = uncovered.linked_cells(DefaultCase.objects.get(id=body["case_id"]))
    case = locked_case(UUID(body["case_id"]), *holders)
    if case.determination_id == proposal.id and proposal.checker_id == checker.pk:
        return case
    require_state(case, State.REPLACING)
    _refuse_unfinished(case)
    if hash_of(bundle(case)) != proposal.hash:
        raise Refusal("determination_outdated", "The numbers have changed since this was proposed.")
    case.determination = approvals.approve(
        checker=checker,
        proposal_id=proposal_id,
        seen_hash=seen_hash,
        reason=reason,
        kind=Proposal.Kind.LOSS_DETERMINATION,
    )
    case.close_out_amount_base_units = body["close_out_amount_base_units"]
    case.costs_base_units = body["costs_base_units"]
    case.collateral_realised_base_units = body["collateral_realised_base_units"]
    case.added_by_us_base_units = body["added_by_us_base_units"]
    case.loss_base_units = body["net_loss_base_units"]
    move_to(case, State.DETERMINED, "Loss determined.", hash=proposal.hash)
    audit.record(actor=checker.get_username(), action="default.determined", subject=case.id, hash=proposal.hash)
    allocation.allocate(case)
    return case


def bundle(case: DefaultCase) -> dict[str, Any]:
    """Everything that the determined loss follows from, and the loss itself. Money in base units, prices as text."""
    decimals, rules = ledger.settlement_asset().decimals, rules_of(case)
    settled = add_exactly(*(Decimal(row["settled_value_usd"]) for row in _terminated_positions(case)))
    pieces = [Slice(row.quantity, row.price) for row in case.slices.order_by("id")]
    close_out = close_out_base_units(settled, pieces, decimals)
    costs = costs_base_units(pieces, rules, decimals)
    collateral = _settlement_collateral(case)
    total = _total_loss(close_out, costs, collateral)
    on_time = _on_time(case, settled, collateral)
    added = max(0, total - on_time["total_loss_base_units"]) if on_time else 0
    net = waterfall.net_loss(close_out_deficit=close_out - collateral, costs=costs, added_by_us=added, recoveries=0)
    shares = allocation.split(list(case.cell.layers.all()), net)
    return {
        "case_id": str(case.id),
        "notice_hash": case.notice.hash,
        "close_out_rules": rules.body(),
        "terminated_positions": _terminated_positions(case),
        "slices": [_slice_evidence(row) for row in case.slices.order_by("id")],
        "disposals": [_sale_evidence(row) for row in closeout.disposals(case)],
        "close_out_amount_base_units": close_out,
        "costs_base_units": costs,
        "collateral_realised_base_units": collateral,
        "on_time": on_time,
        "added_by_us_base_units": added,
        "net_loss_base_units": net,
        "layers": [_layer_evidence(layer, loss) for layer, loss in shares.layers],
        "uncovered_base_units": shares.uncovered_base_units,
    }


def _total_loss(close_out: int, costs: int, collateral: int) -> int:
    return waterfall.net_loss(close_out_deficit=close_out - collateral, costs=costs, added_by_us=0, recoveries=0)


def _refuse_unfinished(case: DefaultCase) -> None:
    left = closeout.remaining_positions(case.id)
    if left:
        codes = [position.instrument.code for position in left]
        raise Refusal("not_replaced", "The close-out account still holds positions.", instruments=codes)
    seizures = [row for row in instructions(case, Kind.SEIZE) if row.state in UNFINISHED]
    if seizures:
        raise Refusal("seizure_in_flight", "Seized margin has not arrived yet.", count=len(seizures))
    unsold = {
        asset.code: held
        for asset in Asset.objects.filter(is_settlement=False)
        if (held := ledger.balance(case.cell_id, AccountKind.HOUSE, asset.code))
    }
    if unsold or any(row.state in UNFINISHED for row in closeout.disposals(case)):
        raise Refusal("collateral_unsold", "Seized tokens are not sold yet.", held_base_units=unsold)
    unpaid = closeout.unpaid_disposals_base_units(case.id)
    if unpaid:
        raise Refusal("disposal_unpaid", "The market has not paid for all it was sold.", unpaid_base_units=unpaid)


def _settlement_collateral(case: DefaultCase) -> int:
    """The client's margin as settlement tokens in the house: seized, and received for what was sold."""
    return ledger.balance(case.cell_id, AccountKind.HOUSE, ledger.settlement_asset().code)


def _terminated_positions(case: DefaultCase) -> list[dict[str, str]]:
    positions: list[dict[str, str]] = case.events.get(after=State.ETD_SET).data["positions"]
    return positions


def _on_time(case: DefaultCase, settled: Decimal, collateral: int) -> dict[str, Any] | None:
    """The close-out that would have begun when ordinary grace and cure ended, from stored marks (D4).

    The same slices and sales, with the slippage that they had, each as many valuations earlier as the close-out began
    late. None when it began in time. Clock stops, extensions and waiting of the intermediary are all lateness.
    """
    shift = _Lateness.of(case)
    if shift is None:
        return None
    decimals = ledger.settlement_asset().decimals
    valuation_of = {slice_id: step["valuation"] for step in closeout.steps(case) for slice_id in step["slices"]}
    pieces = []
    for row in case.slices.order_by("id"):
        earlier = shift.earlier(valuation_of[str(row.id)])
        mark = Mark.objects.get(valuation_id=earlier, instrument_id=row.instrument_id).price
        pieces.append(same_slippage(Slice(row.quantity, row.price), row.mark, mark))
    close_out = close_out_base_units(settled, pieces, decimals)
    costs = costs_base_units(pieces, rules_of(case), decimals)
    collateral += sum(_sold_earlier(row, shift) for row in closeout.disposals(case))
    return {
        "valuations_late": shift.count,
        "close_out_amount_base_units": close_out,
        "costs_base_units": costs,
        "collateral_realised_base_units": collateral,
        "total_loss_base_units": _total_loss(close_out, costs, collateral),
    }


def _sold_earlier(sale: ChainInstruction, shift: "_Lateness") -> int:
    """How much more (or less) a sale of seized tokens would have brought on time."""
    asset, told = sale.target.asset, sale.arguments
    valuation = Valuation.objects.get(id=shift.earlier(told["valuation"]))
    quantity = from_base_units(sale.amount_base_units, asset.decimals)
    piece = same_slippage(Slice(quantity, Decimal(told["price"])), Decimal(told["mark"]), price_of(asset, valuation))
    value = multiply_exactly(piece.quantity, piece.price)
    return value_base_units(value, ledger.settlement_asset().decimals) - int(told["expected_base_units"])


class _Lateness:
    """How many valuations after its due time the close-out began, and the valuations from that time on."""

    def __init__(self, due: list[str], count: int) -> None:
        self.count = count
        self._place = {valuation_id: place for place, valuation_id in enumerate(due)}
        self._due = due

    @classmethod
    def of(cls, case: DefaultCase) -> "_Lateness | None":
        done = closeout.steps(case)
        if case.call is None or not done:
            return None
        due_at = ordinary_end(case)
        rows = Valuation.objects.filter(as_of__gte=due_at).order_by("as_of").values_list("id", flat=True)
        due = [str(key) for key in rows]
        count = due.index(done[0]["valuation"]) if done[0]["valuation"] in due else 0
        return cls(due, count) if count else None

    def earlier(self, valuation_id: str) -> str:
        """The valuation that many places before, but none before the due time."""
        return self._due[max(0, self._place.get(valuation_id, 0) - self.count)]


def ordinary_end(case: DefaultCase) -> datetime:
    """When grace and cure end by the signed terms alone: no extension, no stopped clock, no late decision."""
    assert case.call is not None, "a default on a call has the call's deadline"
    terms = onboarding.current_terms(case.cell_id)
    unmet = case.call.increments.filter(unmet_base_units__gt=0).values_list("at", "deliver_by")
    deliver_by = min(min(at + terms.time_to_deliver, deliver_by) for at, deliver_by in unmet)
    return deliver_by + terms.grace + timedelta(minutes=terms.cure_minutes)


def _slice_evidence(row: Any) -> dict[str, str]:
    names = ("instrument_id", "quantity", "mark", "price", "depth_usd")
    return {"id": str(row.id)} | {name: str(getattr(row, name)) for name in names}


def _sale_evidence(row: ChainInstruction) -> dict[str, Any]:
    names = ("valuation", "mark", "price", "depth_usd", "expected_base_units")
    told = {name: row.arguments[name] for name in names}
    return told | {"asset": row.target.asset_id, "sold_base_units": row.amount_base_units}


def _layer_evidence(layer: Layer, loss_base_units: int) -> dict[str, Any]:
    return {
        "layer_id": str(layer.id),
        "kind": layer.kind,
        "attach_base_units": layer.attach_base_units,
        "detach_base_units": layer.detach_base_units,
        "funded": layer.funded,
        "loss_base_units": loss_base_units,
    }
