"""Where each covered relationship stands on the loss axis now: the input of every mark of a note.

A performing relationship has a loss model: its own scenario losses, held margin and default intensity. One in default
has an estimate of its net loss N at today's marks, and after determination it has N itself; neither is a model any
more. The engine's book and its scenarios are read through `risk`. Runs in risk and bonds workers (numpy).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

from bonds.models import Slice
from intermediary import claims, onboarding, variation
from intermediary.models import Account, AccountKind, Asset, Cell, CreditLine, DefaultCase, Valuation
from intermediary.money import multiply_exactly, round_down, to_base_units
from risk.book import load_book
from risk.engine import Assessment, compute, universe_of
from risk.live_layers import loss_model
from risk.margin.layers import LossModel
from risk.models import Tick
from risk.period import rules_of

BASE_UNITS = 10**6  # of the settlement token in a dollar: loss models are in dollars
Basis = Literal["MODEL", "ESTIMATE", "DETERMINED"]
# Trades that a relationship will make once it is covered: (instrument, signed quantity) by cell.
Planned = Mapping[UUID, Sequence[tuple[UUID, Decimal]]]
NOTHING_PLANNED: Planned = {}


@dataclass(frozen=True)
class Exposure:
    """One relationship: its model while it performs, and the N it stands at (base units, 0 while it performs)."""

    basis: Basis
    net_loss_base_units: int
    loss_now_base_units: int
    model: LossModel | None


def exposures(
    tick: Tick, slices: Sequence[Slice], book_losses: Mapping[UUID, int], planned: Planned = NOTHING_PLANNED
) -> dict[UUID, Exposure]:
    """By cell id. `book_losses` is the N that each slice answers for by its determined cases."""
    cells = {cell.id: cell for cell in Cell.objects.filter(id__in=[item.cell_id for item in slices])}
    live = DefaultCase.objects.filter(cell_id__in=cells).exclude(
        state__in=[DefaultCase.State.CURED, DefaultCase.State.CLOSED]
    )
    cases = {case.cell_id: case for case in live}
    performing = [key for key, cell in cells.items() if cell.state != Cell.State.DEFAULTED and key not in cases]
    models = loss_models(tick, performing, planned)
    found: dict[UUID, Exposure] = {}
    for key in cells:
        determined = book_losses.get(key, 0)
        case = cases.get(key)
        if key in models:
            model, loss_now = models[key]
            found[key] = Exposure("MODEL", determined, loss_now, model)
        elif case is not None and case.determination_id is None:
            estimate = determined + estimated_loss_base_units(key, tick.valuation)
            found[key] = Exposure("ESTIMATE", estimate, estimate, None)
        else:
            found[key] = Exposure("DETERMINED", determined, determined, None)
    return found


def loss_models(
    tick: Tick, cell_ids: Sequence[UUID], planned: Planned = NOTHING_PLANNED
) -> dict[UUID, tuple[LossModel | None, int]]:
    """The loss model of each performing relationship in this tick's market, and what it would lose at these marks.

    The model is None for a book that loses in no scenario, such as an empty one.
    """
    lines = {line.cell_id: line for line in CreditLine.objects.filter(cell_id__in=cell_ids).order_by("id")}
    universe, book = universe_of(tick), load_book(cell_ids)
    for cell_id in cell_ids:
        book.with_changes(cell_id, planned.get(cell_id, ()))
    terms = onboarding.terms_of_cells(cell_ids)
    models = {}
    for cell_id in cell_ids:
        found = compute([cell_id], book, universe, tick.snapshot_id, rules_of(terms[cell_id]))[0]
        models[cell_id] = _model(tick, found, lines.get(cell_id), terms[cell_id].ruleset)
    return models


def estimated_loss_base_units(cell_id: UUID, valuation: Valuation) -> int:
    """N of an open default at these marks: unpaid exposure of its positions, wherever they stand, less its margin."""
    owed = variation.exposure_base_units(cell_id, valuation.id)
    for close_out in Cell.objects.filter(closes_out_id=cell_id):
        owed += variation.exposure_base_units(close_out.id, valuation.id)
    return max(0, owed - margin_value_base_units(cell_id, valuation))


def margin_value_base_units(cell_id: UUID, valuation: Valuation) -> int:
    """Market value of a relationship's margin, whether in its vault, seized or on its way; no haircut."""
    kinds = [AccountKind.CLIENT_MARGIN, AccountKind.HOUSE, AccountKind.IN_TRANSIT]
    value = 0
    for account in Account.objects.filter(cell_id=cell_id, kind__in=kinds).select_related("asset"):
        value += _value(account.balance_base_units, account.asset, valuation)
    return value


def _value(amount_base_units: int, asset: Asset, valuation: Valuation) -> int:
    if not asset.priced_as:
        return amount_base_units
    price = Decimal(valuation.prices[asset.priced_as])
    tokens = Decimal(amount_base_units).scaleb(-asset.decimals)
    return round_down(multiply_exactly(tokens, price, to_base_units("1", 6)))


def _model(tick: Tick, found: Assessment, line: CreditLine | None, ruleset_name: str) -> tuple[LossModel | None, int]:
    exposure = claims.exposure_base_units(found.cell_id, tick.valuation_id)
    loss_now = max(0, exposure - margin_value_base_units(found.cell_id, tick.valuation))
    if not found.batch.may_lose(found.index):
        return None, loss_now
    return loss_model(found, line or CreditLine(), ruleset_name, exposure), loss_now
