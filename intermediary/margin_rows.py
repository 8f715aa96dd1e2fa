"""Writing the requirements of many relationships: the current row of each, and its point of the history.

Two statements for any number. Columns travel as arrays and the JSON of each row as one line, so that neither side
spends its time on placeholders or on taking a document apart.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from intermediary.ids import uuid7


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of MarginState to be, at the valuation of its part; base units."""

    cell_id: UUID
    exposure_base_units: int
    independent_amount_base_units: int
    threshold_base_units: int
    required_base_units: int
    held_base_units: int
    ruleset_hash: str
    breakdown: dict[str, Any]
    admission: dict[str, Any]


def store(valuation_id: UUID, rows: Sequence[Figures]) -> None:
    """The current figures, and their point of the history: the first one of a valuation stays."""
    if not rows:
        return
    cells = _array(row.cell_id for row in rows)
    required = _array(row.required_base_units for row in rows)
    held = _array(row.held_base_units for row in rows)
    exposure = _array(row.exposure_base_units for row in rows)
    with connection.cursor() as cursor:
        cursor.execute(
            _STORE,
            [
                valuation_id,
                _new_ids(len(rows)),
                cells,
                exposure,
                _array(row.independent_amount_base_units for row in rows),
                _array(row.threshold_base_units for row in rows),
                required,
                held,
                _array(row.ruleset_hash for row in rows),
                _lines(row.breakdown for row in rows),
                _lines(row.admission for row in rows),
            ],
        )
        cursor.execute(_STORE_POINTS, [valuation_id, _new_ids(len(rows)), cells, required, held, exposure])


def _new_ids(count: int) -> str:
    return _array(uuid7() for _ in range(count))


def _array(values: Iterable[UUID | int | str]) -> str:
    """An array as PostgreSQL reads it; nothing here needs quotes."""
    return "{" + ",".join(map(str, values)) + "}"


def _lines(documents: Iterable[dict[str, Any]]) -> str:
    """JSON writes a line break inside a text as two other characters, so one separates two documents."""
    return "\n".join(map(json.dumps, documents))


_STORE = """
    INSERT INTO intermediary_marginstate (valuation_id, id, cell_id, exposure_base_units, independent_amount_base_units,
        threshold_base_units, required_base_units, held_base_units, ruleset_hash, breakdown, admission)
    SELECT %s::uuid, new.id, new.cell_id, new.exposure, new.independent, new.threshold, new.required, new.held,
        new.ruleset_hash, new.breakdown::jsonb, new.admission::jsonb
    FROM ROWS FROM (unnest(%s::uuid[]), unnest(%s::uuid[]), unnest(%s::numeric[]), unnest(%s::numeric[]),
        unnest(%s::numeric[]), unnest(%s::numeric[]), unnest(%s::numeric[]), unnest(%s::text[]),
        string_to_table(%s, E'\\n'), string_to_table(%s, E'\\n')) AS new (id, cell_id, exposure, independent, threshold,
        required, held, ruleset_hash, breakdown, admission)
    ON CONFLICT (cell_id) DO UPDATE SET
        valuation_id = excluded.valuation_id, exposure_base_units = excluded.exposure_base_units,
        independent_amount_base_units = excluded.independent_amount_base_units,
        threshold_base_units = excluded.threshold_base_units, required_base_units = excluded.required_base_units,
        held_base_units = excluded.held_base_units, ruleset_hash = excluded.ruleset_hash,
        breakdown = excluded.breakdown, admission = excluded.admission"""
_STORE_POINTS = """
    INSERT INTO intermediary_marginpoint
        (valuation_id, id, cell_id, required_base_units, held_base_units, exposure_base_units)
    SELECT %s::uuid, * FROM unnest(%s::uuid[], %s::uuid[], %s::numeric[], %s::numeric[], %s::numeric[])
    ON CONFLICT (cell_id, valuation_id) DO NOTHING"""
