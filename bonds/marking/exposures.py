"""Where each covered relationship stands on the loss axis now: the input of every mark of a note.

A performing relationship has a loss model: its own scenario losses, held margin and default intensity. One in default
has an estimate of its net loss N at today's marks, and after determination it has N itself; neither is a model any
more. The engine's book and its scenarios are read through `risk`. Runs in risk and bonds workers (numpy).
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

from bonds.models import Slice
from intermediary import claims, onboarding, own_tokens, variation
from intermediary.errors import Refusal
from intermediary.models import Asset, Cell, CreditLine, DefaultCase, Valuation
from intermediary.money import multiply_exactly, round_down, to_base_units
from intermediary.terms import Terms
from risk.book import Book, Universe, load_book
from risk.engine import FAULTS_OF_A_CELL, Assessment, compute, universe_of
from risk.live_layers import loss_model
from risk.margin.layers import LossModel
from risk.models import Tick
from risk.period import rules_of

logger = logging.getLogger(__name__)
BASE_UNITS = 10**6  # of the settlement token in a dollar: loss models are in dollars
Basis = Literal["MODEL", "ESTIMATE", "DETERMINED"]
# Trades that a relationship will make once it is covered: (instrument, signed quantity) by cell.
Planned = Mapping[UUID, Sequence[tuple[UUID, Decimal]]]
NOTHING_PLANNED: Planned = {}
AT_ONCE = 512  # relationships whose requirements are in memory at once


@dataclass(frozen=True)
class Exposure:
    """One relationship: its model while it performs, and the N it stands at (base units, 0 while it performs)."""

    basis: Basis
    net_loss_base_units: int
    loss_now_base_units: int
    model: LossModel | None


@dataclass(frozen=True)
class Standing:
    """Where many relationships stand at one valuation: open defaults and models by cell, whatever series cover them."""

    valuation: Valuation
    cases: Mapping[UUID, DefaultCase]
    models: Mapping[UUID, "Modelled | Refusal"]

    def exposure(self, cell_id: UUID, book_loss_base_units: int) -> Exposure:
        """As a slice sees it that answers for this N by its determined cases. Refuses who has no figures."""
        case, model = self.cases.get(cell_id), self.models.get(cell_id)
        if isinstance(model, Refusal):
            raise model
        if model is not None:
            return Exposure("MODEL", book_loss_base_units, model[1], model[0])
        if case is not None and case.determination_id is None:
            estimate = book_loss_base_units + estimated_loss_base_units(cell_id, self.valuation)
            return Exposure("ESTIMATE", estimate, estimate, None)
        return Exposure("DETERMINED", book_loss_base_units, book_loss_base_units, None)


# What a relationship is expected to lose, None where it cannot, and what it would lose at these marks, base units.
Modelled = tuple[LossModel | None, int]


def standing(tick: Tick, cell_ids: Collection[UUID], planned: Planned = NOTHING_PLANNED) -> Standing:
    """Of these relationships in this tick's market, each looked at once."""
    cells = {cell.id: cell for cell in Cell.objects.filter(id__in=set(cell_ids))}
    live = DefaultCase.objects.filter(cell_id__in=cells).exclude(
        state__in=[DefaultCase.State.CURED, DefaultCase.State.CLOSED]
    )
    cases = {case.cell_id: case for case in live}
    performing = [key for key, cell in cells.items() if cell.state != Cell.State.DEFAULTED and key not in cases]
    return Standing(tick.valuation, cases, _loss_models(tick, performing, planned))


def exposures(
    tick: Tick, slices: Sequence[Slice], book_losses: Mapping[UUID, int], planned: Planned = NOTHING_PLANNED
) -> dict[UUID, Exposure]:
    """By cell id. `book_losses` is the N that each slice answers for by its determined cases. Refuses a relationship
    that has no figures in this market."""
    found = standing(tick, [item.cell_id for item in slices], planned)
    return {item.cell_id: found.exposure(item.cell_id, book_losses.get(item.cell_id, 0)) for item in slices}


def loss_models(tick: Tick, cell_ids: Sequence[UUID], planned: Planned = NOTHING_PLANNED) -> dict[UUID, Modelled]:
    """The loss model of each performing relationship in this tick's market, and what it would lose at these marks.

    The model is None for a book that loses in no scenario, such as an empty one. Refuses who has no figures.
    """
    models = {}
    for cell_id, model in _loss_models(tick, cell_ids, planned).items():
        if isinstance(model, Refusal):
            raise model
        models[cell_id] = model
    return models


