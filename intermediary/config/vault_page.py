"""A client's own vaults as ledger and chain have them: both sides, how far they were compared, what differs, what moved
with its transaction, and the margin statement with a check in the client's own browser. Reads rows only; the check asks
the client's own node.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from intermediary.access import not_found
from intermediary.models import Asset, Cell, ChainTarget
from intermediary.portal.deposits import asks_a_wallet, wallet_of
from intermediary.portal.views import context_of, of_cell
from settlement import chains
from settlement.bindings import DecodedEvent, decode_event
from settlement.breaks import ComparedVault, ReconciliationBreak, ReconciliationRun, VaultStatement, exactly
from settlement.models import ChainBlock, ChainLog, Deployment

MOVES_SHOWN = 200  # newest first; all of them are in the statements
BREAKS_SHOWN = 50  # resolved ones too: what once differed is no secret
MOVED_WORDS = {1: "Variation margin received", 2: "Variation margin paid", 3: "Withdrawal"}  # Kind of Terms.sol
WORDS = {"Transfer": "Deposit", "Withdrawn": "Taken out by you", "Seized": "Seized after default", "Cured": "Cure paid"}
AMOUNT_OF = {"Transfer": "value", "Moved": "amount", "Withdrawn": "amount", "Seized": "amount", "Cured": "amount"}


@dataclass(frozen=True)
class Move:
    """One transfer in or out of a vault, as the chain tells it."""

    at: datetime
    words: str
    amount: str
    state: str
    block: int
    transaction_hash: str


@asks_a_wallet
@require_safe
@of_cell
def vault(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The page."""
    rows = ComparedVault.objects.filter(cell=cell).select_related("target__asset").order_by("-target__kind", "id")
    runs = {name: ReconciliationRun.everywhere.filter(chain=name).first() for name in chains.names()}
    compared = [(row, runs.get(row.target.asset.chain or chains.names()[0])) for row in rows]
    statements = VaultStatement.objects.filter(cell=cell).select_related("target__asset").order_by("id")
    run = compared[0][1] if compared else None
    breaks = ReconciliationBreak.objects.filter(cell=cell).select_related("asset").order_by("-id")[:BREAKS_SHOWN]
    context = {
        "compared": compared,
        "run": run,
        "run_block": ChainBlock.everywhere.filter(hash=run.block_hash).first() if run else None,
        "differing": [row for row in breaks if row.resolved_block is None],
        "resolved": [row for row in breaks if row.resolved_block is not None],
        "moves": list(_moves(cell)),
        "statements": statements,
        "statement": statements[0].body if statements else None,
    }
    return render(request, "portal/vault.html", context_of(cell) | context | wallet_of(request))


@require_safe
@of_cell
def statement(request: HttpRequest, cell: Cell, asset: str) -> HttpResponse:
    """The latest margin statement of one vault, as a file."""
    found = VaultStatement.objects.filter(cell=cell, target__asset_id=asset).first()
    if found is None:
        raise not_found()
    answer = JsonResponse(found.body, json_dumps_params={"indent": 2})
    name = f"{cell.code}-{asset}-batch-{found.batch_number}.json"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _moves(cell: Cell) -> Iterator[Move]:
    """Newest first."""
    assets = {asset.token_address: asset for asset in Asset.objects.exclude(token_address="")}
    vaults = ChainTarget.objects.filter(cell=cell, kind=ChainTarget.Kind.VAULT).select_related("asset")
    of_vault = {vault.address: vault.asset for vault in vaults}
    houses = set(Deployment.everywhere.filter(name="House").values_list("address", flat=True))
    logs = ChainLog.objects.filter(cell=cell, name__in=AMOUNT_OF, block__canonical=True)
    for row in logs.select_related("block").order_by("-block__number", "-log_index")[:MOVES_SHOWN]:
        event = decode_event(row.topics, row.data)
        asset = assets.get(row.address) or of_vault.get(row.address)
        words = _words(event, houses, of_vault) if event else ""
        if event is not None and asset is not None and words:
            amount = event.arguments[AMOUNT_OF[row.name]]
            state = "In suspense" if row.set_aside else "Booked" if row.applied else "Seen, not final"
            where = (state, row.block.number, row.transaction_hash)
            yield Move(row.block.block_time, words, exactly(amount, asset), *where)


def _words(event: DecodedEvent, houses: set[str], vaults: Mapping[str, Asset]) -> str:
    """Empty for what is told elsewhere: a requirement moves nothing, a retention is no vault, and the vault's own log
    says what the house sent."""
    if event.name == "Moved":
        return MOVED_WORDS.get(event.arguments["kind"], "")
    if event.name == "Transfer" and (event.arguments["from"] in houses or event.arguments["to"] not in vaults):
        return ""
    return WORDS[event.name]
