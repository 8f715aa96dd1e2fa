"""Transactions of the operator's keys: prepared, stored, sent, followed until a block holds them.

A nonce is a row, unique a sender, one in flight at a time. The signed bytes are committed before they leave this
machine, so a crash at any point is answered by sending the very same bytes again. Silence of the node means unknown
and never a new nonce; only a nonce that another transaction has used, finally and by name, makes room for a new one.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from eth_utils.address import to_checksum_address

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction, ChainTarget
from settlement import chains, displaced, fees, fence, packing, reconcile, sender_alarms
from settlement.calls import ContractCall
from settlement.chain import Chain, ChainRefused
from settlement.models import Batch, ChainAct, ChainSender, ChainTransaction, SenderAlarm, TransactionAttempt
from settlement.signer import SignedTransaction, Signer

log = logging.getLogger(__name__)
State = ChainTransaction.State
# Answers by which a node says that it has these very bytes already, and that a block has them or another's.
KNOWN = ("already known", "already imported", "transaction already in mempool")
PASSED = ("nonce too low",)
REORG_BLOCKS = 64  # how far below the head of its preparation a nonce may have been used after a reorganisation
LOOK_BACK_BLOCKS = 10_000  # for the user of a nonce whose preparation did not note the head
BLOCKS_AT_ONCE = 10  # whole blocks of a busy chain are some 300 kB each


def account_of(role: str, signer: Signer) -> ChainSender:
    """The row of this role's present key on this chain. Refuses `key_in_use`: a key has one role on one chain, so
    that no two processes give out the same nonces."""
    account, _ = ChainSender.objects.get_or_create(address=signer.address, defaults={"role": role})
    if (account.role, account.chain) != (role, chains.here()):
        raise Refusal("key_in_use", f"{account.address} is the {account.role} of chain {account.chain} already.")
    return account


def follow_former(chain: Chain, account: ChainSender) -> None:
    """What keys that this role had before left in flight: the same bytes again, but nothing new is signed."""
    former = ChainSender.objects.filter(chain=account.chain, role=account.role).exclude(address=account.address)
    for one in former:  # those with nothing left too: the watcher may have seen the end of it
        follow(chain, one, None)


def follow(chain: Chain, sender: ChainSender, signer: Signer | None) -> bool:
    """Move every unfinished transaction of a sender along; True when none is left in flight."""
    # Without what they say, which is long and read again only where no block has them yet.
    unfinished = sender.transactions.filter(state__in=ChainTransaction.UNFINISHED).defer("data").order_by("nonce")
    done = [_follow_one(chain, found, signer) for found in unfinished]
    if all(done):
        about_transactions = (SenderAlarm.Kind.FEE_CAP, SenderAlarm.Kind.NODE_REFUSES, SenderAlarm.Kind.NONCE)
        sender_alarms.clear(sender.role, *about_transactions, sender=sender.address)
    return all(done)


def prepare(
    chain: Chain,
    sender: ChainSender,
    signer: Signer,
    call: ContractCall,
    gas_limit: int,
    *,
    batch: Batch | None = None,
    instruction: ChainInstruction | None = None,
    act: ChainAct | None = None,
    step: str = "",
) -> TransactionAttempt | None:
    """Take the next nonce and store the signed bytes; nothing is sent yet. Call it with nothing in flight. None when
    another process was faster, or has put up a fence: then what was signed is forgotten, and has never left this one. A
    `step` of an act goes out once, unless it reverted.

    Refuses `nonce_in_doubt`, and what the signer refuses.
    """
    found = _next_nonce(chain, sender)
    made = ChainTransaction(
        sender=sender,
        nonce=found.nonce,
        prepared_block=found.head,
        batch=batch,
        instruction=instruction,
        act=act,
        step=step,
        contract_seq=call.contract_seq,
        to=call.to,
        data="0x" + call.data.hex(),
        gas_limit=gas_limit,
    )
    offer = fees.first_offer(found.base_fee_wei, chain.rules.tip_wei, chain.rules.fee_cap_wei)
    signed = _sign(chain, made, signer, offer)  # perhaps by another machine: outside any transaction
    with transaction.atomic():
        locked = ChainSender.objects.select_for_update().get(address=sender.address)
        if not _is_free(locked, made):
            return None
        made.save()
        return TransactionAttempt.objects.create(**_attempt(made, signed, offer))


def send(chain: Chain, attempt: TransactionAttempt) -> None:
    """Send stored bytes, as often as it takes. "Already known" is success; another refusal leaves them for later."""
    head = chain.head()
    try:
        chain.call("eth_sendRawTransaction", attempt.raw)
    except ChainRefused as error:
        answer = error.message.lower()
        if not any(known in answer for known in KNOWN):
            log.warning("the node refuses %s: %s", attempt.hash, error.message)
            if not any(passed in answer for passed in PASSED):
                _tell(SenderAlarm.Kind.NODE_REFUSES, attempt, error.message)
            return
    with transaction.atomic():
        TransactionAttempt.objects.filter(id=attempt.id, sent_block=None).update(sent_block=head)
        ChainTransaction.objects.filter(id=attempt.transaction_id, state=State.PREPARED).update(state=State.SENT)


@dataclass(frozen=True)
class _NextNonce:
    nonce: int
    head: int
    base_fee_wei: int


def _next_nonce(chain: Chain, sender: ChainSender) -> _NextNonce:
    """The nonce after the last row's. That others have used some since is believed when it is final only, and when
    every node counts as many: one that is wrong about it would leave a gap that no block ever passes."""
    chain.id()
    latest, used = chain.batch(
        [("eth_getBlockByNumber", ["latest", False]), ("eth_getTransactionCount", [sender.address, "latest"])]
    )
    last = sender.transactions.order_by("-nonce").values_list("nonce", flat=True).first()
    ours = -1 if last is None else last + 1
    on_chain = int(used, 16)
    if on_chain > max(ours, 0):
        _require_all_count(chain, sender, on_chain, max(ours, 0))
    return _NextNonce(max(ours, on_chain), int(latest["number"], 16), int(latest["baseFeePerGas"], 16))


def _require_all_count(chain: Chain, sender: ChainSender, used: int, ours: int) -> None:
    """Refuses `nonce_in_doubt` unless final blocks have used so many nonces by every configured node; one that is
    silent is waited for: it seldom comes to this, and a gap would stay."""
    counts = [(chain.name, str(used_finally(chain, sender.address)))]
    for url in chain.rules.rpc_urls:
        if url != chain.url:
            witness = Chain(url, chain.rules)
            counts.append((witness.name, _count_by(witness, sender)))
    if {said for _, said in counts} != {str(used)}:
        by_node = ", ".join(f"{said} by {name}" for name, said in counts)
        raise Refusal(
            "nonce_in_doubt", f"{sender.address} used {used} nonces; {ours} are ours. Used finally: {by_node}."
        )


def _count_by(witness: Chain, sender: ChainSender) -> str:
    """How many nonces this node says final blocks have used, or that it is silent."""
    try:
        witness.id()
        return str(used_finally(witness, sender.address))
    except Refusal as error:
        log.warning("%s says nothing of the nonces of %s: %s", witness.name, sender, error)
        return "silent"
    finally:
        witness.close()


def used_finally(chain: Chain, address: str) -> int:
    """How many nonces of this address final blocks have used."""
    rules = chain.rules
    block = hex(chain.head_and_final()[1]) if rules.confirmations or not rules.finality else rules.finality
    return int(chain.call("eth_getTransactionCount", address, block), 16)


def _is_free(sender: ChainSender, made: ChainTransaction) -> bool:
    """Under the sender's lock: nothing is in flight, the nonce is nobody's, nothing carries what this is for, and no
    fence or stop of outflow came up meanwhile, but for a sign of life."""
    taken = sender.transactions.filter(state__in=ChainTransaction.UNFINISHED) | sender.transactions.filter(
        nonce__gte=made.nonce
    )
    if taken.exists():
        return False
    is_for_something = made.batch_id or made.instruction_id or made.act_id or made.step
    if is_for_something and (fence.is_up() or reconcile.outflow_is_stopped()):
        return False
    if made.batch is not None:
        return packing.stays(made.batch) and packing.next_for_the_chain().contains(made.batch)
    if made.instruction_id is not None:
        waiting = ChainInstruction.objects.filter(id=made.instruction_id, state=ChainInstruction.State.DRAFT)
        return waiting.update(state=ChainInstruction.State.BATCHED) == 1
    if made.act is not None:
        sent = made.act.transactions.filter(step=made.step).exclude(state__in=(State.REVERTED, State.DISPLACED))
        return ChainAct.objects.filter(id=made.act.id, state__in=ChainAct.UNFINISHED).exists() and not sent.exists()
    return True


def _follow_one(chain: Chain, found: ChainTransaction, signer: Signer | None) -> bool:
    attempts = list(found.attempts.defer("raw"))
    receipts = chain.receipts([attempt.hash for attempt in attempts])
    mined = next((receipt for receipt in receipts if receipt), None)
    if mined is not None:
        _mark_included(found, mined)
        return True
    used_by = _used_by_another(chain, found, {attempt.hash for attempt in attempts})
    if used_by is not None:
        return _give_way(chain, found, used_by)
    last = found.attempts.exclude(raw="").defer("raw").last()  # not what was read back from a block
    if last is not None:
        _offer_again(chain, found, last, signer)
    return False


def _offer_again(chain: Chain, found: ChainTransaction, last: TransactionAttempt, signer: Signer | None) -> None:
    """Send what no block holds once more: dearer where it has waited, else the same bytes where the node has lost them.
    A signer that refuses or is away raises, after the bytes that are stored went out: they need it no more."""
    head, waits_at_cap, refused = chain.head(), False, None
    if last.sent_block is not None and fees.is_overdue(last.sent_block, head):
        raised = fees.bumped(fees.Fees(last.max_fee_wei, last.priority_fee_wei), chain.rules.fee_cap_wei)
        if raised is None:
            waits_at_cap = (head - last.sent_block) % fees.PATIENCE_BLOCKS == 0
            _tell(SenderAlarm.Kind.FEE_CAP, last, f"{last.max_fee_wei} wei a gas; cap {chain.rules.fee_cap_wei} wei")
        elif signer is not None:
            try:
                last = _store_attempt(found, _sign(chain, found, signer, raised), raised)
            except Refusal as error:
                refused = error
    if waits_at_cap or last.sent_block is None or chain.call("eth_getTransactionByHash", last.hash) is None:
        send(chain, last)
    if refused is not None:
        raise refused


def _sign(chain: Chain, made: ChainTransaction, signer: Signer, offer: fees.Fees) -> SignedTransaction:
    return signer.sign_transaction(
        {
            "type": 2,
            "chainId": chain.id(),
            "nonce": made.nonce,
            "to": made.to,
            "value": 0,
            "data": made.data,
            "gas": made.gas_limit,
            "maxFeePerGas": offer.max_fee_wei,
            "maxPriorityFeePerGas": offer.priority_fee_wei,
        }
    )


def _store_attempt(made: ChainTransaction, signed: SignedTransaction, offer: fees.Fees) -> TransactionAttempt:
    # A second process may have raised the fee to the same.
    stored, _ = TransactionAttempt.objects.get_or_create(hash=signed.hash, defaults=_attempt(made, signed, offer))
    return stored


def _attempt(made: ChainTransaction, signed: SignedTransaction, offer: fees.Fees) -> dict[str, Any]:
    return {
        "transaction": made,
        "hash": signed.hash,
        "raw": "0x" + signed.raw.hex(),
        "max_fee_wei": offer.max_fee_wei,
        "priority_fee_wei": offer.priority_fee_wei,
    }


def _mark_included(found: ChainTransaction, receipt: Mapping[str, Any]) -> None:
    with transaction.atomic():
        succeeded = int(receipt["status"], 16) == 1
        # The watcher may have been first: what is final stays so.
        ChainTransaction.objects.filter(id=found.id, state__in=ChainTransaction.UNFINISHED).update(
            state=State.INCLUDED,
            block_number=int(receipt["blockNumber"], 16),
            block_hash=receipt["blockHash"],
            transaction_hash=receipt["transactionHash"],
            succeeded=succeeded,
        )
        if found.instruction_id and succeeded:
            ChainInstruction.objects.filter(id=found.instruction_id, state=ChainInstruction.State.BATCHED).update(
                state=ChainInstruction.State.INCLUDED
            )


def _used_by_another(chain: Chain, found: ChainTransaction, ours: set[str]) -> dict[str, Any] | None:
    """The final transaction that is not ours and used the nonce. Asked after all receipts were null; that a receipt is
    null proves nothing, so the transaction that did it must be seen, signed by our key, and in every node's blocks."""
    used = int(chain.call("eth_getTransactionCount", found.sender_id, "latest"), 16)
    # The latest block first: not every node has the state of the final one still.
    if used <= found.nonce or used_finally(chain, found.sender_id) <= found.nonce:
        return None
    used_by = _user_of_nonce(chain, found, chain.head_and_final()[1])
    last = found.attempts.last()
    assert last is not None, "a transaction is stored with its first attempt"
    if used_by is None or used_by["hash"] in ours:
        what = "is in a block, but has no receipt" if used_by else "may or may not be in a block"
        _tell(SenderAlarm.Kind.NONCE, last, f"nonce {found.nonce} is used; the transaction {what}")
        return None
    if not displaced.is_final_for_all(chain, used_by):
        _tell(
            SenderAlarm.Kind.NONCE, last, f"nonce {found.nonce} is used by {used_by['hash']}, which not all nodes have"
        )
        return None
    return used_by


