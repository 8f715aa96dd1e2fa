"""Writing the requirements of many relationships: the current row of each, and its point of the history.

A handful of statements for any number. Columns travel as arrays and the JSON of each row as one line, so that neither
side spends its time on placeholders or on taking a document apart.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from intermediary.ids import uuid7


class Figures(NamedTuple):
    """What margin follows from, of one relationship; base units."""

    exposure_base_units: int
    independent_amount_base_units: int
    threshold_base_units: int
    held_base_units: int


class Columns(NamedTuple):
    """Rows of MarginState to be, at one valuation and under one ruleset; base units. Documents are JSON on one line."""

    cell_id: Sequence[str]
    exposure_base_units: Sequence[int]
    independent_amount_base_units: Sequence[int]
    threshold_base_units: Sequence[int]
    required_base_units: Sequence[int]
    held_base_units: Sequence[int]
    breakdown: Sequence[str]
    admission: Sequence[str]

    def only(self, rows: Sequence[bool]) -> "Columns":
        """Those of them that are named."""
        if all(rows):
            return self
        chosen: list[Any] = [list(compress(column, rows)) for column in self]
        return Columns(*chosen)


def store(valuation_id: UUID, ruleset_hash: str, found: Columns, *, keeps_history: bool) -> None:
    """The current figures, and where asked their point of the history: the first one of a valuation stays."""
    count = len(found.cell_id)
    if not count:
        return
    cells, numbers = _array(found.cell_id), [_array(column) for column in found[1:6]]
    exposure, _, _, required, held = numbers
    documents = ["\n".join(found.breakdown), "\n".join(found.admission)]
    figures: list[UUID | str] = [valuation_id, ruleset_hash, cells, *numbers, *documents]
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, figures)
        if cursor.rowcount != count:  # some have no row yet
            cursor.execute(_BEGIN, [*figures, _new_ids(count)])
        if keeps_history:
            cursor.execute(_STORE_POINTS, [valuation_id, _new_ids(count), cells, required, held, exposure])


def _new_ids(count: int) -> str:
    return _array([uuid7() for _ in range(count)])


def _array(values: Iterable[UUID | int | str]) -> str:
    """An array as PostgreSQL reads it; nothing here needs quotes."""
    return "{" + ",".join(map(str, values)) + "}"


_NEW = """
    ROWS FROM (unnest(%s::uuid[]), unnest(%s::numeric[]), unnest(%s::numeric[]), unnest(%s::numeric[]),
        unnest(%s::numeric[]), unnest(%s::numeric[]), string_to_table(%s, E'\\n'), string_to_table(%s, E'\\n')"""
_NAMES = "cell_id, exposure, independent, threshold, required, held, breakdown, admission"
_RENEW = f"""
    UPDATE intermediary_marginstate AS state SET
        valuation_id = %s::uuid, ruleset_hash = %s, exposure_base_units = new.exposure,
        independent_amount_base_units = new.independent, threshold_base_units = new.threshold,
        required_base_units = new.required, held_base_units = new.held,
        breakdown = new.breakdown::json, admission = new.admission::json
    FROM {_NEW}) AS new ({_NAMES}) WHERE state.cell_id = new.cell_id"""  # noqa: S608 - our words
_BEGIN = f"""
    INSERT INTO intermediary_marginstate (valuation_id, ruleset_hash, cell_id, exposure_base_units,
        independent_amount_base_units, threshold_base_units, required_base_units, held_base_units, breakdown, admission,
        id)
    SELECT %s::uuid, %s, new.cell_id, new.exposure, new.independent, new.threshold, new.required, new.held,
        new.breakdown::json, new.admission::json, new.id
    FROM {_NEW}, unnest(%s::uuid[])) AS new ({_NAMES}, id) ON CONFLICT (cell_id) DO NOTHING"""  # noqa: S608 - our words
_STORE_POINTS = """
    INSERT INTO intermediary_marginpoint
        (valuation_id, id, cell_id, required_base_units, held_base_units, exposure_base_units)
    SELECT %s::uuid, * FROM unnest(%s::uuid[], %s::uuid[], %s::numeric[], %s::numeric[], %s::numeric[])
    ON CONFLICT (cell_id, valuation_id) DO NOTHING"""
