"""Writing the requirements of many relationships: the current row of each, and its point of the history.

A handful of statements for any number. Columns travel as arrays and the JSON of each row as one line, so that neither
side spends its time on placeholders or on taking a document apart.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from intermediary.ids import uuid7


class Figures(NamedTuple):
    """One row of MarginState to be, at the valuation of its part; base units. Documents are JSON on one line."""

    cell_id: str
    exposure_base_units: int
    independent_amount_base_units: int
    threshold_base_units: int
    required_base_units: int
    held_base_units: int
    ruleset_hash: str
    breakdown: str
    admission: str


def store(valuation_id: UUID, rows: Sequence[Figures], *, keeps_history: bool) -> None:
    """The current figures, and where asked their point of the history: the first one of a valuation stays."""
    if not rows:
        return
    # The columns in the order of `Figures`.
    cell_ids, owed, independent, threshold, needed, worth, hashes, breakdowns, admissions = zip(*rows, strict=True)
    cells, exposure, required, held = _array(cell_ids), _array(owed), _array(needed), _array(worth)
    whole = [cells, exposure, _array(independent), _array(threshold), required, held, _array(hashes)]
    figures: list[UUID | str] = [valuation_id, *whole, "\n".join(breakdowns), "\n".join(admissions)]
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, figures)
        if cursor.rowcount != len(rows):  # some have no row yet
            cursor.execute(_BEGIN, [*figures, _new_ids(len(rows))])
        if keeps_history:
            cursor.execute(_STORE_POINTS, [valuation_id, _new_ids(len(rows)), cells, required, held, exposure])


def _new_ids(count: int) -> str:
    return _array([uuid7() for _ in range(count)])


def _array(values: Iterable[UUID | int | str]) -> str:
    """An array as PostgreSQL reads it; nothing here needs quotes."""
    return "{" + ",".join(map(str, values)) + "}"


_NEW = """
    ROWS FROM (unnest(%s::uuid[]), unnest(%s::numeric[]), unnest(%s::numeric[]), unnest(%s::numeric[]),
        unnest(%s::numeric[]), unnest(%s::numeric[]), unnest(%s::text[]), string_to_table(%s, E'\\n'),
        string_to_table(%s, E'\\n')"""
_NAMES = "cell_id, exposure, independent, threshold, required, held, ruleset_hash, breakdown, admission"
_RENEW = f"""
    UPDATE intermediary_marginstate AS state SET
        valuation_id = %s::uuid, exposure_base_units = new.exposure,
        independent_amount_base_units = new.independent, threshold_base_units = new.threshold,
        required_base_units = new.required, held_base_units = new.held, ruleset_hash = new.ruleset_hash,
        breakdown = new.breakdown::json, admission = new.admission::json
    FROM {_NEW}) AS new ({_NAMES}) WHERE state.cell_id = new.cell_id"""  # noqa: S608 - our words
_BEGIN = f"""
    INSERT INTO intermediary_marginstate (valuation_id, cell_id, exposure_base_units, independent_amount_base_units,
        threshold_base_units, required_base_units, held_base_units, ruleset_hash, breakdown, admission, id)
    SELECT %s::uuid, new.cell_id, new.exposure, new.independent, new.threshold, new.required, new.held,
        new.ruleset_hash, new.breakdown::json, new.admission::json, new.id
    FROM {_NEW}, unnest(%s::uuid[])) AS new ({_NAMES}, id) ON CONFLICT (cell_id) DO NOTHING"""  # noqa: S608 - our words
_STORE_POINTS = """
    INSERT INTO intermediary_marginpoint
        (valuation_id, id, cell_id, required_base_units, held_base_units, exposure_base_units)
    SELECT %s::uuid, * FROM unnest(%s::uuid[], %s::uuid[], %s::numeric[], %s::numeric[], %s::numeric[])
    ON CONFLICT (cell_id, valuation_id) DO NOTHING"""
