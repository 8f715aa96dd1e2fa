"""A stored requirement computed again: from its market snapshot, its book, its ruleset and the scenarios' own inputs.

Nothing of the first computation is reused but these rows. A replay that finds another figure, or other inputs than
those whose hash stands beside it, says so by name. It reads; what a difference means is for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from intermediary.errors import Refusal
from intermediary.models import MarginState
from risk.book import Book, load_book, load_universe
from risk.figures import IF_NETTED, Assessment, compute, load_snapshot
from risk.margin.ruleset import NAMES, of_period, ruleset
from risk.models import RequirementRecord


@dataclass(frozen=True)
class Replay:
    """`stored` and `found` independent amounts, settlement base units; `differs` names what is not as it was: ruleset
    figures (`independent_amount`, a line), the `book` against its hash, or the `inputs` of the scenarios."""

    cell: str
    snapshot_id: str
    stored: int
    found: int
    differs: tuple[str, ...]


def of_record(record: RequirementRecord) -> Replay:
    """A requirement that was kept with its book. Refuses `replay_unknown_ruleset` for a version that is not built in,
    `replay_without_book` for one that was kept before books were."""
    if not record.book:
        raise Refusal("replay_without_book", "This requirement was kept without its book.", record=str(record.id))
    book = Book.of_rows(record.cell_id, record.book)
    found = _computed(record.cell_id, book, record.tick.snapshot_id, record.ruleset_hash, record.breakdown)
    other_book = book.version(record.cell_id) != record.book_hash
    differs = (["book"] if other_book else []) + _differences(
        found, record.independent_amount_base_units, record.breakdown
    )
    stored = record.independent_amount_base_units
    return Replay(record.cell.code, record.tick.snapshot_id, stored, found.independent_amount_base_units, (*differs,))


def of_state(state: MarginState) -> Replay:
    """The requirement in force, whose book is the present one: every change of it renews the requirement."""
    snapshot_id = state.valuation.snapshot_id
    book = load_book([state.cell_id])
    # What it was computed as: an opinion that came or went since holds from the next requirement on.
    book.gross = {state.cell_id} if IF_NETTED in state.breakdown else set()
    found = _computed(state.cell_id, book, snapshot_id, state.ruleset_hash, state.breakdown)
    stored = state.independent_amount_base_units
    differs = _differences(found, stored, state.breakdown)
    return Replay(state.cell.code, snapshot_id, stored, found.independent_amount_base_units, (*differs,))


def _computed(
    cell_id: UUID, book: Book, snapshot_id: str, ruleset_hash: str, breakdown: Mapping[str, Any]
) -> Assessment:
    name = _name_of(ruleset_hash, float(breakdown["margin_period_hours"]))
    return compute([cell_id], book, load_universe(load_snapshot(snapshot_id)), snapshot_id, name)[0]


def _name_of(ruleset_hash: str, hours: float) -> str:
    for name in NAMES:
        if ruleset(name).hash == ruleset_hash:
            return name if hours == ruleset(name).mpor_hours else of_period(name, round(hours))
    raise Refusal("replay_unknown_ruleset", "No ruleset of this release has that hash.", ruleset_hash=ruleset_hash)


def _differences(found: Assessment, stored: int, breakdown: Mapping[str, Any]) -> list[str]:
    again = found.breakdown()
    differs = [] if found.independent_amount_base_units == stored else ["independent_amount"]
    differs += [name for name in ("inputs", "total", "gross_notional") if again[name] != breakdown.get(name)]
    lines = dict(map(tuple, breakdown["lines"]))
    return differs + [name for name, amount in again["lines"] if lines.get(name) != amount]
