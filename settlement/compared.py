"""What each client may see of its own vaults: the two sides as they were compared last.

One row a vault or retention, written only when a figure changed; the number of the last run says up to which block it
still holds. So a page reads a row of its own client's and asks no node, and a run over ten thousand vaults of which a
few moved writes those few.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from intermediary.models.bulk import replace_all
from settlement.breaks import ComparedVault

if TYPE_CHECKING:
    from settlement.comparisons import Holding

FIGURES = ("ledger_base_units", "chain_base_units", "ledger_seq", "chain_seq")


def note(holdings: Sequence["Holding"], block_number: int) -> None:
    """Remember what was compared at this block, as far as it is not known already."""
    known = {target_id: figures for target_id, *figures in ComparedVault.objects.values_list("target_id", *FIGURES)}
    changed = []
    for one in holdings:
        figures = [one.ledger, one.chain, one.ledger_seq, one.chain_seq]
        if known.get(one.target.id) != figures:
            changed.append(
                ComparedVault(
                    target_id=one.target.id,
                    cell_id=one.target.cell_id,
                    block_number=block_number,
                    **dict(zip(FIGURES, figures, strict=True)),
                )
            )
    replace_all(changed, key="target_id")
