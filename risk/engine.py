"""One tick: a snapshot in, the requirement of every relationship out.

`open_tick` stores the official valuation and lays out the shards; `run_shard` renews the requirements of one part of
the relationships: where a cycle ends variation margin is settled, and all are assessed. What the numbers mean is
`risk.margin`'s, what follows from them (calls, movements) is the intermediary's. Relationships are renewed together, in
parts; one with which something must happen is taken step by step, and gets the same figures. Results do not depend on
the sharding: every cell is computed from its own rows and the tick's common matrices. One bad cell stops no other: it
is recorded with its reason.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
from django.db import DatabaseError, IntegrityError, transaction

from intermediary import assessment, calls, claims, events, ledger, margining, onboarding, trading, variation
from intermediary.alone import alone_on
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import Cell, Layer, Position
from risk import partial
from risk.book import Book, Universe, load_book, load_universe
from risk.figures import SETTLEMENT_DECIMALS as SETTLEMENT_DECIMALS
from risk.figures import Assessment as Assessment
from risk.figures import breakdowns, matrices_for
from risk.figures import compute as compute
from risk.figures import load_snapshot as load_snapshot
from risk.figures import resources_of as resources_of
from risk.figures import universe_of as universe_of
from risk.kept_rows import RulesetBooks, books_of, books_without, places_in
from risk.margin.requirement import RiskMatrices, requirements
from risk.margin.revaluation import InstrumentTable, option_price, resolve
from risk.margin.ruleset import ruleset
from risk.margin.verdicts import judge, units_up
from risk.market.snapshot import MarketSnapshot
from risk.models import RequirementRecord, Tick, TickShard
from risk.period import rules_of
from risk.shards import cells_of_shard, holders_of_shard

logger = logging.getLogger(__name__)
PRICE_PLACES = Decimal("0.000001")  # a model price of an option is official to a millionth of a dollar
# Relationships of one transaction: few enough that nobody waits long for a lock, and many enough that queries are few.
SETTLED_TOGETHER, ASSESSED_TOGETHER = 500, 2500
TAKEN_ALONE = 40  # a part that fails is halved until it is this small: few are taken alone for the fault of one
ALWAYS = timedelta(0)
# Without a mark nothing of a relationship is paid: what is owed is paid while there is one.
EXPIRES_SOON, LAST_PAYMENTS_EVERY = timedelta(minutes=5), timedelta(minutes=1)
HISTORY_EVERY = timedelta(minutes=5)  # a point of each relationship's margin; a market moves every few seconds
_rulesets_met: set[str] = set()  # by this process, over each margin period
# What the rows of one relationship can be wrong in: everybody else's figures are right all the same.
FAULTS_OF_A_CELL = (
    Refusal, DatabaseError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError,
    RuntimeError,
)  # fmt: skip


def open_tick(snapshot_id: str, shards: int, *, only_moved: bool = False, cycle: timedelta = ALWAYS) -> Tick:
    """Make this snapshot the official valuation and lay out its shards. The same snapshot gives the same tick.

    `only_moved`: between full valuations, renew only those whom the underlyings that moved can touch, by one shard
    where they are few. `cycle`: how long after the last time that variation margin was paid everybody pays or is paid
    again. Until then it is exposure, which requirements hold, and is paid by those with whom something else happens.
    """
    existing = Tick.objects.filter(snapshot_id=snapshot_id).first()
    if existing is not None:
        return existing
    try:
        return _open(load_snapshot(snapshot_id), snapshot_id, shards, only_moved, cycle)
    except IntegrityError:  # asked twice, and the other was first
        return Tick.objects.get(snapshot_id=snapshot_id)


def _open(snapshot: MarketSnapshot, snapshot_id: str, shards: int, only_moved: bool, cycle: timedelta) -> Tick:
    universe = load_universe(snapshot)
    if _expires_soon(snapshot.as_of):
        cycle = min(cycle, LAST_PAYMENTS_EVERY)
    settles = _is_due({"settles": True, "done_at__isnull": False}, snapshot.as_of, cycle)
    only_moved = only_moved and not (settles and cycle)  # at the end of a cycle those owe, too, whom nothing moved now
    coins = partial.moved_since(Tick.objects.first(), snapshot) if only_moved else None
    with transaction.atomic(durable=True):
        valuation = trading.record_valuation(
            as_of=snapshot.as_of,
            source=snapshot.source,
            snapshot_id=snapshot_id,
            prices={coin: str(snapshot.mark(coin)) for coin in snapshot.coins},
            marks=official_marks(universe, snapshot),
        )
        started = datetime.now(UTC)
        tick = Tick.objects.create(
            snapshot_id=snapshot_id,
            valuation=valuation,
            coins=coins,
            settles=settles,
            keeps_history=settles
            or (coins is None and _is_due({"keeps_history": True}, snapshot.as_of, HISTORY_EVERY)),
            started_at=started,
        )
        if coins is not None and len(holders_of_shard(coins, 0, 1)) <= ASSESSED_TOGETHER:
            shards = 1
        TickShard.objects.bulk_create(TickShard(tick=tick, number=number, of=shards) for number in range(shards))
    return tick


def _is_due(what: Mapping[str, bool], as_of: datetime, every: timedelta) -> bool:
    """Whether no tick of this kind was so short a time ago."""
    return not Tick.objects.filter(**what, valuation__as_of__gt=as_of - every).exists()


def _expires_soon(as_of: datetime) -> bool:
    """Whether something that is held has a mark for a few minutes more: what is owed on it is paid until then."""
    expiring = Position.objects.filter(instrument__expiry__gt=as_of, instrument__expiry__lte=as_of + EXPIRES_SOON)
    return expiring.exclude(quantity=0).exists()


def official_marks(universe: Universe, snapshot: MarketSnapshot) -> dict[UUID, Decimal]:
    """The official price of every instrument that this market can value, exact decimals: the market's where there is
    one, the model's to a millionth of a dollar for futures and options."""
    table = resolve(universe.instruments, snapshot)
    model = _model_prices(table)
    return {key: _mark(table, row, snapshot, model) for key, row in universe.row_of_instrument.items()}


