"""What the ledger says of each contract, and what the chain says of it, at one final block.

What the ledger says lies in a contract is the sum of its accounts there, plus what is instructed and has not moved
yet, plus (for a house) receipts nobody has booked. All of that is read in one statement, so the books cannot move in
between; the chain is read at the block the books are final at. Each vault, retention and series is compared by itself,
so that no shortfall hides behind another's surplus.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Q, Subquery

from intermediary.models import Asset, ChainTarget
from intermediary.models.bulk import TIMES
from intermediary.models.journal import ESCROW_KINDS, HOUSE_KINDS, RETENTION_KINDS, VAULT_KINDS
from settlement import chains, misfits
from settlement.breaks import ReconciliationBreak
from settlement.chain import Chain
from settlement.escrows import is_on_risk, standing
from settlement.models import Batch, BatchMovement, ChainBlock
from settlement.packing import LIVE
from settlement.views import View, read_words, view

Kind = ReconciliationBreak.Kind
TargetKind = ChainTarget.Kind
# (place, cell, asset) -> base units; the place is an account kind, or "receipt".
Books = dict[tuple[str, UUID | None, str], int]
OF_KIND = {TargetKind.VAULT: VAULT_KINDS, TargetKind.RETENTION: RETENTION_KINDS}
ZERO_HASH = "0x" + bytes(32).hex()

_BOOKS = """
    SELECT place, cell_id, asset_id, sum(amount) FROM (
        SELECT kind AS place, cell_id, asset_id, balance_base_units AS amount FROM intermediary_account
        UNION ALL
        SELECT i.arguments ->> 'source', i.cell_id, t.asset_id, i.amount_base_units
        FROM intermediary_chaininstruction i JOIN intermediary_chaintarget t ON t.id = i.target_id
        WHERE i.entry_id IS NOT NULL AND i.is_open
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


@dataclass(frozen=True)
class Holding:
    """What one contract holds by either side, base units, and for a vault the number of its last movement."""

    target: ChainTarget
    ledger: int
    chain: int
    ledger_seq: int | None = None
    chain_seq: int | None = None


@dataclass(frozen=True)
class Compared:
    """Everything that was compared at a block."""

    comparisons: list[Comparison]
    holdings: list[Holding]
    books: Books


def compare(chain: Chain, block: ChainBlock) -> Compared:
    """Read both sides in full."""
    targets = _targets()
    books = _books()
    holdings = _holdings(chain, block.number, targets, books)
    found = [*_amounts(holdings, block), *_numbers(holdings), *_totals(holdings, targets, books, block)]
    found += _houses(chain, block, targets)
    found += _series(chain, block, targets)
    return Compared(found, [one for one in holdings if one.target.kind in OF_KIND], books)


def _targets() -> list[ChainTarget]:
    """The contracts of this chain, with their assets. What the addresses of vaults commit to concerns nobody here."""
    here = ChainTarget.objects.filter(asset__chain__in=chains.asset_chains()).defer(*TIMES)
    of_series = Q(kind__in=(TargetKind.ESCROW, TargetKind.NOTE))
    targets = [*here.exclude(of_series).defer(*TIMES, "creation"), *here.filter(of_series)]
    assets = Asset.objects.in_bulk({target.asset_id for target in targets})
    for target in targets:
        target.asset = assets[target.asset_id]
    return targets


def _books() -> Books:
    with connection.cursor() as cursor:
        cursor.execute(_BOOKS)
        return {(place, cell, asset): int(amount) for place, cell, asset, amount in cursor.fetchall()}


def _holdings(chain: Chain, block: int, targets: Sequence[ChainTarget], books: Books) -> list[Holding]:
    """Every contract that holds tokens; a house and an escrow by the chain's side alone."""
    holders = [target for target in targets if target.kind != TargetKind.NOTE]
    vaults = [target for target in targets if target.kind == TargetKind.VAULT]
    asked = [view(one.asset.token_address, "DemoUSDC", "balanceOf", one.address) for one in holders]
    words = read_words(chain, asked + [view(one.address, "MarginVault", "seq") for one in vaults], block)
    last = _last_movements()
    numbers = {vault.id: word or 0 for vault, word in zip(vaults, words[len(holders) :], strict=True)}
    found = []
    for target, word in zip(holders, words, strict=False):
        kinds = OF_KIND.get(TargetKind(target.kind), ())
        ledger = sum(books.get((kind.value, target.cell_id, target.asset_id), 0) for kind in kinds)
        ours = last.get(target.id, 0) if target.id in numbers else None
        found.append(Holding(target, ledger, word or 0, ours, numbers.get(target.id)))
    return found


def _last_movements() -> dict[UUID, int]:
    """Number of the last settled movement of each vault. By the unique key of live movements, one look a vault: a
    grouping would read every movement there ever was."""
    live = BatchMovement.objects.filter(vault=OuterRef("pk"), outcome__in=LIVE)
    settled = live.filter(outcome=BatchMovement.Outcome.SETTLED).order_by("-contract_seq")
    vaults = ChainTarget.objects.filter(kind=TargetKind.VAULT).annotate(
        last=Subquery(settled.values("contract_seq")[:1])
    )
    return {key: number for key, number in vaults.values_list("id", "last") if number is not None}


def _amounts(holdings: Sequence[Holding], block: ChainBlock) -> Iterator[Comparison]:
    for one in holdings:
        target = one.target
        if target.kind in OF_KIND:
            place = f"{target.kind.lower()} {target.address}"
            yield _amount(place, one.ledger, one.chain, target, block, target.cell_id)


def _amount(
    place: str, ledger: int, on_chain: int, target: ChainTarget, block: ChainBlock, cell_id: UUID | None = None
) -> Comparison:
    """Under the kind that says best why it differs, if it does."""
    kind = Kind.AMOUNT if ledger == on_chain else misfits.kind_of(place, ledger, on_chain, target, block.number)
    return Comparison(kind, place, str(ledger), str(on_chain), cell_id, target.asset_id)


def _numbers(holdings: Sequence[Holding]) -> Iterator[Comparison]:
    """No movement is missing on either side."""
    for one in holdings:
        if one.ledger_seq is not None and one.chain_seq is not None:
            kind = Kind.MISSING_ON_CHAIN if one.ledger_seq > one.chain_seq else Kind.MISSING_IN_LEDGER
            place, about = f"vault {one.target.address}", (one.target.cell_id, one.target.asset_id)
            yield Comparison(kind, place, str(one.ledger_seq), str(one.chain_seq), *about)


def _totals(
    holdings: Sequence[Holding], targets: Sequence[ChainTarget], books: Books, block: ChainBlock
) -> Iterator[Comparison]:
    """Houses and escrows hold the tokens of many cells: by token."""
    places = (("house", TargetKind.HOUSE, (*HOUSE_KINDS, "receipt")), ("escrows", TargetKind.ESCROW, ESCROW_KINDS))
    for asset in sorted({target.asset_id for target in targets}):
        for place, kind, accounts in places:
            of_kind = [one for one in holdings if one.target.kind == kind and one.target.asset_id == asset]
            on_chain = sum(one.chain for one in of_kind if kind == TargetKind.HOUSE or is_on_risk(one.target))
            wanted = {str(account) for account in accounts}
            in_ledger = sum(
                amount for (account, _, code), amount in books.items() if code == asset and account in wanted
            )
            if of_kind:
                yield _amount(f"{place} {asset}", in_ledger, on_chain, of_kind[0].target, block)
            else:
                yield Comparison(Kind.AMOUNT, f"{place} {asset}", str(in_ledger), "0", None, asset)


def _houses(chain: Chain, block: ChainBlock, targets: Sequence[ChainTarget]) -> Iterator[Comparison]:
    """How many batches each house took, and their hash chain."""
    houses = [target for target in targets if target.kind == TargetKind.HOUSE]
    asked = [view(house.address, "House", what) for house in houses for what in ("batchId", "head")]
    words = read_words(chain, asked, block.number)
    for house, taken, head in zip(houses, words[::2], words[1::2], strict=True):
        batch = Batch.objects.filter(house=house, state=Batch.State.FINAL).order_by("-number").first()
        ours = batch.number if batch else 0
        place, about = f"house {house.address}", (None, house.asset_id)
        kind = Kind.MISSING_ON_CHAIN if ours > (taken or 0) else Kind.MISSING_IN_LEDGER
        yield Comparison(kind, f"{place}: batches", str(ours), str(taken or 0), *about)
        on_chain = "0x" + (head or 0).to_bytes(32, "big").hex()
        yield Comparison(Kind.HEAD, place, batch.head if batch else ZERO_HASH, on_chain, *about)


def _series(chain: Chain, block: ChainBlock, targets: Sequence[ChainTarget]) -> Iterable[Comparison]:
    """Each series on risk: its cash, what it owes its holders, principal of each slice, and principal, loss, repaid and
    supply of each class."""
    for escrow in (target for target in targets if target.kind == TargetKind.ESCROW and is_on_risk(target)):
        series, said = escrow.creation["series"], list(_said_of(escrow, targets))
        live = read_words(chain, [asked for _, asked, _ in said], block.number)
        for (what, _, ours), found in zip(said, live, strict=True):
            place = f"series {series}: {what}"
            yield Comparison(Kind.AMOUNT, place, str(ours), str(found or 0), None, escrow.asset_id)


def _said_of(escrow: ChainTarget, targets: Sequence[ChainTarget]) -> Iterator[tuple[str, View, int]]:
    """(what, where the chain says it, what the ledger says) of one series."""
    series, now = escrow.creation["series"], standing(escrow)
    yield "cash", view(escrow.asset.token_address, "DemoUSDC", "balanceOf", escrow.address), now.cash
    yield "owed", view(escrow.address, "SeriesEscrow", "owedTotal"), now.owed
    for index, parts in enumerate(now.principal):  # ring-fenced: a loss of one relationship touches its own slice alone
        yield f"principal of slice {index}", view(escrow.address, "SeriesEscrow", "slicePrincipal", index), sum(parts)
    for note in targets:
        if note.kind == TargetKind.NOTE and note.creation["series"] == series:
            tranche = note.creation["tranche"]
            principal, lost = now.of_tranche(tranche)
            issued = sum(slice_["principal_base_units"][tranche] for slice_ in escrow.creation["slices"])
            functions = {"principal": principal, "writtenDown": lost, "redeemed": issued - principal - lost}
            for function, ours in (functions | {"totalSupply": issued}).items():
                yield f"{function} of class {tranche}", view(note.address, "TrancheNote", function), ours
