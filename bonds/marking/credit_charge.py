"""What a relationship's credit costs: each layer of loss behind it, at the price that investors asked for such risk.

The charge of a layer for the coming year is what it is expected to lose under the pricing measure of the notes,
E*[a,d] = 1/(d-a) Int_a^d S*(x) dx, S*(x) the distorted probability that the relationship's loss beyond margin exceeds
x (Wang 2004; `measures`), times its width, times the price of risk of its series: the spread that cleared over the
model's own guidance on that day. The tail is priced by people with money at risk, and the house asks for its two
retentions what they ask for the tail: expected loss, and above it the return on the money that is set aside. Without a
cleared spread the measure stands alone. Nobody is billed by this: it is a quotation, as every part of a what-if is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bonds.marking import rulesets
from bonds.pricing.measures import Distortion, layer_quadrature
from intermediary.models import CreditLine, Layer
from intermediary.money import requirement_from_float
from risk.live_layers import HORIZON_YEARS, UNIT, model_of
from risk.margin.layers import LossModel, shortfall_survival
from risk.period import rules_of
from risk.weighing import Weighed
from risk.what_if import Considered, WhatIf, weigh_up

BPS = 10_000
Floats = NDArray[np.float64]
DECIMALS = 6  # of the settlement token


@dataclass(frozen=True)
class Band:
    """A part of a layer with one price of risk: [attach, detach) in dollars of loss beyond margin; `price_of_risk` is
    the cleared spread over the guidance, 1 where no book has cleared."""

    attach: float
    detach: float
    price_of_risk: float = 1.0

    @property
    def width(self) -> float:
        """Dollars."""
        return self.detach - self.attach


@dataclass(frozen=True)
class BandCost:
    """Over the coming year: `expected_loss` and `charge` in dollars, probabilities of a first and of a total loss."""

    expected_loss: float
    charge: float
    first_loss: float
    last_loss: float


@dataclass(frozen=True)
class PricedLayer:
    """A layer with its bands from the bottom up, and the code of the series that carries it."""

    layer: Layer
    bands: tuple[Band, ...]
    series: str = ""

    @property
    def width_base_units(self) -> int:
        """What the layer can still pay; nothing before its money lies where it belongs."""
        return self.layer.size_base_units - self.layer.loss_base_units if self.layer.funded else 0


def what_if(cell_id: UUID, trades: Sequence[Considered]) -> dict[str, Any]:
    """The answer to a client's question: `risk.what_if` with `credit_charge` before and after. Refuses as it does."""
    found = weigh_up(cell_id, trades, further=[CLASSES, rulesets.IN_FORCE])
    return found.as_data() | {"credit_charge": charges(found)}


def charges(found: WhatIf) -> dict[str, Any]:
    """A JSON value: the layers behind the relationship, each with what it costs a year before and after; amounts are
    settlement base units, rounded up, probabilities and expected losses shares of one, rates basis points a year."""
    classes = [
        _Class(slice_id, series, int(attach), int(detach), spread, guidance)
        for slice_id, series, attach, detach, spread, guidance in found.further[0]
    ]
    layers = priced_layers(found.before.relationship.layers, classes)
    bands = [band for one in layers for band in one.bands]
    rules, day = rulesets.of_rows(found.further[1]), found.after.market.tick.valuation.as_of.date()
    measure = rules.official(day)
    costs = {
        name: costs_of(bands, _model(one), measure) for name, one in (("before", found.before), ("after", found.after))
    }
    width = sum(one.width_base_units for one in layers)
    rows, start = [], 0
    for one in layers:
        end = start + len(one.bands)
        rows.append(_row(one, {name: cost[start:end] for name, cost in costs.items()}))
        start = end
    totals = {name: sum(row[name]["charge_base_units"] for row in rows) for name in costs}
    return {
        "measure": rules.measure_name(day),
        "width_base_units": width,
        "layers": rows,
        **{name: {"charge_base_units": total, "rate_bps": _rate(total, width)} for name, total in totals.items()},
    }


def priced_layers(layers: Sequence[Layer], classes: Sequence["_Class"]) -> list[PricedLayer]:
    """The layers that can pay, in the order of loss, each with its price of risk. Both retentions take that of the
    tail, weighted by the widths of its classes."""
    standing = [layer for layer in layers if layer.funded and layer.size_base_units > layer.loss_base_units]
    paying = {layer.slice_id for layer in standing}
    widths = [
        (one.price_of_risk, one.detach_base_units - one.attach_base_units) for one in classes if one.slice_id in paying
    ]
    of_the_tail = sum(price * width for price, width in widths) / sum(width for _, width in widths) if widths else 1.0
    return [
        _priced(layer, [one for one in classes if one.slice_id == layer.slice_id], of_the_tail) for layer in standing
    ]


