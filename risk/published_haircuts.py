"""The haircuts of the model in the market of a tick, kept for pages: one row a margin asset.

Where relationships are under several rulesets or margin periods it is the largest of theirs. Signed terms bind whatever
stands here.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import transaction

from intermediary import onboarding
from intermediary.collateral import counted
from intermediary.models import Asset
from intermediary.money import from_base_units
from risk import measurements
from risk.engine import universe_of
from risk.figures import load_snapshot, matrices_for
from risk.margin.haircuts import ModelHaircut as Found
from risk.margin.haircuts import bps_up, model_haircuts
from risk.models import Measurement, ModelHaircut, Tick
from risk.period import rules_of
from risk.shards import cells_of_shard

HAIRCUTS = Measurement.Of.HAIRCUTS


def renew(tick_id: UUID) -> None:
    """Keep the haircuts of the newest market that is done, or of this tick's where none is newer; not twice of one."""
    tick = measurements.newest(tick_id)
    if measurements.reached(HAIRCUTS, tick.id):
        return
    found = measure(tick)
    with transaction.atomic(durable=True):
        if not measurements.claim(HAIRCUTS, tick):
            return
        ModelHaircut.objects.bulk_create(
            [
                ModelHaircut(
                    asset_id=one.asset,
                    tick=tick,
                    haircut_bps=one.bps,
                    floor_bps=bps_up(one.floor),
                    shortfall_bps=bps_up(one.shortfall),
                    concentration_bps=bps_up(one.concentration),
                )
                for one in found.values()
            ],
            update_conflicts=True,
            unique_fields=["asset"],
            update_fields=["tick", "haircut_bps", "floor_bps", "shortfall_bps", "concentration_bps"],
        )


def measure(tick: Tick) -> dict[str, Found]:
    """The haircut of every asset that this market can value, by its code."""
    universe, cell_ids = universe_of(tick), cells_of_shard(0, 1)
    held = _held_usd(tick, cell_ids)
    rulesets = {rules_of(terms) for terms in onboarding.terms_of_cells(cell_ids).values()}
    found: dict[str, Found] = {}
    for name in sorted(rulesets):
        for one in model_haircuts(matrices_for(tick.snapshot_id, name, universe.instruments), held):
            if one.asset not in found or one.bps > found[one.asset].bps:
                found[one.asset] = one
    return found


def _held_usd(tick: Tick, cell_ids: Sequence[UUID]) -> Mapping[str, float]:
    """Market value of what all relationships hold of each asset as margin."""
    snapshot, assets = load_snapshot(tick.snapshot_id), Asset.objects.in_bulk()
    total = dict.fromkeys(assets, 0)
    for margin in counted(cell_ids).values():
        for code, amount in margin.items():
            total[code] += amount
    known = {"", *snapshot.coins}  # an asset without an underlying is a dollar
    priced = {code: item.priced_as for code, item in assets.items() if item.priced_as in known}
    return {
        code: float(from_base_units(total[code], assets[code].decimals)) * (float(snapshot.mark(coin)) if coin else 1.0)
        for code, coin in priced.items()
    }
