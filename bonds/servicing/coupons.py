"""Coupons: the spread taken from the covered relationships ahead of time, the payment to the escrow, the holders' rows.

A coupon is the sum over days of outstanding principal x rate / 360, rounded down once for the class. Who pays it:

    spread      the covered relationships, each its fixed share, out of free margin a month ahead (`charge`)
    collateral  what the escrow's cash earns: the settlement token lies still here and earns nothing, which is said
    gap         the house, out of its own float facing the relationship; without the cash the coupon is refused whole

Each relationship's cell sends its part by an instruction of its own. On chain the contract shares a coupon among the
units held when it is paid: in the first block of the payment date that takes it, just after the record date has ended
(across a weekend in between, the units of the payment decide). Holders claim; anyone may claim for them. Nothing paid
is ever taken back. Loads no numeric library.
"""

from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from bonds import timeline
from bonds.models import CouponPart, CouponPayment, CouponRun, SeriesEvent, Slice, SliceAct, SpreadCharge
from bonds.servicing import chain_order
from bonds.servicing.chain_order import Holder
from bonds.servicing.coupon_parts import Figures, Part, figures_of, in_transit, prefunded, returns_of, spread_due
from bonds.servicing.locks import lock_whole
from intermediary import audit, charges, clock, cover, ledger, outbox
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, Event
from intermediary.models.bulk import insert_all
from intermediary.outbox import Place

State = CouponRun.State
CHARGED_AHEAD = timedelta(days=30)  # of the payment: long enough to find another payer, short enough to know the risk
CLOCKS_APART = timedelta(minutes=5)  # of the platform and the chain: a block may say an earlier time than its making
RATE_PLACES = Decimal(1).scaleb(-9)


def charges_due(now: datetime) -> list[tuple[UUID, int]]:
    """(slice, number of the coupon) whose spread is to be taken by now and was not asked for yet."""
    runs = CouponRun.objects.filter(state=State.PLANNED, payment_date__lte=now.date() + CHARGED_AHEAD)
    wanted = set(runs.values_list("tranche__series__slices", "number"))
    return sorted(wanted - set(SpreadCharge.objects.values_list("slice_id", "number")))


def charge(*, slice_id: UUID, number: int) -> SpreadCharge:
    """Take a relationship's share of a coming coupon's spread out of its free margin, once; what is not free is not
    taken, and the house will pay it."""
    item = Slice.objects.select_related("series").get(id=slice_id)
    ledger.lock_cells([item.cell_id])
    known = SpreadCharge.objects.filter(slice_id=slice_id, number=number).first()
    if known is not None:
        return known
    runs = CouponRun.objects.filter(tranche__series=item.series, number=number).select_related("tranche__series")
    due = max(0, sum(spread_due(run, item) for run in runs) - prefunded(item))
    movement = None
    if due:
        movement = charges.take_free_margin(
            effect_id=derive("spread", slice_id, number),
            cell_id=item.cell_id,
            amount_base_units=due,
            destination=AccountKind.INTEREST,
            memo=f"spread of {item.series.code}, coupon {number}",
        )
    taken = movement.amount_base_units if movement else 0
    audit.record(
        actor="servicing",
        action="spread_charged",
        subject=item.id,
        number=number,
        due_base_units=due,
        taken_base_units=taken,
    )
    return SpreadCharge.objects.create(
        slice=item, cell_id=item.cell_id, number=number, due_base_units=due, taken_base_units=taken, movement=movement
    )


def returns_due() -> list[UUID]:
    """Slices whose last coupon is settled and whose relationship has put up more spread than coupons have used."""
    live = CouponRun.objects.filter(tranche__series=OuterRef("series"), state__in=CouponRun.UNFINISHED)
    final = Q(spread_charges__movement__state=ChainInstruction.State.FINAL)
    ended = Slice.objects.filter(final).exclude(Exists(live)).distinct().order_by("id")
    return [item.id for item in ended if prefunded(item) > 0]


def give_back(slice_id: UUID) -> ChainInstruction | None:
    """Pay the spread that no coupon uses any more back into the relationship's margin. Harmless when repeated."""
    item = Slice.objects.select_related("series").get(id=slice_id)
    lock_whole(item.series_id)
    left, tried = (
        prefunded(item),
        set(ChainInstruction.objects.filter(entry_id__in=returns_of(item)).values_list("entry_id", flat=True)),
    )
    unfinished = CouponRun.objects.filter(tranche__series=item.series_id, state__in=CouponRun.UNFINISHED)
    effect = next((one for one in returns_of(item) if one not in tried), None)
    if left <= 0 or effect is None or unfinished.exists():
        return None
    made = charges.give_back(
        effect_id=effect,
        cell_id=item.cell_id,
        amount_base_units=left,
        source=AccountKind.INTEREST,
        memo=f"spread of {item.series.code} that no coupon used",
    )
    if made is not None:
        audit.record(actor="servicing", action="spread_returned", subject=item.id, amount_base_units=left)
    return made


