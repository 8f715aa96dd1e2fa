"""What of the chain concerns us, and the rows it is kept in: everything our contracts say, and tokens sent to them.

A log that is read after its block was waits for every node: the block may have been witnessed without it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from intermediary.ids import uuid7
from intermediary.models import Asset, ChainTarget
from intermediary.models.bulk import insert_plain
from settlement import chains
from settlement.bindings import checksummed, decode_event, topic
from settlement.chain import Call
from settlement.models import ChainBlock, ChainLog

Entry = Mapping[str, Any]  # a log as a node tells it
LATE = f"{ChainLog.DISPUTED}: read late, and not shown by every node yet"


class Target(NamedTuple):
    """One of our contracts."""

    id: UUID
    cell_id: UUID


@dataclass(frozen=True)
class Watched:
    """The addresses whose logs concern us."""

    targets: Mapping[str, Target]
    tokens: Mapping[str, str]


def watched() -> Watched:
    """Everything that is watched now."""
    ours = ChainTarget.objects.filter(asset__chain__in=chains.asset_chains())
    targets = {address: Target(*known) for address, *known in ours.values_list("address", "id", "cell_id")}
    here = Asset.objects.filter(chain__in=chains.asset_chains()).exclude(token_address="")
    tokens = {asset.token_address: asset.code for asset in here}
    return Watched(targets, tokens)


def filters_of(within: Mapping[str, str], concerning: Watched) -> tuple[Call, Call]:
    """The two questions for the logs of a block, or of a range of them, that concern us."""
    addresses = list(concerning.targets)
    padded = ["0x" + address[2:].lower().rjust(64, "0") for address in addresses]
    topics = [topic("DemoUSDC", "Transfer"), None, padded]
    said = {**within, "address": addresses}
    arriving = {**within, "address": list(concerning.tokens), "topics": topics}
    return ("eth_getLogs", [said]), ("eth_getLogs", [arriving])


def block_of(header: Entry) -> ChainBlock:
    """The row of a block of this chain."""
    return ChainBlock(
        hash=header["hash"],
        number=int(header["number"], 16),
        parent_hash=header["parentHash"],
        block_time=datetime.fromtimestamp(int(header["timestamp"], 16), UTC),
        canonical=True,
    )


def row_of(block: ChainBlock, log: Entry, concerning: Watched, refusal: str = "") -> dict[str, Any]:
    """The row of a log, by column of `ChainLog`."""
    address = checksummed(log["address"])
    event = decode_event(log["topics"], log["data"])
    named = event.arguments if event else {}
    about = concerning.targets.get(
        str(named.get("vault") or (named.get("to") if address in concerning.tokens else address))
    )
    return {
        "id": uuid7(),
        "block_id": block.id,
        "block_hash": block.hash,
        "log_index": int(log["logIndex"], 16),
        "transaction_hash": log["transactionHash"],
        "address": address,
        "topics": log["topics"],
        "data": log["data"],
        "name": event.name if event else "",
        "cell_id": about.cell_id if about else None,
        "applied": False,
        "refusal": refusal,
        "set_aside": False,
    }


def keep_late(concerning: Watched, entries: Iterable[Entry], blocks: Mapping[str, ChainBlock]) -> list[UUID]:
    """Keep logs of these blocks (by hash) that are known already, as far as their places are free; ids of the rows
    that were offered."""
    rows = [row_of(blocks[entry["blockHash"]], entry, concerning, LATE) for entry in entries]
    insert_plain(ChainLog, rows, unless_known=True)
    return [row["id"] for row in rows]
