"""What every step of a default shares: the locked case, its listed transitions, its append-only story, its rules."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, transaction

from intermediary import approvals, clock, ledger, outbox
from intermediary.canonical import hash_of
from intermediary.closeout_schedule import CloseOutRules
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    DefaultEvent,
    MarginState,
    Proposal,
)
from intermediary.vaults import MOVEMENTS, required_in_force

Kind = ChainInstruction.Kind
State = DefaultCase.State
CURED_ON_CHAIN = "cured_on_chain"  # in a case's story: the vault paid out of after its cure or its loss
TO_RECOVER = "to_recover"  # beside it: what of the client's that paid on a loss, base units
UNFINISHED = (
    ChainInstruction.State.DRAFT,
    ChainInstruction.State.BATCHED,
    ChainInstruction.State.INCLUDED,
)


def locked_case(case_id: UUID, *others: UUID) -> DefaultCase:
    """The case, with its cell, that cell's close-out cell and `others` locked (all once, sorted)."""
    assert connection.in_atomic_block, "a step of a default is one transaction with its effects"
    cell_id = DefaultCase.objects.values_list("cell_id", flat=True).get(id=case_id)
    close_out = Cell.objects.filter(closes_out_id=cell_id).values_list("id", flat=True)
    ledger.lock_cells([cell_id, *close_out, *others])
    return DefaultCase.objects.select_for_update(of=("self",)).select_related("cell", "notice", "call").get(id=case_id)


def require_state(case: DefaultCase, *allowed: State) -> None:
    """Refuse a step that the case's state does not allow."""
    if case.state not in allowed:
        raise Refusal(
            "case_state",
            f"The case is {case.get_state_display().lower()}.",
            state=case.state,
            allowed=[state.value for state in allowed],
        )


def record(case: DefaultCase, *, before: str, note: str, **data: Any) -> DefaultEvent:
    """Add to the case's story; `data` is evidence that later steps replay."""
    return DefaultEvent.objects.create(
        cell_id=case.cell_id, case=case, before=before, after=case.state, note=note, data=data
    )


def move_to(case: DefaultCase, after: State, note: str, **data: Any) -> DefaultEvent:
    """Take a listed transition and save the case with whatever the step set on it."""
    before, case.state = case.state, after
    case.save()
    return record(case, before=before, note=note, **data)


def propose(*, maker: User, kind: Proposal.Kind, cell_id: UUID, body: dict[str, Any], reason: str) -> Proposal:
    """Lay a step before a second officer; the one that waits already, when it says exactly the same."""
    same = Proposal.objects.filter(kind=kind, cell_id=cell_id, hash=hash_of(body), state=Proposal.State.PROPOSED)
    waiting = same.filter(expires_at__gt=clock.now()).first()
    return waiting or approvals.propose(maker=maker, kind=kind, cell_id=cell_id, body=body, reason=reason)


def rules_of(case: DefaultCase) -> CloseOutRules:
    """The close-out rules that both people bound into the notice."""
    return CloseOutRules.from_body(approvals.body_of(case.notice)["close_out_rules"])


def close_out_cell(case: DefaultCase) -> Cell:
    """The ring-fenced cell that holds the defaulter's book since the Early Termination Date."""
    return Cell.objects.get(closes_out_id=case.cell_id)


def vaults(cell_id: UUID) -> list[ChainTarget]:
    """The cell's vaults, one a token, in the order of their tokens' codes."""
    found = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT, cell_id=cell_id)
    return list(found.select_related("asset").order_by("asset_id"))


def instructions(case: DefaultCase, kind: Kind) -> list[ChainInstruction]:
    """The case's own instructions of one kind, oldest first."""
    found = ChainInstruction.objects.filter(cell_id=case.cell_id, kind=kind, arguments__case=str(case.id))
    return list(found.select_related("target__asset").order_by("id"))


def notices(case: DefaultCase) -> list[ChainInstruction]:
    """The case's notices on its vaults, without those that two people gave up."""
    return [row for row in instructions(case, Kind.NOTICE) if row.state != ChainInstruction.State.FAILED]


def pay_to_vault(
    case: DefaultCase,
    vault: ChainTarget,
    amount_base_units: int,
    *,
    effect_id: UUID,
    source: AccountKind,
    destination: AccountKind,
    memo: str,
) -> None:
    """What lies with the house goes back to a vault, which goes on locking what it locks."""
    outbox.move(
        effect_id=effect_id,
        target=vault,
        cell_id=case.cell_id,
        kind=Kind.CREDIT,
        source=source,
        destination=destination,
        amount_base_units=amount_base_units,
        memo=memo,
        required_base_units=required_in_force(vault),
        case=str(case.id),
    )


