"""Close-out: the defaulted book is replaced at a venue, the seized tokens are sold, slice by slice, with evidence.

Each step belongs to one official valuation. A replaced quantity leaves the close-out cell and is taken over by the
venue account at the executed price, so every instrument nets to zero over all cells after each step (D6). What stays
behind in the close-out cell's settled value is what the defaulter owes. Only our own slices ever wait; no other
cell's positions, calls or withdrawals are read or written here (I6). A stale price closes nothing out, neither that of
a whole valuation nor that of one coin (M6): what a coin in doubt prices waits, and the case says so once.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from intermediary import audit, clock, collateral, ledger, onboarding, outbox, receipts, trading
from intermediary.closeout_schedule import DepthQuote, Slice, must_pause, must_rest, next_slice, value_base_units
from intermediary.default_cases import (
    Kind,
    State,
    instructions,
    locked_case,
    move_to,
    record,
    require_state,
    rules_of,
)
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.models import (
    Account,
    AccountKind,
    Asset,
    Cell,
    ChainInstruction,
    ChainTarget,
    CloseOutSlice,
    DefaultCase,
    JournalEntry,
    Lot,
    Mark,
    Position,
    Valuation,
)
from intermediary.money import add_exactly, from_base_units, multiply_exactly

DISPOSAL_ENTRY = "disposal_proceeds"
Key = TypeVar("Key")


def replace(
    *, case_id: UUID, valuation_id: UUID, depth: Mapping[UUID, DepthQuote], unsure: Collection[str] = ()
) -> list[CloseOutSlice]:
    """One step of the replacement: a slice of each instrument that is left, at one valuation and the depth seen then.

    What had its last slice too short a time ago rests, and instruments on `unsure` underlyings wait. Returns the slices
    of this valuation, also when it was worked through before. A valuation at which nothing happens leaves no step.
    Refuses `price_stale`, `valuation_passed`, `mark_missing`, `depth_missing`.
    """
    venue = Cell.objects.get(kind=Cell.Kind.VENUE)
    case = locked_case(case_id, venue.id)
    slices = case.slices.filter(id__in=_slices_of_step(case, valuation_id))
    if _step(case, valuation_id) is not None:
        return list(slices)
    require_state(case, State.ETD_SET, State.REPLACING)
    valuation = Valuation.objects.get(id=valuation_id)
    _refuse_stale(case, valuation)
    _refuse_passed(case, valuation)
    left = remaining_positions(case_id)
    if not left and case.state == State.REPLACING:
        return []
    made: list[CloseOutSlice] = []
    paused: list[str] = []
    waiting = sorted({position.instrument.underlying for position in left} & set(unsure))
    rules, sliced_at = rules_of(case), _sliced_at(case)
    for position in left:
        if position.instrument.underlying in waiting:
            continue
        if must_rest(valuation.as_of, sliced_at.get(position.instrument_id), rules):
            continue
        mark = _mark(valuation, position.instrument_id)
        if must_pause(
            mark=mark,
            previous_mark=_previous_mark(valuation, position.instrument_id),
            pauses=_pauses_in_a_row(case, position.instrument_id),
            rules=rules,
        ):
            paused.append(str(position.instrument_id))
            continue
        quote = depth.get(position.instrument_id)
        if quote is None:
            raise _depth_missing(str(position.instrument_id))
        piece = next_slice(position.quantity, mark, quote, rules)
        made.append(_execute(case, position, venue, piece, mark, quote))
    if left and not made and not paused and waiting == _last_said(case, "unsure"):
        return []
    data: dict[str, Any] = {"valuation": str(valuation.id), "slices": [str(row.id) for row in made], "paused": paused}
    data["unsure"] = waiting
    note = f"Replaced {len(made)} slices, {len(paused)} wait for the market to calm." + _for_a_sure_price(waiting)
    if case.state == State.ETD_SET:
        move_to(case, State.REPLACING, note, **data)
    else:
        record(case, before=case.state, note=note, **data)
    audit.record(actor="system", action="default.replace", subject=case.id, **data)
    return made


def remaining_positions(case_id: UUID) -> list[Position]:
    """What the close-out cell still holds, in the order of instrument codes."""
    case = DefaultCase.objects.get(id=case_id)
    held = Position.objects.filter(cell__closes_out_id=case.cell_id).exclude(quantity=0)
    return list(held.select_related("instrument").order_by("instrument__code"))


def dispose_collateral(
    *, case_id: UUID, valuation_id: UUID, depth: Mapping[str, DepthQuote], unsure: Collection[str] = ()
) -> list[ChainInstruction]:
    """Sell a slice of every seized token that is not the settlement token, by the schedule that replaces positions.

    The token leaves the house for the market; what it owes for it is in the instruction (`expected_base_units` of the
    settlement token) and is booked by `book_disposal_receipt`. One slice a token and valuation; what was sold
    too short a time ago rests, and tokens priced as one of the `unsure` underlyings wait.
    """
    case = locked_case(case_id)
    require_state(case, State.ETD_SET, State.REPLACING)
    valuation = Valuation.objects.get(id=valuation_id)
    _refuse_stale(case, valuation)
    sold: list[ChainInstruction] = []
    waiting: list[str] = []
    rules, sold_at = rules_of(case), _sold_at(case)
    for asset in Asset.objects.filter(is_settlement=False).order_by("code"):
        effect = derive("dispose", case.id, asset.code, valuation.id)
        done = ChainInstruction.objects.filter(entry_id=effect).first()
        held = ledger.balance(case.cell_id, AccountKind.HOUSE, asset.code)
        if done is not None:
            sold.append(done)
        elif held > 0 and asset.priced_as in unsure:
            waiting.append(asset.code)
        elif held > 0 and not must_rest(valuation.as_of, sold_at.get(asset.code), rules):
            quote = depth.get(asset.code)
            if quote is None:
                raise _depth_missing(asset.code)
            sold.append(_sell(case, asset, held, valuation, quote, effect))
    if waiting != _last_said(case, "unsure_tokens"):
        note = "Seized tokens are sold again." if not waiting else "Not sold yet." + _for_a_sure_price(waiting)
        record(case, before=case.state, note=note, unsure_tokens=waiting)
    return sold


def book_disposal_receipt(
    *, case_id: UUID, transaction_hash: str, log_index: int, amount_base_units: int
) -> JournalEntry:
    """Book what the market paid for seized tokens: settlement tokens from outside to the house facing the cell."""
    case = locked_case(case_id)
    if not receipts.is_booked(transaction_hash, log_index):
        require_state(case, State.ETD_SET, State.REPLACING)
    return receipts.book(
        cell_id=case.cell_id,
        kind=DISPOSAL_ENTRY,
        memo=f"seized tokens sold in default {case.id}",
        account=AccountKind.HOUSE,
        amount_base_units=amount_base_units,
        receipt=(transaction_hash, log_index),
    )


def disposals(case: DefaultCase) -> list[ChainInstruction]:
    """The sales of seized tokens that the chain did not refuse, oldest first."""
    sales = [row for row in instructions(case, Kind.DISPOSE) if row.arguments["account"] == "market"]
    return [row for row in sales if row.state != ChainInstruction.State.FAILED]


def disposal_proceeds_base_units(case: DefaultCase) -> int:
    """Settlement tokens that the market has paid so far."""
    asset = ledger.settlement_asset().code
    account = Account.objects.filter(cell_id=case.cell_id, kind=AccountKind.HOUSE, asset_id=asset).first()
    if account is None:
        return 0
    paid = account.postings.filter(entry__kind=DISPOSAL_ENTRY).values_list("amount_base_units", flat=True)
    return sum(paid)


def unpaid_disposals_base_units(case_id: UUID) -> int:
    """What the market still owes for tokens it was sold."""
    case = DefaultCase.objects.get(id=case_id)
    expected = sum(int(row.arguments["expected_base_units"]) for row in disposals(case))
    return max(0, expected - disposal_proceeds_base_units(case))


def steps(case: DefaultCase) -> list[dict[str, Any]]:
    """Evidence of each replacement step so far, oldest first: {valuation, slices, paused}, ids as text."""
    return list(case.events.filter(data__has_key="slices").order_by("id").values_list("data", flat=True))


def _execute(
    case: DefaultCase, position: Position, venue: Cell, piece: Slice, mark: Decimal, quote: DepthQuote
) -> CloseOutSlice:
    """Both legs of one slice at its price, and the slice with its evidence."""
    cell_id, instrument_id = position.cell_id, position.instrument_id
    trading.book_leg(
        cell_id=cell_id, instrument_id=instrument_id, quantity=piece.quantity.copy_negate(), price=piece.price
    )
    trading.book_leg(cell_id=venue.id, instrument_id=instrument_id, quantity=piece.quantity, price=piece.price)
    _use_up_lots(cell_id, instrument_id, piece.quantity)
    return CloseOutSlice.objects.create(
        cell_id=case.cell_id,
        case=case,
        instrument_id=instrument_id,
        quantity=piece.quantity,
        mark=mark,
        price=piece.price,
        depth_usd=quote.depth_usd_1pct,
    )


def _use_up_lots(cell_id: UUID, instrument_id: UUID, quantity: Decimal) -> None:
    """Lots of the replaced quantity, first-in first-out."""
    left = quantity
    for lot in Lot.objects.filter(cell_id=cell_id, instrument_id=instrument_id).exclude(open_quantity=0).order_by("id"):
        if not left or (lot.open_quantity > 0) != (quantity > 0):
            continue
        used = min(left.copy_abs(), lot.open_quantity.copy_abs()).copy_sign(quantity)
        lot.open_quantity = add_exactly(lot.open_quantity, used.copy_negate())
        lot.save(update_fields=["open_quantity"])
        left = add_exactly(left, used.copy_negate())


def _sell(
    case: DefaultCase, asset: Asset, held: int, valuation: Valuation, quote: DepthQuote, effect: UUID
) -> ChainInstruction:
    """One sale: the token goes to the disposal desk, the price is the mark less slippage."""
    mark = collateral.price_of(asset, valuation)
    piece = next_slice(from_base_units(held, asset.decimals), mark, quote, rules_of(case))
    amount = value_base_units(piece.quantity, asset.decimals)
    sold = from_base_units(amount, asset.decimals)
    expected = value_base_units(multiply_exactly(sold, piece.price), ledger.settlement_asset().decimals)
    return outbox.move(
        effect_id=effect,
        target=outbox.target_of(case.cell_id, ChainTarget.Kind.HOUSE, asset.code),
        cell_id=case.cell_id,
        kind=Kind.DISPOSE,
        source=AccountKind.HOUSE,
        destination=AccountKind.OUTSIDE,
        amount_base_units=amount,
        memo=f"seized {asset.code} sold in default {case.id}",
        account="market",
        case=str(case.id),
        valuation=str(valuation.id),
        mark=str(mark),
        price=str(piece.price),
        depth_usd=str(quote.depth_usd_1pct),
        expected_base_units=expected,
    )


def _step(case: DefaultCase, valuation_id: UUID) -> dict[str, Any] | None:
    return next((step for step in steps(case) if step["valuation"] == str(valuation_id)), None)


def _slices_of_step(case: DefaultCase, valuation_id: UUID) -> list[str]:
    step = _step(case, valuation_id)
    return step["slices"] if step else []


def _sliced_at(case: DefaultCase) -> dict[UUID, datetime]:
    """The time of the valuation at which each instrument had its last slice."""
    instrument_of = {str(key): instrument for key, instrument in case.slices.values_list("id", "instrument_id")}
    return _times({instrument_of[piece]: step["valuation"] for step in steps(case) for piece in step["slices"]})


def _sold_at(case: DefaultCase) -> dict[str, datetime]:
    """The time of the valuation at which each seized token was last sold."""
    return _times({row.target.asset_id: row.arguments["valuation"] for row in disposals(case)})


def _times(valuation_of: Mapping[Key, str]) -> dict[Key, datetime]:
    times = dict(Valuation.objects.filter(id__in=set(valuation_of.values())).values_list("id", "as_of"))
    return {key: times[UUID(valuation)] for key, valuation in valuation_of.items()}


def _last_said(case: DefaultCase, name: str) -> list[str]:
    """What the case's story last named under `name`: it is told anew when it changes, not at each valuation."""
    last = case.events.filter(data__has_key=name).order_by("id").last()
    said: list[str] = last.data[name] if last else []
    return said


