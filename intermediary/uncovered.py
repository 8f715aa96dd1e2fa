"""UNCOVERED: the part of a net loss that no layer takes, and whom it can reach (D1).

It is a named limited-recourse claim of the *linked lots*: the open legs of other relationships whose opposite was the
defaulter. Each bears it in proportion to its unpaid gain since its last settlement, never more than that gain; what no
such gain is left to bear stays with the intermediary. A share leaves the holder's variation margin (its settled value
rises by it) and stays owed as a claim, so the same dollar is never owed twice (C6). Positions stay open. An account
without a linked lot is not read here at all.
"""

from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from intermediary import ledger
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, Cell, DefaultCase, Lot, Mark, Position, UncoveredShare, Valuation
from intermediary.money import add_exactly, from_base_units
from intermediary.waterfall import share_pro_rata, share_steadily


@dataclass(frozen=True)
class LinkedGain:
    """An open lot of another relationship and its unpaid gain, settlement base units, above zero."""

    lot: Lot
    unpaid_gain_base_units: int


def linked_cells(case: DefaultCase) -> list[UUID]:
    """The relationships with an open lot whose opposite is the defaulter."""
    linked = Lot.objects.filter(opposite_id=case.cell_id, cell__kind=Cell.Kind.CLIENT).exclude(open_quantity=0)
    return list(linked.order_by("cell_id").values_list("cell_id", flat=True).distinct())


def linked_gains(case: DefaultCase, valuation: Valuation) -> list[LinkedGain]:
    """Unpaid gain of each linked lot at a valuation: open quantity x (mark - price last settled at), rounded down."""
    decimals = ledger.settlement_asset().decimals
    marks = dict(Mark.objects.filter(valuation=valuation).values_list("instrument_id", "price"))
    lots = Lot.objects.filter(opposite_id=case.cell_id, cell__kind=Cell.Kind.CLIENT).exclude(open_quantity=0)
    gains = []
    for lot in lots.order_by("id"):
        position = Position.objects.get(cell_id=lot.cell_id, instrument_id=lot.instrument_id)
        if not position.quantity:
            continue
        settled_at = Fraction(position.settled_value) / Fraction(position.quantity)
        gain = Fraction(lot.open_quantity) * (Fraction(marks[lot.instrument_id]) - settled_at)
        units = int(gain * 10**decimals)
        if units > 0:
            gains.append(LinkedGain(lot, units))
    return gains


def allocate(case: DefaultCase, uncovered_base_units: int, gains: list[LinkedGain]) -> list[UncoveredShare]:
    """Write each linked lot's share, take it out of the holder's variation margin, and book the claims.

    The caller holds the locks of the case's cell and of every holder's cell.
    """
    reachable = min(uncovered_base_units, sum(gain.unpaid_gain_base_units for gain in gains))
    amounts = share_pro_rata(reachable, [gain.unpaid_gain_base_units for gain in gains])
    shares = []
    for gain, amount in zip(gains, amounts, strict=True):
        shares.append(
            UncoveredShare.objects.create(
                case=case,
                cell_id=gain.lot.cell_id,
                lot=gain.lot,
                unpaid_gain_base_units=gain.unpaid_gain_base_units,
                amount_base_units=amount,
            )
        )
        _shift_variation(gain.lot, amount)
    _book(case, "determined", claims=reachable, ours=uncovered_base_units - reachable)
    return shares


def repay(case: DefaultCase, repaid_base_units: int, cause: UUID) -> list[dict[str, str | int]]:
    """A recovery pays UNCOVERED back: the claims of the linked lots in proportion, then the intermediary's own part.

    What a claim gets returns to the holder's variation margin. Each share is recomputed from the claims that are left,
    so no receipt raises one and their order is irrelevant. Returns (lot, repaid) as evidence. `cause` is the receipt.
    """
    shares = list(case.uncovered_shares.select_related("lot").order_by("lot_id"))
    weights = [share.amount_base_units for share in shares]
    claimed = -ledger.balance(case.cell_id, AccountKind.UNCOVERED_CLAIMS, ledger.settlement_asset().code)
    to_claims = min(claimed, repaid_base_units)
    before, after = share_steadily(claimed, weights), share_steadily(claimed - to_claims, weights)
    repaid: list[dict[str, str | int]] = []
    for share, was, now in zip(shares, before, after, strict=True):
        if was != now:
            _shift_variation(share.lot, now - was)
            repaid.append({"lot": str(share.lot_id), "repaid_base_units": was - now})
    _book(case, cause, claims=-to_claims, ours=to_claims - repaid_base_units)
    return repaid


def _shift_variation(lot: Lot, amount_base_units: int) -> None:
    position = Position.objects.select_for_update().get(cell_id=lot.cell_id, instrument_id=lot.instrument_id)
    dollars = from_base_units(amount_base_units, ledger.settlement_asset().decimals)
    position.settled_value = add_exactly(position.settled_value, dollars)
    position.save(update_fields=["settled_value"])


def _book(case: DefaultCase, cause: object, *, claims: int, ours: int) -> None:
    """Claims of the linked lots and the intermediary's own part against the loss; negative undoes."""
    if not claims and not ours:
        return
    asset = ledger.settlement_asset().code
    ledger.post(
        entry_id=derive("uncovered", case.id, cause),
        cell_id=case.cell_id,
        kind="uncovered",
        memo=f"uncovered loss of default {case.id}",
        lines=[
            Line(AccountKind.UNCOVERED_CLAIMS, asset, -claims),
            Line(AccountKind.EQUITY, asset, -ours),
            Line(AccountKind.LOSS, asset, claims + ours),
        ],
    )
