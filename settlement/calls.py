"""From one instruction to one contract call, for everything that is not a batched movement.

Retention and escrow count their servicing acts strictly; the number is read from the contract when the call is made,
while nothing else of the same sender is on its way, and stored with the transaction, so every later attempt carries
the very same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from intermediary.errors import Refusal
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement.bindings import contract, read
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.messages import ref_of
from settlement.models import Approval, ChainTransaction

Kind = ChainInstruction.Kind
FIRST_LOSS_LAYER, SENIOR_LAYER = 0, 1
SETTLED_STATES = (ChainTransaction.State.INCLUDED, ChainTransaction.State.FINAL)


@dataclass(frozen=True)
class ContractCall:
    """Where, what, and the servicing number it uses (None where the contract counts nothing)."""

    to: str
    data: bytes
    contract_seq: int | None = None


def call_of(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    """The call an instruction stands for now. Refuses `bad_instruction` when its arguments do not say which."""
    builder = _BUILDERS.get(Kind(instruction.kind))
    if builder is None:
        raise Refusal("bad_instruction", f"{instruction.kind} is not a single call.")
    try:
        return builder(chain, instruction, approval)
    except (KeyError, ValueError) as error:
        raise Refusal("bad_instruction", f"{instruction.kind}: {type(error).__name__} {error}") from error


def _house(instruction: ChainInstruction) -> str:
    return address_of("House", instruction.target.asset_id)


def _to_house(instruction: ChainInstruction, function: str, *arguments: Any, seq: int | None = None) -> ContractCall:
    return ContractCall(_house(instruction), contract("House").encode(function, arguments), seq)


def evidence_of(instruction: ChainInstruction) -> bytes:
    """The 32 bytes under which the chain keeps it: its evidence, else what leads back to its entry."""
    stated = str(instruction.arguments.get("evidence") or ref_of(instruction))
    evidence = bytes.fromhex(stated.removeprefix("0x"))
    if len(evidence) != 32:
        raise ValueError("evidence is not 32 bytes")
    return evidence


def _next_seq(chain: Chain, instruction: ChainInstruction, name: str) -> int:
    return int(read(chain, instruction.target.address, name, "seq")) + 1


def by_layer(instruction: ChainInstruction, side: str) -> tuple[int, int]:
    """(first loss, senior): the amount on the layer that `source` or `destination` names."""
    amount, layer = instruction.amount_base_units, instruction.arguments[side]
    if layer == AccountKind.FIRST_LOSS:
        return amount, 0
    if layer == AccountKind.SENIOR_RETENTION:
        return 0, amount
    raise ValueError(f"{layer} is not a layer of a retention")


def _notice(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    if approval is None or not approval.signature:
        raise Refusal("bad_instruction", "A notice goes out with a second key's signature only.")
    vault = instruction.target.address
    function = "raiseClaim" if read(chain, vault, "MarginVault", "noticeLive") else "noticeDefault"
    signature = bytes.fromhex(approval.signature[2:])
    claim = (vault, instruction.amount_base_units, evidence_of(instruction))
    return _to_house(instruction, function, *claim, approval.signer, signature)


def _seize(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    return _to_house(instruction, "seize", instruction.target.address)


def _release_notice(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    vault = instruction.target.address
    _, _, claim = read(chain, vault, "MarginVault", "state")
    return _to_house(instruction, "determine" if claim["seized"] else "withdrawNotice", vault)


def _fund(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    first_loss, _ = by_layer(instruction, "destination")
    layer = FIRST_LOSS_LAYER if first_loss else SENIOR_LAYER
    amount, evidence = instruction.amount_base_units, evidence_of(instruction)
    return _to_house(instruction, "fundRetention", instruction.target.address, layer, amount, evidence)


def _apply(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    seq = _next_seq(chain, instruction, "Retention")
    arguments = (seq, *by_layer(instruction, "source"), evidence_of(instruction))
    return ContractCall(instruction.target.address, contract("Retention").encode("applyLoss", arguments), seq)


def _restore(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    seq = _next_seq(chain, instruction, "Retention")
    layers = by_layer(instruction, "destination")
    arguments = (instruction.target.address, seq, *layers, evidence_of(instruction))
    return _to_house(instruction, "restore", *arguments, seq=seq)


def _to_escrow(chain: Chain, instruction: ChainInstruction, function: str, *arguments: Any) -> ContractCall:
    seq = _next_seq(chain, instruction, "SeriesEscrow")
    data = contract("SeriesEscrow").encode(function, (seq, *arguments))
    return ContractCall(instruction.target.address, data, seq)


def _notice_loss(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    arguments = (int(instruction.arguments["slice"]), instruction.amount_base_units, evidence_of(instruction))
    return _to_escrow(chain, instruction, "noticeLoss", *arguments)


def _apply_loss(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    sent = ChainTransaction.objects.filter(
        instruction_id=instruction.arguments["notice"], state__in=SETTLED_STATES, succeeded=True
    ).first()
    if sent is None or sent.contract_seq is None:
        raise Refusal("notice_not_on_chain", "The loss notice is not on chain yet.")
    return _to_escrow(chain, instruction, "applyLoss", sent.contract_seq)


def _write_up(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    seq = _next_seq(chain, instruction, "SeriesEscrow")
    slice_index, amount = int(instruction.arguments["slice"]), instruction.amount_base_units
    arguments = (instruction.target.address, seq, slice_index, amount, evidence_of(instruction))
    return _to_house(instruction, "writeUp", *arguments, seq=seq)


def _coupon(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    seq = _next_seq(chain, instruction, "SeriesEscrow")
    tranche, amount = int(instruction.arguments["tranche"]), instruction.amount_base_units
    arguments = (instruction.target.address, seq, tranche, amount, evidence_of(instruction))
    return _to_house(instruction, "payCoupon", *arguments, seq=seq)


def _repay(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    slice_index, tranche = int(instruction.arguments["slice"]), int(instruction.arguments["tranche"])
    arguments = (slice_index, tranche, instruction.amount_base_units, evidence_of(instruction))
    return _to_escrow(chain, instruction, "repay", *arguments)


def _dispose(chain: Chain, instruction: ChainInstruction, approval: Approval | None) -> ContractCall:
    assert instruction.target.kind == ChainTarget.Kind.HOUSE, "disposal pays out of a house"
    payee, amount = str(instruction.arguments["account"]), instruction.amount_base_units
    if payee == "market":
        return _to_house(instruction, "dispose", amount, evidence_of(instruction))
    return _to_house(instruction, "payTreasury", address_of(f"payee:{payee}"), amount, evidence_of(instruction))


_Builder = Callable[[Chain, ChainInstruction, Approval | None], ContractCall]
_BUILDERS: dict[ChainInstruction.Kind, _Builder] = {
    Kind.NOTICE: _notice,
    Kind.SEIZE: _seize,
    Kind.RELEASE_NOTICE: _release_notice,
    Kind.FUND: _fund,
    Kind.APPLY: _apply,
    Kind.RESTORE: _restore,
    Kind.NOTICE_LOSS: _notice_loss,
    Kind.APPLY_LOSS: _apply_loss,
    Kind.WRITE_UP: _write_up,
    Kind.COUPON: _coupon,
    Kind.REPAY: _repay,
    Kind.DISPOSE: _dispose,
}