def _give_way(chain: Chain, found: ChainTransaction, used_by: Mapping[str, Any]) -> bool:
    """Another transaction took the nonce; whether the key may go on. If it makes the very call that ours makes, it
    is what another database sent for the same instruction before this one was restored: it did what was to be done. If
    it calls one of our contracts otherwise, somebody sends what we do not know of: nothing more leaves before that is
    read back."""
    log.error("nonce %s of %s was used by transaction %s", found.nonce, found.sender_id, used_by["hash"])
    if is_same_call(found, used_by):
        return adopt(chain, found, used_by)
    to = to_checksum_address(used_by["to"]) if used_by["to"] else ""
    is_ours = ChainTarget.objects.filter(address=to).exists()
    with transaction.atomic():
        mark_displaced(found)
        if is_ours:
            fence.put_up(f"nonce {found.nonce} of {found.sender_id} was used by {used_by['hash']}, which is not ours")
    return not is_ours


def is_same_call(found: ChainTransaction, sent: Mapping[str, Any]) -> bool:
    """Whether a transaction on chain says to the same contract what this one says: it did what this one is to do."""
    return (sent["to"] or "").lower() == found.to.lower() and sent["input"].lower() == found.data.lower()


def adopt(chain: Chain, found: ChainTransaction, sent: Mapping[str, Any]) -> bool:
    """Take a transaction that a block holds as an attempt of this one; False while the node has no receipt of it."""
    keep_attempt(found, sent)
    (receipt,) = chain.receipts([sent["hash"]])
    if receipt is not None:
        _mark_included(found, receipt)
    return receipt is not None


