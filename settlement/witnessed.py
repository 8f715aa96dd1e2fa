"""Logs of final blocks, asked of every node before they are booked: a node may tell true blocks and false logs in them.

Of the final blocks that are not witnessed yet each witness is asked once, for everything that concerns us. A log that a
witness does not show, or shows otherwise, waits until it does; one that only a witness shows is asked of the first node
again. Either stops what leaves (a break of the kind `witnesses`), and nothing else: what all nodes show is booked. A
witness that does not answer holds nothing up, as with finality; what was booked meanwhile is compared when it answers
again, since no block counts as witnessed before.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from intermediary.errors import Refusal
from settlement.breaks import ReconciliationBreak
from settlement.chain import LOG_BLOCKS, Call, Chain
from settlement.comparisons import Comparison
from settlement.models import ChainBlock, ChainLog, Witnessed

log = logging.getLogger(__name__)
Key = tuple[str, int]  # block hash, index of the log in it
Filters = Callable[[Mapping[str, str]], tuple[Call, Call]]
Kind = ReconciliationBreak.Kind


def compare(
    witnesses: Sequence[Chain], blocks: Sequence[ChainBlock], filters: Filters, read_again: Callable[[int, int], int]
) -> list[Comparison]:
    """What each witness says of the logs up to the last of these blocks, which are about to be booked; marks the logs
    that wait, and frees those that agree now. `filters` gives the two calls for a range of blocks, `read_again` asks
    the first node for the logs of some blocks once more."""
    if not witnesses or not blocks:
        return []
    begins = {"block_number": max(blocks[0].number - 1, 0)}
    seen, _ = Witnessed.objects.get_or_create(chain=blocks[-1].chain, defaults=begins)
    first, last = seen.block_number + 1, blocks[-1].number
    shown = {number: _shown_by(witness, first, last, filters) for number, witness in enumerate(witnesses, start=2)}
    ours = _ours(first, last)
    if any(theirs is not None and theirs.keys() - ours.keys() for theirs in shown.values()) and read_again(first, last):
        ours = _ours(first, last)
    disputed: set[Key] = set()
    found = []
    for (number, theirs), witness in zip(shown.items(), witnesses, strict=True):
        place = f"logs by node {number}, {witness.name}"
        if theirs is None:
            continue  # its silence is said of its blocks
        off = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
        disputed |= off
        found.append(Comparison(Kind.WITNESSES, place, _said(ours, off), _said(theirs, off)))
    _mark(first, last, disputed)
    if not disputed and None not in shown.values():
        Witnessed.objects.filter(chain=seen.chain).update(block_number=last)
    return found


def _shown_by(witness: Chain, first: int, last: int, filters: Filters) -> dict[Key, tuple[str, ...]] | None:
    """Its logs of these blocks; None where it does not answer."""
    try:
        witness.id()
        calls = [call for within in _ranges(first, last) for call in filters(within)]
        return {key: said for part in witness.batch(calls) for key, said in map(_entry, part)}
    except Refusal as error:
        log.warning("%s says nothing of the logs of blocks %s to %s: %s", witness.name, first, last, error)
        return None


def _ranges(first: int, last: int) -> Iterator[dict[str, str]]:
    for start in range(first, last + 1, LOG_BLOCKS):
        yield {"fromBlock": hex(start), "toBlock": hex(min(start + LOG_BLOCKS - 1, last))}


def _entry(said: Mapping[str, Any]) -> tuple[Key, tuple[str, ...]]:
    key = (said["blockHash"], int(said["logIndex"], 16))
    return key, (said["transactionHash"], said["address"].lower(), *said["topics"], said["data"])


def _ours(first: int, last: int) -> dict[Key, tuple[str, ...]]:
    """The logs that the first node gave of these blocks."""
    here = ChainBlock.objects.filter(number__gte=first, number__lte=last, canonical=True)
    rows = ChainLog.objects.filter(block__in=here)
    columns = ("block_hash", "log_index", "transaction_hash", "address", "topics", "data")
    return {
        (block_hash, index): (transaction, address.lower(), *topics, data)
        for block_hash, index, transaction, address, topics, data in rows.values_list(*columns)
    }


def _said(logs: Mapping[Key, tuple[str, ...]], off: set[Key]) -> str:
    """How many of those that differ this side shows, and the first of them; nothing where none differs."""
    shown = sorted(key for key in off if key in logs)
    return f"{len(shown)}: {logs[shown[0]][0]} {shown[0][1]}" if shown else ("none" if off else "all")


def _mark(first: int, last: int, disputed: set[Key]) -> None:
    """Logs of these blocks that wait for the nodes to agree, and no others. What is booked stays booked: the break says
    what has become doubtful."""
    here = ChainBlock.objects.filter(number__gte=first, number__lte=last, canonical=True)
    rows = ChainLog.objects.filter(block__in=here, applied=False)
    waiting = {row.id for row in rows if (row.block_hash, row.log_index) in disputed}
    rows.filter(refusal__startswith=ChainLog.DISPUTED).exclude(id__in=waiting).update(refusal="")
    rows.filter(id__in=waiting).update(refusal=f"{ChainLog.DISPUTED}: another node does not show this log")
