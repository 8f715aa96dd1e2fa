"""The allocation report: one file from which anyone replays a clearing. Pure, standard library only.

It holds what was sold under which rules, every commitment with its time and what became of it, the opening of each bid
that counted, and the result. An investor finds its own line by its commitment; nobody else is named. `differences`
rebuilds all of it: openings against commitments, times against the close, then the clearing itself.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bonds.offering import book, sealing
from intermediary.canonical import canonical_json, read_json
from intermediary.errors import Refusal

FORMAT = "bulkhead-allocation-1"
COUNTED = "REVEALED"
OUTCOMES = (COUNTED, "UNREVEALED", "WITHDRAWN", "BARRED")


@dataclass(frozen=True)
class SealedBid:
    """One commitment, when it was sealed, what became of it, and its opening where it counted (else empty)."""

    commitment: str
    sealed_at: datetime
    outcome: str
    opening: str


@dataclass(frozen=True)
class BookOfClass:
    """What one class sells, base units, and its bids."""

    note: str
    target_base_units: int
    limit_base_units: int
    cap_base_units: int
    bidders_min: int
    bids: tuple[SealedBid, ...]


@dataclass(frozen=True)
class Result:
    """What a report says of one class; fills by commitment, base units, zero ones too."""

    spread_bps: int | None
    size_base_units: int
    fills_base_units: Mapping[str, int]
    removed: tuple[str, ...]


def build(
    *,
    series: str,
    terms_hash: str,
    rules: str,
    denomination_base_units: int,
    commits_until: datetime,
    reveals_until: datetime,
    classes: Sequence[BookOfClass],
) -> dict[str, Any]:
    """Clear every class and write the report's body; amounts are decimal strings of base units."""
    return {
        "format": FORMAT,
        "rules": rules,
        "series": series,
        "terms_hash": terms_hash,
        "denomination": str(denomination_base_units),
        "commits_until": commits_until.isoformat(),
        "reveals_until": reveals_until.isoformat(),
        "classes": [_entry(one, denomination_base_units) for one in classes],
    }


def results(text: str) -> dict[str, Result]:
    """What a report says, by symbol of the class."""
    return {entry["note"]: _result_of(entry) for entry in json.loads(text)["classes"]}


def ladders(text: str, note: str) -> list[book.Bid]:
    """The bids of one class that counted, as the book saw them."""
    entry = next(one for one in json.loads(text)["classes"] if one["note"] == note)
    return [bid for _, bid in _counted(entry)]


def differences(text: str) -> list[str]:
    """Everything in which a report differs from what its own bids make of it; empty when it holds. Never raises."""
    try:
        body = read_json(text)
        if canonical_json(body) != text.strip():
            return ["file: it is not in its canonical form, so its hash is not the published one"]
        if body["format"] != FORMAT or body["rules"] != book.RULES:
            return [f"file: format {body['format']} under rules {body['rules']} is not known here"]
        return [f"{entry['note']}: {said}" for entry in body["classes"] for said in _differences_of(entry, body)]
    except (KeyError, ValueError, TypeError, AttributeError) as problem:
        return [f"file: this is no report of an allocation ({type(problem).__name__}: {problem})"]


def _entry(one: BookOfClass, denomination_base_units: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "note": one.note,
        "target": str(one.target_base_units),
        "limit": str(one.limit_base_units),
        "cap": str(one.cap_base_units),
        "bidders_min": one.bidders_min,
        "bids": [
            {
                "commitment": bid.commitment,
                "sealed_at": bid.sealed_at.isoformat(),
                "outcome": bid.outcome,
                "opening": bid.opening,
            }
            for bid in sorted(one.bids, key=lambda bid: (bid.sealed_at, bid.commitment))
        ],
    }
    return entry | {"result": _said(_cleared(entry, denomination_base_units))}


def _said(clearing: book.Clearing) -> dict[str, Any]:
    return {
        "covered": clearing.covered,
        "spread_bps": clearing.spread_bps,
        "size": str(clearing.size_base_units),
        "removed": list(clearing.removed),
        "fills": {key: str(fill) for key, fill in clearing.fills_base_units.items()},
    }


def _cleared(entry: Mapping[str, Any], denomination_base_units: int) -> book.Clearing:
    offered = book.Offered(
        target_base_units=int(entry["target"]),
        denomination_base_units=denomination_base_units,
        limit_base_units=int(entry["limit"]),
        cap_base_units=int(entry["cap"]),
        bidders_min=int(entry["bidders_min"]),
    )
    return book.clear(offered, [bid for _, bid in _counted(entry)])


def _counted(entry: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], book.Bid]]:
    """Bids that counted with their ranks: the time of the commitment, then the commitment itself."""
    counted = [line for line in entry["bids"] if line["outcome"] == COUNTED]
    counted.sort(key=lambda line: (datetime.fromisoformat(line["sealed_at"]), line["commitment"]))
    for rank, line in enumerate(counted):
        opening = sealing.read(line["opening"])
        yield line, book.Bid(line["commitment"], rank, opening.steps, opening.minimum_fill_base_units)


def _result_of(entry: Mapping[str, Any]) -> Result:
    said = entry["result"]
    return Result(
        spread_bps=said["spread_bps"],
        size_base_units=int(said["size"]),
        fills_base_units={key: int(fill) for key, fill in said["fills"].items()},
        removed=tuple(said["removed"]),
    )


def _differences_of(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    broken = list(_broken_bids(entry, body))
    yield from broken
    if broken:
        return  # the clearing of bids that do not stand says nothing
    try:
        found = _cleared(entry, int(body["denomination"]))
    except ValueError as problem:
        yield f"the book cannot be cleared: {problem}"
        return
    said = _result_of(entry)
    for name, replayed, stated in (
        ("covered", found.covered, entry["result"]["covered"]),
        ("clearing spread", found.spread_bps, said.spread_bps),
        ("size", found.size_base_units, said.size_base_units),
        ("orders removed", list(found.removed), list(said.removed)),
    ):
        if replayed != stated:
            yield f"{name}: the file says {stated}, its bids make it {replayed}"
    for key in sorted(set(found.fills_base_units) | set(said.fills_base_units)):
        replayed_fill, stated_fill = found.fills_base_units.get(key), said.fills_base_units.get(key)
        if replayed_fill != stated_fill:
            yield f"fill of {key}: the file says {stated_fill}, its bids make it {replayed_fill}"


def _broken_bids(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    close, seen, bidders = datetime.fromisoformat(body["commits_until"]), set(), set()
    for line in entry["bids"]:
        name = f"bid {line['commitment']}"
        if line["outcome"] not in OUTCOMES:
            yield f"{name}: there is no outcome {line['outcome']}"
        if line["commitment"] in seen:
            yield f"{name}: it stands twice"
        seen.add(line["commitment"])
        if datetime.fromisoformat(line["sealed_at"]) >= close:
            yield f"{name}: it was sealed after the close"
        if line["outcome"] != COUNTED:
            continue
        try:
            opening = sealing.read(line["opening"])
            sealing.refuse_bad_ladder(opening, int(body["denomination"]))
        except Refusal as refusal:
            yield f"{name}: {refusal.message}"
            continue
        if opening.commitment != line["commitment"]:
            yield f"{name}: its opening is of another commitment, {opening.commitment}"
        if (opening.series, opening.note) != (body["series"], entry["note"]):
            yield f"{name}: its opening is for {opening.note} of {opening.series}"
        if opening.bidder in bidders:
            yield f"{name}: the same bidder counted twice"
        bidders.add(opening.bidder)