def payments_due(now: datetime) -> list[UUID]:
    """Planned runs whose payment date has come, in their order."""
    due = CouponRun.objects.filter(state=State.PLANNED, payment_date__lte=now.date())
    return list(due.order_by("payment_date", "tranche__seniority").values_list("id", flat=True))


def pay(run_id: UUID) -> CouponRun:
    """Send a coupon to the escrow, or refuse it whole. Harmless when repeated.

    The house's cell is locked too: the float of all cells may be spent once. Raises `coupon_not_due`,
    `coupon_out_of_order`, `principal_on_its_way`, `spread_on_its_way`, `coupon_not_funded` (with the numbers),
    `no_overnight_rate`.
    """
    cover.lock(Slice.objects.filter(series__tranches__coupon_runs=run_id).values_list("cell_id", flat=True))
    run = _locked(run_id)
    if run.state != State.PLANNED:
        return run
    _refuse_early(run)
    _refuse_while_principal_moves(run)
    _refuse_while_charged(run)
    slices = list(run.tranche.series.slices.select_related("series").order_by("index"))
    found = figures_of(run, slices)
    _refuse_unfunded(run, found)
    run.rate_annual = (Decimal(found.rate_annual.numerator) / found.rate_annual.denominator).quantize(RATE_PLACES)
    run.amount_base_units, run.units = found.amount, run.tranche.original_base_units
    run.from_relationships_base_units, run.from_house_base_units = found.from_relationships, found.from_house
    run.state = State.MOVING
    run.save()
    for part in found.parts:
        _send(run, part)
    audit.record(
        actor="servicing",
        action="coupon_sent",
        subject=run.id,
        amount_base_units=found.amount,
        from_relationships_base_units=found.from_relationships,
        from_house_base_units=found.from_house,
    )
    return run if found.amount else _finish(run)


def on_instruction_final(event: Event) -> None:
    """A part of a coupon is in the escrow: with the last one the coupon is paid."""
    part = CouponPart.objects.filter(movement_id=event.payload["instruction_id"]).first()
    if part is None:
        return
    run = _locked(part.run_id)
    still_moving = run.parts.exclude(movement__state=ChainInstruction.State.FINAL)
    if run.state == State.MOVING and not still_moving.exists():
        _finish(run)


def _locked(run_id: UUID) -> CouponRun:
    """The run under its series' lock, so that no two coupons of a series use the same cash."""
    lock_whole(CouponRun.objects.values_list("tranche__series_id", flat=True).get(id=run_id))
    return CouponRun.objects.select_related("tranche__series__escrow").get(id=run_id)


def _refuse_early(run: CouponRun) -> None:
    today = clock.now().date()
    if today < run.payment_date:
        raise Refusal("coupon_not_due", f"This coupon is paid on {run.payment_date}.", today=today.isoformat())
    earlier = CouponRun.objects.filter(tranche=run.tranche, number__lt=run.number, state=State.PLANNED)
    if earlier.exists():
        raise Refusal("coupon_out_of_order", "An earlier coupon of this class is not paid.", number=run.number)


def acts_waited_for(run: CouponRun) -> QuerySet[SliceAct]:
    """Write-downs and write-ups of the series that the chain may have carried out on a day of this coupon and that are
    not told yet: principal is another from the day of their block on."""
    until = datetime.combine(run.accrual_end, time(), UTC) + CLOCKS_APART
    acts = SliceAct.objects.filter(slice__series_id=run.tranche.series_id, state=SliceAct.State.MOVING)
    return acts.filter(movement__at__lt=until).exclude(movement__state=ChainInstruction.State.FAILED)


def _refuse_while_principal_moves(run: CouponRun) -> None:
    waited_for = list(acts_waited_for(run).select_related("slice").order_by("id"))
    if waited_for:
        raise Refusal(
            "principal_on_its_way",
            "Principal of this coupon's days was written down or up, and its block is not told yet.",
            relationships=[act.slice.relationship for act in waited_for],
            amounts_base_units=[act.moves_base_units for act in waited_for],
        )


