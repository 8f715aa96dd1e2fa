"""Term sheets: the figures of a series at one valuation, stored as one row that pages and the PDF read.

Made after the marks of a tick, the series longest without one first, for at most `SECONDS_A_TICK`: a page reads an
older one with its date rather than waiting for a newer. What each class would have lost in the published scenarios
comes from the relationships' own stress reports, and says for how many of them there is one. Runs in bonds workers
(numpy, QuantLib).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.db.models import Max

from bonds.loss.note_risk import note_risk
from bonds.marking import rulesets
from bonds.marking.class_loss import class_loss
from bonds.marking.exposures import BASE_UNITS, Exposure, exposures
from bonds.marking.extension import extension
from bonds.marking.subject import Subject, SubjectClass, losses_of, of_series
from bonds.marking.valuation import MARKED, note_terms, par_spread_bps
from bonds.models import Series, TermSheet
from bonds.pricing.measures import Distortion, FearedWang
from bonds.pricing.sheet import Axes, Payments, axes_of, exceedance, grid_of
from intermediary import events
from intermediary.errors import Refusal
from intermediary.waterfall import layer_loss
from risk.margin.layers import LossModel
from risk.market.curve import years_between
from risk.models import StressReport, Tick

logger = logging.getLogger(__name__)
SHOWN = (Series.State.STRUCTURING, *MARKED)  # officers look at it before investors do
SHEET_EVERY = timedelta(minutes=30)  # of the market's time: a sheet is read, not watched, and each is 20 kB for good
SECONDS_A_TICK = 1.0  # a tick's marks come first; what is left over waits for the next one
BEYOND = 1.15  # an exceedance curve ends a little beyond the tail, so that what lies above is seen
RELATIONSHIPS_DRAWN = 4  # an exceedance curve each; a basket of more is told by its classes


def renew(tick_id: UUID) -> int:
    """Term sheets at this tick while there is time; returns how many were made. Harmless when repeated."""
    tick = Tick.objects.select_related("valuation").get(id=tick_id)
    until, made = time.monotonic() + SECONDS_A_TICK, 0
    waiting = Series.objects.filter(state__in=SHOWN).annotate(last=Max("term_sheets__valuation__as_of"))
    for series in sorted(waiting, key=lambda one: (one.last is not None, one.last, one.code)):
        if time.monotonic() > until:
            break
        if series.last is not None and tick.valuation.as_of - series.last < SHEET_EVERY:
            continue
        try:
            made += make(series, tick) is not None
        except Refusal as refusal:
            logger.warning("series %s has no term sheet at this tick: %s", series.code, refusal)
    return made


def make(series: Series, tick: Tick) -> TermSheet | None:
    """The sheet of one series at one tick; None when it stands already."""
    if TermSheet.objects.filter(series=series, valuation_id=tick.valuation_id).exists():
        return None
    slices = list(series.slices.select_related("series"))
    found = exposures(tick, slices, losses_of(series))
    body = sheet(of_series(series, tick, found))
    with transaction.atomic():
        row, _ = TermSheet.objects.get_or_create(series=series, valuation_id=tick.valuation_id, defaults={"body": body})
        events.notify(events.PAGES_CHANNEL, f"series:{series.id}")
    return row


def sheet(subject: Subject) -> dict[str, Any]:
    """Everything that a term sheet says at this valuation, a JSON value; amounts in settlement base units, junior
    first."""
    model = _leading(subject)
    rules = rulesets.in_force()
    official = rules.official(subject.market.as_of)
    load = official.market_price_of_risk
    axes = axes_of(model.rho if model else 0.35, load)
    reports = StressReport.objects.filter(cell_id__in=[item.cell_id for item in subject.terms.slices])
    reports = reports.select_related("tick__valuation")
    stress = {report.cell_id: list(report.body["rows"]) for report in reports}
    return {
        "as_of": subject.tick.valuation.as_of.isoformat(),
        "snapshot_id": subject.tick.snapshot_id,
        "measure": rules.measure_name(subject.market.as_of),
        "priced_on": subject.market.as_of.isoformat(),
        "axes": axes.as_data(model.rho if model else 0.35, load),
        "inputs": _inputs(subject),
        "classes": [_class(subject, one, axes, official) for one in subject.classes],
        "slices": [_slice(subject, cell_id) for cell_id in subject.exposures],
        "curves": [_curve(subject, cell_id) for cell_id in list(subject.exposures)[:RELATIONSHIPS_DRAWN]],
        "scenarios": _scenarios(subject, stress),
        "reported": sorted({report.tick.valuation.as_of.isoformat() for report in reports}),
    }


def _leading(subject: Subject) -> LossModel | None:
    """The model whose assumptions the sliders start from: that of the first performing relationship."""
    return next((one.model for one in subject.exposures.values() if one.model is not None), None)


def _class(subject: Subject, one: SubjectClass, axes: Axes, official: FearedWang) -> dict[str, Any]:
    risk = note_risk(one.pieces)
    conditional = risk.expected_loss / risk.pfl if risk.pfl else 0.0
    live = bool(one.pieces) and subject.market.as_of < subject.series.scheduled_maturity
    return {
        "name": one.tranche.name,
        "symbol": one.tranche.symbol,
        "isin": one.tranche.isin,
        "face_base_units": one.tranche.original_base_units,
        "retained_base_units": sum(
            part.detach_base_units - part.attach_base_units - part.principal_base_units for part in one.parts
        ),
        "expected_loss": risk.expected_loss,
        "first_loss": risk.pfl,
        "last_loss": risk.pll,
        "conditional_loss": conditional,
        "loss": class_loss(one.pieces, subject.market.as_of, subject.series.scheduled_maturity),
        "par_spread_bps": par_spread_bps(subject.series, one.tranche, subject.market, one.pieces) if live else None,
        "grid": _grid(subject, one, axes, official) if live else None,
        "extension": extension(subject.terms, subject.market.as_of, one.pieces) if live else None,
    }


def _grid(subject: Subject, one: SubjectClass, axes: Axes, official: FearedWang) -> dict[str, list[float]]:
    terms, as_of = note_terms(subject.series, one.tranche), subject.market.as_of
    periods = terms.remaining(as_of)
    days = [float((period.accrual_end - max(period.accrual_start, as_of)).days) for period in periods]
    payments = Payments(
        times=np.array([years_between(as_of, period.payment_date) for period in periods]),
        years=np.array(days) / 360.0,
        days=np.array(days),
        discounts=np.array([subject.market.discount.factor(period.payment_date) for period in periods]),
    )
    return grid_of(one.pieces, axes, measures_at(axes, official), payments).as_data()


def measures_at(axes: Axes, official: FearedWang) -> list[Distortion]:
    """The official measure at each price of risk of the slider."""
    return [replace(official, market_price_of_risk=load) for load in axes.load]


def _slice(subject: Subject, cell_id: UUID) -> dict[str, Any]:
    item = next(one for one in subject.terms.slices if one.cell_id == cell_id)
    exposure = subject.exposures[cell_id]
    return {
        "relationship": item.relationship,
        "attach_base_units": item.attach_base_units,
        "detach_base_units": item.detach_base_units,
        "edges_base_units": _edges(item.attach_base_units, item.widths_base_units),
        "loss_now_base_units": exposure.loss_now_base_units,
        "basis": exposure.basis,
    }


def _edges(attach: int, widths: Sequence[int]) -> list[int]:
    edges = [attach]
    for width in widths:
        edges.append(edges[-1] + width)
    return edges


def _curve(subject: Subject, cell_id: UUID) -> dict[str, Any]:
    item = next(one for one in subject.terms.slices if one.cell_id == cell_id)
    points, levels = exceedance(subject.exposures[cell_id].model, BEYOND * item.detach_base_units / BASE_UNITS)
    return {
        "relationship": item.relationship,
        "points": [[round(float(x), 2), float(f"{100 * s:.5g}")] for x, s in zip(points, levels, strict=True)],
    }


def _inputs(subject: Subject) -> list[dict[str, Any]]:
    """What the model assumes of each relationship."""
    found = []
    for item in subject.terms.slices:
        model = subject.exposures[item.cell_id].model
        found.append(
            {"relationship": item.relationship, "basis": subject.exposures[item.cell_id].basis}
            | ({} if model is None else _assumed(model))
        )
    return found


def _assumed(model: LossModel) -> dict[str, float]:
    return {
        "default_intensity_annual": model.hazard_annual,
        "rho": model.rho,
        "severity_volatility": model.v,
        "margin_usd": round(model.margin, 2),
    }


def _scenarios(subject: Subject, stress: Mapping[UUID, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Each published scenario with what every class would lose in it: its own relationships' books, all at once, each
    relationship's loss in its own slice only. `measured` of the relationships have a report that has it: of the others
    nothing is known, and nothing is counted."""
    names = {row["name"]: row["title"] for rows in stress.values() for row in rows}
    return [
        {
            "name": name,
            "title": title,
            "measured": sum(any(row["name"] == name for row in rows) for rows in stress.values()),
            "losses_base_units": [_loss_in(name, one, stress, subject.exposures) for one in subject.classes],
        }
        for name, title in names.items()
    ]


def _loss_in(
    name: str,
    one: SubjectClass,
    stress: Mapping[UUID, Sequence[Mapping[str, Any]]],
    found: Mapping[UUID, Exposure],
) -> int:
    lost = 0
    for part in one.parts:
        rows = [row for row in stress.get(part.cell_id, ()) if row["name"] == name]
        net = found[part.cell_id].net_loss_base_units + sum(int(row["net_loss"]) for row in rows)
        width = part.detach_base_units - part.attach_base_units
        loss = layer_loss(net, part.attach_base_units, part.detach_base_units)
        lost += loss * part.principal_base_units // width
    return lost
