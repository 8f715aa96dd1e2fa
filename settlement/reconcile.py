"""Ledger and chain compared at a final block, tolerance zero.

What the ledger says lies in a contract is the sum of its accounts there, plus what is instructed and has not moved
yet, plus (for a house) receipts nobody has booked. All of that is read in one statement, so the books cannot move in
between; the chain is read at the block the books are final at. A difference opens a break; agreement closes it.
Each vault, retention and series is compared by itself, so that no shortfall hides behind another's surplus.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from intermediary.errors import Refusal
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, Delivery
from intermediary.models.journal import ESCROW_KINDS, HOUSE_KINDS, RETENTION_KINDS, VAULT_KINDS
from settlement import holding
from settlement.bindings import contract
from settlement.chain import Call, Chain
from settlement.escrows import is_on_risk, standing
from settlement.models import (
    Approval,
    Batch,
    BatchMovement,
    ChainBlock,
    ChainLog,
    ReconciliationBreak,
    ReconciliationRun,
)

Kind = ReconciliationBreak.Kind
TargetKind = ChainTarget.Kind
View = tuple[str, str, str, list[Any]]  # address, contract, function, arguments
# (place, cell, asset) -> base units; the place is an account kind, or "receipt".
Books = dict[tuple[str, UUID | None, str], int]

_BOOKS = """
    SELECT place, cell_id, asset_id, sum(amount) FROM (
        SELECT kind AS place, cell_id, asset_id, balance_base_units AS amount FROM intermediary_account
        UNION ALL
        SELECT i.arguments ->> 'source', i.cell_id, t.asset_id, i.amount_base_units
        FROM intermediary_chaininstruction i JOIN intermediary_chaintarget t ON t.id = i.target_id
        WHERE i.entry_id IS NOT NULL AND i.state IN ('DRAFT', 'BATCHED', 'INCLUDED')
        UNION ALL
        SELECT 'receipt', NULL, r.asset_id, r.amount_base_units FROM settlement_housereceipt r
        WHERE NOT EXISTS (SELECT FROM intermediary_journalentry e WHERE e.id = r.entry_key)
    ) AS lying GROUP BY place, cell_id, asset_id
