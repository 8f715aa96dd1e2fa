"""Recoveries on a defaulted claim, and its end.

A receipt lowers N by exactly its amount; every layer is recomputed from the new N, so the most senior bearer is paid
back first by construction and the order of receipts never matters: UNCOVERED, senior retention, tail, first loss.
Beyond N the intermediary's own part X is repaid, and what is over belongs to the client. A write-off takes two people
and closes the right to be written up.
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from intermediary import approvals, audit, events, ledger, outbox, receipts, uncovered
from intermediary.access import require_officer
from intermediary.allocation import RETENTION_ACCOUNT, credit_client, evidence_of, split, write_layers
from intermediary.canonical import hash_of
from intermediary.default_cases import (
    CURED_ON_CHAIN,
    TO_RECOVER,
    Kind,
    State,
    claim_effect,
    give_back_claim,
    locked_case,
    move_to,
    propose,
    record,
    require_state,
)
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    ChainTarget,
    DefaultCase,
    DefaultEvent,
    JournalEntry,
    Layer,
    Proposal,
    RecoveryReceipt,
)

RECOVERY_ENTRY = "recovery_received"


def receive(
    *, officer: User, case_id: UUID, transaction_hash: str, log_index: int, amount_base_units: int, source: str
) -> RecoveryReceipt | None:
    """Book a receipt that reached the house contract, named by its log, and pass it on in the order of recovery.

    Returns the receipt that lowered N, or None when N was zero already. The same log again changes nothing.
    Refuses `case_state` once the case is closed.
    """
    require_officer(officer)
    holders = DefaultCase.objects.get(id=case_id).uncovered_shares.values_list("cell_id", flat=True)
    case = locked_case(case_id, *holders)
    receipt_id = derive("recovery_receipt", case.id, transaction_hash, log_index)
    fresh = not receipts.is_booked(transaction_hash, log_index)
    if fresh:
        require_state(case, State.ALLOCATED, State.RECOVERY)
    receipts.book(
        cell_id=case.cell_id,
        kind=RECOVERY_ENTRY,
        memo=f"recovery on default {case.id}",
        account=AccountKind.RECOVERY,
        amount_base_units=amount_base_units,
        receipt=(transaction_hash, log_index),
    )
    if not fresh:
        return RecoveryReceipt.objects.filter(id=receipt_id).first()
    receipt = _pass_on(case, receipt_id, amount_base_units, source)
    audit.record(
        actor=officer.get_username(),
        action="recovery.receive",
        subject=case.id,
        amount_base_units=amount_base_units,
        source=source,
        transaction_hash=transaction_hash,
        log_index=log_index,
    )
    return receipt


def cures_due() -> list[DefaultEvent]:
    """Claims that clients paid on chain after their loss was determined, and that are not passed on yet."""
    told = list(DefaultEvent.objects.filter(data__has_key=TO_RECOVER))
    if not told:
        return []
    token = ledger.settlement_asset().code
    ends = {end: event.id for event in told for end in _ends_of_cure(event, token)}
    over = {ends[known] for known in JournalEntry.objects.filter(id__in=ends).values_list("id", flat=True)}
    return [event for event in told if event.id not in over]


def receive_cure(told: DefaultEvent) -> None:
    """Such a claim was paid on what the client owes, so it lowers N like any other receipt; once the claim is written
    off it is the client's. Harmless when repeated."""
    holders = told.case.uncovered_shares.values_list("cell_id", flat=True)
    case, vault = locked_case(told.case_id, *holders), ChainTarget.objects.get(id=told.data[CURED_ON_CHAIN])
    amount, ends = int(told.data[TO_RECOVER]), _ends_of_cure(told, vault.asset_id)
    if JournalEntry.objects.filter(id__in=ends).exists():
        return
    if case.state == State.CLOSED:
        give_back_claim(case, vault, amount)
        return
    ledger.post(
        entry_id=ends[0],
        cell_id=case.cell_id,
        kind="cure_recovered",
        memo=f"claim paid on chain after the loss of default {case.id}",
        lines=[Line(AccountKind.HOUSE, vault.asset_id, -amount), Line(AccountKind.RECOVERY, vault.asset_id, amount)],
    )
    _pass_on(case, derive("cure_receipt", told.id), amount, "the client's own cure on chain")
    audit.record(actor="system", action="recovery.cure", subject=case.id, amount_base_units=amount)


def _ends_of_cure(told: DefaultEvent, token: str) -> tuple[UUID, UUID]:
    """The entries of which one passes it on: as a recovery, or back to the vault."""
    return derive("cure_recovered", told.id), claim_effect(told.case_id, token)


def propose_write_off(*, maker: User, case_id: UUID, reason: str) -> Proposal:
    """Propose to give up what is left of a claim, for good."""
    require_officer(maker)
    case = locked_case(case_id)
    require_state(case, State.ALLOCATED, State.RECOVERY)
    return propose(
        maker=maker,
        kind=Proposal.Kind.WRITE_OFF,
        cell_id=case.cell_id,
        body=_write_off_body(case),
        reason=reason,
    )


