"""The margin statement of a batch: a Merkle root on chain, in which each client checks its own leaf.

What a client gets is a document: its leaf in base units and in plain ones, the siblings that lead to the root, and
where on chain that root stands. It is handed out when the batch is final, and the latest of each vault is kept; any
earlier one is in its batch. `settlement.proving` checks a document, with no database and no word from us.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from intermediary.models import ChainTarget, MarginState
from settlement.breaks import VaultStatement
from settlement.chains import asset_chains
from settlement.documents import AMOUNTS, FORMAT, plain
from settlement.leaves import leaf as leaf
from settlement.leaves import levels, proof_in
from settlement.leaves import root as root
from settlement.models import Batch, ChainLog


def statements_of(vault_of_cell: Mapping[UUID, str]) -> list[dict[str, Any]]:
    """The present margin statement of each cell that has one, in order of the vault's address."""
    states = MarginState.objects.filter(cell_id__among=vault_of_cell).select_related("valuation")
    rows = [
        {
            "vault": vault_of_cell[state.cell_id],
            "exposure": state.exposure_base_units,
            "independent_amount": state.independent_amount_base_units,
            "required": state.required_base_units,
            "held": state.held_base_units,
            "as_of": int(state.valuation.as_of.timestamp()),
        }
        for state in states
    ]
    return sorted(rows, key=lambda row: str(row["vault"]))


def hand_out() -> None:
    """Give every vault its statement of the batches that have become final, in whatever order they did."""
    final = Batch.objects.filter(state=Batch.State.FINAL, handed_out=False, house__asset__chain__in=asset_chains())
    batches = list(final.select_related("approval", "house").order_by("number"))
    if not batches:
        return
    fresh = {str(body["leaf"]["vault"]): body for batch in batches for body in documents(batch)}
    vaults = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT, address__in=fresh)
    handed = dict(VaultStatement.objects.filter(target__in=vaults).values_list("target_id", "batch_number"))
    number_of = {vault.id: int(fresh[vault.address]["batch"]["number"]) for vault in vaults}
    VaultStatement.objects.bulk_create(
        (
            VaultStatement(
                target=vault, cell_id=vault.cell_id, batch_number=number_of[vault.id], body=fresh[vault.address]
            )
            for vault in vaults
            if number_of[vault.id] > handed.get(vault.id, 0)
        ),
        update_conflicts=True,
        unique_fields=["target"],
        update_fields=["batch_number", "body"],
    )
    Batch.objects.filter(id__in=[batch.id for batch in batches]).update(handed_out=True)


def documents(batch: Batch) -> Iterator[dict[str, Any]]:
    """The statement of each vault of a final batch, as it is downloaded. Whole numbers are strings: a script's
    numbers do not reach that far."""
    posted = ChainLog.objects.filter(name="BatchPosted", address=batch.house.address, block__canonical=True)
    log = posted.filter(topics__1=f"0x{batch.number:064x}").select_related("block").first()
    if log is None:
        return
    tree = levels([leaf(row) for row in batch.leaves])
    where = {
        "number": batch.number,
        "transaction": log.transaction_hash,
        "block_number": log.block.number,
        "block_hash": log.block_hash,
    }
    for index, row in enumerate(batch.leaves):
        yield {
            "format": FORMAT,
            "chain_id": batch.approval.body["domain"]["chainId"],
            "house": batch.house.address,
            "batch": where,
            "leaf": row | {name: str(row[name]) for name in AMOUNTS},
            "plain": plain(row),
            "proof": ["0x" + sibling.hex() for sibling in proof_in(tree, index)],
            "root": batch.statement,
        }
