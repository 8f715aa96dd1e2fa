"""Caps on chain against the variation margin of a stressed day: one that is smaller stops payments on the very day for
which margin is held.

By the last stress report, in which each relationship stands under every published scenario. A vault's debit cap must
carry what its relationship would pay in the worst of them; the limit of a credit to it what it would be paid in the
best, should one payment settle the day; the cap of the settlement token's house what all winners would be paid in the
worst. A loss counts with the cost of its close-out, which a mere payment has not; since every
instrument nets to zero over the platform, what losers lose is what winners are paid, and the larger sum counts.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import connection

from intermediary import clock
from intermediary.errors import Refusal
from intermediary.ledger import settlement_asset

Shortfalls = dict[str, tuple[int, int]]  # place -> (cap, needed), base units
_BY_RELATIONSHIP = """
    WITH newest AS (
        SELECT r.cell_id, c.code, r.body FROM risk_stressreport r JOIN intermediary_cell c ON c.id = r.cell_id
        WHERE c.kind = 'CLIENT' AND r.tick_id = (SELECT tick_id FROM risk_stressreport ORDER BY tick_id DESC LIMIT 1)
    ), worst AS (
        SELECT cell_id, code, max((line ->> 'gross')::numeric) AS needed
        FROM newest, jsonb_array_elements(body -> 'rows') AS line GROUP BY cell_id, code
    )
    SELECT w.cell_id, w.code, w.needed, least(  -- of the terms and of the vault, where it is opened
        (t.body::jsonb ->> 'debit_cap_base_units')::numeric, (v.creation ->> 'debit_cap')::numeric) FROM worst w
    LEFT JOIN intermediary_chaintarget v ON v.cell_id = w.cell_id AND v.kind = 'VAULT'
        AND v.asset_id = (SELECT code FROM intermediary_asset WHERE is_settlement)
    JOIN LATERAL (
        SELECT body FROM intermediary_termsversion WHERE cell_id = w.cell_id ORDER BY version DESC LIMIT 1) t ON true"""
_OF_ALL = """
    SELECT max(greatest(paid, received)) FROM (
        SELECT sum(greatest((line ->> 'gross')::numeric, 0)) AS paid,
            sum(greatest(-(line ->> 'gross')::numeric, 0)) AS received
        FROM risk_stressreport r JOIN intermediary_cell c ON c.id = r.cell_id,
            jsonb_array_elements(r.body -> 'rows') AS line
        WHERE c.kind = 'CLIENT' AND r.tick_id = (SELECT tick_id FROM risk_stressreport ORDER BY tick_id DESC LIMIT 1)
        GROUP BY line ->> 'name') AS by_scenario"""
# Of the settlement token's vaults, as its house last said in a block of the chain. An event has the address as a word.
_CREDITS = """
    WITH settled AS (
        SELECT code FROM intermediary_asset WHERE is_settlement
    ), best AS (
        SELECT r.cell_id, c.code, max(-(line ->> 'gross')::numeric) AS gain
        FROM risk_stressreport r JOIN intermediary_cell c ON c.id = r.cell_id,
            jsonb_array_elements(r.body -> 'rows') AS line
        WHERE c.kind = 'CLIENT' AND r.tick_id = (SELECT tick_id FROM risk_stressreport ORDER BY tick_id DESC LIMIT 1)
        GROUP BY r.cell_id, c.code
    ), said AS (
        SELECT DISTINCT ON (topic) lower(right(l.topics ->> 1, 40)) AS topic, l.data
        FROM settlement_chainlog l JOIN settlement_chainblock b ON b.id = l.block_id
        WHERE l.name = 'CreditLimitSet' AND b.canonical AND NOT l.denied AND l.address IN (
            SELECT address FROM intermediary_chaintarget WHERE kind = 'HOUSE' AND asset_id = (SELECT code FROM settled))
        ORDER BY topic, b.number DESC, l.log_index DESC
    )
    SELECT best.code, best.gain, said.data FROM best
    JOIN intermediary_chaintarget vault ON vault.cell_id = best.cell_id AND vault.kind = 'VAULT'
        AND vault.asset_id = (SELECT code FROM settled)
    JOIN said ON said.topic = lower(right(vault.address, 40))"""
_kept: tuple[datetime, Shortfalls, int] | None = None  # of this hour: relationships, and what the house needs


def shortfalls(house_caps: Mapping[str, int]) -> Shortfalls:
    """Every cap that is smaller than a stressed day needs; `house_caps` by asset, as the chain has them now. What is
    needed is added up once an hour."""
    global _kept
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    if _kept is None or _kept[0] != hour:
        _kept = (hour, _of_relationships() | _of_credits(), stressed_outflow())
    found = dict(_kept[1])
    if not house_caps:  # nothing is deployed yet, and no token may be named
        return found
    asset = settlement_asset().code
    if asset in house_caps and house_caps[asset] < _kept[2]:
        found[f"house {asset}"] = (house_caps[asset], _kept[2])
    return found


def stressed_outflow() -> int:
    """What winners would be paid on the worst stressed day, settlement base units; 0 before anything was measured."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_ALL)
        return int(cursor.fetchone()[0] or 0)


def refuse_below(cell_id: UUID) -> None:
    """Refuses `cap_below_stress` for a relationship whose debit cap its own worst day passes; before a vault whose
    address commits to that cap is opened for it."""
    for found, code, needed, cap in _rows():
        if found == cell_id and cap < needed:
            raise Refusal(
                "cap_below_stress",
                f"{code} would pay {needed} base units on its worst stressed day; its vault lets {cap} go a day.",
                relationship=code,
                needed_base_units=needed,
                debit_cap_base_units=cap,
            )


def _of_relationships() -> Shortfalls:
    return {f"vault of {code}": (cap, needed) for _, code, needed, cap in _rows() if cap < needed}


def _of_credits() -> Shortfalls:
    with connection.cursor() as cursor:
        cursor.execute(_CREDITS)
        found = [(code, int(limit, 16), int(gain)) for code, gain, limit in cursor.fetchall()]
    return {f"credit to {code}": (limit, gain) for code, limit, gain in found if limit < gain}


def _rows() -> list[tuple[UUID, str, int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(_BY_RELATIONSHIP)
        return [(cell_id, code, int(needed), int(cap)) for cell_id, code, needed, cap in cursor.fetchall()]
