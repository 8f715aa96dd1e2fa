"""What a step of the poster has to do, in one question: most steps find little of it, and asking costs more than doing.

Whatever is acted upon is read again before anything is written. What another process writes meanwhile is seen by the
next step.
"""

from typing import NamedTuple

from django.db import connection

from settlement import chains, reconcile

_DUE = """
    WITH uncarried AS MATERIALIZED (
        SELECT house_id, approval_id FROM settlement_batch AS batch WHERE state = 'PACKED' AND NOT EXISTS (
            SELECT FROM settlement_chaintransaction AS sent
            WHERE sent.batch_id = batch.id AND sent.state NOT IN ('DISPLACED', 'REVERTED')
                AND (sent.state <> 'INCLUDED' OR sent.succeeded)))
    SELECT
        EXISTS (SELECT FROM settlement_fence WHERE chain = %(chain)s AND lifted_at IS NULL),
        EXISTS (SELECT FROM settlement_reconciliationbreak
                WHERE chain = %(chain)s AND resolved_block IS NULL AND kind = ANY(%(stops)s)),
        EXISTS (SELECT FROM settlement_batch AS batch JOIN settlement_approval AS asked ON asked.id = batch.approval_id
                WHERE batch.state = 'PACKED' AND asked.refusal IS NOT NULL),
        EXISTS (SELECT FROM uncarried JOIN settlement_approval AS asked ON asked.id = uncarried.approval_id
                WHERE asked.signature <> ''),
        (EXISTS (SELECT FROM intermediary_chaininstruction
                 WHERE is_open AND state = 'DRAFT' AND kind IN ('REQUIRE', 'CREDIT', 'DEBIT', 'RETURN'))
            OR EXISTS (SELECT FROM settlement_batch AS undone
                       JOIN settlement_approval AS asked ON asked.id = undone.approval_id
                       WHERE undone.state = 'REFUSED' AND asked.signature <> '' AND NOT EXISTS (
                           SELECT FROM settlement_batch AS since WHERE since.house_id = undone.house_id
                               AND since.number >= undone.number AND since.state <> 'REFUSED')))
            AND EXISTS (SELECT FROM intermediary_chaintarget AS house
                        WHERE house.kind = 'HOUSE' AND house.id NOT IN (SELECT house_id FROM uncarried)),
        EXISTS (SELECT FROM intermediary_chaininstruction
                WHERE is_open AND state = 'DRAFT' AND NOT (kind IN ('REQUIRE', 'CREDIT', 'DEBIT', 'RETURN')))
            OR EXISTS (SELECT FROM settlement_chainact WHERE chain = %(chain)s AND state IN ('OPEN', 'STOPPING')),
        ARRAY(SELECT sender.role FROM settlement_chaintransaction AS sent
              JOIN settlement_chainsender AS sender ON sender.address = sent.sender_id
              WHERE sender.chain = %(chain)s AND sent.state IN ('PREPARED', 'SENT')),
        ARRAY(SELECT role FROM settlement_senderalarm WHERE chain = %(chain)s AND cleared_at IS NULL)"""


class Due(NamedTuple):
    """Of the chain of this process; what `has_` something, of any."""

    is_fenced: bool
    is_outflow_stopped: bool
    has_refused: bool  # batches that the approver refused
    has_signed: bool  # signed batches that no transaction carries
    has_room: bool  # movements to pack, or a number to use up, and a house of which every batch is on its way
    has_calls: bool  # single calls or acts that are not done
    in_flight: list[str]  # roles with a transaction on its way, under any of their keys
    troubled: list[str]  # roles with an open alarm


def look() -> Due:
    """What there is now."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"chain": chains.here(), "stops": list(reconcile.NOT_OF_A_RUN)})
        return Due(*cursor.fetchone())
