"""Which waiting instruction a call on chain is: by its function, the contract it went to, and everything it says.

The counterpart of `settlement.calls`, for calls that were sent by a database that is no more. Numbers that a contract
counts, and signatures, are not compared: they are of the moment. Two instructions that would have said the very same
cannot be told apart, so neither is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from intermediary.errors import Refusal
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement.bindings import contract
from settlement.calls import by_layer, evidence_of
from settlement.deployment import address_of
from settlement.models import ChainTransaction

Kind = ChainInstruction.Kind
Said = dict[str, Any]


@dataclass(frozen=True)
class Act:
    """One function that instructions of one kind call, and the arguments each of them gives it."""

    contract: str
    function: str
    kind: ChainInstruction.Kind
    said: Callable[[ChainInstruction], Said]


def act_of(calldata: str) -> Act | None:
    """What kind of instruction makes such a call; None for batches, beats and all that no instruction does."""
    return _by_selector().get(bytes.fromhex(calldata[2:10]))


def arguments_of(act: Act, calldata: str) -> Said:
    """What it was called with, by name."""
    bound = contract(act.contract)
    values = bound.decode_arguments(act.function, bytes.fromhex(calldata[10:]))
    names = [field["name"].rstrip("_") for field in bound.functions[act.function]["inputs"]]
    return dict(zip(names, values, strict=True))


def contract_seq_of(calldata: str) -> int | None:
    """The servicing number the call used; None where the contract counts nothing."""
    act = act_of(calldata)
    return arguments_of(act, calldata).get("seq") if act is not None else None


def cited(to: str, calldata: str) -> ChainInstruction | None:
    """The one waiting instruction that makes this call; None when there is none, or more than one."""
    act = act_of(calldata)
    if act is None:
        return None
    waiting = ChainInstruction.objects.filter(is_open=True, kind=act.kind, state=ChainInstruction.State.DRAFT)
    found = [one for one in waiting.select_related("target", "entry") if makes(one, to, calldata)]
    return found[0] if len(found) == 1 else None


def makes(instruction: ChainInstruction, to: str, calldata: str) -> bool:
    """Whether this is the call that the instruction stands for."""
    act = act_of(calldata)
    if act is None or act.kind != instruction.kind:
        return False
    try:
        place = instruction.target.address
        if act.contract == "House":
            place = address_of("House", instruction.target.asset_id)
        return to == place and arguments_of(act, calldata).items() >= act.said(instruction).items()
    except (KeyError, ValueError, Refusal):  # one that no call can be made of is none that was made
        return False


@cache
def _by_selector() -> dict[bytes, Act]:
    return {contract(act.contract).selector(act.function): act for act in ACTS}


def _vault(one: ChainInstruction) -> Said:
    return {"vault": one.target.address}


def _notice(one: ChainInstruction) -> Said:
    return _vault(one) | {"amount": one.amount_base_units, "evidence": evidence_of(one)}


def _fund(one: ChainInstruction) -> Said:
    layer = [AccountKind.FIRST_LOSS, AccountKind.SENIOR_RETENTION].index(one.arguments["destination"])
    return {"retention": one.target.address, "layer": layer, "amount": one.amount_base_units, "ref": evidence_of(one)}


def _apply(one: ChainInstruction) -> Said:
    first_loss, senior = by_layer(one, "source")
    return {"firstLoss": first_loss, "senior": senior, "evidence": evidence_of(one)}


def _restore(one: ChainInstruction) -> Said:
    first_loss, senior = by_layer(one, "destination")
    said = {"firstLoss": first_loss, "senior": senior, "evidence": evidence_of(one)}
    return said | {"retention": one.target.address}


def _notice_loss(one: ChainInstruction) -> Said:
    return {"slice": int(one.arguments["slice"]), "amount": one.amount_base_units, "evidence": evidence_of(one)}


def _apply_loss(one: ChainInstruction) -> Said:
    """Of the notice it names, by the number under which that one went out."""
    sent = ChainTransaction.objects.filter(instruction_id=one.arguments["notice"], contract_seq__isnull=False)
    numbers = set(sent.exclude(succeeded=False).values_list("contract_seq", flat=True))
    if len(numbers) != 1:
        raise ValueError("its notice has no number yet")
    return {"id": numbers.pop()}


def _write_up(one: ChainInstruction) -> Said:
    return _notice_loss(one) | {"escrow": one.target.address}


def _coupon(one: ChainInstruction) -> Said:
    said = {"tranche": int(one.arguments["tranche"]), "amount": one.amount_base_units, "ref": evidence_of(one)}
    return said | {"escrow": one.target.address}


def _repay(one: ChainInstruction) -> Said:
    said = {"slice": int(one.arguments["slice"]), "tranche": int(one.arguments["tranche"])}
    return said | {"amount": one.amount_base_units, "ref": evidence_of(one)}


def _dispose(one: ChainInstruction) -> Said:
    _of_house(one, is_sale=True)
    return {"amount": one.amount_base_units, "ref": evidence_of(one)}


def _pay(one: ChainInstruction) -> Said:
    _of_house(one, is_sale=False)
    payee = address_of(f"payee:{one.arguments['account']}")
    return {"to": payee, "amount": one.amount_base_units, "ref": evidence_of(one)}


def _of_house(one: ChainInstruction, *, is_sale: bool) -> None:
    if one.target.kind != ChainTarget.Kind.HOUSE or (one.arguments["account"] == "market") != is_sale:
        raise ValueError("another way out of a house")


ACTS = (
    Act("House", "noticeDefault", Kind.NOTICE, _notice),
    Act("House", "raiseClaim", Kind.NOTICE, _notice),
    Act("House", "seize", Kind.SEIZE, _vault),
    Act("House", "withdrawNotice", Kind.RELEASE_NOTICE, _vault),
    Act("House", "determine", Kind.RELEASE_NOTICE, _vault),
    Act("House", "fundRetention", Kind.FUND, _fund),
    Act("House", "restore", Kind.RESTORE, _restore),
    Act("House", "writeUp", Kind.WRITE_UP, _write_up),
    Act("House", "payCoupon", Kind.COUPON, _coupon),
    Act("House", "dispose", Kind.DISPOSE, _dispose),
    Act("House", "payTreasury", Kind.DISPOSE, _pay),
    Act("Retention", "applyLoss", Kind.APPLY, _apply),
    Act("SeriesEscrow", "noticeLoss", Kind.NOTICE_LOSS, _notice_loss),
    Act("SeriesEscrow", "applyLoss", Kind.APPLY_LOSS, _apply_loss),
    Act("SeriesEscrow", "repay", Kind.REPAY, _repay),
)