def _mark(table: InstrumentTable, row: int, snapshot: MarketSnapshot, model: Sequence[float]) -> Decimal:
    item = table.instruments[row]
    if item.kind in ("spot", "perp"):
        return snapshot.mark(item.underlying)
    return Decimal(model[row]).quantize(PRICE_PLACES)


def _model_prices(table: InstrumentTable) -> list[float]:
    """Of futures and options; of the others their forward, which nobody asks for."""
    values = table.forward.copy()
    for is_call in (True, False):
        chosen = [
            row for row, item in enumerate(table.instruments) if item.kind == "option" and item.is_call is is_call
        ]
        strikes = np.array([float(table.instruments[row].strike or 0) for row in chosen])
        deviation = table.vol[chosen] * np.sqrt(table.years[chosen])
        values[chosen] = option_price(values[chosen], strikes, deviation, table.discount[chosen], is_call)
    prices: list[float] = values.tolist()
    return prices


def warm_up() -> None:
    """Load what every tick needs: kernels, and the scenarios and matrices of the last official market."""
    tick = Tick.objects.first()
    if tick is None:
        return
    universe = universe_of(tick)
    for name in {rules_of(terms) for terms in onboarding.terms_of_cells(cells_of_shard(0, 1)).values()}:
        compute([uuid7()], Book(), universe, tick.snapshot_id, name)  # the empty book of nobody


def run_shard(tick_id: UUID, number: int) -> None:
    """Settle and assess the relationships of one shard, then record it as done.

    Harmless when repeated, and left to whoever is at it: so a wake-up may be sent again on the mere suspicion that the
    first was lost.
    """
    with alone_on(f"shard {tick_id} {number}") as alone:
        shard = TickShard.objects.select_related("tick__valuation").get(tick_id=tick_id, number=number)
        if alone and shard.done_at is None:
            _run(shard)


