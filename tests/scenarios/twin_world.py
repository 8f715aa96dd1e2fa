"""One small world on the evening of the crash, played on in several ways that differ in one relationship's fate.

The relationship is R-FATED, long bitcoin against R-GAINS and R-MAKER. It has margin for any fall, or it answers its
call, or it defaults: noticed, terminated, closed out, its loss spread over its layers and the tail notes, a part of it
recovered. All others do the same in every world, at the same platform times and prices, and R-LEAN is called as well.
Everything goes through the product: the real engine's ticks, commands, events. Only the chain is played.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from bonds.marking import valuation
from bonds.models import SliceMark, SlicePart
from bonds.servicing import write_downs
from intermediary import calls, clock, closeout, defaults, determination, ledger, margining, recovery, withdrawals
from intermediary.closeout_schedule import CloseOutRules, DepthQuote
from intermediary.config.replay import deliver_all, store_snapshot
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    Cell,
    ChainTarget,
    DefaultCase,
    Delivery,
    Layer,
    MarginCall,
    UncoveredShare,
    Valuation,
    Withdrawal,
)
from risk import engine, live_layers
from risk.models import Tick
from tests.bonds import world as bonds_world
from tests.intermediary import default_world
from tests.intermediary.margin_world import MILLION, Client, client, fund_house, officer, traded
from tests.people import as_owner
from tests.risk.builders import MOMENT, snapshot
from tests.transactions import around_all

FATED, GAINS, MAKER, LEAN, ASIDE = "R-FATED", "R-GAINS", "R-MAKER", "R-LEAN", "R-ASIDE"
MARGIN = {FATED: 52, GAINS: 80, MAKER: 80, LEAN: 13, ASIDE: 80}  # quarter millions
BARGAINS = ((FATED, GAINS, 240), (FATED, MAKER, 160), (LEAN, MAKER, 60), (LEAN, ASIDE, 40))  # long, short, coins
QUICK: dict[str, Any] = {"deliver_minutes": 15, "grace_minutes": 0, "cure_minutes": 0}
AT_ONCE = CloseOutRules(max_pauses=0)
IDENTIFIER = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Rows that name their relationship through another row.
BY_WAY_OF = {SlicePart: "slice__cell", SliceMark: "slice__cell", Delivery: "event__cell"}


@dataclass(frozen=True)
class Fate:
    """What becomes of R-FATED; base units."""

    paid_beforehand: int = 0
    paid_on_call: int = 0
    defaults: bool = False


CALM, ANSWERS, DEFAULTS = Fate(paid_beforehand=60 * MILLION), Fate(paid_on_call=60 * MILLION), Fate(defaults=True)


@dataclass(frozen=True)
class Ending:
    """What stands in the tables when the evening is over: the rows of each other relationship with what it could
    withdraw at every bar, and what came of R-FATED."""

    rows: dict[str, list[str]]
    called: bool
    loss: int
    uncovered: int
    layer_losses: tuple[int, ...]
    notes_written: tuple[int, int]  # down and up again, all classes
    shares: dict[str, tuple[int, int]]  # of UNCOVERED: relationship -> (unpaid gain, share)


@dataclass
class World:
    """The world at the moment from which it is played on, and what each could withdraw since."""

    clients: dict[str, Client]
    known: frozenset[str]
    free: dict[str, list[int]] = field(default_factory=dict)

    @property
    def others(self) -> dict[str, Client]:
        """Every relationship but the one whose fate differs."""
        return {code: who for code, who in self.clients.items() if code != FATED}


def build() -> World:
    """Margined, traded at 95,000, covered by one series of notes, and at rest."""
    with around_all():
        return _build()


def _build() -> World:
    with as_owner():
        clock.start_replay(MOMENT)
    house = fund_house(200 * MILLION)
    Cell.objects.create(code="VENUE", kind=Cell.Kind.VENUE)
    clients = {code: client(code, **(QUICK if code == FATED else {})) for code in MARGIN}
    ChainTarget.objects.create(
        kind=ChainTarget.Kind.HOUSE, cell=house, asset_id="USDC", address="0x" + "ff" * 20, opened=True
    )
    for code, who in clients.items():
        pay_in(who, MARGIN[code] * MILLION // 4, "first margin")
        fund(who.cell, AccountKind.FLOAT, 100 * MILLION)
        stand_behind(who.cell)
    default_world.settle()
    bonds_world.on_risk([who.cell for who in clients.values()], [bonds_world.investor("I-1")])
    market(0, 95_000)
    for long, short, coins in BARGAINS:
        traded(clients[long], clients[short], coins, 95_000)
    market(5, 95_000)
    settle()
    return World(clients, frozenset(identifiers()))


def play(world: World, fate: Fate, bottom: int = 55_000) -> Ending:
    """Play the evening with this fate as far down as `bottom` dollars a coin, read how it ended, put the world back."""
    before = transaction.savepoint()
    world.free = {code: [] for code in world.others}
    _evening(world, fate, bottom)
    with connection.cursor() as cursor:  # what the database checks at a commit
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    found = _ending(world)
    transaction.savepoint_rollback(before)
    return found


def _evening(world: World, fate: Fate, bottom: int) -> None:
    """Bitcoin falls to its bottom and comes back a little. Everybody but R-FATED does the same whatever its fate."""
    fated, lean = world.clients[FATED], world.clients[LEAN]
    pay_in(fated, fate.paid_beforehand, "beforehand")
    _bar(world, 10, 82_000)
    pay_in(fated, fate.paid_on_call, "on the call")
    pay_in(lean, MILLION // 10, "a part of its own call")
    _take_out(world, GAINS, MILLION // 2)
    pay_in(lean, 6 * MILLION, "the rest of its own call")
    settle()
    clock_to(25)
    calls.lapse_due(clock.now())
    case = _terminated(fated) if fate.defaults else None
    settle()
    _bar(world, 30, bottom)
    _take_out(world, MAKER, 2 * MILLION)
    if case is not None:
        _replace_and_determine(case)
    settle()
    _bar(world, 95, bottom + 6_000)
    if case is not None:
        recovery.receive(
            officer=officer("third"), case_id=case.id, transaction_hash="0x01", log_index=0,
            amount_base_units=MILLION, source="estate",
        )  # fmt: skip
    _take_out(world, ASIDE, MILLION)
    _bar(world, 100, bottom + 5_000)
    valuation.remark(Tick.objects.all()[0].id)


def _bar(world: World, minutes: int, bitcoin: int) -> None:
    market(minutes, bitcoin)
    write_downs.due(clock.now())
    settle()
    for code, who in world.others.items():
        world.free[code].append(withdrawals.available(who.cell.id, "USDC"))


def market(minutes: int, bitcoin: int) -> None:
    """An official valuation so many minutes after the start, and all that a tick renews but the marks of notes."""
    clock_to(minutes)
    tick = engine.open_tick(store_snapshot(replace(snapshot({"BTC": str(bitcoin)}), as_of=clock.now())), shards=1)
    engine.run_shard(tick.id, 0)
    live_layers.renew(tick.id)


def clock_to(minutes: int) -> None:
    """Platform time stands still there."""
    moment = MOMENT + timedelta(minutes=minutes)
    clock.move_to(moment, rate=Decimal(0), ceiling=moment)


def settle() -> None:
    """Whatever is instructed becomes final, and everyone hears of it; also of what that sets off."""
    for _ in range(2):
        default_world.settle()
        deliver_all()


def pay_in(who: Client, amount_base_units: int, why: str) -> None:
    """A deposit, named by its reason: the same in every world."""
    margining.credit_deposit(
        target=who.vault(), amount_base_units=amount_base_units, sender=who.key.address,
        transaction_hash=f"{who.cell.code}: {why}", log_index=0, block_number=1,
    )  # fmt: skip


def fund(cell: Cell, kind: AccountKind, amount_base_units: int) -> None:
    """The owners' money in one of the house's accounts that face a relationship."""
    lines = [Line(AccountKind.EQUITY, "USDC", -amount_base_units), Line(kind, "USDC", amount_base_units)]
    ledger.post(entry_id=uuid7(), cell_id=cell.id, kind="capital", memo="capital", lines=lines)


def stand_behind(cell: Cell) -> None:
    """Layers behind a relationship, and the money of the intermediary's own."""
    bonds_world.with_layers(cell)
    for layer in Layer.objects.filter(cell=cell, funded=True):
        kind = AccountKind.FIRST_LOSS if layer.kind == Layer.Kind.FIRST_LOSS else AccountKind.SENIOR_RETENTION
        fund(cell, kind, layer.size_base_units)