def _loss_models(tick: Tick, cell_ids: Sequence[UUID], planned: Planned) -> dict[UUID, Modelled | Refusal]:
    """Every relationship's, each once whatever number of classes stands behind it, in a few queries."""
    lines = {line.cell_id: line for line in CreditLine.objects.filter(cell_id__in=cell_ids).order_by("id")}
    universe, book = universe_of(tick), load_book(cell_ids)
    for cell_id in planned.keys() & set(cell_ids):
        book.with_changes(cell_id, planned[cell_id])
    terms = onboarding.terms_of_cells(cell_ids)
    owed = claims.exposures_base_units(cell_ids, tick.valuation_id)
    held = margin_values_base_units(cell_ids, tick.valuation)
    found: dict[UUID, Modelled | Refusal] = {}
    for cell_id, one in _assessments(cell_ids, terms, book, universe, tick.snapshot_id):
        exposure = owed[cell_id]
        if isinstance(one, Refusal):
            found[cell_id] = one
        elif exposure is None:
            found[cell_id] = Refusal("mark_missing", "A book holds what has no official mark.", cell_id=cell_id)
        else:
            line = lines.get(cell_id) or CreditLine()
            loses = one.batch.may_lose(one.index)
            model = loss_model(one, line, terms[cell_id].ruleset, exposure) if loses else None
            found[cell_id] = model, max(0, exposure - held[cell_id])
    for cell_id in set(cell_ids) - found.keys():
        found[cell_id] = Refusal("no_terms", "A relationship without signed terms has no figures.", cell_id=cell_id)
    return found


def _assessments(
    cell_ids: Sequence[UUID], terms: Mapping[UUID, Terms], book: Book, universe: Universe, snapshot_id: str
) -> Iterator[tuple[UUID, Assessment | Refusal]]:
    """Of all that have terms, each under its own ruleset."""
    for name in sorted({rules_of(one) for one in terms.values()}):
        mine = [cell_id for cell_id in cell_ids if cell_id in terms and rules_of(terms[cell_id]) == name]
        for start in range(0, len(mine), AT_ONCE):
            yield from _assessed(mine[start : start + AT_ONCE], book, universe, snapshot_id, name)


def _assessed(
    cell_ids: Sequence[UUID], book: Book, universe: Universe, snapshot_id: str, ruleset_name: str
) -> Iterator[tuple[UUID, Assessment | Refusal]]:
    """Together, or one by one where one of them cannot be: its fault is its own."""
    try:
        yield from ((one.cell_id, one) for one in compute(cell_ids, book, universe, snapshot_id, ruleset_name))
    except FAULTS_OF_A_CELL as fault:
        if len(cell_ids) == 1:
            if isinstance(fault, Refusal):
                yield cell_ids[0], fault
            else:
                logger.exception("no figures of relationship %s", cell_ids[0])
                yield cell_ids[0], Refusal("internal_error", f"No figures: {type(fault).__name__}.")
            return
        for cell_id in cell_ids:
            yield from _assessed([cell_id], book, universe, snapshot_id, ruleset_name)


def estimated_loss_base_units(cell_id: UUID, valuation: Valuation) -> int:
    """N of an open default at these marks: unpaid exposure of its positions, wherever they stand, less its margin."""
    owed = variation.exposure_base_units(cell_id, valuation.id)
    for close_out in Cell.objects.filter(closes_out_id=cell_id):
        owed += variation.exposure_base_units(close_out.id, valuation.id)
    return max(0, owed - margin_value_base_units(cell_id, valuation))


def margin_value_base_units(cell_id: UUID, valuation: Valuation) -> int:
    """Market value of a relationship's margin, whether in its vault, seized or on its way; no haircut."""
    return margin_values_base_units([cell_id], valuation)[cell_id]


def margin_values_base_units(cell_ids: Sequence[UUID], valuation: Valuation) -> dict[UUID, int]:
    """The same of many by few queries."""
    assets, values = Asset.objects.in_bulk(), dict.fromkeys(cell_ids, 0)
    for (cell_id, code), amount in own_tokens.margin(cell_ids).items():
        values[cell_id] += _value(amount, assets[code], valuation)
    return values


def _value(amount_base_units: int, asset: Asset, valuation: Valuation) -> int:
    if not asset.priced_as:
        return amount_base_units
    price = Decimal(valuation.prices[asset.priced_as])
    tokens = Decimal(amount_base_units).scaleb(-asset.decimals)
    return round_down(multiply_exactly(tokens, price, to_base_units("1", 6)))
