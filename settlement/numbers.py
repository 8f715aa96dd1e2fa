"""Under which number the approver signs a claim or an emergency cap: the next one by what the chain showed, whatever
the request says.

A vault takes a claim, and a house an emergency cap, under its next number only. A signature under a later one would lie
ready until nobody decides on anything any more, and then be used without a second key. So of what is asked for ahead
nothing is signed, what the chain showed already is not signed again, and the database holds one live signature a number
(`approval_number_is_signed_once`).
"""

from collections.abc import Iterator, Sequence

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from intermediary.models import ChainInstruction
from settlement.acts.plans import body_of
from settlement.acts.rows import ChainAct
from settlement.bindings import contract, decode_event
from settlement.models import Approval, ChainLog, TransactionAttempt
from settlement.signed import NotYet

CLAIMED = ("DefaultNoticed", "ClaimRaised")  # each takes a number of its vault
FEE_MARKET = 2  # the type of every transaction that we sign


def off_claim(instruction: ChainInstruction, evidence: str, number: int) -> str:
    """Why this claim is not to be signed under this number; empty when it is. Raises NotYet while a claim of the vault
    is not final, or the number may be the next soon."""
    vault = instruction.target.address
    shown = {int(log.topics[1], 16): decode_event(log.topics, log.data) for log in _final(vault, *CLAIMED)}
    for taken, event in shown.items():
        assert event is not None, "its name was read from its topics"
        said = (event.arguments["claim"], bytes(event.arguments["evidence"]).hex())
        if said == (instruction.amount_base_units, evidence):
            return f"the chain shows this claim under number {taken}"
    next_ = max(shown, default=0) + 1
    others = Approval.objects.filter(kind=Approval.Kind.CLAIM, body__message__vault=vault, body__message__nonce=number)
    others = others.exclude(signature="").exclude(instruction__state=ChainInstruction.State.FAILED)
    return _off(number, next_, next_, others.exists())


def off_cap(act: ChainAct, house: str, number: int) -> str:
    """The same of an emergency cap of this house. Its event names no number: the transaction that left it does, whose
    signed bytes we have. A change that no bytes of ours show, in a restored database, may have taken a number too."""
    of_house = Approval.objects.filter(kind=Approval.Kind.CAP, body__domain__verifyingContract=house)
    if of_house.filter(act=act).exclude(signature="").exists():
        return "this act has its signature already"
    done = ChainAct.objects.filter(kind=ChainAct.Kind.CAP, chain=act.chain, state=ChainAct.State.DONE)
    asset = body_of(act)["asset"]
    delayed = sum(body_of(one)["asset"] == asset for one in done)
    taken = unknown = 0
    for number_taken in _numbers_taken(house, _final(house, "OutflowCapSet")[1:]):  # the first is the deployment's
        if number_taken is None:
            unknown += 1
        elif number_taken == 0:
            delayed -= 1
        else:
            taken, unknown = number_taken, 0
    lowest = taken + 1
    live = of_house.filter(body__message__nonce=number, act__state__in=ChainAct.UNFINISHED).exclude(signature="")
    return _off(number, lowest, lowest + max(0, unknown - max(0, delayed)), live.exists())


def _numbers_taken(house: str, changes: Sequence[ChainLog]) -> Iterator[int | None]:
    """The number that each of these changes of the cap took; 0 for one under the manager's delay, None where nothing
    proves which it was. Who sends writes down which transaction was for what: only its bytes are believed."""
    attempts = TransactionAttempt.objects.filter(hash__in=[log.transaction_hash for log in changes])
    raw = dict(attempts.values_list("hash", "raw"))
    bound = contract("House")
    for log in changes:
        to, data = _call_of(raw.get(log.transaction_hash, ""), log.transaction_hash)
        if to == house and data[:4] == bound.selector("setOutflowCapNow"):
            yield int(bound.decode_arguments("setOutflowCapNow", data[4:])[1])
        else:
            yield 0 if to == house and data[:4] == bound.selector("setOutflowCap") else None


def _call_of(raw: str, hash_: str) -> tuple[str, bytes]:
    """Which contract a transaction called, with what; nothing where these are not the bytes of that hash."""
    from eth_account.typed_transactions.typed_transaction import TypedTransaction  # see intermediary.typed_data

    signed = bytes.fromhex(raw.removeprefix("0x"))
    if "0x" + keccak(signed).hex() != hash_ or signed[0] != FEE_MARKET:
        return "", b""
    found = TypedTransaction.from_bytes(HexBytes(signed)).as_dict()
    to = bytes(found["to"])
    return to_checksum_address(to) if to else "", bytes(found["data"])


def _off(number: int, lowest: int, highest: int, is_signed: bool) -> str:
    if number < lowest or number > highest + 1:
        return f"the next number is {lowest}, not {number}"
    if number > highest or is_signed:  # the chain may be a claim further than what is recorded of it
        raise NotYet
    return ""


def _final(contract: str, *names: str) -> list[ChainLog]:
    """These events of this contract, in order. Raises NotYet when one is seen and not final, or not by
    all nodes."""
    logs = ChainLog.objects.filter(address=contract, name__in=names, block__canonical=True).select_related("block")
    found = list(logs.order_by("block__number", "log_index"))
    if any(not log.block.finalized or log.refusal.startswith(ChainLog.DISPUTED) for log in found):
        raise NotYet
    return found
