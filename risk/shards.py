"""Which relationships a tick renews, and which of them one shard takes."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection

from intermediary.models import AccountKind, Asset, Cell

NOT_MARGINED = [Cell.State.CLOSED.value, Cell.State.DEFAULTED.value]


def cells_of_shard(number: int, of: int) -> Sequence[UUID]:
    """Relationships of one shard in the order of their ids, and by these alone: whoever leaves or joins between two
    shards moves nobody else."""
    with connection.cursor() as cursor:
        cursor.execute(_MARGINED, [Cell.Kind.CLIENT, NOT_MARGINED])
        return _of_shard(cursor.fetchone()[0] or "", number, of)


def holders_of_shard(coins: Collection[str], number: int, of: int) -> Sequence[UUID]:
    """Those of them that hold positions or margin in one of these underlyings."""
    tokens = list(Asset.objects.filter(priced_as__in=coins).values_list("code", flat=True))
    held: list[Any] = [list(coins)]
    if tokens:  # else everybody's account would be looked at for nothing
        held += [AccountKind.CLIENT_MARGIN.value, tokens]
    query = _HOLDERS.format(margin=_OF_MARGIN if tokens else "")
    with connection.cursor() as cursor:
        cursor.execute(query, [Cell.Kind.CLIENT, NOT_MARGINED, *held])
        return _of_shard(cursor.fetchone()[0] or "", number, of)


@lru_cache(maxsize=8)
def _of_shard(listed: str, number: int, of: int) -> tuple[UUID, ...]:
    """By the last 32 bits of their ids. The same objects for the same list: thousands are compared in every tick."""
    return tuple(UUID(key) for key in listed.split() if int(key[-8:], 16) % of == number)


_MARGINED = """
    SELECT string_agg(id::text, ' ' ORDER BY id) FROM intermediary_cell WHERE kind = %s AND state <> ALL(%s)"""
# Arrays, not joins: what is held in one underlying is little beside what the planner expects of a join.
_HOLDERS = """
    SELECT string_agg(id::text, ' ' ORDER BY id) FROM intermediary_cell WHERE kind = %s AND state <> ALL(%s)
        AND id = ANY(ARRAY(
            SELECT cell_id FROM intermediary_position WHERE quantity <> 0
                AND instrument_id = ANY(ARRAY(SELECT id FROM intermediary_instrument WHERE underlying = ANY(%s)))
            {margin}))"""
_OF_MARGIN = """
            UNION ALL SELECT cell_id FROM intermediary_account
                WHERE kind = %s AND asset_id = ANY(%s) AND balance_base_units <> 0"""