"""


@dataclass(frozen=True)
class Comparison:
    """One thing said twice."""

    kind: ReconciliationBreak.Kind
    place: str
    ledger: str
    chain: str
    cell_id: UUID | None = None
    asset_id: str | None = None

    @property
    def agrees(self) -> bool:
        return self.ledger == self.chain


def run(chain: Chain, block: ChainBlock) -> ReconciliationRun:
    """Compare everything at `block`, the last one whose events the ledger holds; opens and closes breaks."""
    targets = list(ChainTarget.objects.select_related("asset"))
    with connection.cursor() as cursor:
        cursor.execute(_BOOKS)
        books: Books = {(place, cell, asset): int(amount) for place, cell, asset, amount in cursor.fetchall()}
    found = [
        *_balances(chain, block, [target for target in targets if target.kind != TargetKind.NOTE], books),
        *_numbers(chain, block, targets),
        *_series(chain, block, targets),
        *_open_questions(books),
    ]
    with transaction.atomic():
        return _record(block, found)


def compare_witnesses(chain: Chain, witnesses: Sequence[Chain], block: ChainBlock) -> None:
    """Open a break when another node has another block at this final height; close it when all agree again."""
    found = [
        Comparison(Kind.WITNESSES, f"block by {witness.url}", block.hash, _hash_at(witness, block.number))
        for witness in witnesses
    ]
    with transaction.atomic():
        _open_and_close(block.number, found, [Kind.WITNESSES])


def agreed_until(witnesses: Sequence[Chain], tip: ChainBlock | None) -> datetime | None:
    """The time of the last block we read, if every witness has it; where one has not read so far, of that one's own
    last block, if we have it too. None where they differ, or one does not answer."""
    if tip is None:
        return None
    found = tip
    for witness in witnesses:
        try:
            theirs = witness.block("latest")
            if theirs is not None and int(theirs["number"], 16) > tip.number:
                theirs = witness.block(tip.number)
        except Refusal:
            return None
        shared = ChainBlock.objects.filter(hash=theirs["hash"], canonical=True).first() if theirs else None
        if shared is None:
            return None
        found = min(found, shared, key=lambda block: block.number)
    return found.block_time


def latest_final() -> ChainBlock:
    """The last final block that was read. Refuses before there is one."""
    block = ChainBlock.objects.filter(finalized=True).order_by("-number").first()
    if block is None:
        raise Refusal("nothing_final", "No final block has been read yet.")
    return block


def _hash_at(witness: Chain, number: int) -> str:
    try:
        header = witness.block(number)
    except Refusal as error:
        return error.code
    return header["hash"] if header else "unknown"


def _balances(chain: Chain, block: ChainBlock, targets: Sequence[ChainTarget], books: Books) -> Iterable[Comparison]:
    held = _read(
        chain,
        [(target.asset.token_address, "DemoUSDC", "balanceOf", [target.address]) for target in targets],
        block.number,
    )
    balance_of = {target.id: found or 0 for target, found in zip(targets, held, strict=True)}
    for target in targets:
        if target.kind == TargetKind.VAULT:
            yield _compare_cell(target, VAULT_KINDS, books, balance_of[target.id])
        elif target.kind == TargetKind.RETENTION:
            yield _compare_cell(target, RETENTION_KINDS, books, balance_of[target.id])
    for asset in sorted({target.asset_id for target in targets}):
        of_asset = [target for target in targets if target.asset_id == asset]
        houses = sum(balance_of[target.id] for target in of_asset if target.kind == TargetKind.HOUSE)
        escrows = sum(balance_of[t.id] for t in of_asset if t.kind == TargetKind.ESCROW and is_on_risk(t))
        yield _compare_total("house", (*HOUSE_KINDS, "receipt"), books, asset, houses)
        yield _compare_total("escrows", ESCROW_KINDS, books, asset, escrows)


def _compare_cell(target: ChainTarget, kinds: Sequence[AccountKind], books: Books, on_chain: int) -> Comparison:
    in_ledger = sum(books.get((kind.value, target.cell_id, target.asset_id), 0) for kind in kinds)
    place = f"{target.kind.lower()} {target.address}"
    return Comparison(Kind.AMOUNT, place, str(in_ledger), str(on_chain), target.cell_id, target.asset_id)


def _compare_total(place: str, kinds: Sequence[str], books: Books, asset: str, on_chain: int) -> Comparison:
    wanted = {str(kind) for kind in kinds}
    in_ledger = sum(amount for (kind, _, code), amount in books.items() if code == asset and kind in wanted)
    return Comparison(Kind.AMOUNT, f"{place} {asset}", str(in_ledger), str(on_chain), None, asset)


def _numbers(chain: Chain, block: ChainBlock, targets: Sequence[ChainTarget]) -> Iterable[Comparison]:
    """Vault numbers and the houses' hash chains: no movement is missing on either side."""
    vaults = [target for target in targets if target.kind == TargetKind.VAULT]
    settled = BatchMovement.objects.filter(outcome=BatchMovement.Outcome.SETTLED)
    last = dict(settled.values_list("vault_id").annotate(last=Max("contract_seq")))
    live = _read(chain, [(vault.address, "MarginVault", "seq", []) for vault in vaults], block.number)
    for vault, seq in zip(vaults, live, strict=True):
        seq = seq or 0
        place = f"vault {vault.address}"
        ours = last.get(vault.id, 0)
        kind = Kind.MISSING_ON_CHAIN if ours > seq else Kind.MISSING_IN_LEDGER
        yield Comparison(kind, place, str(ours), str(seq), vault.cell_id, vault.asset_id)
    houses = [target for target in targets if target.kind == TargetKind.HOUSE]
    heads = _read(chain, [(house.address, "House", "head", []) for house in houses], block.number)
    for house, head in zip(houses, heads, strict=True):
        batch = Batch.objects.filter(house=house, state=Batch.State.FINAL).order_by("-number").first()
        ours = batch.head if batch else "0x" + bytes(32).hex()
        yield Comparison(
            Kind.HEAD, f"house {house.address}", ours, f"0x{(head or bytes(32)).hex()}", None, house.asset_id
        )


def _series(chain: Chain, block: ChainBlock, targets: Sequence[ChainTarget]) -> Iterable[Comparison]:
    """Each series on risk: its cash, what it owes its holders, and principal, loss and supply of each class."""
    for escrow in (target for target in targets if target.kind == TargetKind.ESCROW and is_on_risk(target)):
        series, now = escrow.creation["series"], standing(escrow)
        notes = [note for note in targets if note.kind == TargetKind.NOTE and note.creation["series"] == series]
        said = [("cash", escrow.asset.token_address, "DemoUSDC", "balanceOf", [escrow.address], now.cash)]
        said.append(("owed", escrow.address, "SeriesEscrow", "owedTotal", [], now.owed))
        for note in notes:
            tranche = note.creation["tranche"]
            principal, lost = now.of_tranche(tranche)
            for function, ours in (
                ("principal", principal),
                ("writtenDown", lost),
                ("totalSupply", sum(slice_["principal_base_units"][tranche] for slice_ in escrow.creation["slices"])),
            ):
                said.append((f"{function} of class {tranche}", note.address, "TrancheNote", function, [], ours))
        live = _read(chain, [view[1:5] for view in said], block.number)
        for (what, *_, ours), found in zip(said, live, strict=True):
            place = f"series {series}: {what}"
            yield Comparison(Kind.AMOUNT, place, str(ours), str(found or 0), None, escrow.asset_id)


