"""What margin is worth: price, haircut, and the rounding against whoever delivers it.

The settlement token is worth a dollar; another token is worth the official price of its underlying. A token that the
terms do not name is worth nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from django.db import connection

from intermediary import ledger
from intermediary.errors import Refusal
from intermediary.models import Asset, Valuation
from intermediary.onboarding import current_terms
from intermediary.terms import Terms


def price_of(asset: Asset, valuation: Valuation | None) -> Decimal:
    """Dollars a whole token. Refuses a priced token without an official price."""
    if not asset.priced_as:
        return Decimal(1)
    quoted = valuation.prices.get(asset.priced_as) if valuation is not None else None
    if quoted is None:
        raise Refusal("price_missing", f"There is no official price of {asset.code}.", asset=asset.code)
    return Decimal(quoted)


def value_after_haircut(
    amount_base_units: int, asset: Asset, price: Decimal, haircut_bps: int, settlement: Asset | None = None
) -> int:
    """Settlement base units that an amount of a token stands for, rounded down. `settlement` spares its query."""
    over, under = worth_ratio(asset, price, haircut_bps, settlement or ledger.settlement_asset())
    return amount_base_units * over // under


def worth_ratio(asset: Asset, price: Decimal, haircut_bps: int, settlement: Asset) -> tuple[int, int]:
    """Settlement base units after haircut that a base unit of a token stands for, as a quotient of ints."""
    over, under = _ratio(settlement.decimals - asset.decimals)
    dollars, parts = price.as_integer_ratio()
    return dollars * (10_000 - haircut_bps) * over, parts * 10_000 * under


def asset_for_value(
    value_base_units: int, asset: Asset, price: Decimal, haircut_bps: int, settlement: Asset | None = None
) -> int:
    """The smallest amount of a token that is worth `value` after haircut: round_up(d / (1 - haircut)).

    So the computation after its delivery gives none. Refuses a token that is worth nothing.
    """
    if haircut_bps >= 10_000 or price <= 0:
        raise Refusal("asset_not_eligible", f"{asset.code} does not count as margin here.", asset=asset.code)
    over, under = _ratio(asset.decimals - (settlement or ledger.settlement_asset()).decimals)
    dollars, parts = price.as_integer_ratio()
    return -(-value_base_units * over * parts * 10_000 // (under * dollars * (10_000 - haircut_bps)))


def _ratio(places: int) -> tuple[int, int]:
    """10**places as a quotient of ints, which divide exactly and faster than decimals or fractions."""
    return 10 ** max(places, 0), 10 ** max(-places, 0)


def asset_within_value(value_base_units: int, asset: Asset, price: Decimal, haircut_bps: int) -> int:
    """The largest amount of a token that is worth at most `value` after haircut; refuses a token worth nothing."""
    return -asset_for_value(-value_base_units, asset, price, haircut_bps)


def counted(cell_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """Margin that counts, by cell and token, base units: what lies in the vaults, without what is on its way out, and
    what the intermediary has instructed to them. A payment left the exposure when it was instructed, so it counts here
    from then on, once; one that the chain refuses is exposure again."""
    return counted_of(_rows(COUNTED, cell_ids, cell_ids))


def counted_of(rows: Iterable[tuple[UUID, str, int | Decimal]]) -> dict[UUID, dict[str, int]]:
    """The same of the rows of `COUNTED`."""
    margin: dict[UUID, dict[str, int]] = {}
    for cell_id, asset, amount in rows:
        held = margin.setdefault(cell_id, {})
        held[asset] = held.get(asset, 0) + int(amount)
    return {cell_id: {asset: amount for asset, amount in held.items() if amount} for cell_id, held in margin.items()}


def eligible(holdings: Mapping[str, int], terms: Terms) -> dict[str, int]:
    """What of these amounts of tokens the terms count for anything: what realises the client's means, too. A token
    that they do not name, or of which they take everything, such as its own, is worth nothing anywhere."""
    return {code: amount for code, amount in holdings.items() if terms.haircut_of(code) < 10_000}


def balances(cell_id: UUID) -> dict[str, int]:
    """`counted` of one cell, by token."""
    return counted([cell_id]).get(cell_id, {})


def coming_base_units(cell_id: UUID, asset: str) -> int:
    """How much of a token's counted margin is still on its way to the vault."""
    return sum(amount for _, code, amount in _rows(_COMING, [cell_id]) if code == asset)


def held_after_haircut(cell_id: UUID, valuation_id: UUID | None, terms: Terms | None = None) -> int:
    """Value of a relationship's margin at a valuation, settlement base units after haircut."""
    valuation = Valuation.objects.get(id=valuation_id) if valuation_id is not None else None
    return value_of_holdings(balances(cell_id), valuation, terms or current_terms(cell_id))


def value_of_holdings(
    holdings: Mapping[str, int], valuation: Valuation | None, terms: Terms, assets: Mapping[str, Asset] | None = None
) -> int:
    """Value of these amounts of tokens after haircut, each token rounded down. `assets`, all of them, spare a query."""
    assets = assets if assets is not None else {asset.code: asset for asset in Asset.objects.all()}
    settlement = next((asset for asset in assets.values() if asset.is_settlement), None)
    counted = [code for code, amount in holdings.items() if amount and terms.haircut_of(code) < 10_000]
    return sum(
        value_after_haircut(
            holdings[code], assets[code], price_of(assets[code], valuation), terms.haircut_of(code), settlement
        )
        for code in counted
    )


def _rows(query: str, *cell_ids: Sequence[UUID]) -> Iterable[tuple[UUID, str, int]]:
    """Cell, token and amount in base units."""
    with connection.cursor() as cursor:
        cursor.execute(query, [list(ids) for ids in cell_ids])
        return [(cell_id, asset, int(amount)) for cell_id, asset, amount in cursor.fetchall()]


_LYING = """
    SELECT cell_id, asset_id, balance_base_units FROM intermediary_account
    WHERE kind = 'client_margin' AND cell_id = ANY(%s)"""
_COMING = """
    SELECT instruction.cell_id, target.asset_id, instruction.amount_base_units
    FROM intermediary_chaininstruction AS instruction
        JOIN intermediary_chaintarget AS target ON target.id = instruction.target_id
    WHERE instruction.is_open AND instruction.kind = 'CREDIT'
        AND instruction.arguments ->> 'destination' = 'client_margin' AND instruction.cell_id = ANY(%s)"""
COUNTED = _LYING + " UNION ALL " + _COMING
