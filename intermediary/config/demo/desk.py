"""The demo's two officers, when their autopilot is on: one proposes, the other decides (D11).

They decide nothing that the rules would not let a person decide, they use the same commands, and every decision stands
in the audit trail under their names. Switch the autopilot off in the admin to decide yourself.
"""

from collections.abc import Callable, Iterator
from functools import partial

from django.contrib.auth.models import User
from django.db.models import QuerySet

from intermediary import calls, closeout, defaults, determination, recovery
from intermediary.closeout_schedule import CloseOutRules
from intermediary.config.demo import keys
from intermediary.config.demo.world import Cast
from intermediary.models import DefaultCase, JournalEntry, MarginCall, Proposal
from intermediary.receipts import receipt_entry_id
from settlement.models import HouseReceipt

State, Kind = DefaultCase.State, Proposal.Kind
Work = Callable[[], object]


def decisions(cast: Cast) -> Iterator[Work]:
    """What the two officers would do now, each as a call of its own."""
    maker, checker = (User.objects.get(username=officer.username) for officer in cast.officers)
    yield from _notices(maker, checker, cast.close_out_rules)
    yield from _determinations(maker, checker)
    yield from _receipts(maker)


def _notices(maker: User, checker: User, rules: CloseOutRules) -> Iterator[Work]:
    for call in MarginCall.objects.filter(state=MarginCall.State.LAPSED):
        if not _waiting(Kind.DEFAULT_NOTICE).filter(cell_id=call.cell_id).exists():
            reason = f"{calls.unmet(call) / 10**6:,.2f} USDC not delivered by the deadline."
            yield partial(defaults.propose_notice, maker=maker, call_id=call.id, reason=reason, rules=rules)
    for proposal in _waiting(Kind.DEFAULT_NOTICE):
        yield partial(
            defaults.give_notice,
            checker=checker,
            proposal_id=proposal.id,
            seen_hash=proposal.hash,
            reason="Vault and chain checked: nothing has arrived.",
        )


def _determinations(maker: User, checker: User) -> Iterator[Work]:
    for case in DefaultCase.objects.filter(state=State.REPLACING):
        if closeout.remaining_positions(case.id) or _waiting(Kind.LOSS_DETERMINATION).filter(cell=case.cell).exists():
            continue
        reason = "Every position is replaced and every token sold."
        yield partial(determination.propose_determination, maker=maker, case_id=case.id, reason=reason)
    for proposal in _waiting(Kind.LOSS_DETERMINATION):
        yield partial(
            determination.approve_determination,
            checker=checker,
            proposal_id=proposal.id,
            seen_hash=proposal.hash,
            reason="Recomputed from the bundle: equal.",
        )


def _receipts(maker: User) -> Iterator[Work]:
    """What the market paid for sold margin, and what a defaulter's estate paid on its debt."""
    case = DefaultCase.objects.exclude(state__in=[State.CURED, State.CLOSED]).first()
    if case is None:
        return
    for receipt in HouseReceipt.objects.filter(sender__in=[keys.market().address, keys.estate().address]):
        if JournalEntry.objects.filter(id=receipt_entry_id(receipt.transaction_hash, receipt.log_index)).exists():
            continue
        if receipt.sender == keys.estate().address:
            yield partial(_book_recovery, maker, case, receipt)
        else:
            yield partial(
                closeout.book_disposal_receipt,
                case_id=case.id,
                transaction_hash=receipt.transaction_hash,
                log_index=receipt.log_index,
                amount_base_units=receipt.amount_base_units,
            )


def _book_recovery(maker: User, case: DefaultCase, receipt: HouseReceipt) -> None:
    recovery.receive(
        officer=maker,
        case_id=case.id,
        transaction_hash=receipt.transaction_hash,
        log_index=receipt.log_index,
        amount_base_units=receipt.amount_base_units,
        source="first payment of the estate",
    )


def _waiting(kind: Proposal.Kind) -> QuerySet[Proposal]:
    return Proposal.objects.filter(kind=kind, state=Proposal.State.PROPOSED)