def _refuse_while_charged(run: CouponRun) -> None:
    """On its day a coupon waits for the spread that was taken for it; after that day the house pays what is missing,
    and what arrives late is there for the next coupon, or goes back."""
    if clock.now().date() > run.payment_date:
        return
    on_its_way = in_transit(run.tranche.series_id)
    if on_its_way:
        raise Refusal(
            "spread_on_its_way", "Spread taken for this series is not final yet.", in_transit_base_units=on_its_way
        )


def _refuse_unfunded(run: CouponRun, found: Figures) -> None:
    currency = run.tranche.series.currency_id
    held = ledger.total([AccountKind.FLOAT], currency)
    if found.from_house > held:
        raise Refusal(
            "coupon_not_funded",
            "Neither the covered relationships nor the house have put up the cash of this coupon.",
            amount_base_units=found.amount,
            prefunded_base_units=found.from_relationships,
            missing_base_units=found.from_house - max(0, held),
            house_base_units=held,
            asset=currency,
        )


def _send(run: CouponRun, part: Part) -> None:
    series, item, amount = run.tranche.series, part.slice, part.from_relationship + part.from_house
    if not amount:
        return
    assert series.escrow is not None, "a series on risk has its escrow"
    if part.from_house:
        ledger.post(
            entry_id=derive("coupon_gap", run.id, item.id),
            cell_id=item.cell_id,
            kind="coupon_gap",
            memo=f"the house pays the gap of {series.code}, coupon {run.number}",
            lines=[
                Line(AccountKind.FLOAT, series.currency_id, -part.from_house),
                Line(AccountKind.INTEREST, series.currency_id, part.from_house),
            ],
        )
    movement = outbox.move(
        effect_id=derive("coupon", run.id, item.id),
        target=series.escrow,
        cell_id=item.cell_id,
        kind=ChainInstruction.Kind.COUPON,
        source=AccountKind.INTEREST,
        destination=AccountKind.COUPONS,
        amount_base_units=amount,
        memo=f"coupon {run.number} of {run.tranche.symbol}",
        tranche=run.tranche.seniority,
    )
    CouponPart.objects.create(
        run=run,
        slice=item,
        cell_id=item.cell_id,
        amount_base_units=amount,
        from_relationship_base_units=part.from_relationship,
        from_house_base_units=part.from_house,
        movement=movement,
    )


def _finish(run: CouponRun) -> CouponRun:
    """The escrow has the cash: say what each holder got."""
    place = _placed(run)[-1][1] if run.amount_base_units else None
    run.state, run.paid_at = State.PAID, chain_order.moment_of(place)
    run.save(update_fields=["state", "paid_at"])
    if run.amount_base_units:
        _pay_holders(run)
    audit.record(actor="servicing", action="coupon_paid", subject=run.id, amount_base_units=run.amount_base_units)
    timeline.tell(
        run.tranche.series_id,
        SeriesEvent.Kind.COUPON_PAID,
        f"Coupon {run.number} of {run.tranche.name} paid",
        tranche=run.tranche.symbol,
        amount_base_units=str(run.amount_base_units),
        from_relationships_base_units=str(run.from_relationships_base_units),
        from_collateral_base_units=str(run.from_collateral_base_units),
        from_house_base_units=str(run.from_house_base_units),
    )
    return run


def _pay_holders(run: CouponRun) -> None:
    """One row a wallet that held units where the chain shows a part of the coupon, rounded down: its notice too. What
    is left stays in the escrow."""
    shares: dict[Holder, int] = defaultdict(int)  # base units of the coupon x units of the class
    units: dict[Holder, int] = {}  # those of the last part
    for amount, place in _placed(run):
        held = chain_order.units_at(run.tranche, place)
        units = dict.fromkeys(units, 0) | held
        for holder, count in held.items():
            shares[holder] += amount * count
    payments = [
        CouponPayment(
            run=run,
            party_id=holder[0],
            wallet_id=holder[1],
            units=units[holder],
            amount_base_units=share // run.units,
        )
        for holder, share in shares.items()
    ]
    insert_all(payments)


def _placed(run: CouponRun) -> list[tuple[int, Place | None]]:
    """What each part brought and where the chain shows it, in the chain's order."""
    parts = run.parts.select_related("movement")
    placed = [(part.amount_base_units, chain_order.place_of(part.movement)) for part in parts]
    return sorted(placed, key=lambda one: one[1][:2] if one[1] else (0, 0))
