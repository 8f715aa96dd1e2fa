"""Reading the chain again from any height, final blocks only: what a node left out, or what was lost here, is found
and booked, and the caller is told what that was. Whatever is known already stays as it is, so it may run at any time,
beside the watcher too, and again after it was cut off.

Every node is asked: a log that the node worked with has lost may stand in a witness's index. It is kept when the block
it is in is the one that the first node has at that height, and booked when every node shows it: until then it waits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from intermediary.errors import Refusal
from settlement import closed, finality, reconcile, watcher
from settlement.chain import LOG_BLOCKS, Chain
from settlement.concerning import block_of, filters_of, keep_late, watched
from settlement.models import ChainBlock, ChainLog, ReconciliationRun

Entry = dict[str, Any]


@dataclass
class Backfill:
    """What a run read and found; `found` are the logs that were not known, as they stand now."""

    first: int
    last: int
    logs_read: int = 0
    found: list[ChainLog] = field(default_factory=list)
    not_on_chain: int = 0
    run: ReconciliationRun | None = None


def backfill(chain: Chain, witnesses: Sequence[Chain], first: int, last: int | None = None) -> Backfill:
    """Read the logs of the final blocks `first` to `last` (the last one read, if that is less) once more from every
    node, book what was missing, and compare the ledger with the chain. Refuses `nothing_final` before any block was
    read, `no_such_range` for one that is empty, `finality_broken` where a block of ours is not the chain's.
    """
    chain.id()
    _, final = chain.head_and_final()
    tip = watcher.tip()
    if tip is None:
        raise Refusal("nothing_final", "No block has been read yet.")
    made = Backfill(first, min(final, tip.number, final if last is None else last))
    if not 0 <= first <= made.last:
        raise Refusal("no_such_range", f"Final blocks were read up to {made.last}.", first=first, last=made.last)
    new_blocks: list[ChainBlock] = []
    for start in range(first, made.last + 1, LOG_BLOCKS):
        for node in (chain, *witnesses):
            entries = _logs(node, start, min(start + LOG_BLOCKS - 1, made.last))
            made.logs_read += len(entries)
            new_blocks += _keep(chain, entries, made)
        watcher.witness((chain, *witnesses), [], made.last)
    finality.finalize(new_blocks)
    closed.settle_transactions()
    made.run = reconcile.run(chain, reconcile.latest_final())
    made.found = list(ChainLog.objects.filter(id__in=[row.id for row in made.found]).select_related("block", "cell"))
    return made


def _logs(node: Chain, first: int, last: int) -> list[Entry]:
    node.id()
    within = {"fromBlock": hex(first), "toBlock": hex(last)}
    return [entry for part in node.batch(filters_of(within, watched())) for entry in part]


def _keep(chain: Chain, entries: Sequence[Entry], made: Backfill) -> list[ChainBlock]:
    """Store those of the entries that are not known; the blocks that were not known before."""
    hashes = {entry["blockHash"] for entry in entries}
    keys = set(ChainLog.objects.filter(block__hash__in=hashes).values_list("block_hash", "log_index"))
    unknown = [entry for entry in entries if (entry["blockHash"], int(entry["logIndex"], 16)) not in keys]
    if not unknown:
        return []
    headers = _headers(chain, {int(entry["blockNumber"], 16) for entry in unknown})
    ours = {header["hash"] for header in headers.values()}
    made.not_on_chain += sum(entry["blockHash"] not in ours for entry in unknown)
    wanted = [entry for entry in unknown if entry["blockHash"] in ours]
    with transaction.atomic():
        new = list(_new_blocks(headers, {entry["blockHash"] for entry in wanted}))
        ChainBlock.objects.bulk_create(new, ignore_conflicts=True)
        blocks = {block.hash: block for block in ChainBlock.objects.filter(hash__in=ours)}
        ids = keep_late(watched(), wanted, blocks)
    made.found += ChainLog.objects.filter(id__in=ids)
    return [blocks[block.hash] for block in new]


def _headers(chain: Chain, numbers: set[int]) -> Mapping[int, Entry]:
    """The chain's own headers at these heights. Where we know another block, nothing may be trusted."""
    ordered = sorted(numbers)
    found = chain.batch([("eth_getBlockByNumber", [hex(number), False]) for number in ordered])
    headers = {number: header for number, header in zip(ordered, found, strict=True) if header}
    known = dict(ChainBlock.objects.filter(canonical=True, number__in=ordered).values_list("number", "hash"))
    off = [number for number, hash_ in known.items() if number in headers and headers[number]["hash"] != hash_]
    if off:
        raise Refusal("finality_broken", f"Block {min(off)} of ours is not the chain's.", blocks=off)
    return headers


def _new_blocks(headers: Mapping[int, Entry], wanted: set[str]) -> Iterator[ChainBlock]:
    known = set(ChainBlock.objects.filter(hash__in=wanted, canonical=True).values_list("hash", flat=True))
    for header in headers.values():
        if header["hash"] in wanted and header["hash"] not in known:
            yield block_of(header)
