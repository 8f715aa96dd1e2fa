"""Exposure as margin counts it: what a client owes if it had to be claimed now.

Where netting is safe that is `variation.exposure`: gains and losses since the last payment, in one sum. Without a
netting opinion a liquidator may hold on to what gains and leave what loses, so exposure is the sum over instruments of
max(0, what is owed on it); in one instrument positions net. A variation payment is one net amount either way: what has
been paid can be claimed by nobody, and after it nothing is owed on any instrument. So is a close-out, which follows the
agreement; this is what margin holds for the case that the agreement is not followed.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from uuid import UUID

from django.db import connection

from intermediary import books, ledger, variation
from intermediary.onboarding import without_netting


def exposure_base_units(cell_id: UUID, valuation_id: UUID) -> int:
    """What the client owes at a valuation, settlement base units, rounded up against it; negative: owed to it, which
    only counts where netting is safe. Refuses a missing mark."""
    if not without_netting([cell_id]):
        return variation.exposure_base_units(cell_id, valuation_id)
    owed = gross_exposures([cell_id], valuation_id)[cell_id]
    if owed is None:
        variation.refuse_unmarked(cell_id, valuation_id)
    return books.base_units_up(owed or 0, ledger.settlement_asset().decimals)


def exposures_base_units(cell_ids: Collection[UUID], valuation_id: UUID) -> dict[UUID, int | None]:
    """`exposure_base_units` of many, a few queries whatever their number; None where an instrument that is held has no
    mark."""
    gross = without_netting(cell_ids)
    netting = [cell_id for cell_id in cell_ids if cell_id not in gross]
    owed = books.exposures(netting, valuation_id) | gross_exposures(gross, valuation_id)
    decimals = ledger.settlement_asset().decimals
    return {key: None if dues is None else books.base_units_up(dues, decimals) for key, dues in owed.items()}


def gross_exposures(cell_ids: Collection[UUID], valuation_id: UUID) -> dict[UUID, int | None]:
    """What each owes with none of its gains, ints of 10**-36 dollars as in `books.exposures`; None where an instrument
    that is held has no mark. One query, none for nobody."""
    owed = owed_by_instrument(cell_ids, valuation_id)
    return {cell_id: None if None in dues.values() else gross_after(dues, {}) for cell_id, dues in owed.items()}


def owed_by_instrument(cell_ids: Collection[UUID], valuation_id: UUID) -> dict[UUID, dict[UUID, int | None]]:
    """By cell and instrument what the client owes (negative: is owed), ints of 10**-36 dollars; None without a mark."""
    found: dict[UUID, dict[UUID, int | None]] = {cell_id: {} for cell_id in cell_ids}
    if not found:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_OWED, [valuation_id, list(found)])
        for cell_id, instrument_id, settled, quantity, price in cursor.fetchall():
            unknown = bool(quantity) and price is None
            worth = books.whole(quantity) * books.whole(price or Decimal(0))
            found[cell_id][instrument_id] = None if unknown else books.whole(settled) * books.ONE - worth
    return found


def gross_after(owed: Mapping[UUID, int | None], changes: Mapping[UUID, int]) -> int:
    """The gross exposure of one relationship once `changes` of what it owes by instrument are booked."""
    return sum(max(0, (owed.get(key) or 0) + changes.get(key, 0)) for key in owed.keys() | changes.keys())


_OWED = """
    SELECT held.cell_id, held.instrument_id, held.settled_value, held.quantity, mark.price
    FROM intermediary_position AS held LEFT JOIN intermediary_mark AS mark
        ON mark.valuation_id = %s AND mark.instrument_id = held.instrument_id
    WHERE held.cell_id = ANY(%s)"""
