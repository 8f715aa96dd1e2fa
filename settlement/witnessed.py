"""Logs of final blocks, asked of every node before they are booked: a node may tell true blocks and false logs in them.

Of the final blocks that are not witnessed yet each witness is asked once, for everything that concerns us. A log that a
witness does not show, or shows otherwise, waits until every node shows it; one that only a witness shows is asked of
the first node again. Either stops what leaves (a break of the kind `witnesses`), and nothing else: what all nodes show
is booked. A log that was read after its block had been (of a contract recorded since, or left out before) waits for
every node in the same way, the first one too.

A witness that does not answer holds up nothing new, as with finality; what was booked meanwhile is compared when it
answers again, since no block counts as witnessed before. But its silence settles nothing: what it disputed still waits,
and after `SILENT_BLOCKS` it is a break itself.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import Refusal
from settlement import chains, denied
from settlement.breaks import ReconciliationBreak
from settlement.chain import LOG_BLOCKS, Call, Chain
from settlement.comparisons import Comparison
from settlement.concerning import LATE
from settlement.models import ChainBlock, ChainLog, Witnessed

log = logging.getLogger(__name__)
Key = tuple[str, int]  # block hash, index of the log in it
Text = tuple[str, ...]  # what a node says under that key
Shown = dict[Key, Text] | None  # None where it does not answer
Span = tuple[int, int]  # first and last block
Filters = Callable[[Mapping[str, str]], tuple[Call, Call]]
Kind = ReconciliationBreak.Kind
BACKLOG_BLOCKS = 10 * LOG_BLOCKS  # not witnessed yet and booked already: asked for again with each final block
WAITING_BLOCKS = 1000  # blocks with logs that wait: asked for again with each final block
CONTENT_DIGITS = 8  # enough to see that two sides differ, and short enough for the column of a break
SILENT_BLOCKS = 64  # two epochs of the chain that takes longest: a node that is restarted is back before


class Said(NamedTuple):
    """What the witnesses say of logs: what was compared, and the places of which nothing new is known."""

    found: list[Comparison]
    unknown: set[str]


class _Row(NamedTuple):
    """A log that we keep."""

    id: UUID
    block_number: int
    applied: bool
    refusal: str
    said: Text

    @property
    def waits(self) -> bool:
        return not self.applied and self.refusal.startswith(ChainLog.DISPUTED)


def compare(
    nodes: Sequence[Chain],
    blocks: Sequence[ChainBlock],
    up_to: int,
    filters: Filters,
    read_again: Callable[[int, int], int],
) -> Said:
    """What each node but the first says of the logs of these blocks, which are about to be booked, of those before that
    are not witnessed yet, and of all that wait up to a final height; marks those that wait, and frees those that every
    node shows now. `filters` gives the two calls for a range of blocks, `read_again` asks the first node for the logs
    of some blocks once more. Raises what the first node refuses."""
    chain, *witnesses = nodes
    if not witnesses:
        _waiting(up_to).update(refusal="")  # nobody is left to bear anything out
        return Said([], set())
    late, is_all_late = _late(up_to)
    since, spans = _spans(blocks)
    asked = [*spans, *late]
    if not asked:
        return Said([], set())
    shown = [_shown_by(witness, asked, filters) for witness in witnesses]
    rows = _rows(asked)
    is_left_out = any(theirs is not None and theirs.keys() - rows.keys() for theirs in shown)
    found = [read_again(*span) for span in spans] if is_left_out else []
    if any(found):
        rows = _rows(asked)
    first = _first_says(chain, rows, filters)
    if denied.give_up(_shown_by_none(rows, [first, *shown])):
        rows = _rows(asked)
    _mark(rows, [(chain, first), *zip(witnesses, shown, strict=True)])
    ours = {key: row.said for key, row in rows.items() if not row.waits} | first
    said = _compared(ours, list(zip(witnesses, shown, strict=True)), is_whole=is_all_late and len(spans) < 2)
    if spans and None not in shown and all(one.agrees for one in said.found):
        Witnessed.objects.filter(chain=blocks[-1].chain).update(block_number=spans[0][1])
    elif spans and spans[-1][1] - since > SILENT_BLOCKS:
        said.found.extend(_silent(since, witnesses, shown))
    return said


def _compared(ours: Mapping[Key, Text], shown: Sequence[tuple[Chain, Shown]], is_whole: bool) -> Said:
    """Each witness with the first node. Where not everything that is open was asked, nothing said is no agreement."""
    said = Said([], set())
    for number, (witness, theirs) in enumerate(shown, start=2):
        place = f"logs by node {number}, {witness.name}"
        if theirs is None:
            said.unknown.add(place)
            continue
        off = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
        if is_whole or off:
            said.found.append(Comparison(Kind.WITNESSES, place, _said(ours, off), _said(theirs, off)))
        else:
            said.unknown.add(place)
    return said


def _silent(since: int, witnesses: Sequence[Chain], shown: Sequence[Shown]) -> Iterator[Comparison]:
    """A node may answer for blocks and never for logs: then nothing is compared."""
    for number, (witness, theirs) in enumerate(zip(witnesses, shown, strict=True), start=2):
        if theirs is None:
            place = f"answers about logs by node {number}, {witness.name}"
            yield Comparison(Kind.WITNESSES, place, f"asked since block {since + 1}", "silent")


def _spans(blocks: Sequence[ChainBlock]) -> tuple[int, list[Span]]:
    """Up to where all was witnessed, and what is asked for now: the oldest blocks above that, so many at a time, and
    the given ones; one span where that is everything above."""
    if not blocks:
        return 0, []
    first, last = blocks[0].number, blocks[-1].number
    seen, _ = Witnessed.objects.get_or_create(chain=blocks[-1].chain, defaults={"block_number": max(first - 1, 0)})
    since = seen.block_number
    if since + BACKLOG_BLOCKS >= first - 1:
        return since, [(since + 1, last)]
    return since, [(since + 1, since + BACKLOG_BLOCKS), (first, last)]


def _waiting(up_to: int) -> QuerySet[ChainLog]:
    """The logs up to this block that wait for the nodes to agree."""
    here = ChainLog.objects.filter(block__chain=chains.here(), block__canonical=True, block__number__lte=up_to)
    return here.filter(applied=False, refusal__startswith=ChainLog.DISPUTED)


def _late(up_to: int) -> tuple[list[Span], bool]:
    """Spans of the oldest blocks with logs that wait, and whether those are all such blocks."""
    numbers = _waiting(up_to).order_by("block__number").values_list("block__number", flat=True).distinct()
    found = list(numbers[: WAITING_BLOCKS + 1])
    return _together(found[:WAITING_BLOCKS]), len(found) <= WAITING_BLOCKS


def _together(numbers: Iterable[int]) -> list[Span]:
    """Blocks that lie near each other are asked for by one range."""
    spans: list[Span] = []
    for number in numbers:
        if spans and number - spans[-1][1] < LOG_BLOCKS:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _shown_by(node: Chain, spans: Sequence[Span], filters: Filters) -> Shown:
    """Its logs of these blocks; None where it does not answer."""
    try:
        return _ask(node, spans, filters)
    except Refusal as error:
        log.warning("%s says nothing of the logs of blocks %s: %s", node.name, spans, error)
        return None


def _ask(node: Chain, spans: Sequence[Span], filters: Filters) -> dict[Key, Text]:
    node.id()
    calls = [call for span in spans for within in _ranges(*span) for call in filters(within)]
    return {key: said for part in node.batch(calls) for key, said in map(_entry, part)}


def _ranges(first: int, last: int) -> Iterator[dict[str, str]]:
    for start in range(first, last + 1, LOG_BLOCKS):
        yield {"fromBlock": hex(start), "toBlock": hex(min(start + LOG_BLOCKS - 1, last))}


def _entry(said: Mapping[str, Any]) -> tuple[Key, Text]:
    key = (said["blockHash"], int(said["logIndex"], 16))
    return key, (said["transactionHash"], said["address"].lower(), *said["topics"], said["data"])


def _told(key: Key, said: Text) -> dict[str, Any]:
    """The same as a node tells it."""
    transaction, address, *topics, data = said
    told = {"blockHash": key[0], "logIndex": hex(key[1]), "transactionHash": transaction}
    return told | {"address": address, "topics": topics, "data": data}


def _rows(spans: Sequence[Span]) -> dict[Key, _Row]:
    """The logs of these blocks that we keep."""
    within = Q(pk__in=[])
    for first, last in spans:
        within |= Q(number__gte=first, number__lte=last)
    rows = ChainLog.objects.filter(block__in=ChainBlock.objects.filter(within, canonical=True))
    columns = ("block_hash", "log_index", "id", "block__number", "applied", "refusal")
    said = rows.values_list(*columns, "transaction_hash", "address", "topics", "data")
    return {
        (block_hash, index): _Row(id_, number, applied, refusal, (transaction, address.lower(), *topics, data))
        for block_hash, index, id_, number, applied, refusal, transaction, address, topics, data in said
    }


def _first_says(chain: Chain, rows: Mapping[Key, _Row], filters: Filters) -> dict[Key, Text]:
    """What the first node says today of the logs that wait: another may have brought them, or it may have lied."""
    waiting = {key: row.block_number for key, row in rows.items() if row.waits}
    if not waiting:
        return {}
    spans = _together(sorted(set(waiting.values())))
    return {key: said for key, said in _ask(chain, spans, filters).items() if key in waiting}


def _shown_by_none(rows: Mapping[Key, _Row], shown: Sequence[Shown]) -> dict[UUID, dict[str, Any] | None]:
    """The logs that wait although every node was asked and none shows them, all saying the same instead: another log in
    that place, or none."""
    answers = [theirs for theirs in shown if theirs is not None]
    if len(answers) < len(shown):
        return {}
    found: dict[UUID, dict[str, Any] | None] = {}
    for key, row in rows.items():
        said = {theirs.get(key) for theirs in answers} if row.waits else {row.said}
        if len(said) == 1 and row.said not in said:
            (instead,) = said
            found[row.id] = _told(key, instead) if instead is not None else None
    return found


def _said(logs: Mapping[Key, Text], off: set[Key]) -> str:
    """How many of those that differ this side shows, the first of them, and a short hash of what it says of them all:
    both sides may show the same logs otherwise. Nothing where none differs."""
    shown = sorted(key for key in off if key in logs)
    if not shown:
        return "none" if off else "all"
    content = sha256_hex(canonical_json([logs[key] for key in shown]))[:CONTENT_DIGITS]
    return f"{len(shown)}: {logs[shown[0]][0]} {shown[0][1]} ({content})"


def _mark(rows: Mapping[Key, _Row], shown: Sequence[tuple[Chain, Shown]]) -> None:
    """Have exactly those of these logs wait that some node does not show. What is booked stays booked: the break says
    what has become doubtful."""
    changed: dict[str, list[UUID]] = {}
    for key, row in rows.items():
        if row.applied:
            continue
        missing = [node.name for place, (node, theirs) in enumerate(shown) if _denies(place, node, theirs, key, row)]
        refusal = f"{ChainLog.DISPUTED}: not shown by {', '.join(missing)}"[:300] if missing else ""
        if refusal != row.refusal and (missing or row.waits):
            changed.setdefault(refusal, []).append(row.id)
    for refusal, ids in changed.items():
        ChainLog.objects.filter(id__in=ids, applied=False).update(refusal=refusal)


def _denies(place: int, node: Chain, theirs: Shown, key: Key, row: _Row) -> bool:
    """Whether a log waits for this node. The first node was asked only for what waits already; one that is silent has
    not taken back what it said before."""
    if theirs is None:
        return row.refusal == LATE or (row.waits and node.name in row.refusal)
    return (place > 0 or row.waits) and theirs.get(key) != row.said
