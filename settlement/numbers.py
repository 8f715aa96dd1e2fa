"""Under which number the approver signs a claim or an emergency cap: the next one by what the chain showed, whatever
the request says.

A vault takes a claim, and a house an emergency cap, under its next number only. A signature under a later one would lie
ready until nobody decides on anything any more, and then be used without a second key. So of what is asked for ahead
nothing is signed, what the chain showed already is not signed again, and the database holds one live signature a number
(`approval_number_is_signed_once`).
"""

from intermediary.models import ChainInstruction
from settlement.acts.plans import body_of
from settlement.acts.rows import ChainAct
from settlement.bindings import decode_event
from settlement.models import Approval, ChainLog
from settlement.signed import NotYet

CLAIMED = ("DefaultNoticed", "ClaimRaised")  # each takes a number of its vault


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
    """The same of an emergency cap of this house. Its event names no number: what was signed before says which it was.
    Changes that neither a signature nor an act accounts for, in a restored database, may have taken numbers too."""
    of_house = Approval.objects.filter(kind=Approval.Kind.CAP, body__domain__verifyingContract=house)
    signed = {one.body["message"]["nonce"]: one for one in of_house.exclude(signature="").order_by("id")}
    shown = [(log.recorded_at, decode_event(log.topics, log.data)) for log in _final(house, "OutflowCapSet")]
    spent = [
        taken
        for taken, one in signed.items()
        if any(
            seen_at > one.signed_at and event is not None and event.arguments["cap"] == one.body["message"]["cap"]
            for seen_at, event in shown
            if one.signed_at is not None
        )
    ]
    if of_house.filter(act=act).exclude(signature="").exists():
        return "this act has its signature already"
    done = ChainAct.objects.filter(kind=ChainAct.Kind.CAP, chain=act.chain, state=ChainAct.State.DONE)
    asset = body_of(act)["asset"]
    delayed = sum(body_of(one)["asset"] == asset for one in done)
    unknown = max(0, len(shown) - 1 - len(spent) - delayed)  # the first is the deployment's
    lowest = max(spent, default=0) + 1
    live = of_house.filter(body__message__nonce=number, act__state__in=ChainAct.UNFINISHED).exclude(signature="")
    return _off(number, lowest, lowest + unknown, live.exists())


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