def _run(shard: TickShard) -> None:
    tick_id, number = shard.tick_id, shard.number
    coins, of = shard.tick.coins, shard.of
    cell_ids = cells_of_shard(number, of) if coins is None else holders_of_shard(coins, number, of)
    refused = _renew(shard.tick, cell_ids)
    with transaction.atomic(durable=True):
        named = {code: refused[cell_id] for cell_id, code in _codes(refused)}
        TickShard.objects.filter(id=shard.id).update(done_at=datetime.now(UTC), cells=len(cell_ids), refused=named)
        Tick.objects.select_for_update(no_key=True).get(id=tick_id)
        if not TickShard.objects.filter(tick_id=tick_id, done_at=None).exists():
            Tick.objects.filter(id=tick_id).update(done_at=datetime.now(UTC))
            events.notify(events.PAGES_CHANNEL, f"tick:{tick_id}")


def renew_requirements(cell_ids: Iterable[UUID]) -> None:
    """Assess these relationships again in the last official market: their books have changed since its tick.

    Refuses, naming them, when some could not be assessed; the others are."""
    tick, wanted = Tick.objects.select_related("valuation").first(), list(cell_ids)
    if tick is None:
        return
    refused = _renew(tick, wanted)
    events.notify_pages_of(wanted)
    if refused:
        named = {code: refused[cell_id] for cell_id, code in _codes(refused)}
        raise Refusal("requirement_not_renewed", "Some requirements could not be renewed.", cells=named)


def renew_one(tick: Tick, cell_id: UUID, universe: Universe) -> None:
    """Settle and assess one relationship step by step: what the renewal of many must equal, row by row.

    What is owed is paid even where the requirement is then refused.
    """
    with transaction.atomic(durable=True):
        variation.settle(cell_id=cell_id, valuation_id=tick.valuation_id)
    with transaction.atomic(durable=True):
        ledger.lock_cells([cell_id])
        terms, book = onboarding.current_terms(cell_id), load_book([cell_id])
        found = compute([cell_id], book, universe, tick.snapshot_id, rules_of(terms))[0]
        _act(tick, found, ruleset(terms.ruleset).hash, book)


def _codes(cell_ids: Collection[UUID]) -> Iterable[tuple[UUID, str]]:
    return Cell.objects.filter(id__among=cell_ids).values_list("id", "code")


