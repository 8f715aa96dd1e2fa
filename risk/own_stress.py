"""The whole book under one scenario that an officer makes up: the figures of the stress table, and nothing stored."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from risk.figures import load_snapshot, matrices_for, universe_of
from risk.gate import latest_tick
from risk.market.parameters import COINS
from risk.stress.bearing import Borne, bear_books, total, under_scenarios
from risk.stress.own import own_scenario
from risk.stress_reports import rows_of, valued_by_ruleset


def under(entered: Mapping[str, str], moves: Mapping[str, str]) -> dict[str, Any]:
    """Who bears it in the last official market: `rows` by relationship, the largest loss first, and `whole`; base
    units. Refuses what `own_scenario` refuses, and `no_official_valuation`."""
    scenario, tick = own_scenario(entered, moves, COINS), latest_tick()
    universe = universe_of(tick)
    by_ruleset, book = valued_by_ruleset(universe)
    found: list[tuple[str, Borne]] = []
    for name, members in by_ruleset.items():
        matrices = matrices_for(tick.snapshot_id, name, universe.instruments)
        stressed = under_scenarios(matrices, load_snapshot(tick.snapshot_id), [scenario])
        positions, margin = rows_of([one.cell_id for one in members], book, universe)
        borne = bear_books(stressed, positions, margin, [one.resources for one in members])
        found += [(one.state.cell.code, parts[0]) for one, parts in zip(members, borne, strict=True)]
    found.sort(key=lambda one: (-one[1].net_loss, -one[1].gross, one[0]))
    return {
        "as_of": tick.valuation.as_of.isoformat(),
        "snapshot_id": tick.snapshot_id,
        "rows": [{"code": code, "net_loss": part.net_loss} | asdict(part) for code, part in found],
        "whole": _whole([part for _, part in found]),
    }


def _whole(parts: list[Borne]) -> dict[str, Any]:
    added = total(parts)
    short = sum(1 for part in parts if part.net_loss)
    return {"net_loss": added.net_loss, "short": short} | asdict(added)
