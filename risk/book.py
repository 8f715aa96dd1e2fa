"""The book of some relationships as the engine reads it: positions, margin held, terms. Reads only.

Quantities become floats here, once; the hash of the exact rows names the book version of a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Self
from uuid import UUID

from intermediary import onboarding
from intermediary.canonical import hash_of
from intermediary.collateral import counted, eligible
from intermediary.errors import Refusal
from intermediary.models import Asset, Instrument, Party, Position
from intermediary.money import from_base_units
from risk.margin import instruments as terms
from risk.market.snapshot import MarketSnapshot

KINDS: Mapping[str, terms.Kind] = {
    "SPOT": "spot",
    "PERPETUAL": "perp",
    "FUTURE": "future",
    "CALL": "option",
    "PUT": "option",
}
GROSS = {"netting": {"opinion": Party.NettingOpinion.NONE.value}}  # in the rows of a book that does not net


@dataclass
class Book:
    """Exact rows by cell: instrument id -> quantity, asset code -> tokens held (whole tokens); `gross`: the cells whose
    positions do not net, for want of an opinion that they do."""

    positions: dict[UUID, dict[UUID, Decimal]] = field(default_factory=dict)
    collateral: dict[UUID, dict[str, Decimal]] = field(default_factory=dict)
    gross: set[UUID] = field(default_factory=set)

    def version(self, cell_id: UUID) -> str:
        """The hash that names this cell's book."""
        return hash_of(self.rows(cell_id))

    def rows(self, cell_id: UUID) -> dict[str, dict[str, str]]:
        """This cell's book as a JSON value: quantities by instrument id, whole tokens by asset; `of_rows` reads it."""
        held, margin = self.positions.get(cell_id, {}), self.collateral.get(cell_id, {})
        found = {
            "positions": {str(key): str(quantity) for key, quantity in held.items()},
            "margin": {asset: str(tokens) for asset, tokens in margin.items()},
        }
        return found | GROSS if cell_id in self.gross else found

    @classmethod
    def of_rows(cls, cell_id: UUID, rows: Mapping[str, Mapping[str, str]]) -> Self:
        """The book of one cell, as `rows` gave it."""
        return cls(
            {cell_id: {UUID(key): Decimal(quantity) for key, quantity in rows["positions"].items()}},
            {cell_id: {asset: Decimal(tokens) for asset, tokens in rows["margin"].items()}},
            {cell_id} if "netting" in rows else set(),
        )

    def with_changes(self, cell_id: UUID, changes: Sequence[tuple[UUID, Decimal]]) -> None:
        """Add signed quantities to a cell's positions: a trade that is only being considered."""
        held = self.positions.setdefault(cell_id, {})
        for instrument_id, quantity in changes:
            held[instrument_id] = held.get(instrument_id, Decimal(0)) + quantity


def load_book(cell_ids: Sequence[UUID]) -> Book:
    """Open positions and margin that counts under the terms of these cells, six queries whatever their number."""
    book = Book(gross=onboarding.without_netting(cell_ids))
    rows = Position.objects.filter(cell_id__in=cell_ids).exclude(quantity=0)
    for cell_id, instrument_id, quantity in rows.values_list("cell_id", "instrument_id", "quantity"):
        book.positions.setdefault(cell_id, {})[instrument_id] = quantity
    decimals = dict(Asset.objects.values_list("code", "decimals"))
    signed = onboarding.terms_of_cells(cell_ids)
    for cell_id, held in counted(cell_ids).items():
        named = eligible(held, signed[cell_id]) if cell_id in signed else held
        book.collateral[cell_id] = {asset: from_base_units(amount, decimals[asset]) for asset, amount in named.items()}
    return book


@dataclass(frozen=True)
class Universe:
    """Every instrument that a book can hold and one market can value, margin assets included, in the order of the
    matrices. `unvalued`: instruments by id, and assets by code, that it cannot, and why: who holds one is held back, by
    name, and nobody else."""

    instruments: tuple[terms.Instrument, ...]
    row_of_instrument: Mapping[UUID, int]
    row_of_asset: Mapping[str, int]
    unvalued: Mapping[UUID | str, str] = field(default_factory=dict)

    def valued(self, cell_ids: Iterable[UUID], book: Book) -> list[UUID]:
        """Those of the relationships of whose books this market can value everything, in their order."""
        return [cell_id for cell_id in cell_ids if not self._without_value(cell_id, book)]

    def refuse_unvalued(self, cell_ids: Iterable[UUID], book: Book) -> None:
        """Refuse `instrument_not_valued` with what of these books the market cannot value, and why."""
        reasons = sorted({why for cell_id in cell_ids for why in self._without_value(cell_id, book)})
        if reasons:
            raise Refusal("instrument_not_valued", "; ".join(reasons) + ".", reasons=reasons)

    def _without_value(self, cell_id: UUID, book: Book) -> list[str]:
        if not self.unvalued:
            return []
        held: list[UUID | str] = [*book.positions.get(cell_id, ()), *book.collateral.get(cell_id, ())]
        return [self.unvalued[key] for key in held if key in self.unvalued]


def load_universe(market: MarketSnapshot) -> Universe:
    """All instruments and assets of the database that this market can value."""
    rows: dict[UUID, int] = {}
    tokens: dict[str, int] = {}
    unvalued: dict[UUID | str, str] = {}
    resolved: list[terms.Instrument] = []
    # Not as objects: every tick reads them all, and each is made once.
    for key, *said in Instrument.objects.order_by("code").values_list("id", *_SAID):
        if why := _why_not(listed := _instrument(*said), market):
            unvalued[key] = why
        else:
            rows[key] = len(resolved)
            resolved.append(listed)
    for asset in Asset.objects.order_by("code"):
        if why := _why_not(token := _margin_asset(asset), market):
            unvalued[asset.code] = why
        else:
            tokens[asset.code] = len(resolved)
            resolved.append(token)
    return Universe(tuple(resolved), rows, tokens, unvalued)


def _why_not(item: terms.Instrument, market: MarketSnapshot) -> str:
    """Why `revaluation.resolve` would refuse this instrument in this market; empty where it would not."""
    if item.kind != "cash" and item.underlying not in market.underlyings:
        return f"{item.id} has no mark of {item.underlying}"
    if item.expiry is not None and item.expiry <= market.as_of:
        return f"{item.id} expired on {item.expiry:%d %b %Y}"
    return ""


_SAID = ("code", "kind", "underlying", "expiry", "strike")


@lru_cache(maxsize=10_000)
def _instrument(
    code: str, kind: str, underlying: str, expiry: datetime | None, strike: Decimal | None
) -> terms.Instrument:
    return terms.Instrument(
        id=code,
        kind=KINDS[kind],
        underlying=underlying,
        expiry=expiry,
        strike=strike,
        is_call=kind != Instrument.Kind.PUT,
    )


def _margin_asset(row: Asset) -> terms.Instrument:
    if row.priced_as:
        return terms.Instrument(id=row.code, kind="spot", underlying=row.priced_as)
    return terms.Instrument(id=row.code, kind="cash", underlying="USDC")