def give_back_suspense(case: DefaultCase, vault: ChainTarget) -> None:
    """What a cure or a seizure took of a stranger's tokens goes back into the vault's suspense, where they count for
    nobody: their sender's they were and are. Harmless when repeated: what is on its way does not lie there."""
    taken = ledger.balance(case.cell_id, AccountKind.SUSPENSE_TAKEN, vault.asset_id)
    if taken:
        given = [row for row in instructions(case, Kind.CREDIT) if row.target_id == vault.id]
        pay_to_vault(
            case,
            vault,
            taken,
            effect_id=derive("suspense_given_back", case.id, vault.asset_id, len(given)),
            source=AccountKind.SUSPENSE_TAKEN,
            destination=AccountKind.SUSPENSE,
            memo=f"an unknown sender's tokens that default {case.id} took, back to the vault",
        )


def give_back_claim(case: DefaultCase, vault: ChainTarget, amount_base_units: int) -> None:
    """What of its margin the client paid to the house by curing on chain goes back to its vault: once a case and vault,
    since the cure has ended the notice."""
    pay_to_vault(
        case,
        vault,
        amount_base_units,
        effect_id=claim_effect(case.id, vault.asset_id),
        source=AccountKind.HOUSE,
        destination=AccountKind.CLIENT_MARGIN,
        memo=f"claim paid to cure default {case.id}, back to the vault",
    )


def claim_effect(case_id: UUID, asset: str) -> UUID:
    """The effect by which `give_back_claim` pays."""
    return derive("cured", case_id, asset)


def cured_on_chain(case_id: UUID, vault: ChainTarget, margin_base_units: int) -> None:
    """The client has ended the notice on one vault by paying the claim to the house, so much of it out of its margin.
    While the case lives, that is kept for its cure or its loss. When it was cured already, it goes back at once, each
    part to where it came from. When its loss was determined, it is a recovery on that (`recovery`), unless the claim is
    written off or the token is one that no loss is paid in: then it goes back too. Harmless when repeated; the caller
    holds the cell's lock."""
    case = DefaultCase.objects.get(id=case_id)
    late = {CURED_ON_CHAIN: str(vault.id)}
    is_determined = case.determination_id is not None
    if not (is_determined or case.state == State.CURED) or case.events.filter(data__contains=late).exists():
        return
    goes_back = not is_determined or case.state == State.CLOSED or not vault.asset.is_settlement
    note = f"Its notice on {vault.asset_id} was cured on chain too: what that paid "
    if goes_back or not margin_base_units:
        record(case, before=case.state, note=note + "goes back.", **late)
    else:
        told = late | {TO_RECOVER: str(margin_base_units)}
        record(case, before=case.state, note=note + "is a recovery.", **told)
    if goes_back and margin_base_units:
        give_back_claim(case, vault, margin_base_units)
    give_back_suspense(case, vault)


def end_withdrawals() -> None:
    """A notice that its client has cured on chain needs no withdrawal, and the contract takes none: one that waits, has
    come back reverted or was refused ends here, whatever came first."""
    calls = ChainInstruction.objects.filter(is_open=True).exclude(kind__in=MOVEMENTS)  # as their index says it
    waiting = calls.filter(kind=Kind.RELEASE_NOTICE, state=ChainInstruction.State.DRAFT)
    for found in waiting.order_by("recorded_at"):
        late = {CURED_ON_CHAIN: str(found.target_id)}
        if not DefaultEvent.objects.filter(case_id=found.arguments.get("case"), data__contains=late).exists():
            continue
        with transaction.atomic():
            ledger.lock_cells([found.cell_id])
            # The poster may have sent it meanwhile: then it reverts, and comes back.
            if waiting.filter(id=found.id).update(state=ChainInstruction.State.BATCHED):
                outbox.mark_failed(found.id, failure="the client's own cure ended the notice")


def required_base_units(cell_id: UUID) -> int:
    """The requirement at threshold zero: exposure + independent amount, never below zero."""
    state = MarginState.objects.get(cell_id=cell_id)
    return max(0, state.exposure_base_units + state.independent_amount_base_units)
