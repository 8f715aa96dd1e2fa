"""What the database knows of the network of claims: relationships and their layers, who holds lots with whom, where
every token lies, what the house has at the venue. Reads only, for `risk.contagion`; loads no numeric library.
"""

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from uuid import UUID

from intermediary import collateral, ledger, queries
from intermediary.models import Account, AccountKind, Cell, Layer, Lot, MarginState, Mark, Position, Valuation
from intermediary.models.journal import ESCROW_KINDS, HOUSE_KINDS, RETENTION_KINDS, VAULT_KINDS
from intermediary.stack import stack_of
from risk.contagion.network import Holding
from risk.contagion.platform import OWN_MEANS, VENUE, Facts, LayerLeft, Relationship
from risk.stress_queries import WorstStress, worst_stresses

OWN = (AccountKind.FLOAT, AccountKind.FEES, AccountKind.INTEREST, AccountKind.ROUNDING)
CAPITAL_OF = {
    Layer.Kind.FIRST_LOSS: AccountKind.FIRST_LOSS,
    Layer.Kind.TAIL: AccountKind.ESCROW,
    Layer.Kind.SENIOR: AccountKind.SENIOR_RETENTION,
}
HOUSE_CONTRACT, TRANSIT = "House contract", "In transit"


def facts() -> Facts:
    """The platform at its last official valuation. Raises Refusal `price_missing` for a token without a price."""
    valuation = queries.latest_valuation()
    cells = {cell.id: cell for cell in Cell.objects.all()}
    tokens = _tokens(cells, valuation)
    performing = [cell for cell in cells.values() if cell.kind == Cell.Kind.CLIENT and cell.state in queries.PERFORMING]
    linked, owes = _links(cells, valuation)
    layers = defaultdict(list)
    for layer in Layer.objects.filter(funded=True).order_by("cell_id", "attach_base_units"):
        layers[layer.cell_id].append(_left(layer, cells[layer.cell_id].code))
    stresses = _of_verdicts() | worst_stresses()
    margin: dict[str, int] = defaultdict(int)
    for token in tokens:
        if token.place == _vault(token.owner):
            margin[token.owner] += int(token.amount)
    venue = next((cell for cell in cells.values() if cell.kind == Cell.Kind.VENUE), None)
    at_venue, hedged = _hedges(venue, valuation)
    return Facts(
        relationships=tuple(
            _relationship(cell.code, margin[cell.code], layers[cell.id], owes, linked, stresses.get(cell.id))
            for cell in sorted(performing, key=lambda one: one.code)
        ),
        own_means=sum(int(token.amount) for token in tokens if token.owner == OWN_MEANS),
        at_venue=at_venue,
        hedged=hedged,
        tokens=tuple(tokens),
    )


def balances(tokens: Iterable[Holding]) -> dict[str, int]:
    """What lies in each source, settlement base units."""
    found: dict[str, int] = defaultdict(int)
    for token in tokens:
        found[token.source] += int(token.amount)
    return dict(found)


def _relationship(
    code: str,
    margin: int,
    layers: list[LayerLeft],
    owes: dict[str, dict[str, int]],
    linked: dict[str, dict[str, int]],
    worst: WorstStress | None,
) -> Relationship:
    return Relationship(
        code=code,
        margin=margin,
        layers=tuple(layers),
        owes=owes.get(code, {}),
        linked=linked.get(code, {}),
        loss=worst.position_loss if worst else 0,
        costs=worst.close_out_cost if worst else 0,
        margin_stressed=min(margin, worst.margin_value) if worst else margin,
        vault=_vault(code),
        scenario=worst.title if worst else "",
        measured_at=worst.as_of if worst else None,
    )


def _of_verdicts() -> dict[UUID, WorstStress]:
    """Before a relationship's first stress report: the published stress that binds its admission test. Not an expected
    shortfall: its loss holds the margin's own fall, and no opposite gains that."""
    found = {}
    for state in MarginState.objects.select_related("valuation"):
        verdict, stack = state.admission, stack_of(state.admission)
        if stack is not None and not stack.margin_is_in_the_loss:
            found[state.cell_id] = WorstStress(
                title=stack.scenario,
                position_loss=int(verdict["position_loss"]),
                close_out_cost=int(verdict["close_out_cost"]),
                margin_value=int(verdict["margin_value"]),
                as_of=state.valuation.as_of,
            )
    return found


def _left(layer: Layer, code: str) -> LayerLeft:
    kind = CAPITAL_OF[Layer.Kind(layer.kind)]
    place = _place(kind, code)
    return LayerLeft(layer.kind, layer.size_base_units - layer.loss_base_units, place, _source(place, kind))


