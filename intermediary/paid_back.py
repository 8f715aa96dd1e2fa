"""What a default owes back to a vault, and the chain refused to pay: it is told in the case's story and paid again.

A cap of a day, a limit of credits, a token that is paused: none of it is a reason to keep what is not the house's.
Each time that it fails it waits for an hour, so a reason that stays costs little, and officers can see it in the case.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models.fields.json import KeyTextTransform

from intermediary import ledger
from intermediary.default_cases import give_back_suspense, locked_case, pay_to_vault, record
from intermediary.ids import derive
from intermediary.models import AccountKind, ChainInstruction, DefaultCase, DefaultEvent, Event
from intermediary.money import from_base_units

WAIT = timedelta(hours=1)
FAILED, AGAIN = "payment_failed", "paid_again"  # in a case's story: the instruction that failed


def on_instruction_failed(event: Event) -> None:
    """Tell the case that a payment of it to a vault failed. Harmless when repeated and for other movements."""
    made = ChainInstruction.objects.select_related("target__asset").get(id=event.payload["instruction_id"])
    if made.kind != ChainInstruction.Kind.CREDIT or "case" not in made.arguments:
        return
    case = locked_case(UUID(made.arguments["case"]))
    if case.events.filter(data__contains={FAILED: str(made.id)}).exists():
        return
    tokens = from_base_units(made.amount_base_units, made.target.asset.decimals)
    amount = f"{tokens:,} {made.target.asset_id}"
    note = f"The chain refused to pay {amount} to the vault ({made.failure}). It is tried again in an hour."
    record(case, before=case.state, note=note[:300], **{FAILED: str(made.id)})


def due(now: datetime) -> list[UUID]:
    """The payments that failed, have waited, and were not made again."""
    again = DefaultEvent.objects.filter(data__has_key=AGAIN).values_list(KeyTextTransform(AGAIN, "data"))
    failed = DefaultEvent.objects.filter(data__has_key=FAILED, at__lte=now - WAIT)
    told = failed.annotate(payment=KeyTextTransform(FAILED, "data")).values_list("payment", flat=True)
    return [UUID(payment) for payment in told.exclude(payment__in=again)]


def pay_again(instruction_id: UUID) -> None:
    """Instruct a payment that failed once more; not while its money does not lie where it came back to."""
    failed = ChainInstruction.objects.select_related("target").get(id=instruction_id)
    case, source = locked_case(UUID(failed.arguments["case"])), AccountKind(failed.arguments["source"])
    told = {AGAIN: str(failed.id)}
    held = ledger.balance(failed.cell_id, source, failed.target.asset_id)
    if held < failed.amount_base_units or case.events.filter(data__contains=told).exists():
        return
    assert failed.entry_id is not None, "a payment has an entry"
    if source == AccountKind.SUSPENSE_TAKEN:
        give_back_suspense(case, failed.target)
    elif _counted_since(case, failed):
        record(
            case, before=case.state, note="What failed is not paid again: a later loss counted it as margin.", **told
        )
        return
    else:
        pay_to_vault(
            case,
            failed.target,
            failed.amount_base_units,
            effect_id=derive("paid_again", failed.entry_id),
            source=source,
            destination=AccountKind(failed.arguments["destination"]),
            memo=f"paid again, failed before, default {case.id}",
        )
    record(case, before=case.state, note=f"What failed is paid to the {failed.target.asset_id} vault again.", **told)


def _counted_since(case: DefaultCase, failed: ChainInstruction) -> bool:
    """Whether a later default of the relationship has counted all that lay with the house as its client's margin."""
    later = DefaultCase.objects.filter(cell_id=case.cell_id, notice__decided_at__gt=case.notice.decided_at)
    told = case.events.get(data__contains={FAILED: str(failed.id)})
    return later.filter(events__after=DefaultCase.State.DETERMINED, events__id__gt=told.id).exists()
