"""Single calls read back: what our keys sent under nonces that no row of ours explains.

Every such call becomes a row, so that it is read once and its nonce is counted. One that an instruction still waiting
here, or an open act, would have made is that one's. One that only instructions make, or that would do something once
more, and that none here explains, was decided after the backup: it is *unexplained* for as long as it stays so, and
keeps the fence up.
"""

import logging
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, Max, Min, OuterRef
from eth_utils.address import to_checksum_address

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction
from settlement import chains, displaced, fence, sender, watcher
from settlement.acts import driver, recalled
from settlement.acts.steps import Step
from settlement.bindings import contract, decode_event
from settlement.chain import Chain, ChainRefused
from settlement.cited import act_of, cited, contract_seq_of
from settlement.holders import key_address
from settlement.models import Batch, ChainLog, ChainSender, ChainTransaction, Fence, TransactionAttempt

log = logging.getLogger(__name__)
State = ChainTransaction.State
UNKNOWN_YET = (*ChainTransaction.UNFINISHED, State.DISPLACED)  # their nonces may be another transaction's
_LOCK = "settlement.rebuild"


def lock() -> None:
    """One reads back at a time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])


def read_calls(chain: Chain, final: int) -> int:
    """Read what our keys sent up to this final block; how many rows that made or changed. Refuses `no_receipt`,
    `nonce_in_doubt`, and what `settlement.holders.key_address` does: a key may be younger than the backup."""
    for role in fence.ROLES:
        ChainSender.objects.get_or_create(address=key_address(role), defaults={"role": role})
    senders = ChainSender.objects.filter(chain=chains.here(), role__in=fence.ROLES)
    read = sum(_keep(chain, account, sent) for account in senders for sent in _missing(chain, account, final))
    return read + _recall(chain) + sum(_keep(chain, account, sent) for account, sent in _of_acts(chain))


def unexplained() -> list[str]:
    """Calls that only an instruction makes, and that none here explains; each is looked at again. What two people
    have lifted a fence with is explained by them."""
    accepted = {one for lifted in Fence.objects.exclude(lifted_by=None) for one in lifted.found.get("unexplained", [])}
    here = ChainTransaction.objects.filter(sender__chain=chains.here(), succeeded=True)
    kept = here.filter(batch=None, instruction=None, act=None)
    left = []
    for found in kept.exclude(state=State.DISPLACED).order_by("block_number", "nonce"):
        if _is_told_by_a_row(found.data) and not _explained(found):
            left.append(f"transaction {found.transaction_hash} of {found.sender}")
    return [one for one in left if one not in accepted]


def _is_told_by_a_row(calldata: str) -> bool:
    """Whether it was made because a row here said so, which it does once."""
    return act_of(calldata) is not None or recalled.acts_once(calldata)


def _recall(chain: Chain) -> int:
    """Steps of open acts that a former database made; how many."""
    found = 0
    for act in driver.open_acts():
        try:
            while isinstance(step := driver.look(chain, act).step, Step) and recalled.is_recalled(chain, act, step):
                found += 1
        except ChainRefused as error:
            log.warning("act %s cannot be looked for: %s", act.id, error)
    return found


def _of_acts(chain: Chain) -> Iterator[tuple[ChainSender, dict[str, Any]]]:
    """Final calls of the keys of acts that no row tells of, by the logs they left."""
    key_of = dict(recalled.ONCE_MORE.values())
    final = ChainLog.objects.filter(name__in=key_of, block__canonical=True, block__finalized=True)
    known = TransactionAttempt.objects.filter(hash=OuterRef("transaction_hash"))
    names = dict(final.exclude(Exists(known)).order_by("block__number").values_list("transaction_hash", "name"))
    for sent in chain.batch([("eth_getTransactionByHash", [one]) for one in names]):
        if sent is None or not recalled.acts_once(sent["input"]):
            continue
        if displaced.is_signed_by(sent, sent["from"], chain.id()):
            address, key = to_checksum_address(sent["from"]), key_of[names[sent["hash"]]]
            yield ChainSender.objects.get_or_create(address=address, defaults={"role": key})[0], sent


def _missing(chain: Chain, account: ChainSender, final: int) -> Iterator[dict[str, Any]]:
    """The final transactions of a key whose nonces no row accounts for, oldest first. What a key that has rows sent
    before the first of them is older than any of our instructions."""
    rows = account.transactions
    used = int(chain.call("eth_getTransactionCount", account.address, hex(final)), 16)
    first = rows.aggregate(nonce=Min("nonce"))["nonce"] or 0
    known = set(rows.exclude(state__in=UNKNOWN_YET).values_list("nonce", flat=True))
    wanted = set(range(first, used)) - known
    if not wanted:
        return
    below = rows.filter(nonce__lt=min(wanted)).aggregate(block=Max("block_number"))["block"]
    for sent in sender.sent_by(chain, account.address, below or watcher.first_block(), final):
        if int(sent["nonce"], 16) in wanted:
            yield sent


def _keep(chain: Chain, account: ChainSender, sent: dict[str, Any]) -> int:
    """Whether a row was made of it, or changed. Refuses `nonce_in_doubt` where it took a nonce of ours for one node
    only."""
    (receipt,) = chain.receipts([sent["hash"]])
    if receipt is None:
        raise Refusal("no_receipt", f"The node has no receipt of final transaction {sent['hash']}.")
    with transaction.atomic():
        lock()
        ours = account.transactions.filter(nonce=int(sent["nonce"], 16)).first()
        if ours is not None and ours.state in ChainTransaction.UNFINISHED:
            if sender.is_same_call(ours, sent):
                return int(sender.adopt(chain, ours, sent))
            if not displaced.is_final_for_all(chain, sent):
                raise Refusal("nonce_in_doubt", f"Not every node has {sent['hash']}, nonce {ours.nonce} of {account}.")
            sender.mark_displaced(ours)
        if ours is not None and not _is_told_by_a_row(sent["input"]):
            return 0  # it displaced a call of ours, and did nothing that an instruction does
        _store(ours or ChainTransaction(sender=account, nonce=int(sent["nonce"], 16)), sent, receipt)
    return 1


def _store(row: ChainTransaction, sent: dict[str, Any], receipt: dict[str, Any]) -> None:
    """The row of this nonce says from now on what the chain says."""
    row.to = to_checksum_address(sent["to"]) if sent["to"] else ""
    row.data = sent["input"]
    row.gas_limit = int(sent["gas"], 16)
    row.batch, row.instruction = _batch_of(sent), None
    row.contract_seq = contract_seq_of(row.data)
    row.block_number, row.block_hash = int(receipt["blockNumber"], 16), receipt["blockHash"]
    row.transaction_hash, row.succeeded = sent["hash"], int(receipt["status"], 16) == 1
    row.state = State.FINAL if row.succeeded else State.REVERTED
    if row.batch is not None:
        row.state = State.INCLUDED  # closed with all others when the watcher's log bears it out
    row.save()
    sender.keep_attempt(row, sent)
    _explained(row)


def _explained(row: ChainTransaction) -> bool:
    """Whether a waiting instruction makes this call; then it is that one's, to be closed as the chain says. A call that
    reverted did nothing, and is nobody's."""
    instruction = cited(row.to, row.data) if row.succeeded and row.batch_id is None else None
    if instruction is None:
        return False
    with transaction.atomic():
        waiting = ChainInstruction.objects.filter(id=instruction.id, state=ChainInstruction.State.DRAFT)
        if waiting.update(state=ChainInstruction.State.BATCHED) != 1:
            return False
        row.instruction, row.state = instruction, State.INCLUDED
        row.save(update_fields=["instruction", "state"])
    return True


def _batch_of(sent: dict[str, Any]) -> Batch | None:
    if sent["input"][2:10] != contract("House").selector("postBatch").hex():
        return None
    posted = ChainLog.objects.filter(transaction_hash=sent["hash"], name="BatchPosted", block__canonical=True).first()
    event = decode_event(posted.topics, posted.data) if posted is not None else None
    if posted is None or event is None:
        return None
    of_house = Batch.objects.filter(house__address=posted.address, number=event.arguments["id"])
    return of_house.exclude(state=Batch.State.REFUSED).first()
