"""From a lapsed call to a default notice, then cured or terminated.

A default notice needs a lapsed call whose grace has passed and two people (W4, D11). From the notice on the threshold
is zero. Until the Early Termination Date is set (intermediary.early_termination) the client may cure by bringing its
margin up to the requirement. Nothing of any other cell is read or written here, and nothing pauses (I1, I6).
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import User

from intermediary import approvals, audit, calls, clock, collateral, events, ledger, onboarding, outbox, ports
from intermediary.access import require_officer
from intermediary.closeout_schedule import STANDARD_RULES, CloseOutRules
from intermediary.default_cases import (
    UNFINISHED,
    Kind,
    State,
    give_back_claim,
    give_back_suspense,
    locked_case,
    move_to,
    notices,
    propose,
    record,
    require_state,
    required_base_units,
    vaults,
)
from intermediary.early_termination import terminate
from intermediary.errors import Refusal
from intermediary.models import (
    AccountKind,
    CallEvent,
    Cell,
    ChainInstruction,
    ChainTarget,
    ClockStop,
    DefaultCase,
    MarginCall,
    MarginState,
    Proposal,
    VariationPayment,
)


def propose_notice(
    *,
    maker: User,
    reason: str,
    call_id: UUID | None = None,
    cell_id: UUID | None = None,
    rules: CloseOutRules = STANDARD_RULES,
) -> Proposal:
    """Propose to declare a default on a lapsed call, by its id or its cell's. The close-out rules are bound with it.

    Refuses `no_lapsed_call`, `grace_running` {until} (W4).
    """
    require_officer(maker)
    call = _lapsed_call(call_id, cell_id)
    _refuse_inside_grace(call)
    return propose(
        maker=maker,
        kind=Proposal.Kind.DEFAULT_NOTICE,
        cell_id=call.cell_id,
        body={
            "call_id": str(call.id),
            "delivery_base_units": call.amount_base_units,
            "required_base_units": required_base_units(call.cell_id),
            "deliver_by": call.deliver_by.isoformat(),
            "close_out_rules": rules.body(),
        },
        reason=reason,
    )


def give_notice(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> DefaultCase:
    """The second person gives the notice: the case begins, the vaults of the cell are noticed on chain."""
    require_officer(checker)
    proposal = Proposal.objects.get(id=proposal_id)
    cell = ledger.lock_cells([proposal.cell_id])[proposal.cell_id]
    given = DefaultCase.objects.filter(notice_id=proposal_id, notice__checker_id=checker.pk).first()
    if given is not None:
        return given
    call = _lapsed_call(UUID(approvals.body_of(proposal)["call_id"]), None)
    _refuse_inside_grace(call)
    _refuse_live_case(cell.id)
    proposal = approvals.approve(
        checker=checker,
        proposal_id=proposal_id,
        seen_hash=seen_hash,
        reason=reason,
        kind=Proposal.Kind.DEFAULT_NOTICE,
    )
    now, claims = clock.now(), _claims(cell.id)
    case = DefaultCase.objects.create(
        cell=cell,
        call=call,
        notice=proposal,
        noticed_at=now,
        cure_by=now + timedelta(minutes=onboarding.current_terms(cell.id).cure_minutes),
        claim_base_units=claims.get(ledger.settlement_asset().code, 0),
    )
    record(case, before="", note="Default notice given.", claims=claims)
    for lapsed in MarginCall.objects.filter(cell=cell, state=MarginCall.State.LAPSED):
        _mark_call(lapsed, MarginCall.State.DEFAULT_NOTICE, "Default notice given.")
    if cell.state == Cell.State.OPEN:
        cell.state = Cell.State.NO_NEW_RISK
        cell.save(update_fields=["state"])
    audit.record(actor=checker.get_username(), action="default.notice", subject=case.id, hash=proposal.hash)
    events.emit(events.DEFAULT_NOTICED, cell_id=cell.id, case_id=str(case.id))
    for vault in vaults(cell.id):
        outbox.instruct(
            target=vault,
            cell_id=cell.id,
            kind=Kind.NOTICE,
            amount_base_units=claims[vault.asset_id],
            evidence=proposal.hash,
            case=str(case.id),
        )
    return case


def cure_shortfall_base_units(case_id: UUID) -> int:
    """What still has to be delivered to cure: requirement at threshold zero, less what is held after haircut.

    What the client paid to the house by curing on chain counts as held: it goes back to its vault. What a stranger's
    tokens paid of it is not the client's, and does not count; nor does anything else that lies with the house.
    """
    case = DefaultCase.objects.get(id=case_id)
    state = MarginState.objects.get(cell_id=case.cell_id)
    held = collateral.held_after_haircut(case.cell_id, state.valuation_id)
    paid = _paid_on_chain(case)
    return max(0, required_base_units(case.cell_id) - held - paid)


def cure(*, case_id: UUID) -> DefaultCase:
    """End the case because the shortfall was delivered; the notice is withdrawn. Refuses `shortfall_not_delivered`."""
    case = locked_case(case_id)
    if case.state == State.CURED:
        return case
    require_state(case, State.NOTICE)
    shortfall = cure_shortfall_base_units(case_id)
    if shortfall:
        raise Refusal(
            "shortfall_not_delivered", "The shortfall has not been delivered in full.", shortfall_base_units=shortfall
        )
    move_to(case, State.CURED, "Cured: the shortfall was delivered.")
    _end_unsigned(case)
    paid = ports.cures_on_chain(case.id)
    for notice in notices(case):
        if notice.target_id not in paid:
            outbox.instruct(target=notice.target, cell_id=case.cell_id, kind=Kind.RELEASE_NOTICE, case=str(case.id))
        elif paid[notice.target_id]:
            give_back_claim(case, notice.target, paid[notice.target_id])
        give_back_suspense(case, notice.target)
    # Not before the claims are held: the approver holds one while it signs, and writes to the trail then.
    audit.record(actor="system", action="default.cured", subject=case.id)
    return case


def set_early_termination(*, case_id: UUID) -> DefaultCase:
    """The time to cure is over: default the cell, move its book to its close-out cell, seize its margin.

    Refuses `notice_not_final`, `cure_running` {until}, `movements_in_flight` {count}, and `is_cured` when the shortfall
    has been delivered.
    """
    case = locked_case(case_id)
    if case.etd_at is not None:
        return case
    require_state(case, State.NOTICE)
    _refuse_inside_cure(case)
    _refuse_in_flight(case)
    if cure_shortfall_base_units(case_id) == 0:
        raise Refusal("is_cured", "The shortfall has been delivered: the notice is to be withdrawn.")
    terminate(case)
    return case


def due_steps(now: datetime) -> list[DefaultCase]:
    """Cases whose time to cure is over: each is cured or terminated now."""
    return list(DefaultCase.objects.filter(state=State.NOTICE, cure_by__lte=now).select_related("cell"))


def _lapsed_call(call_id: UUID | None, cell_id: UUID | None) -> MarginCall:
    assert (call_id is None) != (cell_id is None), "name the call or its cell"
    lapsed = MarginCall.objects.filter(state=MarginCall.State.LAPSED, direction=MarginCall.Direction.DELIVERY)
    call = (lapsed.filter(id=call_id) if call_id is not None else lapsed.filter(cell_id=str(cell_id))).first()
    if call is None:
        raise Refusal("no_lapsed_call", "A default notice needs a margin call that has lapsed.")
    return call


def _refuse_inside_grace(call: MarginCall) -> None:
    if calls.clocks_stopped():
        raise Refusal("clocks_stopped", "No default notice while the platform cannot see deposits.")
    oldest = call.increments.filter(unmet_base_units__gt=0).order_by("deliver_by").first()
    if oldest is None:
        raise Refusal("no_lapsed_call", "Everything that this call asked for has been delivered.")
    until = oldest.deliver_by + onboarding.current_terms(call.cell_id).grace
    if clock.now() < until:
        raise Refusal(
            "grace_running", "No default notice before the grace of the call has passed.", until=until.isoformat()
        )


def _refuse_live_case(cell_id: UUID) -> None:
    if DefaultCase.objects.filter(cell_id=cell_id).exclude(state__in=[State.CURED, State.CLOSED]).exists():
        raise Refusal("default_is_live", "This relationship is in default already.")


def _refuse_inside_cure(case: DefaultCase) -> None:
    """The chain counts the time to cure from its own notice, so the last notice to become final decides here too."""
    cure_time = timedelta(minutes=onboarding.current_terms(case.cell_id).cure_minutes)
    until = case.cure_by
    standing = notices(case)
    for notice in standing:
        if notice.final_at is None:
            raise Refusal("notice_not_final", "The default notice is not final on chain yet.", state=notice.state)
        until = max(until, notice.final_at + cure_time)
    if not standing:
        raise Refusal("notice_not_final", "No vault of this relationship was noticed.")
    until += _stopped_since(case.noticed_at)
    if calls.clocks_stopped() or clock.now() < until:
        raise Refusal("cure_running", "The client may still cure.", until=until.isoformat())


def _stopped_since(moment: datetime) -> timedelta:
    """How long the platform could not see deposits since then: time to cure does not run meanwhile (D7)."""
    stops = ClockStop.objects.filter(ended_at__gt=moment).values_list("started_at", "ended_at")
    return sum((ended - max(started, moment) for started, ended in stops if ended), timedelta())


def _refuse_in_flight(case: DefaultCase) -> None:
    """Money on its way must land first, or go back into exposure, or ledger and seizure would disagree."""
    count = ChainInstruction.objects.filter(
        cell_id=case.cell_id, target__kind=ChainTarget.Kind.VAULT, entry__isnull=False, state__in=UNFINISHED
    ).count()
    count += VariationPayment.objects.filter(
        cell_id=case.cell_id, instruction__state=ChainInstruction.State.FAILED, reversed_at__isnull=True
    ).count()
    if count:
        raise Refusal("movements_in_flight", "Movements of the client's vaults are not final yet.", count=count)


def _mark_call(call: MarginCall, after: MarginCall.State, note: str) -> None:
    before, call.state = call.state, after
    call.save(update_fields=["state"])
    CallEvent.objects.create(
        cell_id=call.cell_id,
        call=call,
        before=before,
        after=after,
        amount_base_units=call.amount_base_units,
        note=note,
    )


def _claims(cell_id: UUID) -> dict[str, int]:
    """Claim on each vault: all that is held, or the whole requirement in that token if that is more.

    The second part lets margin that arrives while the notice lives be seized too; the chain takes a claim above zero.
    """
    required, terms = required_base_units(cell_id), onboarding.current_terms(cell_id)
    valuation = MarginState.objects.select_related("valuation").get(cell_id=cell_id).valuation
    claims = {}
    for vault in vaults(cell_id):
        asset, haircut_bps = vault.asset, terms.haircut_of(vault.asset_id)
        claim = max(1, ledger.balance(cell_id, AccountKind.CLIENT_MARGIN, asset.code))
        if asset.is_settlement:
            claim = max(claim, required)
        elif haircut_bps < 10_000:
            price = collateral.price_of(asset, valuation)
            claim = max(claim, collateral.asset_for_value(required, asset, price, haircut_bps))
        claims[asset.code] = claim
    return claims


def _end_unsigned(case: DefaultCase) -> None:
    """A notice that waits and that the second key has not signed can never reach its vault: the approver signs for live
    defaults only. It ends here, and there is nothing to withdraw. One that is signed goes out and is withdrawn."""
    waiting = ChainInstruction.objects.filter(
        id__in=[notice.id for notice in notices(case)], state=ChainInstruction.State.DRAFT
    )
    held = list(waiting.select_for_update(of=("self",)).select_related("target").order_by("id"))
    signed = ports.signed_claims([notice.id for notice in held])
    ended = [notice for notice in held if notice.id not in signed]
    if not ended:
        return
    waiting.filter(id__in=[notice.id for notice in ended]).update(state=ChainInstruction.State.BATCHED)
    for notice in ended:
        outbox.mark_failed(notice.id, failure="the default was cured before this notice was signed")
    tokens = ", ".join(notice.target.asset_id for notice in ended)
    note = f"The notice on {tokens} was not signed yet: it ends with the cure."
    record(case, before=case.state, note=note, never_signed=[str(notice.id) for notice in ended])


def _paid_on_chain(case: DefaultCase) -> int:
    """What of its margin the client has paid to cure this case on chain, settlement base units."""
    vaults_of_token = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT, asset__is_settlement=True)
    paid = ports.cures_on_chain(case.id)
    return sum(paid[vault_id] for vault_id in vaults_of_token.filter(id__in=paid).values_list("id", flat=True))
