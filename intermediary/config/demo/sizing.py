"""How much margin and threshold the cast needs: read off the engine for the books they are about to trade."""

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from intermediary import onboarding
from intermediary.config.demo import world
from intermediary.models import Cell, Instrument
from intermediary.money import requirement_from_float, round_down, round_up
from risk.book import Book
from risk.engine import Assessment, compute, universe_of
from risk.gate import latest_tick
from risk.market.snapshot import MarketSnapshot
from risk.period import rules_of

STEP = 10_000 * 10**6  # lines and first margins come in round numbers
WBTC_VALUE_AFTER_HAIRCUT = Decimal("0.80")


def planned(cast: world.Cast, cells: Mapping[str, Cell]) -> dict[UUID, list[tuple[UUID, Decimal]]]:
    """(instrument, signed quantity) of every bargain to be made, by cell."""
    ids = {row.code: row.id for row in Instrument.objects.all()}
    changes: dict[UUID, list[tuple[UUID, Decimal]]] = {}
    for bargain in cast.bargains:
        instrument = ids[bargain.contract]
        changes.setdefault(cells[bargain.buyer].id, []).append((instrument, bargain.quantity))
        changes.setdefault(cells[bargain.seller].id, []).append((instrument, -bargain.quantity))
    return changes


def intended(cast: world.Cast, cells: Mapping[str, Cell]) -> dict[str, Assessment]:
    """The engine's figures for each client's book once every bargain is made."""
    book, tick = Book(), latest_tick()
    universe = universe_of(tick)
    for cell_id, changes in planned(cast, cells).items():
        book.with_changes(cell_id, changes)
    cell_ids = [cells[client.key].id for client in cast.clients]
    terms = onboarding.terms_of_cells(cell_ids)
    found = {key: compute([key], book, universe, tick.snapshot_id, rules_of(terms[key]))[0] for key in cell_ids}
    return {client.key: found[cells[client.key].id] for client in cast.clients}


def threshold_base_units(client: world.Client, need: Assessment) -> int:
    """As the cast says, but for the client whose terms leave only a share of its notional as margin."""
    if client.threshold_share_of_notional_held is None:
        return client.threshold_usd * 10**6
    return max(0, round_down(Decimal(need.independent_amount_base_units - _share_of_notional(client, need)), STEP))


def first_margin_base_units(client: world.Client, need: Assessment, market: MarketSnapshot) -> int:
    """USDC to deliver at first: the client's share of its requirement, less what its bitcoin counts for."""
    if client.first_margin_usd is not None:
        return client.first_margin_usd * 10**6
    required = need.independent_amount_base_units - threshold_base_units(client, need)
    coins = client.wbtc * market.mark("BTC") * WBTC_VALUE_AFTER_HAIRCUT * 10**6
    return max(STEP, round_up(required * client.first_margin_share - coins, STEP))


def _share_of_notional(client: world.Client, need: Assessment) -> int:
    assert client.threshold_share_of_notional_held is not None
    notional = float(need.batch.gross_notional[need.index])
    return requirement_from_float(notional * float(client.threshold_share_of_notional_held), 6)