def _tokens(cells: dict[UUID, Cell], valuation: Valuation | None) -> list[Holding]:
    """Every balance that is tokens somewhere, at today's worth, with its owner and place."""
    kinds = (*VAULT_KINDS, *HOUSE_KINDS, *RETENTION_KINDS, *ESCROW_KINDS, AccountKind.IN_TRANSIT)
    rows = Account.objects.filter(kind__in=kinds).exclude(balance_base_units=0).select_related("asset")
    decimals = ledger.settlement_asset().decimals if rows else 0
    found: dict[tuple[AccountKind, str, str], int] = defaultdict(int)
    assets = {}
    for row in rows.order_by("kind", "cell_id", "asset_id"):
        kind = AccountKind(row.kind)
        # What the house advanced for one relationship stands as a negative float facing it: its means are the sum.
        code = OWN_MEANS if kind in OWN else cells[row.cell_id].code
        found[kind, code, row.asset_id] += row.balance_base_units
        assets[row.asset_id] = row.asset
    unit = {
        code: Fraction(collateral.price_of(asset, valuation)) * Fraction(10) ** (decimals - asset.decimals)
        for code, asset in assets.items()
    }
    return [
        Holding(_owner(kind, code), int(amount * unit[asset]), asset, place, _source(place, kind))
        for (kind, code, asset), amount in found.items()
        if amount > 0
        for place in [_place(kind, code)]
    ]


def _owner(kind: AccountKind, code: str) -> str:
    """Whose tokens they are, as a person says it."""
    if kind in OWN:
        return OWN_MEANS
    names = {
        AccountKind.CLIENT_MARGIN: code,
        AccountKind.SUSPENSE: f"Unknown senders to {code}",
        AccountKind.SUSPENSE_TAKEN: f"Unknown senders to {code}",
        AccountKind.HOUSE: f"Seized from {code}",
        AccountKind.RECOVERY: f"Recoveries of {code}",
        AccountKind.FIRST_LOSS: f"First loss of {code}",
        AccountKind.SENIOR_RETENTION: f"Senior retention of {code}",
        AccountKind.ESCROW: f"Tail bond of {code}",
        AccountKind.COUPONS: f"Coupons of {code}",
        AccountKind.IN_TRANSIT: f"On the way, {code}",
    }
    return names[kind]


def _place(kind: AccountKind, code: str) -> str:
    if kind in VAULT_KINDS:
        return _vault(code)
    if kind in RETENTION_KINDS:
        return f"Retention of {code}"
    if kind in ESCROW_KINDS:
        return f"Escrow of {code}"
    return TRANSIT if kind == AccountKind.IN_TRANSIT else HOUSE_CONTRACT


def _vault(code: str) -> str:
    return f"Vault of {code}"


def _source(place: str, kind: AccountKind) -> str:
    """The tokens themselves: a vault's margin is one source whatever its tokens, any other account is its own."""
    return place if kind == AccountKind.CLIENT_MARGIN else f"{place}: {kind.label.lower()}"


def _links(
    cells: dict[UUID, Cell], valuation: Valuation | None
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """By relationship and opposite: open notional, and what passes to the opposite today (its unsettled gain).

    A lot whose opposite defaulted faces the venue now, where its position was replaced.
    """
    marks = _marks(valuation)
    settled = {
        (row.cell_id, row.instrument_id): Fraction(row.settled_value) / Fraction(row.quantity)
        for row in Position.objects.exclude(quantity=0)
    }
    notional: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    gains: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for lot in Lot.objects.filter(cell__kind=Cell.Kind.CLIENT).exclude(open_quantity=0).order_by("id"):
        mark, at = marks.get(lot.instrument_id), settled.get((lot.cell_id, lot.instrument_id))
        if mark is None:
            continue
        own, other = _side(cells[lot.cell_id]), _side(cells[lot.opposite_id])
        if own in (VENUE, other):
            continue
        quantity = Fraction(lot.open_quantity)
        notional[own][other] += abs(quantity) * mark
        if at is not None:
            gains[other][own] += quantity * (mark - at)
    unit = 10 ** ledger.settlement_asset().decimals if notional else 1
    linked = {own: {to: int(amount * unit) for to, amount in of.items()} for own, of in notional.items()}
    owes = {
        own: {to: int(amount * unit) for to, amount in of.items() if amount > 0}
        for own, of in gains.items()
        if own != VENUE
    }
    return linked, owes


def _side(cell: Cell) -> str:
    return cell.code if cell.kind == Cell.Kind.CLIENT and cell.state in queries.PERFORMING else VENUE


def _marks(valuation: Valuation | None) -> dict[UUID, Fraction]:
    rows = Mark.objects.filter(valuation=valuation) if valuation else Mark.objects.none()
    return {row.instrument_id: Fraction(row.price) for row in rows}


def _hedges(venue: Cell | None, valuation: Valuation | None) -> tuple[int, int]:
    """What the venue owes the house (balance there and running gain), and the notional of the hedges."""
    if venue is None:
        return 0, 0
    marks = _marks(valuation)
    gain = notional = Fraction(0)
    for row in Position.objects.filter(cell=venue).exclude(quantity=0):
        mark = marks.get(row.instrument_id)
        if mark is not None:
            notional += abs(Fraction(row.quantity)) * mark
            gain += Fraction(row.quantity) * mark - Fraction(row.settled_value)
    settlement = ledger.settlement_asset()
    held = ledger.total([AccountKind.VENUE], settlement.code)
    unit = 10**settlement.decimals
    return max(0, held + int(gain * unit)), int(notional * unit)
