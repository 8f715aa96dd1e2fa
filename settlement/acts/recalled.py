"""Steps that were made before a restore, and that no row here tells of: found on chain by exactly what they said.

Most steps show: the contract says afterwards that they were made. An allotment, a transfer by order of a court, any
restricted call and the making of a contract do not: only a row tells, and a database from an older backup lacks it. So
before such a step is sent, what its contract has logged since the act began is searched for a call that says the very
same; a contract is searched for at the addresses of its key's nonces that no row has. That a key has used a nonce
proves nothing by itself: it also signs for deployments, or for its owner's wallet.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Min
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from intermediary.errors import Refusal
from settlement import chains, displaced, sender
from settlement.acts.steps import Step
from settlement.bindings import contract
from settlement.chain import LOG_BLOCKS, Call, Chain
from settlement.models import ChainAct, ChainBlock, ChainSender, ChainTransaction, Deployment, TransactionAttempt

State = ChainTransaction.State
# What does something once more when it is decided on once more: the log by which it is seen, and whose it is. (An
# allotment is what its account may hold from then on, and a ruling is the last word on its notice.)
ONCE_MORE = {
    ("TrancheNote", "forcedTransfer"): ("ForcedTransfer", "enforcer"),
    ("Retention", "note"): ("Funded", "operator"),
}


def is_recalled(chain: Chain, act: ChainAct, step: Step) -> bool:
    """Whether a final block holds this step's call although no row said so; from now on one does. A step that shows is
    asked of its contract instead. Refuses `step_in_doubt` while not every node has it so; nor is it sent then."""
    if step.done:
        return False
    said = "0x" + step.calldata().hex()
    for sent in _unknown(chain, _logged(chain, step, _begun(act))):
        is_same = (sent["to"] or "").lower() == step.to.lower() and sent["input"].lower() == said
        if is_same and displaced.is_signed_by(sent, sent["from"], chain.id()):
            if not displaced.is_final_for_all(chain, sent):
                raise Refusal("step_in_doubt", f"Not every node has {sent['hash']}, which says the same, as final.")
            return _keep(chain, act, step, sent)
    return False


def acts_once(calldata: str) -> bool:
    """Whether this is a call that nothing but a row tells of, and that would do something once more."""
    selectors = {contract(name).selector(function).hex() for name, function in ONCE_MORE}
    return calldata[2:10] in selectors


def created_at(address: str, nonce: int) -> str:
    """The address of a contract that a transaction with this nonce makes."""
    import rlp  # takes a second, and is seldom asked for

    return str(to_checksum_address(keccak(rlp.encode([bytes.fromhex(address[2:]), nonce]))[-20:]))


def _begun(act: ChainAct) -> int:
    """The last block read before the act was decided on."""
    before = ChainBlock.objects.filter(canonical=True, recorded_at__lt=act.recorded_at).order_by("-number").first()
    if before is not None:
        return before.number
    return Deployment.objects.aggregate(first=Min("block_number"))["first"] or 0


def _logged(chain: Chain, step: Step, first: int) -> set[str]:
    """The transactions that left a log of the step's contract, or of one that its key may have made."""
    addresses = _made_by(chain, step.key) if step.makes else [step.to]
    calls: list[Call] = [
        ("eth_getLogs", [{"fromBlock": hex(start), "toBlock": hex(start + LOG_BLOCKS - 1), "address": addresses}])
        for start in range(first, chain.head() + 1, LOG_BLOCKS)
        if addresses
    ]
    return {entry["transactionHash"] for part in chain.batch(calls) for entry in part}


def _made_by(chain: Chain, key: str) -> list[str]:
    """Where contracts stand that this role's keys made without a row of ours, if any do."""
    found = []
    for account in ChainSender.objects.filter(chain=chains.here(), role=key):
        used = int(chain.call("eth_getTransactionCount", account.address, "latest"), 16)
        live = account.transactions.exclude(state=State.DISPLACED).exclude(act=None)
        known = set(live.values_list("nonce", flat=True))
        found += [created_at(account.address, nonce) for nonce in range(used) if nonce not in known]
    return found


def _unknown(chain: Chain, hashes: set[str]) -> Iterator[Mapping[str, Any]]:
    """Those of the transactions that are nothing else here."""
    attempts = TransactionAttempt.objects.filter(hash__in=hashes)
    ours = attempts.exclude(transaction__batch=None, transaction__instruction=None, transaction__act=None)
    left = sorted(hashes - set(ours.values_list("hash", flat=True)))
    found: Sequence[Any] = chain.batch([("eth_getTransactionByHash", [one]) for one in left])
    yield from (one for one in found if one is not None)


def _keep(chain: Chain, act: ChainAct, step: Step, sent: Mapping[str, Any]) -> bool:
    """The row of this transaction is the step's; it is closed like any other when its block is final."""
    (receipt,) = chain.receipts([sent["hash"]])
    if receipt is None or int(receipt["status"], 16) != 1:
        return False
    account, _ = ChainSender.objects.get_or_create(
        address=to_checksum_address(sent["from"]), defaults={"role": step.key}
    )
    with transaction.atomic():
        ChainSender.objects.select_for_update().get(address=account.address)
        nonce = int(sent["nonce"], 16)
        row = account.transactions.filter(nonce=nonce).first() or ChainTransaction(sender=account, nonce=nonce)
        row.act, row.step, row.batch, row.instruction = act, step.label, None, None
        row.to, row.data, row.gas_limit = step.to, sent["input"], int(sent["gas"], 16)
        row.block_number, row.block_hash = int(receipt["blockNumber"], 16), receipt["blockHash"]
        row.transaction_hash, row.succeeded, row.state = sent["hash"], True, State.INCLUDED
        row.save()
        sender.keep_attempt(row, sent)
    return True
