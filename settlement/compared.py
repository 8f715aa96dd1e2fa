"""What each client may see of its own vaults: the two sides as they were compared last.

One row a vault or retention, written only when a figure changed; the number of the last run says up to which block it
still holds. So a page reads a row of its own client's and asks no node, and a run over ten thousand vaults of which a
few moved writes those few.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import connection

from intermediary.ids import uuid7
from intermediary.models.bulk import insert_plain
from settlement.breaks import ComparedVault

if TYPE_CHECKING:
    from settlement.comparisons import Holding

_CHANGED = """
    UPDATE settlement_comparedvault AS known SET ledger_base_units = now.ledger_base_units,
        chain_base_units = now.chain_base_units, ledger_seq = now.ledger_seq, chain_seq = now.chain_seq,
        block_number = now.block_number
    FROM jsonb_populate_recordset(NULL::settlement_comparedvault, %s::jsonb) AS now
    WHERE known.target_id = now.target_id
"""


def note(holdings: Sequence["Holding"], block_number: int) -> None:
    """Remember what was compared at this block, as far as it is not known already."""
    changed = [one for one in holdings if one[1:] != one.target[-4:]]
    known = [_figures(one, block_number) for one in changed if one.target.noted_ledger is not None]
    if known:
        with connection.cursor() as cursor:
            cursor.execute(_CHANGED, [json.dumps(known)])
    fresh = [one for one in changed if one.target.noted_ledger is None]
    named = [_figures(one, block_number) | {"id": uuid7(), "cell_id": one.target.cell_id} for one in fresh]
    insert_plain(ComparedVault, named, unless_known=True)


def _figures(one: "Holding", block_number: int) -> dict[str, str | int | None]:
    return {
        "target_id": one.target.id,
        "ledger_base_units": one.ledger,
        "chain_base_units": one.chain,
        "ledger_seq": one.ledger_seq,
        "chain_seq": one.chain_seq,
        "block_number": block_number,
    }
