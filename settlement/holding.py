"""Single calls that the chain would refuse now: which of them time heals, and which wait for a person.

A call that was refused changed nothing on chain, so it may always be tried again, and nothing here ever fails one:
that takes two people (`settlement.decisions`). A node's own troubles (a limit, a missing header, no gas money) and
refusals that time, a deposit or an officer's act can lift are tried again by themselves. A contract's definite no, and
anything that goes on being refused, shows as a break until somebody has decided.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from intermediary.models import ChainInstruction
from settlement import packing
from settlement.bindings import known_error
from settlement.chain import ChainRefused
from settlement.models import Batch, HeldCall

BY_TIME = frozenset({"NotReady", "notice_not_on_chain"})
# What a deposit or an officer's act can lift as well.
PASSING = BY_TIME | {
    *("OverOutflowCap", "CashMissing", "Reserved", "ERC20InsufficientBalance"),
    *("BadApproval", "NotAccepted", "WrongPhase", "AccessManagedUnauthorized"),
}
RETRY_AFTER = timedelta(seconds=2)  # of wall-clock time: a demo day lasts minutes
REFUSALS_BEFORE_BREAK = 30  # a minute of a reason that should have passed by then
REFUSALS_OF_NOTHING = 300  # ten minutes, of which it shows for nine: no movement of it could be decided on


def hold(
    instruction: ChainInstruction, reason: str, *, for_a_person: bool = False, until: datetime | None = None
) -> None:
    """Remember why a call cannot be made now, and when to try again unless it is `for_a_person` to say."""
    try_at = until or timezone.now() + RETRY_AFTER
    next_try = {"next_try_at": try_at, "reason": reason[:200], "given_up": for_a_person}
    with transaction.atomic():
        held, is_new = HeldCall.objects.select_for_update().get_or_create(instruction=instruction, defaults=next_try)
        if not is_new:
            HeldCall.objects.filter(id=held.id).update(**next_try, tries=held.tries + 1)


def hold_refused(instruction: ChainInstruction, error: ChainRefused) -> None:
    """The same by what the node answered: only an error that a contract of ours names is its definite no."""
    name = known_error(error.revert_data)
    hold(instruction, name or error.message, for_a_person=bool(name) and name not in PASSING)


def for_a_person() -> QuerySet[HeldCall]:
    """Calls that somebody must look at."""
    stubborn = Q(tries__gte=REFUSALS_BEFORE_BREAK) & ~Q(reason__in=BY_TIME)
    waiting = HeldCall.objects.filter(instruction__is_open=True, instruction__state=ChainInstruction.State.DRAFT)
    return waiting.filter(Q(given_up=True) | stubborn)


def stuck_batches() -> QuerySet[Batch]:
    """Signed batches that the chain goes on refusing: nothing else of their house settles meanwhile."""
    return packing.waiting_for_the_chain().filter(refusals__gte=REFUSALS_BEFORE_BREAK)


def give_up_nothing(batch: Batch) -> None:
    """Take a batch without movements apart that the chain goes on refusing: the next one is signed by whoever is the
    approver then."""
    if stuck_batches().filter(id=batch.id, movements=None, refusals__gte=REFUSALS_OF_NOTHING).exists():
        packing.take_apart(batch, {})
