"""Looks at what lies in the escrows of live series, at the last final block, for everyone to read and check.

A look is kept where anything has changed since the last one, units having changed hands too, and once a day of the
chain at least: the collateral is marked daily. It is the settlement token itself, in which the notes are denominated,
so its mark is one.
"""

import logging
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max

from bonds.models import EscrowReading, NoteTransfer, Series
from intermediary import audit, events
from settlement import chains
from settlement.bindings import read
from settlement.chain import Chain, ChainRefused, default_chain

log = logging.getLogger(__name__)
AT_LEAST_EVERY = timedelta(days=1)


def look_if_any() -> int:
    """A look at every escrow on the first chain that is configured; how many readings were kept. A node that was
    started anew has forgotten what stood at an older block; it is asked again when a later one is final."""
    if not Series.objects.filter(state__in=Series.LIVE).exists():
        return 0
    with chains.on(""), closing(default_chain()) as chain:
        try:
            return look(chain)
        except ChainRefused as refused:
            log.warning("The escrows are looked at again at the next final block: %s", refused)
            return 0


def look(chain: Chain) -> int:
    """See above."""
    _, final = chain.head_and_final()
    block = chain.block(final)
    watched = Series.objects.exclude(escrow_address="").exclude(issued_at=None).select_related("currency")
    live = watched.filter(state__in=[*Series.LIVE, Series.State.MATURED, Series.State.REDEEMED])
    last = dict(live.annotate(seen=Max("escrow_readings__block_number")).values_list("id", "seen"))
    kept = 0
    for series in live:
        if block is None or (last[series.id] or -1) >= final:
            continue
        kept += _keep(_read(chain, series, block))
    return kept


def _read(chain: Chain, series: Series, block: dict[str, Any]) -> EscrowReading:
    number, escrow = int(block["number"], 16), series.escrow_address
    notes = {}
    for tranche in series.tranches.all():
        views = ("principal", "totalSupply", "writtenDown", "redeemed")
        said = (read(chain, tranche.note_address, "TrancheNote", view, block=number) for view in views)
        names = ("principal", "supply", "written_down", "redeemed")
        notes[str(tranche.id)] = dict(zip(names, map(str, said), strict=True))
    return EscrowReading(
        series=series,
        block_number=number,
        block_hash=block["hash"],
        block_time=datetime.fromtimestamp(int(block["timestamp"], 16), UTC),
        balance_base_units=read(
            chain, series.currency.token_address, "DemoUSDC", "balanceOf", escrow, block=number
        ),
        principal_base_units=sum(int(one["principal"]) for one in notes.values()),
        owed_base_units=read(chain, escrow, "SeriesEscrow", "owedTotal", block=number),
        notes=notes,
    )  # fmt: skip


def _keep(seen: EscrowReading) -> int:
    """Keep a reading that says something new, or the first of a day; a shortfall is told when it begins and ends."""
    with transaction.atomic(durable=True):
        Series.objects.select_for_update().get(id=seen.series_id)
        last = EscrowReading.objects.filter(series=seen.series).first()
        if last is not None and last.block_number >= seen.block_number:
            return 0
        if last is not None and _says_the_same(last, seen):
            return 0
        seen.save()
        if (last is not None and last.over_base_units < 0) != (seen.over_base_units < 0):
            action = "collateral.short" if seen.over_base_units < 0 else "collateral.whole_again"
            audit.record(
                actor="chain", action=action, subject=seen.series.code, over_base_units=seen.over_base_units,
                block=seen.block_number,
            )  # fmt: skip
        events.notify(events.PAGES_CHANNEL, f"series:{seen.series_id}")
    return 1


def _says_the_same(last: EscrowReading, seen: EscrowReading) -> bool:
    """Nothing changed within the day; where units changed hands since, holders look for theirs."""
    later = NoteTransfer.objects.filter(tranche__series_id=last.series_id, block_number__gt=last.block_number)
    same = (last.balance_base_units, last.owed_base_units, last.notes) == (
        seen.balance_base_units,
        seen.owed_base_units,
        seen.notes,
    )
    return same and seen.block_time - last.block_time < AT_LEAST_EVERY and not later.exists()
