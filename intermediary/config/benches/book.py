"""A large book for measurements, made in seconds: relationships in pairs, one long what the other is short.

Relationships and their money go in under the triggers and constraints of all others. Three things are not as in life:
terms carry no real signatures (thousands of them would measure signing, and a tick reads terms without asking who
signed them); all trades are of one moment, at the official marks, so that nothing is owed when a measurement begins;
and the rows of trades and positions are written by the server's administrator past the triggers, which look at each of
some hundred thousand rows for longer than the measurement takes.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction

from intermediary.config.demo import bootstrap, world
from intermediary.config.scratch import connected_to
from intermediary.ids import uuid7
from intermediary.ledger import Draft, Line, post_all
from intermediary.models import (
    AccountKind,
    Asset,
    Cell,
    ChainTarget,
    Instrument,
    Layer,
    Lot,
    Party,
    Position,
    TermsVersion,
    Trade,
)
from intermediary.models.base import Row
from intermediary.models.bulk import insert_all
from intermediary.money import multiply_exactly
from risk import engine
from risk.book import load_universe
from risk.market.snapshot import MarketSnapshot

NOWHERE = "0x" + "00" * 20  # nobody signs here
LAYERS_USD = {Layer.Kind.FIRST_LOSS: 1_500_000, Layer.Kind.TAIL: 6_000_000, Layer.Kind.SENIOR: 3_000_000}
AT_ONCE = 1000  # relationships (an even number) whose rows are made and written together


@dataclass(frozen=True)
class Size:
    """How many relationships (an even number), how many instruments, and how many of these each relationship holds.

    `rare_share` of the relationships hold something of the last underlying, the others nothing.
    """

    relationships: int
    instruments: int
    held: int
    margin_usd: int
    rare_share: float = 1.0


def build(size: Size, snapshot: MarketSnapshot, admin_url: str) -> None:
    """Write the book into an empty world, the default connection's; every instrument nets to zero. `admin_url` is
    the same database under its administrator's login."""
    draw = random.Random(7)
    usdc = Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    instruments = Instrument.objects.bulk_create(_instruments(size.instruments, snapshot))
    marks = engine.official_marks(load_universe(snapshot), snapshot)
    for start in range(0, size.relationships, AT_ONCE):
        codes = [f"B-{number}" for number in range(start, min(start + AT_ONCE, size.relationships))]
        with transaction.atomic(durable=True):
            cells = _relationships(codes, usdc)
            post_all([_deposit(cell, size.margin_usd) for cell in cells])
        trades: list[Trade] = []
        for one, other in zip(cells[::2], cells[1::2], strict=True):
            held = _held(size, instruments, draw, snapshot.coins[-1])
            trades += [_trade(one, other, item, _quantity(item, draw, snapshot), marks) for item in held]
        _write(trades, admin_url, analyse=start in (0, AT_ONCE) or start + AT_ONCE >= size.relationships)


def set_layers(cell_ids: Sequence[UUID]) -> None:
    """Funded layers of loss behind each of these."""
    layers = []
    for cell_id in cell_ids:
        attach = 0
        for kind, size_usd in LAYERS_USD.items():
            detach = attach + size_usd * 10**6
            slice_id = uuid7() if kind == Layer.Kind.TAIL else None
            layers.append(
                Layer(
                    cell_id=cell_id,
                    kind=kind,
                    attach_base_units=attach,
                    detach_base_units=detach,
                    slice_id=slice_id,
                    funded=True,
                )
            )
            attach = detach
    for start in range(0, len(layers), AT_ONCE):
        insert_all(layers[start : start + AT_ONCE])


def _write(trades: Sequence[Trade], admin_url: str, *, analyse: bool) -> None:
    lots = [_lot(cell, trade) for trade in trades for cell in (trade.buyer, trade.seller)]
    with _past_the_triggers(admin_url):
        for rows in (trades, lots, [_position(lot) for lot in lots]):
            insert_all(rows)
        with connection.cursor() as cursor:
            cursor.execute(_NAME_BOOKS, [list({lot.cell_id for lot in lots})])
            if analyse:
                cursor.execute("ANALYZE")  # what autovacuum does within a minute: without it every plan is a guess


_NAME_BOOKS = """
    INSERT INTO intermediary_bookversion (cell_id, held, settled)
    SELECT cell_id, gen_random_uuid(), gen_random_uuid() FROM unnest(%s::uuid[]) AS cell_id
    ON CONFLICT (cell_id) DO UPDATE SET held = excluded.held"""