def _for_a_sure_price(waiting: list[str]) -> str:
    return f" Waiting for a price that is sure: {', '.join(waiting)}." if waiting else ""


def _pauses_in_a_row(case: DefaultCase, instrument_id: UUID) -> int:
    count = 0
    for step in reversed(steps(case)):
        if str(instrument_id) not in step["paused"]:
            break
        count += 1
    return count


def _refuse_stale(case: DefaultCase, valuation: Valuation) -> None:
    limit, age = onboarding.current_terms(case.cell_id).oldest_price, clock.now() - valuation.as_of
    if age > limit:
        ages = {"age_seconds": int(age.total_seconds()), "limit_seconds": int(limit.total_seconds())}
        raise Refusal("price_stale", "No close-out at a stale price.", **ages)


def _refuse_passed(case: DefaultCase, valuation: Valuation) -> None:
    done = steps(case)
    if done and valuation.as_of <= _as_of(done[-1]["valuation"]):
        raise Refusal("valuation_passed", "A later valuation has been worked through already.")


def _as_of(valuation_id: str) -> datetime:
    return Valuation.objects.values_list("as_of", flat=True).get(id=valuation_id)


def _mark(valuation: Valuation, instrument_id: UUID) -> Decimal:
    found = Mark.objects.filter(valuation=valuation, instrument_id=instrument_id).first()
    if found is None:
        raise Refusal("mark_missing", "This valuation has no mark.", instrument=str(instrument_id))
    return found.price


def _previous_mark(valuation: Valuation, instrument_id: UUID) -> Decimal | None:
    earlier = Mark.objects.filter(instrument_id=instrument_id, valuation__as_of__lt=valuation.as_of)
    return earlier.order_by("-valuation__as_of").values_list("price", flat=True).first()


def _depth_missing(name: str) -> Refusal:
    return Refusal("depth_missing", "A slice is sized by the market's depth, and none was given.", of=name)