def keep_attempt(made: ChainTransaction, sent: Mapping[str, Any]) -> None:
    """The row of an attempt that a block holds and we have no bytes of."""
    TransactionAttempt.objects.get_or_create(
        hash=sent["hash"],
        defaults={
            "transaction": made,
            "raw": "",
            "max_fee_wei": int(sent.get("maxFeePerGas") or sent["gasPrice"], 16),
            "priority_fee_wei": int(sent.get("maxPriorityFeePerGas") or "0x0", 16),
            "sent_block": int(sent["blockNumber"], 16),
        },
    )


def _user_of_nonce(chain: Chain, found: ChainTransaction, final: int) -> dict[str, Any] | None:
    """The transaction that used the nonce, read from the final blocks since it was free."""
    free_at = final - LOOK_BACK_BLOCKS if found.prepared_block is None else found.prepared_block - REORG_BLOCKS
    sent = sent_by(chain, found.sender_id, max(free_at, 0), final)
    return next((one for one in sent if int(one["nonce"], 16) == found.nonce), None)


def sent_by(chain: Chain, address: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """The transactions that a key signed in these blocks, in their order: whole blocks are read, since no node is asked
    by sender."""
    for start in range(first, last + 1, BLOCKS_AT_ONCE):
        numbers = range(start, min(start + BLOCKS_AT_ONCE, last + 1))
        for block in chain.batch([("eth_getBlockByNumber", [hex(number), True]) for number in numbers]):
            for sent in block["transactions"] if block else ():
                if displaced.is_signed_by(sent, address, chain.rules.chain_id):
                    yield sent


def mark_displaced(found: ChainTransaction) -> None:
    """Its nonce is another's: what it was for is to be sent again."""
    with transaction.atomic():
        found.state = State.DISPLACED
        found.save(update_fields=["state"])
        if found.instruction_id:
            ChainInstruction.objects.filter(id=found.instruction_id, state=ChainInstruction.State.BATCHED).update(
                state=ChainInstruction.State.DRAFT
            )


def _tell(kind: SenderAlarm.Kind, attempt: TransactionAttempt, detail: str) -> None:
    account = attempt.transaction.sender
    log.error("%s: %s of %s: %s", kind.label, attempt.hash, account, detail)
    sender_alarms.tell(kind, account.role, detail, sender=account.address, transaction_hash=attempt.hash)
