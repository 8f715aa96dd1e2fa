"""The figures of this moment, from rows: one short statement a subject, none of which reads a table that only grows.

Where a table grows for ever, the statement reads what an index names open, or the newest thousand rows by their key:
what waits is always among them, since batches, approvals and nonces are worked through in their order.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from intermediary import queries
from intermediary.config import suspensions
from intermediary.config.operations.figures import (
    Chain,
    Fenced,
    Figures,
    Flight,
    House,
    Node,
    Process,
    Round,
    Trouble,
    Waiting,
)
from risk.models import Measurement
from settlement import chains

_BEFORE_ALL = UUID(int=0)  # any tick is newer

_OUTBOX = """
    SELECT CASE WHEN h.id IS NOT NULL AND i.state = 'DRAFT' THEN 'HELD' ELSE i.state END, count(*),
        min(i.recorded_at)
    FROM intermediary_chaininstruction i LEFT JOIN settlement_heldcall h ON h.instruction_id = i.id
    WHERE i.is_open GROUP BY 1"""
_BATCHES = """
    SELECT state, count(*), min(recorded_at) FROM (SELECT * FROM settlement_batch ORDER BY id DESC LIMIT 1000) AS newest
    WHERE state IN ('PACKED', 'INCLUDED') GROUP BY state"""
_APPROVALS = """
    SELECT CASE WHEN refusal IS NULL THEN 'asked' ELSE 'refused' END, count(*), min(recorded_at)
    FROM (SELECT * FROM settlement_approval ORDER BY id DESC LIMIT 1000) AS newest
    WHERE (signature = '' AND refusal IS NULL
            AND NOT EXISTS (SELECT FROM settlement_batch WHERE approval_id = newest.id AND state = 'REFUSED')
            AND NOT EXISTS (
                SELECT FROM intermediary_chaininstruction WHERE id = newest.instruction_id AND state = 'FAILED'))
        OR (refusal IS NOT NULL AND signed_at > clock_timestamp() - interval '10 minutes') GROUP BY 1"""
_FLIGHTS = """
    SELECT s.chain, s.role, t.nonce, extract(epoch FROM clock_timestamp() - t.recorded_at)::float8, a.attempts, a.hash,
        a.max_fee_wei
    FROM settlement_chaintransaction t JOIN settlement_chainsender s ON s.address = t.sender_id
    CROSS JOIN LATERAL (
        SELECT count(*) OVER () AS attempts, hash, max_fee_wei FROM settlement_transactionattempt
        WHERE transaction_id = t.id ORDER BY id DESC LIMIT 1) AS a
    WHERE t.state IN ('PREPARED', 'SENT') ORDER BY s.chain, s.role, t.nonce LIMIT 100"""
_TROUBLES = """
    SELECT kind, chain, role, detail, extract(epoch FROM clock_timestamp() - recorded_at)::float8
    FROM (  -- the oldest of a role, which may have it with a former key too
        SELECT DISTINCT ON (kind, chain, role) * FROM settlement_senderalarm WHERE cleared_at IS NULL
        ORDER BY kind, chain, role, recorded_at) AS oldest
    ORDER BY recorded_at"""
_FENCES = """
    SELECT chain, reason, extract(epoch FROM clock_timestamp() - recorded_at)::float8 FROM settlement_fence
    WHERE lifted_at IS NULL ORDER BY chain"""
_NONCES = """
    SELECT s.chain, s.role, coalesce(max(n.nonce) - min(n.nonce) + 1 - count(n.nonce), 0)
    FROM settlement_chainsender s LEFT JOIN LATERAL (
        SELECT nonce FROM settlement_chaintransaction WHERE sender_id = s.address ORDER BY nonce DESC LIMIT 1000) AS n
    ON true GROUP BY s.chain, s.role"""
_DISPLACED = """
    SELECT s.chain, s.role, count(*), max(t.recorded_at)
    FROM settlement_chaintransaction t JOIN settlement_chainsender s ON s.address = t.sender_id
    WHERE t.state = 'DISPLACED' GROUP BY s.chain, s.role"""
# Deploying counts as a sign of life, on chain too.
_HOUSES = """
    SELECT h.asset_id, h.address, extract(epoch FROM platform_now() - coalesce(
        (SELECT b.block_time FROM settlement_chaintransaction t JOIN settlement_chainblock b ON b.hash = t.block_hash
         WHERE t."to" = h.address AND t.instruction_id IS NULL AND t.succeeded AND t.state IN ('INCLUDED', 'FINAL')
         ORDER BY t.id DESC LIMIT 1),
        (SELECT b.block_time FROM settlement_deployment d
         JOIN settlement_chainblock b ON b.number = d.block_number AND b.chain = d.chain AND b.canonical
         WHERE d.address = h.address LIMIT 1)
    ))::float8
    FROM intermediary_chaintarget h WHERE h.kind = 'HOUSE' ORDER BY h.asset_id"""
_CHAINS = """
    SELECT seen.chain,
        (SELECT number FROM settlement_chainblock b WHERE b.canonical AND b.chain = seen.chain
         ORDER BY number DESC LIMIT 1),
        final.number, extract(epoch FROM platform_now() - final.block_time)::float8,
        extract(epoch FROM clock_timestamp() - seen.seen_at)::float8,
        extract(epoch FROM least(clock_timestamp() - seen.moved_at, platform_now() - seen.read_until))::float8
    FROM settlement_lookout AS seen LEFT JOIN LATERAL (
        SELECT number, block_time FROM settlement_chainblock b WHERE b.finalized AND b.chain = seen.chain
        ORDER BY number DESC LIMIT 1) AS final ON true
    ORDER BY seen.chain"""
_BREAKS = """
    SELECT kind, count(*), min(recorded_at), (array_agg(place ORDER BY recorded_at))[1]
    FROM settlement_reconciliationbreak WHERE resolved_block IS NULL GROUP BY kind"""
# The few that are open are found first, in the order of their index, and then their blocks one by one: so it is quick
# whatever the planner knows of these tables.
_UNAPPLIED = """
    WITH open AS MATERIALIZED (
        SELECT block_id, recorded_at FROM settlement_chainlog
        WHERE NOT applied AND NOT denied ORDER BY block_id LIMIT 5000)
    SELECT count(*), min(recorded_at) FROM open
    WHERE (SELECT b.canonical AND b.finalized FROM settlement_chainblock b WHERE b.id = open.block_id)"""
_CALLS = """
    SELECT count(*), count(*) FILTER (WHERE deliver_by < platform_now()) FROM intermediary_margincall
    WHERE state IN ('ISSUED', 'AGREED', 'PLEDGED') AND direction = 'DELIVERY'"""
_CLOCK_STOP = """
    SELECT extract(epoch FROM platform_now() - min(started_at))::float8 FROM intermediary_clockstop
    WHERE ended_at IS NULL"""
_DELIVERIES = """
    SELECT state, count(*), min(recorded_at) FROM intermediary_delivery
    WHERE consumer IN ('intermediary', 'bonds') AND state IN ('PENDING', 'FAILED') GROUP BY state"""
_MISPLACED = """
    SELECT t.symbol, (t.original_base_units - coalesce(sum(h.units), 0))::float8
    FROM bonds_tranche t JOIN bonds_series s ON s.id = t.series_id LEFT JOIN bonds_holding h ON h.tranche_id = t.id
    WHERE s.issued_at IS NOT NULL GROUP BY t.id HAVING t.original_base_units <> coalesce(sum(h.units), 0)"""
_SHORT_ESCROWS = """
    SELECT s.code, (r.principal_base_units + r.owed_base_units - r.balance_base_units)::float8
    FROM bonds_series s CROSS JOIN LATERAL (
        SELECT * FROM bonds_escrowreading WHERE series_id = s.id ORDER BY block_number DESC LIMIT 1) AS r
    WHERE r.balance_base_units < r.principal_base_units + r.owed_base_units"""
_HOLDERS_ENDING = """
    SELECT count(*) FROM (SELECT DISTINCT wallet_id FROM bonds_holding WHERE units > 0) AS held
    CROSS JOIN LATERAL (
        SELECT valid_until FROM bonds_eligiblewallet WHERE wallet_id = held.wallet_id ORDER BY id DESC LIMIT 1) AS last
    WHERE last.valid_until < platform_now() + interval '30 days'"""
# Of few series; most of the time of none, and then nothing more is asked.
_SUSPENDED = """
    SELECT EXISTS (
        SELECT FROM bonds_series s JOIN bonds_seriesevent e ON e.series_id = s.id
        WHERE s.state IN ('ON_RISK', 'EVENT_OPEN') AND e.kind = 'SUSPENDED'
            AND e.at > platform_now() - interval '14 days')"""
_REQUESTS = """
    SELECT count(*), min(recorded_at)
    FROM (SELECT * FROM intermediary_commandrequest ORDER BY id DESC LIMIT 1000) AS newest
    WHERE state = 'PENDING'"""
_TICKS = """
    SELECT count(*) FILTER (WHERE done_at IS NULL),
        min(started_at) FILTER (WHERE done_at IS NULL),
        (array_agg(extract(epoch FROM done_at - started_at)::float8 ORDER BY id DESC)
            FILTER (WHERE done_at IS NOT NULL))[1]
    FROM (SELECT * FROM risk_tick ORDER BY id DESC LIMIT 20) AS newest"""
# A market that was given up and that no later finished one has overtaken is stuck (live_market.health).
_MARKET = """
    SELECT extract(epoch FROM clock_timestamp() - refused_since)::float8, stuck_as_of IS NOT NULL AND NOT EXISTS (
        SELECT FROM risk_tick t JOIN intermediary_valuation v ON v.id = t.valuation_id
        WHERE t.done_at IS NOT NULL AND v.as_of >= stuck_as_of)
    FROM config_livemarket"""
# Between the first market that was worked through and not measured, and the last: where none comes, nothing grows old.
_UNMEASURED = """
    SELECT wanted.what, coalesce(extract(epoch FROM
        (SELECT done_at FROM risk_tick WHERE done_at IS NOT NULL ORDER BY id DESC LIMIT 1) -
        (SELECT done_at FROM risk_tick WHERE done_at IS NOT NULL AND id > coalesce(m.tick_id, %s) ORDER BY id LIMIT 1)
    ), 0)::float8
    FROM unnest(%s::text[]) AS wanted (what) LEFT JOIN risk_measurement m ON m."of" = wanted.what"""
_PROCESSES = """
    SELECT name, host, extract(epoch FROM clock_timestamp() - seen_at)::float8,
        extract(epoch FROM clock_timestamp() - started_at)::float8, steps, step_seconds, rss_bytes, peak_rss_bytes,
        problem, said, coalesce(extract(epoch FROM clock_timestamp() - problem_since), 0)::float8
    FROM config_processreport ORDER BY name"""
_ROUND = """
    SELECT extract(epoch FROM clock_timestamp() - at)::float8, seconds, queues::text, node::text
    FROM config_lookround"""
_ALARMS = "SELECT rule, severity, count(*) FROM config_alarm WHERE cleared_at IS NULL GROUP BY rule, severity"
_NOTICES = """
    SELECT state, count(*) FROM config_alarmnotice
    WHERE state = 'WAITING' OR (state = 'GIVEN_UP' AND next_try_at > clock_timestamp() - interval '7 days')
    GROUP BY state"""


def collect() -> Figures:
    """Read everything; some 20 statements of half a millisecond."""
    now: datetime = _row("SELECT clock_timestamp()")[0]
    approvals = _by_name(_APPROVALS, now)
    breaks = _rows(_BREAKS)
    calls, tick = _row(_CALLS), _row(_TICKS)
    refused, is_stuck = _market()
    looked, nodes = _round()
    return Figures(
        at=now,
        outbox=_by_name(_OUTBOX, now),
        batches=_by_name(_BATCHES, now),
        approvals=approvals.get("asked", Waiting()),
        approvals_refused=approvals.get("refused", Waiting()).count,
        flights=_flights(),
        troubles=tuple(Trouble(*row) for row in _rows(_TROUBLES)),
        fences=tuple(Fenced(*row) for row in _rows(_FENCES)),
        nonce_gaps={(chain, role): gaps for chain, role, gaps in _rows(_NONCES)},
        displaced={(chain, role): _waiting(count, last, now) for chain, role, count, last in _rows(_DISPLACED)},
        houses=tuple(House(*row) for row in _rows(_HOUSES)),
        chains={name: Chain(*said) for name, *said in _rows(_CHAINS)},
        breaks={kind: _waiting(count, oldest, now) for kind, count, oldest, _ in breaks},
        break_places={kind: place for kind, _, _, place in breaks},
        unapplied=_counted(_row(_UNAPPLIED), now),
        calls_open=calls[0],
        calls_overdue=calls[1],
        clock_stopped_seconds=_row(_CLOCK_STOP)[0],
        deliveries=_by_name(_DELIVERIES, now),
        misplaced={symbol: int(units) for symbol, units in _rows(_MISPLACED)},
        short_escrows={code: int(missing) for code, missing in _rows(_SHORT_ESCROWS)},
        holders_ending=_row(_HOLDERS_ENDING)[0],
        suspensions_due=_suspensions(),
        requests=_counted(_row(_REQUESTS), now),
        tick=_counted(tick[:2], now),
        tick_seconds=tick[2],
        market_refused_seconds=refused,
        market_stuck=is_stuck,
        unmeasured_seconds=_unmeasured(),
        processes={row[0]: Process(*row) for row in _rows(_PROCESSES)},
        round=looked,
        nodes=nodes,
        alarms={(rule, severity): count for rule, severity, count in _rows(_ALARMS)},
        notices=dict(_rows(_NOTICES)),
    )


def _rows(statement: str, values: Sequence[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _row(statement: str) -> Any:
    [found] = _rows(statement)
    return found


def _waiting(count: int, oldest: datetime | None, now: datetime) -> Waiting:
    return Waiting(count, max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)


def _counted(row: Sequence[Any], now: datetime) -> Waiting:
    return _waiting(row[0], row[1], now)


def _by_name(statement: str, now: datetime) -> Mapping[str, Waiting]:
    return {name: _waiting(count, oldest, now) for name, count, oldest in _rows(statement)}


def _suspensions() -> Mapping[str, str]:
    if not _row(_SUSPENDED)[0]:
        return {}
    return {one.series: one.words for one in suspensions.due(queries.platform_clock().now)}


def _market() -> tuple[float | None, bool]:
    """Since when the live market has given none, and whether one got stuck; of a replay neither."""
    found = _rows(_MARKET) if queries.platform_clock().mode == "live" else []
    return (found[0][0], found[0][1]) if found else (None, False)


def _unmeasured() -> Mapping[str, float]:
    """Of a live market; a replay waits for nobody who measures."""
    wanted = [_BEFORE_ALL, Measurement.Of.values]
    return dict(_rows(_UNMEASURED, wanted)) if queries.platform_clock().mode == "live" else {}


def _flights() -> tuple[Flight, ...]:
    caps = {name: chains.configured(name).fee_cap_wei for name in chains.names()}
    return tuple(Flight(*(*row, caps.get(row[0], 0))) for row in _rows(_FLIGHTS))


def _round() -> tuple[Round | None, Mapping[str, Node]]:
    found = _rows(_ROUND)
    if not found:
        return None, {}
    age, seconds, queues, nodes = found[0]
    return Round(age, seconds, json.loads(queues)), {name: Node(**said) for name, said in json.loads(nodes).items()}
