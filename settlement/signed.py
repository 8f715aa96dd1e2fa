"""What the approver has signed already, in its own words: an instruction is signed into a second batch only when the
first can no longer move anything.

Outcomes and positions of movements are the poster's to write, and whoever holds its login could have one journal entry
signed twice by calling the first movement failed. So the approver keeps its own record, which the poster cannot write,
and believes what the watcher saw on chain: that the movement failed, or that another batch took the number.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, models

from intermediary.ids import uuid7
from intermediary.models import ChainInstruction
from intermediary.models.base import Row
from intermediary.models.bulk import insert_plain
from intermediary.typed_data import digest_of


class NotYet(Exception):
    """There is nothing to answer now: what became of an earlier batch is not final, and asked again later, there is an
    answer; or what was asked for has ended."""


class SignedMovement(Row):
    """One instruction in one batch that the approver signed. Written by the approver alone, never changed.

    That both exist the database checks for all rows of a statement together, not for each by a key of its own: nobody
    may delete either."""

    approval = models.ForeignKey(
        "settlement.Approval", models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    instruction = models.ForeignKey(
        ChainInstruction, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval", "instruction"], name="signed_once_a_batch")]
        indexes = [models.Index(fields=["instruction"])]


def record(approval_id: UUID, instruction_ids: Iterable[UUID]) -> None:
    """In the transaction that stores the signature."""
    signed = {"approval_id": approval_id}
    insert_plain(
        SignedMovement,
        [{"id": uuid7(), "instruction_id": found} | signed for found in instruction_ids],
    )


def twice(house: str, number: int, instruction_ids: Sequence[UUID]) -> dict[str, str]:
    """Instructions that batch `number` of this house would move a second time, and why. Raises NotYet."""
    count = Counter(instruction_ids)
    reasons = {str(found): "it stands in the batch twice" for found, times in count.items() if times > 1}
    earlier = list(SignedMovement.objects.filter(instruction_id__among=count).values_list("id", flat=True))
    if not earlier:
        return reasons
    rows = SignedMovement.objects.filter(id__in=earlier).select_related("approval", "instruction__target")
    for row in rows:
        if not _can_never_move(row, house, number):
            reasons[str(row.instruction_id)] = f"it was signed in batch {_said(row)['id']} already"
    return reasons


def hold_claims(instruction_ids: Collection[UUID]) -> None:
    """Until the transaction ends nobody else signs these notices, or ends them with a cure because they are not signed:
    whoever comes second sees what the first has done. The approver may not lock the rows, which it cannot write."""
    with connection.cursor() as cursor:
        for one in sorted(instruction_ids):
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"settlement.claim.{one}"])


def signed_claims(instruction_ids: Collection[UUID]) -> set[UUID]:
    """Those of these notices that have a signature; `hold_claims` keeps it so."""
    from settlement.models import Approval

    hold_claims(instruction_ids)
    given = Approval.objects.filter(instruction__in=instruction_ids).exclude(signature="")
    return set(given.values_list("instruction_id", flat=True))


def off_nothing(house: str, number: int) -> str:
    """Why a batch of no movements is not to be signed under this number; empty when it is. It moves nothing, but what
    was signed under the number before can then never move: so while an instruction that was signed for it, or for a
    later one, is open. Raises NotYet unless final blocks of all nodes show that the number is the house's next."""
    is_next = number == 1 or _log(house, "BatchPosted", number - 1) is not None
    if not is_next or _log(house, "BatchPosted", number) is not None:
        raise NotYet
    of_house = SignedMovement.objects.filter(approval__body__domain__verifyingContract=house)
    waiting = of_house.filter(instruction__is_open=True, approval__body__message__id__gte=number)
    return "" if waiting.exists() else "nothing that was signed waits for this number"


def _said(row: SignedMovement) -> dict[str, Any]:
    message: dict[str, Any] = row.approval.body["message"]
    return message


def _can_never_move(row: SignedMovement, house: str, number: int) -> bool:
    """Whether the batch signed before is excluded by this one (a house takes a number once), did not take the number
    it was signed for, or took it and reported this movement as failed. Raises NotYet as long as the logs that would
    say so are not all there: a node may have left one out, and what is not known is no leave to sign again."""
    before, of = int(_said(row)["id"]), str(row.approval.body["domain"]["verifyingContract"])
    if (before, of) == (number, house):
        return True
    taken = _log(of, "BatchPosted", before)
    if taken is None:
        if of == house and before < number:  # the house takes numbers in their order: this one first, whoever signs
            raise NotYet
        return False
    if _head_after_signed(row, of, before) != taken.topics[2]:
        return True
    vault = row.instruction.target.address
    moves = [one for one in _said(row)["movements"] if one["vault"] == vault and one["ref"] == _ref(row)]
    return bool(moves) and all(_log(of, "MovementFailed", before, vault, one["seq"]) is not None for one in moves)


def _head_after_signed(row: SignedMovement, house: str, number: int) -> str:
    """The head that the house has after this number if it took the batch that was signed. Raises NotYet where its
    head before that is not known."""
    from settlement.packing import head_after  # its models name this one

    previous = _log(house, "BatchPosted", number - 1) if number > 1 else None
    if previous is None and number > 1:
        raise NotYet
    head = bytes.fromhex(previous.topics[2][2:]) if previous else bytes(32)
    return "0x" + head_after(head, digest_of(row.approval.body)).hex()


def _ref(row: SignedMovement) -> str:
    from settlement.messages import ref_of

    return ref_of(row.instruction)


def _log(house: str, name: str, *indexed: int | str) -> Any:
    """The final log of this house with these indexed values; None where there is none. Raises NotYet when it is seen
    and not final, or not shown by every node."""
    from settlement.models import ChainLog

    topics = ["0x" + (f"{one:064x}" if isinstance(one, int) else one[2:].lower().rjust(64, "0")) for one in indexed]
    found = ChainLog.objects.filter(address=house, name=name, block__canonical=True, topics__1=topics[0])
    for place, topic in enumerate(topics[1:], start=2):
        found = found.filter(**{f"topics__{place}": topic})
    rows = list(found.select_related("block").order_by("id"))
    if any(not row.block.finalized or row.refusal.startswith(ChainLog.DISPUTED) for row in rows):
        raise NotYet
    return rows[0] if rows else None
