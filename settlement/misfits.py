"""Why an amount differs, as far as the logs tell: a token that kept something back, dust, or not known.

A token with a fee delivers less than the contract's own log says was moved: the transfers in the transaction of a
movement then add up to less than its `Moved`. Dust is a difference smaller than any payment here can be, whichever side
has it: somebody sent a few base units to a contract that nobody sends to, or a token pays tiny interest. Tolerance is
zero for both: they are breaks like any other, under a name that says what to do.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from intermediary.models import ChainInstruction, ChainTarget
from settlement import chains
from settlement.bindings import decode_event
from settlement.breaks import ReconciliationBreak, ReconciliationRun
from settlement.messages import KIND_CODE
from settlement.models import ChainLog

if TYPE_CHECKING:
    from settlement.comparisons import Holder

Kind, Moves = ReconciliationBreak.Kind, ChainInstruction.Kind
AMOUNTS = (Kind.AMOUNT, Kind.FEE_ON_TRANSFER, Kind.DUST)
# Of any token here: a hundredth of a cent of USDC, a tenth of one of a bitcoin at 100,000. Payments are rounded to
# cents and more.
DUST_BASE_UNITS = 100


def kind_of(place: str, ledger: int, on_chain: int, target: "Holder", block_number: int) -> ReconciliationBreak.Kind:
    """The kind of an amount that differs. An open break keeps its kind while the difference stays as it was."""
    known = ReconciliationBreak.objects.filter(
        chain=chains.here(), place=place[:120], kind__in=AMOUNTS, resolved_block=None
    ).first()
    missing = ledger - on_chain
    if known is not None and int(known.ledger_value) - int(known.chain_value) == missing:
        return Kind(known.kind)
    if missing > 0 and _kept_back(target, block_number):
        return Kind.FEE_ON_TRANSFER
    return Kind.DUST if abs(missing) <= DUST_BASE_UNITS else Kind.AMOUNT


def _kept_back(target: "Holder", block_number: int) -> int:
    """Base units that movements towards this contract lost on the way since the last comparison."""
    last = ReconciliationRun.objects.filter(block_number__lt=block_number).first()
    logs = ChainLog.objects.filter(
        block__canonical=True, block__number__gt=last.block_number if last else -1, block__number__lte=block_number
    )
    to_house = target.kind == ChainTarget.Kind.HOUSE
    movements = logs.filter(name="Moved") if to_house else logs.filter(name="Moved", address=target.address)
    vaults = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT, asset_id=target.asset_id)
    said: dict[str, int] = defaultdict(int)
    for row in movements.filter(address__in=vaults.values("address")):
        event = decode_event(row.topics, row.data)
        if event is not None and event.arguments["kind"] == KIND_CODE[Moves.DEBIT if to_house else Moves.CREDIT]:
            said[row.transaction_hash] += event.arguments["amount"]
    arrived = logs.filter(name="Transfer", address=target.token_address, transaction_hash__in=said)
    for row in arrived:
        event = decode_event(row.topics, row.data)
        if event is not None and event.arguments["to"] == target.address:
            said[row.transaction_hash] -= event.arguments["value"]
    return sum(left for left in said.values() if left > 0)
