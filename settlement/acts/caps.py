"""Raising an outflow cap at once: the operator's key sends it, the approver's signs that two people decided on it.

The approver derives the message from the act anew, as it does with batches and claims (`settlement.approver`).
"""

from collections.abc import Mapping
from typing import Any

from intermediary.models import Proposal
from settlement.acts.rows import ChainAct
from settlement.acts.steps import Step, Steps, Wait, says
from settlement.bindings import read
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.messages import cap_message

Body = Mapping[str, Any]
LABEL = "set the cap at once"


def at_once(chain: Chain, act: ChainAct, body: Body) -> Steps:
    """One call under the house's next number, once the approver has signed it. Another emergency change of the same
    house that has the number's signature goes first. Of a step that was made nothing is asked."""
    house, cap = address_of("House", body["asset"]), int(body["cap_base_units"])
    done = (says("House", house, "outflowCap", wanted=cap),)
    nonce = int(read(chain, house, "House", "outflowCapNonce")) + 1
    if act.transactions.filter(step=LABEL, succeeded=True).exists() or done[0].is_so(chain, "latest"):
        yield Step(LABEL, "operator", "House", house, "setOutflowCapNow", (cap, nonce, house, b""), done)
        return
    signed = _approval(chain, act, house, cap, nonce)
    if signed is None:
        yield Wait(LABEL, "waits for the approver's signature")
        return
    if signed.refusal is not None:
        yield Wait(LABEL, f"the approver refuses: {'; '.join(signed.refusal.values())}")
        return
    arguments = (cap, nonce, signed.signer, bytes.fromhex(signed.signature[2:]))
    yield Step(LABEL, "operator", "House", house, "setOutflowCapNow", arguments, done)


def _approval(chain: Chain, act: ChainAct, house: str, cap: int, nonce: int) -> Any:
    """The answered request under this number; None while there is none, which asks for one unless another act did."""
    from settlement.models import Approval  # which names the act

    asked = Approval.objects.filter(act=act, body__message__nonce=nonce).first()
    if asked is None:
        others = Approval.objects.filter(kind=Approval.Kind.CAP, body__domain__verifyingContract=house)
        if others.filter(body__message__nonce=nonce, act__state__in=ChainAct.UNFINISHED, refusal__isnull=True).exists():
            return None
        Approval.objects.create(kind=Approval.Kind.CAP, act=act, body=cap_message(house, chain.id(), cap, nonce))
        return None
    return asked if asked.signature or asked.refusal is not None else None


def expected(act: ChainAct, body: Body, asked: Mapping[str, Any], chain_id: int) -> tuple[dict[str, Any], str]:
    """For the approver: the message that the act stands for, and why it is not to be signed (empty: it is). The number
    is the request's, which `settlement.numbers` judges."""
    house, cap = address_of("House", body["asset"]), int(body["cap_base_units"])
    message = cap_message(house, chain_id, cap, int(asked["message"]["nonce"]))
    decided = act.proposal.state == Proposal.State.APPROVED and act.kind == ChainAct.Kind.CAP_NOW
    if not decided or act.proposal.body != act.body:
        return message, "no two people decided on this cap"
    return message, "" if act.state == ChainAct.State.OPEN else f"the act is {act.state}"