def _open_questions(books: Books) -> Iterable[Comparison]:
    """What needs a person although the sums agree."""
    for (place, cell_id, asset), amount in books.items():
        if place == AccountKind.SUSPENSE and amount:
            yield Comparison(Kind.UNKNOWN_SENDER, f"suspense {cell_id} {asset}", "0", str(amount), cell_id, asset)
    unbooked = ChainLog.objects.filter(applied=False, block__canonical=True, block__finalized=True)
    for row in unbooked:
        place = f"{row.name} {row.transaction_hash} {row.log_index}"
        yield Comparison(Kind.NOT_APPLIED, place, row.refusal[:100], "final", row.cell_id)
    for held in holding.for_a_person().select_related("instruction"):
        place = f"{held.instruction.kind} {held.instruction_id}"
        yield Comparison(Kind.CALL, place, held.instruction.state, held.reason[:100], held.instruction.cell_id)
    for batch in holding.stuck_batches().select_related("house"):
        place = f"batch {batch.number} of {batch.house.address}"
        yield Comparison(Kind.CALL, place, batch.state, batch.refusal[:100], None, batch.house.asset_id)
    for lost in Delivery.objects.filter(state=Delivery.State.FAILED).select_related("event"):
        place = f"{lost.event.kind} for {lost.consumer} {lost.id}"
        yield Comparison(Kind.DELIVERY, place, lost.state, lost.error[:100], lost.event.cell_id)
    for approval in Approval.objects.filter(refusal__isnull=False):
        for instruction in _still_waiting(approval):
            place = f"{instruction.kind} {instruction.id}"
            yield Comparison(Kind.APPROVAL, place, instruction.state, "not approved", instruction.cell_id)


def _still_waiting(approval: Approval) -> Iterable[ChainInstruction]:
    named = [key for key in (approval.refusal or {}) if len(key) == 36]  # the others name no instruction
    return ChainInstruction.objects.filter(id__in=named, state__in=["DRAFT", "BATCHED"]).exclude(
        movements__outcome__in=["PENDING", "SETTLED"]
    )


def _read(chain: Chain, views: Sequence[View], block_number: int) -> list[Any]:
    """What each view said at that block; None where there was no contract yet."""
    calls: list[Call] = [
        contract(name).call(address, function, arguments, block_number) for address, name, function, arguments in views
    ]
    return [
        contract(name).decode_result(function, bytes.fromhex(answer[2:])) if len(answer) > 2 else None
        for (_, name, function, _), answer in zip(views, chain.batch(calls), strict=True)
    ]


def _record(block: ChainBlock, found: Sequence[Comparison]) -> ReconciliationRun:
    kinds = [kind for kind in Kind if kind != Kind.WITNESSES]
    breaks = _open_and_close(block.number, found, kinds)
    return ReconciliationRun.objects.create(
        block_number=block.number, block_hash=block.hash, comparisons=len(found), breaks=breaks
    )


def _open_and_close(block_number: int, found: Sequence[Comparison], kinds: Sequence[str]) -> int:
    """Make the open breaks of these kinds exactly those found; how many are open."""
    off = {(comparison.kind, comparison.place[:120]): comparison for comparison in found if not comparison.agrees}
    for known in ReconciliationBreak.objects.filter(kind__in=kinds, resolved_block=None):
        comparison = off.pop((Kind(known.kind), known.place), None)
        if comparison is None:
            known.resolved_block = block_number
        else:
            known.ledger_value, known.chain_value = comparison.ledger[:100], comparison.chain[:100]
        known.save(update_fields=["resolved_block", "ledger_value", "chain_value"])
    ReconciliationBreak.objects.bulk_create(
        ReconciliationBreak(
            kind=comparison.kind,
            place=place,
            cell_id=comparison.cell_id,
            asset_id=comparison.asset_id,
            ledger_value=comparison.ledger[:100],
            chain_value=comparison.chain[:100],
            first_block=block_number,
        )
        for (_, place), comparison in off.items()
    )
    return ReconciliationBreak.objects.filter(kind__in=kinds, resolved_block=None).count()