def costs_of(bands: Sequence[Band], model: LossModel | None, measure: Distortion) -> list[BandCost]:
    """What each band costs a year; nothing where there is no model, which is a book that cannot lose."""
    if model is None or not bands:
        return [BandCost(0.0, 0.0, 0.0, 0.0) for _ in bands]
    rules = [layer_quadrature(band.attach, band.detach) for band in bands]
    points = [np.append(points, [band.attach, band.detach]) for band, (points, _) in zip(bands, rules, strict=True)]
    survival = shortfall_survival(model, np.concatenate(points), HORIZON_YEARS)
    of_bands = np.split(survival, np.cumsum([part.size for part in points])[:-1])
    return [
        _cost(band, weights, found, measure) for band, (_, weights), found in zip(bands, rules, of_bands, strict=True)
    ]


def _cost(band: Band, weights: Floats, survival: Floats, measure: Distortion) -> BandCost:
    """`survival` at the points of the weights, then at the band's ends."""
    return BandCost(
        expected_loss=float(weights @ survival[:-2]) * band.width,
        charge=float(weights @ measure.distort(survival[:-2])) * band.width * band.price_of_risk,
        first_loss=float(survival[-2]),
        last_loss=float(survival[-1]),
    )


@dataclass(frozen=True)
class _Class:
    """A row of `CLASSES`: what a class of notes covers of a slice, base units, the spread that investors asked for it,
    None while no book has cleared, and what the model's par spread was when they did."""

    slice_id: UUID
    series: str
    attach_base_units: int
    detach_base_units: int
    spread_bps: int | None
    guidance_bps: int | None

    @property
    def price_of_risk(self) -> float:
        """The spread over the guidance; 1 while none has cleared."""
        return self.spread_bps / self.guidance_bps if self.spread_bps is not None and self.guidance_bps else 1.0


CLASSES = """
    SELECT part.slice_id, series.code, part.attach_base_units, part.detach_base_units, tranche.spread_bps,
        tranche.guidance_bps
    FROM intermediary_layer AS layer JOIN bonds_slicepart AS part ON part.slice_id = layer.slice_id
        JOIN bonds_tranche AS tranche ON tranche.id = part.tranche_id
        JOIN bonds_series AS series ON series.id = tranche.series_id
    WHERE layer.cell_id = ANY(%s) ORDER BY part.attach_base_units"""


def _priced(layer: Layer, classes: Sequence[_Class], of_the_tail: float) -> PricedLayer:
    """What a loss has used of a layer, from its bottom up, costs nothing any more."""
    bottom = layer.attach_base_units + layer.loss_base_units
    if not classes:
        return PricedLayer(layer, (Band(bottom / UNIT, layer.detach_base_units / UNIT, of_the_tail),))
    bands = tuple(
        Band(max(one.attach_base_units, bottom) / UNIT, one.detach_base_units / UNIT, one.price_of_risk)
        for one in classes
        if one.detach_base_units > bottom
    )
    return PricedLayer(layer, bands, classes[0].series)


def _model(one: Weighed) -> LossModel | None:
    allowed = one.relationship.allowance
    line = CreditLine(default_intensity_annual=allowed.default_intensity_annual) if allowed else CreditLine()
    return model_of(one.found, line, rules_of(one.relationship.terms), one.exposure)


def _row(one: PricedLayer, costs: Mapping[str, Sequence[BandCost]]) -> dict[str, Any]:
    width = one.width_base_units / UNIT
    return {
        "kind": one.layer.kind,
        "title": one.layer.get_kind_display(),
        "series": one.series,
        "width_base_units": one.width_base_units,
        "price_of_risk": sum(band.price_of_risk * band.width for band in one.bands) / width,
        **{name: _side(found, width) for name, found in costs.items()},
    }


def _side(found: Sequence[BandCost], width: float) -> dict[str, Any]:
    """A layer's figures out of those of its bands, bottom first."""
    charge = requirement_from_float(sum(cost.charge for cost in found), DECIMALS)
    return {
        "expected_loss": sum(cost.expected_loss for cost in found) / width,
        "first_loss": found[0].first_loss,
        "last_loss": found[-1].last_loss,
        "charge_base_units": charge,
        "rate_bps": _rate(charge, round(width * UNIT)),
    }


def _rate(charge_base_units: int, width_base_units: int) -> float:
    return BPS * charge_base_units / width_base_units if width_base_units else 0.0
