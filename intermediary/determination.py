"""The determined loss: one replayable bundle, two people, one atomic allocation.

`bundle` gathers the evidence of a close-out from rows that nobody can change, and takes every number from that evidence
alone (`intermediary.loss`); the proposal carries the bundle, so whoever has it recomputes them. The approval gathers it
once more and refuses when anything differs.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from intermediary import allocation, approvals, audit, closeout, ledger, loss, onboarding, uncovered
from intermediary.access import require_officer
from intermediary.canonical import hash_of
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
from intermediary.early_termination import unseized
from intermediary.errors import Refusal
from intermediary.models import (
    AccountKind,
    Asset,
    ChainInstruction,
    CloseOutSlice,
    DefaultCase,
    Layer,
    Mark,
    Posting,
    Proposal,
    Valuation,
)


def propose_determination(*, maker: User, case_id: UUID, reason: str) -> Proposal:
    """Propose the loss of a case whose book is replaced and whose collateral is sold and paid for.

    Refuses `cover_being_issued`, `not_replaced`, `seizure_in_flight`, `margin_unseized`, `collateral_unsold`,
    `disposal_unpaid`.
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
    evidence = _evidence(case)
    return evidence | loss.outcome(evidence)


def _evidence(case: DefaultCase) -> dict[str, Any]:
    shift = _Lateness.of(case)
    valuation_of = {slice_id: step["valuation"] for step in closeout.steps(case) for slice_id in step["slices"]}
    slices = [(row, valuation_of[str(row.id)]) for row in case.slices.order_by("id")]
    return {
        "case_id": str(case.id),
        "notice_hash": case.notice.hash,
        "settlement_decimals": ledger.settlement_asset().decimals,
        "close_out_rules": rules_of(case).body(),
        "terminated_positions": _terminated_positions(case),
        "due_at": ordinary_end(case).isoformat() if case.call else None,
        "valuations_late": shift.count if shift else 0,
        "slices": [_slice_evidence(row, valuation, shift) for row, valuation in slices],
        "disposals": [_sale_evidence(row, shift) for row in closeout.disposals(case)],
        "collateral": _collateral_evidence(case),
        "layers": [_layer_evidence(layer) for layer in case.cell.layers.order_by("attach_base_units")],
    }


def _refuse_unissued_cover(case: DefaultCase) -> None:
    """Where an escrow was closed for a relationship and its series is about to be issued, the tail pays from the issue
    on; allocated before, its part of the loss would fall on others and on the notes as well."""
    held = ledger.balance(case.cell_id, AccountKind.ESCROW, ledger.settlement_asset().code)
    if held and not case.cell.layers.filter(kind=Layer.Kind.TAIL, funded=True).exists():
        raise Refusal(
            "cover_being_issued",
            "Principal for this relationship lies in an escrow whose series is not issued yet; try again after it.",
            held_base_units=held,
        )


def _refuse_unfinished(case: DefaultCase) -> None:
    _refuse_unissued_cover(case)
    left = closeout.remaining_positions(case.id)
    if left:
        codes = [position.instrument.code for position in left]
        raise Refusal("not_replaced", "The close-out account still holds positions.", instruments=codes)
    seizures = [row for row in instructions(case, Kind.SEIZE) if row.state in UNFINISHED]
    if seizures:
        raise Refusal("seizure_in_flight", "Seized margin has not arrived yet.", count=len(seizures))
    left_behind = {vault.asset_id: amount for vault, amount in unseized(case)}
    if left_behind:
        raise Refusal("margin_unseized", "The claim reaches margin that is not seized yet.", amounts=left_behind)
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


def _collateral_evidence(case: DefaultCase) -> list[dict[str, Any]]:
    """The client's margin as settlement tokens in the house, entry by entry: seized, and received for what was sold."""
    lines = Posting.objects.filter(
        cell_id=case.cell_id, account__kind=AccountKind.HOUSE, asset__is_settlement=True
    ).order_by("version")
    return [
        {"entry_id": str(entry_id), "kind": kind, "amount_base_units": int(amount)}
        for entry_id, kind, amount in lines.values_list("entry_id", "entry__kind", "amount_base_units")
    ]


def _terminated_positions(case: DefaultCase) -> list[dict[str, str]]:
    positions: list[dict[str, str]] = case.events.get(after=State.ETD_SET).data["positions"]
    return positions


class _Lateness:
    """How many valuations after its due time the close-out began, and the valuations from that time on.

    What would have been on time is the same slices and sales, each that many valuations earlier (D4). Clock stops,
    extensions and waiting of the intermediary are all lateness.
    """

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


def _slice_evidence(row: CloseOutSlice, valuation_id: str, shift: _Lateness | None) -> dict[str, Any]:
    names = ("instrument_id", "quantity", "mark", "price", "depth_usd")
    told: dict[str, Any] = {"id": str(row.id), "valuation": valuation_id}
    told |= {name: str(getattr(row, name)) for name in names}
    if shift is not None:
        earlier = shift.earlier(valuation_id)
        mark = Mark.objects.get(valuation_id=earlier, instrument_id=row.instrument_id).price
        told["on_time"] = {"valuation": earlier, "mark": str(mark)}
    return told


def _sale_evidence(row: ChainInstruction, shift: _Lateness | None) -> dict[str, Any]:
    asset = row.target.asset
    names = ("valuation", "mark", "price", "depth_usd", "expected_base_units")
    told: dict[str, Any] = {name: row.arguments[name] for name in names}
    told |= {"asset": asset.code, "decimals": asset.decimals, "sold_base_units": row.amount_base_units}
    if shift is not None:
        earlier = Valuation.objects.get(id=shift.earlier(told["valuation"]))
        told["on_time"] = {"valuation": str(earlier.id), "mark": str(price_of(asset, earlier))}
    return told


def _layer_evidence(layer: Layer) -> dict[str, Any]:
    return {
        "layer_id": str(layer.id),
        "kind": layer.kind,
        "attach_base_units": layer.attach_base_units,
        "detach_base_units": layer.detach_base_units,
        "funded": layer.funded,
    }
