"""Transactions of the operator's keys: prepared, stored, sent, followed until a block holds them.

A nonce is a row, unique a sender, one in flight at a time. The signed bytes are committed before they leave this
machine, so a crash at any point is answered by sending the very same bytes again. Silence of the node means unknown
and never a new nonce; only a nonce that another transaction has used, finally, makes room for a new one.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from intermediary.models import ChainInstruction
from settlement import fees
from settlement.calls import ContractCall
from settlement.chain import Chain, ChainRefused
from settlement.models import Batch, ChainSender, ChainTransaction, TransactionAttempt
from settlement.signer import Signer

log = logging.getLogger(__name__)
State = ChainTransaction.State
TIP_WEI = int(getattr(settings, "CHAIN_TIP_WEI", 10**9))  # what miners of quiet chains take at once
FEE_CAP_WEI = int(getattr(settings, "CHAIN_FEE_CAP_WEI", 500 * 10**9))  # dearer than any calm hour of mainnet
# Answers by which a node says that it has these very bytes already.
KNOWN = ("already known", "already imported", "transaction already in mempool")


def follow(chain: Chain, sender: ChainSender, signer: Signer) -> bool:
    """Move every unfinished transaction of a sender along; True when none is left in flight."""
    unfinished = sender.transactions.filter(state__in=ChainTransaction.UNFINISHED).order_by("nonce")
    done = [_follow_one(chain, found, signer) for found in unfinished]
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
) -> ChainTransaction:
    """Take the next nonce and store the signed bytes; nothing is sent yet. Call it with nothing in flight."""
    chain_id, used, latest = chain.batch(
        [
            ("eth_chainId", []),
            ("eth_getTransactionCount", [sender.address, "latest"]),
            ("eth_getBlockByNumber", ["latest", False]),
        ]
    )
    offer = fees.first_offer(int(latest["baseFeePerGas"], 16), TIP_WEI, FEE_CAP_WEI)
    with transaction.atomic():
        locked = ChainSender.objects.select_for_update().get(address=sender.address)
        last = locked.transactions.order_by("-nonce").values_list("nonce", flat=True).first()
        made = ChainTransaction.objects.create(
            sender=locked,
            nonce=max(int(used, 16), -1 if last is None else last + 1),
            batch=batch,
            instruction=instruction,
            contract_seq=call.contract_seq,
            to=call.to,
            data="0x" + call.data.hex(),
            gas_limit=gas_limit,
        )
        _store_attempt(made, signer, offer, int(chain_id, 16))
        if instruction is not None:
            ChainInstruction.objects.filter(id=instruction.id).update(state=ChainInstruction.State.BATCHED)
    return made


def send(chain: Chain, attempt: TransactionAttempt) -> None:
    """Send stored bytes, as often as it takes. "Already known" is success; another refusal leaves them for later."""
    head = chain.head()
    try:
        chain.call("eth_sendRawTransaction", attempt.raw)
    except ChainRefused as error:
        if not any(known in error.message.lower() for known in KNOWN):
            log.warning("the node refuses %s: %s", attempt.hash, error.message)
            return
    with transaction.atomic():
        TransactionAttempt.objects.filter(id=attempt.id, sent_block=None).update(sent_block=head)
        ChainTransaction.objects.filter(id=attempt.transaction_id, state=State.PREPARED).update(state=State.SENT)


def _follow_one(chain: Chain, found: ChainTransaction, signer: Signer) -> bool:
    attempts = list(found.attempts.all())
    receipts = chain.receipts([attempt.hash for attempt in attempts])
    mined = next((receipt for receipt in receipts if receipt), None)
    if mined is not None:
        _mark_included(found, mined)
        return True
    if _nonce_is_gone(chain, found):
        log.error("nonce %s of %s was used by another transaction", found.nonce, found.sender_id)
        _mark_displaced(found)
        return True
    last = attempts[-1]
    if last.sent_block is not None and fees.is_overdue(last.sent_block, chain.head()):
        last = _bump(chain, found, last, signer)
    if last.sent_block is None or chain.call("eth_getTransactionByHash", last.hash) is None:
        send(chain, last)
    return False


def _bump(chain: Chain, found: ChainTransaction, last: TransactionAttempt, signer: Signer) -> TransactionAttempt:
    raised = fees.bumped(fees.Fees(last.max_fee_wei, last.priority_fee_wei), FEE_CAP_WEI)
    if raised is None:
        log.error("transaction %s waits at the fee cap of %s wei", last.hash, FEE_CAP_WEI)
        return last
    chain_id = int(chain.call("eth_chainId"), 16)
    with transaction.atomic():
        return _store_attempt(found, signer, raised, chain_id)


def _store_attempt(made: ChainTransaction, signer: Signer, offer: fees.Fees, chain_id: int) -> TransactionAttempt:
    signed = signer.sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": made.nonce,
            "to": made.to,
            "value": 0,
            "data": made.data,
            "gas": made.gas_limit,
            "maxFeePerGas": offer.max_fee_wei,
            "maxPriorityFeePerGas": offer.priority_fee_wei,
        }
    )
    return TransactionAttempt.objects.create(
        transaction=made,
        hash=signed.hash,
        raw="0x" + signed.raw.hex(),
        max_fee_wei=offer.max_fee_wei,
        priority_fee_wei=offer.priority_fee_wei,
    )


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


def _nonce_is_gone(chain: Chain, found: ChainTransaction) -> bool:
    """Whether a final transaction of this sender used the nonce and was not ours (receipts were asked for first)."""
    used = int(chain.call("eth_getTransactionCount", found.sender_id, "finalized"), 16)
    return used > found.nonce


def _mark_displaced(found: ChainTransaction) -> None:
    with transaction.atomic():
        found.state = State.DISPLACED
        found.save(update_fields=["state"])
        if found.instruction_id:
            ChainInstruction.objects.filter(id=found.instruction_id, state=ChainInstruction.State.BATCHED).update(
                state=ChainInstruction.State.DRAFT
            )
