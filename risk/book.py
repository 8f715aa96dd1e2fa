"""The book of some relationships as the engine reads it: positions, margin held, terms. Reads only.

Quantities become floats here, once; the hash of the exact rows names the book version of a result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from intermediary.canonical import hash_of
from intermediary.collateral import counted
from intermediary.models import Asset, Instrument, Position
from intermediary.money import from_base_units
from risk.margin import instruments as terms

KINDS: Mapping[str, terms.Kind] = {
    "SPOT": "spot",
    "PERPETUAL": "perp",
    "FUTURE": "future",
    "CALL": "option",
    "PUT": "option",
}


@dataclass
class Book:
    """Exact rows by cell: instrument id -> quantity, asset code -> tokens held (whole tokens)."""

    positions: dict[UUID, dict[UUID, Decimal]] = field(default_factory=dict)
    collateral: dict[UUID, dict[str, Decimal]] = field(default_factory=dict)

    def version(self, cell_id: UUID) -> str:
        """The hash that names this cell's book."""
        held = self.positions.get(cell_id, {})
        margin = self.collateral.get(cell_id, {})
        return hash_of({"positions": {str(key): value for key, value in held.items()}, "margin": margin})

    def with_changes(self, cell_id: UUID, changes: Sequence[tuple[UUID, Decimal]]) -> None:
        """Add signed quantities to a cell's positions: a trade that is only being considered."""
        held = self.positions.setdefault(cell_id, {})
        for instrument_id, quantity in changes:
            held[instrument_id] = held.get(instrument_id, Decimal(0)) + quantity


def load_book(cell_ids: Sequence[UUID]) -> Book:
    """Open positions and margin that counts of these cells, four queries whatever their number."""
    book = Book()
    rows = Position.objects.filter(cell_id__in=cell_ids).exclude(quantity=0)
    for cell_id, instrument_id, quantity in rows.values_list("cell_id", "instrument_id", "quantity"):
        book.positions.setdefault(cell_id, {})[instrument_id] = quantity
    decimals = dict(Asset.objects.values_list("code", "decimals"))
    for cell_id, held in counted(cell_ids).items():
        book.collateral[cell_id] = {asset: from_base_units(amount, decimals[asset]) for asset, amount in held.items()}
    return book


@dataclass(frozen=True)
class Universe:
    """Every instrument that a book can hold, margin assets included, in the order of the matrices."""

    instruments: tuple[terms.Instrument, ...]
    row_of_instrument: Mapping[UUID, int]
    row_of_asset: Mapping[str, int]


def load_universe() -> Universe:
    """All instruments and assets of the database."""
    listed = list(Instrument.objects.order_by("code"))
    assets = list(Asset.objects.order_by("code"))
    resolved = [_instrument(row) for row in listed] + [_margin_asset(row) for row in assets]
    return Universe(
        instruments=tuple(resolved),
        row_of_instrument={row.id: index for index, row in enumerate(listed)},
        row_of_asset={row.code: len(listed) + index for index, row in enumerate(assets)},
    )


def _instrument(row: Instrument) -> terms.Instrument:
    return terms.Instrument(
        id=row.code,
        kind=KINDS[row.kind],
        underlying=row.underlying,
        expiry=row.expiry,
        strike=row.strike,
        is_call=row.kind != Instrument.Kind.PUT,
    )


def _margin_asset(row: Asset) -> terms.Instrument:
    if row.priced_as:
        return terms.Instrument(id=row.code, kind="spot", underlying=row.priced_as)
    return terms.Instrument(id=row.code, kind="cash", underlying="USDC")