@contextmanager
def _past_the_triggers(admin_url: str) -> Iterator[None]:
    with connected_to(admin_url):
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
        yield


def _relationships(codes: Sequence[str], usdc: Asset) -> list[Cell]:
    """Parties, their cells, each with a vault, and their terms."""
    parties = [Party(legal_name=code, code=code, kind=Party.Kind.FUND, jurisdiction="KY") for code in codes]
    cells = [Cell(code=party.code, kind=Cell.Kind.CLIENT, party=party) for party in parties]
    vault = ChainTarget.Kind.VAULT
    vaults = [ChainTarget(kind=vault, cell=cell, asset=usdc, address=f"0x{cell.id.hex:0>40}") for cell in cells]
    made: Iterable[Sequence[Row]] = (parties, cells, vaults, [_terms(cell) for cell in cells])
    for rows in made:
        insert_all(rows)
    return cells


def _terms(cell: Cell) -> TermsVersion:
    terms = bootstrap.terms_of(replace(world.CLIENTS[0], code=cell.code, legal_name=cell.code), NOWHERE, "standard")
    return TermsVersion(
        cell=cell, version=1, body=terms.canonical, hash=terms.hash, client_signer=NOWHERE, house_signer=NOWHERE
    )


def _instruments(count: int, snapshot: MarketSnapshot) -> Iterator[Instrument]:
    """Three in five options, one future, one perpetual, over all coins."""
    kinds = Instrument.Kind
    for number in range(count):
        coin = snapshot.coins[number % len(snapshot.coins)]
        expiry = snapshot.as_of + timedelta(days=30 + number % 100)
        if number < count * 3 // 5:
            strike = (snapshot.mark(coin) * Decimal(80 + number % 60) / 100).quantize(Decimal("0.000001"))
            kind = kinds.CALL if number % 2 else kinds.PUT
            yield Instrument(code=f"{coin}-{number}", kind=kind, underlying=coin, expiry=expiry, strike=strike)
        elif number < count * 4 // 5:
            yield Instrument(code=f"{coin}-{number}", kind=kinds.FUTURE, underlying=coin, expiry=expiry)
        else:
            yield Instrument(code=f"{coin}-{number}", kind=kinds.PERPETUAL, underlying=coin)


def _held(size: Size, instruments: Sequence[Instrument], draw: random.Random, rare: str) -> list[Instrument]:
    """What one pair trades."""
    if size.rare_share == 1.0:
        return draw.sample(instruments, size.held)
    common = [item for item in instruments if item.underlying != rare]
    if draw.random() >= size.rare_share:
        return draw.sample(common, size.held)
    return [draw.choice([item for item in instruments if item.underlying == rare]), *draw.sample(common, size.held - 1)]


def _quantity(instrument: Instrument, draw: random.Random, snapshot: MarketSnapshot) -> Decimal:
    notional = draw.choice([-1, 1]) * draw.randint(10_000, 200_000)
    return (Decimal(notional) / snapshot.mark(instrument.underlying)).quantize(Decimal("0.0001"))


def _trade(one: Cell, other: Cell, instrument: Instrument, quantity: Decimal, marks: Mapping[UUID, Decimal]) -> Trade:
    """A trade at the mark; a quantity below zero is sold by the first."""
    buyer, seller = (one, other) if quantity > 0 else (other, one)
    return Trade(
        instrument=instrument,
        buyer=buyer,
        seller=seller,
        quantity=abs(quantity),
        price=marks[instrument.id],
        state=Trade.State.NOVATED,
    )


def _lot(cell: Cell, trade: Trade) -> Lot:
    buys = trade.buyer == cell
    quantity = trade.quantity if buys else -trade.quantity
    return Lot(
        cell=cell,
        opposite=trade.seller if buys else trade.buyer,
        trade=trade,
        instrument=trade.instrument,
        quantity=quantity,
        open_quantity=quantity,
        price=trade.price,
    )


def _position(lot: Lot) -> Position:
    paid = multiply_exactly(lot.quantity, lot.price)
    return Position(cell=lot.cell, instrument=lot.instrument, quantity=lot.quantity, settled_value=paid)


def _deposit(cell: Cell, margin_usd: int) -> Draft:
    amount = margin_usd * 10**6
    lines = (Line(AccountKind.OUTSIDE, "USDC", -amount), Line(AccountKind.CLIENT_MARGIN, "USDC", amount))
    return Draft(uuid7(), cell.id, "deposit", "benchmark", lines)
