"""What pages ask about the chain."""

from django.db import connection

from intermediary.calls import DepositsSeen
from settlement import chains
from settlement.models import ReconciliationBreak


def open_breaks() -> list[ReconciliationBreak]:
    """Disagreements nobody has cleared, oldest first."""
    return list(ReconciliationBreak.objects.filter(resolved_block=None).order_by("recorded_at"))


def deposits_seen() -> DepositsSeen:
    """How far deposits are known, and who has some on the way that are not booked yet, by the time of the block that
    holds the first of them. What a house of ours sends is no deposit, nor is another token than the vault's. One
    statement, so both are of one moment: a block that the watcher drops and reads again in between takes nobody's
    deposit away.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DEPOSITS_SEEN, {"chains": chains.names()})
        rows = cursor.fetchall()
    return DepositsSeen(
        until=next((moment for cell_id, moment in rows if cell_id is None), None),
        coming={cell_id: moment for cell_id, moment in rows if cell_id is not None},
    )


# Without contracts, or a watcher that ever ran, there is nothing to wait for; with them, nothing is known before the
# nodes have agreed on a block.
_DEPOSITS_SEEN = """
    SELECT NULL::uuid, min(coalesce(read_until, 'epoch')) FROM settlement_lookout
    WHERE EXISTS (SELECT FROM settlement_deployment) AND chain = ANY(%(chains)s) HAVING count(*) > 0
    UNION ALL
    SELECT log.cell_id, min(block.block_time)
    FROM settlement_chainlog AS log
        JOIN settlement_chainblock AS block ON block.id = log.block_id
        JOIN intermediary_chaintarget AS vault ON vault.cell_id = log.cell_id AND vault.kind = 'VAULT'
            AND log.topics ->> 2 = '0x' || lpad(lower(substr(vault.address, 3)), 64, '0')
        JOIN intermediary_asset AS asset ON asset.code = vault.asset_id AND asset.token_address = log.address
    WHERE log.name = 'Transfer' AND NOT log.applied AND NOT log.denied AND block.canonical
        AND log.topics ->> 1 NOT IN (
            SELECT '0x' || lpad(lower(substr(address, 3)), 64, '0') FROM intermediary_chaintarget WHERE kind = 'HOUSE'
        )
    GROUP BY log.cell_id"""