def approve_write_off(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> DefaultCase:
    """The second person closes the case and with it the right to be written up.

    Refuses `write_off_outdated` when something was recovered since the proposal.
    """
    require_officer(checker)
    proposal = Proposal.objects.get(id=proposal_id)
    case = locked_case(UUID(approvals.body_of(proposal)["case_id"]))
    if case.state == State.CLOSED and proposal.checker_id == checker.pk:
        return case
    require_state(case, State.ALLOCATED, State.RECOVERY)
    if hash_of(_write_off_body(case)) != proposal.hash:
        raise Refusal("write_off_outdated", "The claim has changed since this was proposed.")
    approvals.approve(
        checker=checker,
        proposal_id=proposal_id,
        seen_hash=seen_hash,
        reason=reason,
        kind=Proposal.Kind.WRITE_OFF,
    )
    move_to(case, State.CLOSED, "Written off.", hash=proposal.hash)
    audit.record(actor=checker.get_username(), action="recovery.write_off", subject=case.id, hash=proposal.hash)
    return case


def _pass_on(case: DefaultCase, receipt_id: UUID, amount_base_units: int, source: str) -> RecoveryReceipt | None:
    """What lies in the recovery account goes to N, then to X, then to the client."""
    lowering = min(amount_base_units, case.loss_base_units)
    receipt = _lower_net_loss(case, receipt_id, lowering, source) if lowering else None
    to_us = min(amount_base_units - lowering, _our_part_left(case))
    surplus = amount_base_units - lowering - to_us
    _to_float(case, receipt_id, "own_part", to_us)
    if surplus:
        memo = f"recovered beyond the debt of default {case.id}"
        credit_client(case, source=AccountKind.RECOVERY, amount_base_units=surplus, cause=receipt_id, memo=memo)
    _tell(case, receipt, amount_base_units=amount_base_units, to_us_base_units=to_us, surplus_base_units=surplus)
    return receipt


def _lower_net_loss(case: DefaultCase, receipt_id: UUID, amount_base_units: int, source: str) -> RecoveryReceipt:
    """N falls by the amount; layers and UNCOVERED follow from N."""
    receipt = RecoveryReceipt.objects.create(
        id=receipt_id,
        cell_id=case.cell_id,
        case=case,
        amount_base_units=amount_base_units,
        source=source,
        net_loss_before_base_units=case.loss_base_units,
        net_loss_after_base_units=case.loss_base_units - amount_base_units,
    )
    case.loss_base_units -= amount_base_units
    case.recoveries_base_units += amount_base_units
    result = split(list(case.cell.layers.all()), case.loss_base_units)
    repaid = case.uncovered_base_units - result.uncovered_base_units
    if repaid:
        uncovered.repay(case, repaid, receipt.id)
        _to_float(case, receipt_id, "uncovered", repaid)
    case.uncovered_base_units = result.uncovered_base_units
    for layer, change in reversed(write_layers(case, result)):
        if layer.kind in RETENTION_ACCOUNT:
            _restore(case, layer, -change, receipt.id)
    return receipt


def _restore(case: DefaultCase, layer: Layer, amount_base_units: int, cause: UUID) -> None:
    asset = ledger.settlement_asset().code
    outbox.move(
        effect_id=derive("restore", cause, layer.id),
        target=outbox.target_of(case.cell_id, ChainTarget.Kind.RETENTION, asset),
        cell_id=case.cell_id,
        kind=Kind.RESTORE,
        source=AccountKind.RECOVERY,
        destination=RETENTION_ACCOUNT[Layer.Kind(layer.kind)],
        amount_base_units=amount_base_units,
        memo=f"{layer.get_kind_display()} refilled by a recovery on default {case.id}",
        case=str(case.id),
        evidence=evidence_of(case),
    )


def _to_float(case: DefaultCase, receipt_id: UUID, part: str, amount_base_units: int) -> None:
    """What repays money of the house joins its float: UNCOVERED is paid out by variation margin, X was its own."""
    if not amount_base_units:
        return
    asset = ledger.settlement_asset().code
    ledger.post(
        entry_id=derive("recovery_to_float", receipt_id, part),
        cell_id=case.cell_id,
        kind="recovery_to_float",
        memo=f"recovery on default {case.id}: {part}",
        lines=[
            Line(AccountKind.RECOVERY, asset, -amount_base_units),
            Line(AccountKind.FLOAT, asset, amount_base_units),
        ],
    )


def _our_part_left(case: DefaultCase) -> int:
    """X less what recoveries have repaid of it."""
    repaid = case.events.filter(data__has_key="to_us_base_units").values_list("data__to_us_base_units", flat=True)
    return case.added_by_us_base_units - sum(int(part) for part in repaid)


def _tell(case: DefaultCase, receipt: RecoveryReceipt | None, **data: Any) -> None:
    note = "Recovery received."
    if case.state == State.ALLOCATED:
        move_to(case, State.RECOVERY, note, **data)
    else:
        case.save()
        record(case, before=case.state, note=note, **data)
    if receipt is not None:
        events.emit(
            events.RECOVERY_RECEIVED,
            cell_id=case.cell_id,
            case_id=str(case.id),
            net_loss_base_units=case.loss_base_units,
            receipt_id=str(receipt.id),
        )


def _write_off_body(case: DefaultCase) -> dict[str, Any]:
    return {
        "case_id": str(case.id),
        "net_loss_base_units": case.loss_base_units,
        "recoveries_base_units": case.recoveries_base_units,
        "uncovered_base_units": case.uncovered_base_units,
    }
