"""Calls of the outbox whose role acts under a delay: paying the intermediary's own money out of a house.

The instruction was decided already; its call is scheduled in the very bytes in which it will be made, waits, and then
goes out like any other. A guardian who takes it back meanwhile leaves it to two people, as everything that the chain
refuses for good (`settlement.holding`).
"""

from intermediary.models import ChainInstruction
from settlement import holding, sender
from settlement.acts import scheduling
from settlement.acts.scheduling import May
from settlement.calls import ContractCall
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.models import ChainSender, ChainTransaction, HeldCall, TransactionAttempt
from settlement.signer import Signer

# What the access manager answers to a call that is not scheduled, not yet ready, or was scheduled too long ago.
DELAYED = frozenset({"AccessManagerNotScheduled", "AccessManagerNotReady", "AccessManagerExpired"})
SCHEDULE_GAS = 200_000  # two words and an event with the call's bytes, of which the outbox's have a few hundred
State = ChainTransaction.State


def wait_or_schedule(
    chain: Chain, account: ChainSender, signer: Signer, instruction: ChainInstruction, call: ContractCall
) -> TransactionAttempt | None:
    """The transaction that schedules the call, prepared; None where it waits, for its time or for people."""
    manager = address_of("AccessManager")
    stands = scheduling.standing(chain, manager, account.address, call.to, call.data)
    if stands.may == May.WAIT and stands.ready_at is not None:
        holding.hold(instruction, f"scheduled, from {stands.ready_at:%Y-%m-%d %H:%M} UTC on", until=stands.ready_at)
    elif stands.may == May.SCHEDULE and not _was_taken_back(instruction, stands):
        to_schedule = ContractCall(manager, scheduling.schedule(call.to, call.data))
        step = _label(instruction, stands.number + 1)
        holding.hold(instruction, "is being scheduled")
        return sender.prepare(chain, account, signer, to_schedule, SCHEDULE_GAS, step=step)
    else:
        reason = "what was scheduled was taken back" if stands.may == May.SCHEDULE else "AccessManagerUnauthorized"
        holding.hold(instruction, reason, for_a_person=stands.may != May.CALL)
    return None


def _label(instruction: ChainInstruction, number: int) -> str:
    return f"schedule {instruction.id} {number}"


def _was_taken_back(instruction: ChainInstruction, stands: scheduling.Standing) -> bool:
    """Whether it was scheduled before, has not lapsed since, and nobody has said since to try it again."""
    sent = ChainTransaction.objects.filter(step=_label(instruction, stands.number), succeeded=True)
    last = sent.filter(state__in=(State.INCLUDED, State.FINAL)).first()
    if last is None:
        return False
    again = HeldCall.objects.filter(instruction=instruction, released_at__gt=last.recorded_at).exists()
    # The longest delay of a role and a week: when it lapsed at the latest.
    lapsed = last.at + scheduling.LONGEST_DELAY + scheduling.LAPSES_AFTER
    return not again and stands.now < lapsed
