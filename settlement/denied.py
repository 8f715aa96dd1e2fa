"""Logs that no node shows any more: one node had made them up, or made them other than they are.

Nothing was booked of them, and nothing will be. Such a row stays as what was said and by whom it was not shown, but
nobody sees it any more who asks what the chain holds (`ChainLog.objects`), and its place in the block is free: what all
nodes show there instead is kept, and booked like any other log. What it had shown meanwhile is taken back.
"""

import logging
from collections.abc import Mapping
from uuid import UUID

from django.db import transaction

from settlement import provisional
from settlement.concerning import Entry, keep_late, watched
from settlement.models import ChainLog

log = logging.getLogger(__name__)


def give_up(instead: Mapping[UUID, Entry | None]) -> int:
    """Deny these logs, as far as they still wait, for what all nodes tell in their places; how many that were."""
    if not instead:
        return 0
    with transaction.atomic():
        waiting = ChainLog.objects.filter(id__in=instead, applied=False, refusal__startswith=ChainLog.DISPUTED)
        rows = list(waiting.select_for_update(of=("self",)).select_related("block"))
        ChainLog.objects.filter(id__in=[row.id for row in rows]).update(denied=True)
        told = [entry for row in rows if (entry := instead[row.id]) is not None]
        keep_late(watched(), told, {row.block_hash: row.block for row in rows})
        provisional.take_back(rows)
    for row in rows:
        log.error("no node shows %s %s of %s any more", row.name or "log", row.log_index, row.transaction_hash)
    return len(rows)