def _take_out(world: World, code: str, amount_base_units: int) -> None:
    who = world.clients[code]
    asked = withdrawals.request_withdrawal(
        user=who.user, cell_id=who.cell.id, asset="USDC", amount_base_units=amount_base_units
    )
    assert asked.state == Withdrawal.State.INSTRUCTED


def _terminated(who: Client) -> DefaultCase:
    proposal = defaults.propose_notice(
        maker=officer("first"), cell_id=who.cell.id, reason="nothing delivered", rules=AT_ONCE
    )
    case = defaults.give_notice(
        checker=officer("second"), proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked"
    )
    settle()
    return defaults.set_early_termination(case_id=case.id)


def _replace_and_determine(case: DefaultCase) -> None:
    last = Valuation.objects.all()[0]
    deep = {held.instrument_id: DepthQuote(Decimal(10**12)) for held in closeout.remaining_positions(case.id)}
    closeout.replace(case_id=case.id, valuation_id=last.id, depth=deep)
    proposal = determination.propose_determination(maker=officer("fifth"), case_id=case.id, reason="all replaced")
    determination.approve_determination(
        checker=officer("sixth"), proposal_id=proposal.id, seen_hash=proposal.hash, reason="recomputed"
    )


def _ending(world: World) -> Ending:
    fated = world.clients[FATED].cell
    case = DefaultCase.objects.filter(cell=fated).first()
    parts = SlicePart.objects.filter(slice__cell=fated).values_list("written_down_base_units", "written_up_base_units")
    return Ending(
        rows={code: [*rows_of(who.cell, world.known), repr(world.free[code])] for code, who in world.others.items()},
        called=MarginCall.objects.filter(cell=fated).exists(),
        loss=case.loss_base_units if case else 0,
        uncovered=case.uncovered_base_units if case else 0,
        layer_losses=tuple(layer.loss_base_units for layer in fated.layers.order_by("attach_base_units")),
        notes_written=(sum(down for down, _ in parts), sum(up for _, up in parts)),
        shares={
            share.cell.code: (share.unpaid_gain_base_units, share.amount_base_units)
            for share in UncoveredShare.objects.select_related("cell")
        },
    )


def rows_of(cell: Cell, known: frozenset[str]) -> list[str]:
    """Every row that belongs to a relationship, column by column. An id that was made since the worlds parted reads
    "new", and the wall clock is left out; platform times are compared."""
    found = []
    for model, path in _tables():
        for row in model._default_manager.filter(**{path: cell.id}).values():
            row.pop("recorded_at", None)
            text = IDENTIFIER.sub(lambda one: one[0] if one[0] in known else "new", repr(sorted(row.items())))
            found.append(f"{model._meta.label}: {text}")
    return sorted(found)


def identifiers() -> Iterator[str]:
    """The key of every row there is."""
    for model in apps.get_models():
        if isinstance(model._meta.pk, models.UUIDField):
            yield from map(str, model._default_manager.values_list("pk", flat=True))


def _tables() -> Iterator[tuple[type[models.Model], str]]:
    yield Cell, "id"
    for model in apps.get_models():
        if model in BY_WAY_OF:
            yield model, BY_WAY_OF[model]
        fields = [one for one in model._meta.concrete_fields if one.name == "cell"]
        if fields and isinstance(fields[0], models.ForeignKey) and fields[0].related_model is Cell:
            yield model, "cell"