def _renew(tick: Tick, cell_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Renew in parts: the quiet ones together, the others one by one, each in a transaction of its own; who was
    refused, and why. A part that fails as a whole is halved, and at last taken one by one: the one to blame is found,
    and the others go on."""
    universe = universe_of(tick)
    _price_everything(tick, universe)
    acting = _settle(tick, cell_ids) if tick.settles else []
    failed = set(acting)
    left = [cell_id for cell_id in cell_ids if cell_id not in failed] if failed else cell_ids
    for part in _parts(left, ASSESSED_TOGETHER):
        acting += _assess(tick, universe, part)
    refused = {}
    for cell_id in acting:
        try:
            renew_one(tick, cell_id, universe)
        except FAULTS_OF_A_CELL as fault:
            known = isinstance(fault, Refusal)
            logger.warning("requirement of cell %s not renewed: %s", cell_id, fault, exc_info=not known)
            refused[cell_id] = str(fault) if known else f"internal_error: {type(fault).__name__}"
    return refused


def _price_everything(tick: Tick, universe: Universe) -> None:
    """Build what the relationships will be computed with, before any of them is locked and somebody waits for it. What
    cannot be built is met again, and recorded, with those who need it."""
    for name in _rulesets_met:
        try:
            matrices_for(tick.snapshot_id, name, universe.instruments)
        except FAULTS_OF_A_CELL as fault:
            logger.warning("matrices under %s were not built: %s", name, fault)


def _parts(cell_ids: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    return (cell_ids[start : start + size] for start in range(0, len(cell_ids), size))


def _settle(tick: Tick, cell_ids: Sequence[UUID]) -> list[UUID]:
    """Pay the variation margin of all; those of the parts that failed, for whom it is left to be paid one by one."""
    failed: list[UUID] = []
    for part in _parts(cell_ids, SETTLED_TOGETHER):
        try:
            with transaction.atomic(durable=True):
                variation.settle_all(part, tick.valuation_id)
        except FAULTS_OF_A_CELL as fault:
            logger.warning("a part of the payments failed and is taken cell by cell: %s", fault)
            failed += part
    return failed


def _assess(tick: Tick, universe: Universe, cell_ids: Sequence[UUID]) -> list[UUID]:
    """Renew the quiet ones of a part; the others."""
    try:
        with transaction.atomic(durable=True):
            part = assessment.read(cell_ids, tick.valuation, keeps_history=tick.keeps_history)
            return assessment.renew(part, _requirements(tick, universe, part))
    except FAULTS_OF_A_CELL as fault:
        logger.warning("a part of %d of the tick failed: %s", len(cell_ids), fault)
    if len(cell_ids) <= TAKEN_ALONE:
        return list(cell_ids)
    half = len(cell_ids) // 2
    return _assess(tick, universe, cell_ids[:half]) + _assess(tick, universe, cell_ids[half:])


def _requirements(tick: Tick, universe: Universe, part: assessment.Part) -> Iterator[assessment.Requirements]:
    """The figures of every relationship of the part that has terms, each under its own ruleset; not of one that holds
    what the market cannot value."""
    places = places_in(universe)
    for found in books_of(part.roster, places, part.assets):
        _rulesets_met.add(found.ruleset)
        matrices = matrices_for(tick.snapshot_id, found.ruleset, universe.instruments)
        if not matrices.unpriced.size:
            yield _under_one_ruleset(found, part, matrices, tick)
            continue
        for priced in books_without(part.roster, places, part.assets, matrices.unpriced):
            if priced.ruleset == found.ruleset:
                yield _under_one_ruleset(priced, part, matrices, tick)


def _under_one_ruleset(
    books: RulesetBooks, part: assessment.Part, matrices: RiskMatrices, tick: Tick
) -> assessment.Requirements:
    # Those whom the same coins touch again and again. Where all coins move, to keep everybody's tails gains little.
    kept = None if tick.coins is None else books.tails
    batch = requirements(matrices, books.positions, books.margin, kept)
    # An exposure that is not known is refused when its cell is taken alone.
    verdicts = judge(batch, replace(books.layers, exposure=part.exposure[books.members_at]))
    return assessment.Requirements(
        places=books.members_at,
        independent_amount_base_units=units_up(batch.total),
        ruleset_hash=ruleset(books.ruleset).hash,
        breakdown=breakdowns(batch),
        admission=verdicts.documents,
        passed=verdicts.passed,
        repair=verdicts.repairs,
    )


def _act(tick: Tick, found: Assessment, ruleset_hash: str, book: Book) -> None:
    """Hand one cell's figures to margining; a requirement that moved its call is kept with what reproduces it."""
    cell_id, breakdown = found.cell_id, found.breakdown()
    layers = Layer.objects.filter(cell_id=cell_id)
    exposure = claims.exposure_base_units(cell_id, tick.valuation_id)
    before = _call_state(cell_id)
    margining.assess(
        cell_id=cell_id,
        valuation_id=tick.valuation_id,
        independent_amount_base_units=found.independent_amount_base_units,
        ruleset_hash=ruleset_hash,
        breakdown=breakdown,
        admission=found.admission(resources_of(layers, exposure)).as_data(),
    )
    if _call_state(cell_id) != before:
        RequirementRecord.objects.get_or_create(
            cell_id=cell_id,
            tick=tick,
            cause="margin call",
            defaults={
                "ruleset_hash": ruleset_hash,
                "book_hash": book.version(cell_id),
                "book": book.rows(cell_id),
                "independent_amount_base_units": found.independent_amount_base_units,
                "breakdown": breakdown,
            },
        )


def _call_state(cell_id: UUID) -> tuple[UUID, str, int] | None:
    call = calls.current(cell_id)
    return (call.id, call.state, call.amount_base_units) if call else None
