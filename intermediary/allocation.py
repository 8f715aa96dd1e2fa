"""Spreading a determined loss: the client's margin first, then the layers of its own cell, what is left UNCOVERED.

Everything happens in the transaction of the approval. A layer's loss is always recomputed from N. A layer whose money
does not lie in its own contract cannot pay: its band counts as UNCOVERED, so nothing is shown as covered that is not.
A tail layer is written down by the bond's own part of the platform, which hears of N by event.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from intermediary import clock, events, ledger, outbox, ports, uncovered
from intermediary.default_cases import Kind, State, close_out_cell, give_back_suspense, move_to, notices, vaults
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainTarget, DefaultCase, Layer, LayerLoss, Position, Valuation
from intermediary.vaults import required_in_force
from intermediary.waterfall import LayerBand
from intermediary.waterfall import allocate as run_waterfall

RETENTION_ACCOUNT = {
    Layer.Kind.FIRST_LOSS: AccountKind.FIRST_LOSS,
    Layer.Kind.SENIOR: AccountKind.SENIOR_RETENTION,
}


@dataclass(frozen=True)
class LossSplit:
    """N spread over the layers of one cell, from the first loss up; they and UNCOVERED sum to N (C1)."""

    layers: tuple[tuple[Layer, int], ...]
    uncovered_base_units: int


def split(layers: Sequence[Layer], net_loss_base_units: int) -> LossSplit:
    """The waterfall over the layers that are funded; `layers` is the whole stack of one cell."""
    ordered = sorted(layers, key=lambda layer: layer.attach_base_units)
    bands = [LayerBand(layer, layer.attach_base_units, layer.detach_base_units) for layer in ordered]
    result = run_waterfall(net_loss_base_units, bands)
    paid = tuple((layer, loss if layer.funded else 0) for layer, loss in result.layer_losses)
    return LossSplit(paid, net_loss_base_units - sum(loss for _, loss in paid))


def allocate(case: DefaultCase) -> None:
    """Allocate a determined case. The caller holds the locks of its cells and of every linked cell."""
    close_out_settled(case)
    surplus = _spend_margin(case)
    result = split(list(case.cell.layers.all()), case.loss_base_units)
    changed = write_layers(case, result)
    for layer, loss in changed:
        if layer.kind in RETENTION_ACCOUNT:
            _apply(case, layer, loss)
    _pay_costs(case)
    _book_our_part(case)
    case.uncovered_base_units = result.uncovered_base_units
    if result.uncovered_base_units:
        uncovered.allocate(case, result.uncovered_base_units, uncovered.linked_gains(case, _latest_valuation()))
    _release(case)
    _return_surplus(case, surplus)
    losses = {str(layer.id): loss for layer, loss in result.layers}
    move_to(case, State.ALLOCATED, "Loss allocated.", layer_losses=losses, surplus_base_units=surplus)
    events.emit(
        events.LOSS_DETERMINED,
        cell_id=case.cell_id,
        case_id=str(case.id),
        net_loss_base_units=case.loss_base_units,
        evidence=evidence_of(case),
        layer_losses=losses,
    )
    if case.loss_base_units == case.added_by_us_base_units == 0:
        move_to(case, State.CLOSED, "Nobody lost anything: closed.")


def write_layers(case: DefaultCase, result: LossSplit) -> list[tuple[Layer, int]]:
    """Set every layer to its recomputed loss; returns the changes, from the first loss up. Positive: written down."""
    changed = []
    for layer, loss in result.layers:
        change = loss - layer.loss_base_units
        if not change:
            continue
        LayerLoss.objects.create(
            cell_id=case.cell_id,
            case=case,
            layer=layer,
            loss_before_base_units=layer.loss_base_units,
            loss_after_base_units=loss,
            net_loss_base_units=case.loss_base_units,
        )
        layer.loss_base_units = loss
        layer.save(update_fields=["loss_base_units"])
        changed.append((layer, change))
    return changed


def evidence_of(case: DefaultCase) -> str:
    """The hash of the approved determination: what stands on chain beside every effect of it."""
    assert case.determination is not None, "only a determined case has effects"
    return case.determination.hash


def credit_client(case: DefaultCase, *, source: AccountKind, amount_base_units: int, cause: object, memo: str) -> None:
    """Pay settlement tokens from a house account facing the cell to the client's vault; nothing stays required."""
    asset = ledger.settlement_asset().code
    outbox.move(
        effect_id=derive("surplus", case.id, cause),
        target=outbox.target_of(case.cell_id, ChainTarget.Kind.VAULT, asset),
        cell_id=case.cell_id,
        kind=Kind.CREDIT,
        source=source,
        destination=AccountKind.CLIENT_MARGIN,
        amount_base_units=amount_base_units,
        memo=memo,
        case=str(case.id),
    )


def close_out_settled(case: DefaultCase) -> None:
    """What the close-out cell's settled values said is a determined claim from here on."""
    Position.objects.filter(cell=close_out_cell(case)).update(settled_value=0)


def _spend_margin(case: DefaultCase) -> int:
    """The client's margin pays what it owes; returns what is over, which is the client's.

    A negative debt (the book gained at close-out) is paid by the float.
    """
    owed = case.close_out_amount_base_units + case.costs_base_units
    taken = min(case.collateral_realised_base_units, owed)
    asset = ledger.settlement_asset().code
    if taken:
        ledger.post(
            entry_id=derive("margin_spent", case.id),
            cell_id=case.cell_id,
            kind="margin_spent",
            memo=f"margin spent on the debt of default {case.id}",
            lines=[Line(AccountKind.HOUSE, asset, -taken), Line(AccountKind.FLOAT, asset, taken)],
        )
    return case.collateral_realised_base_units - taken


def _apply(case: DefaultCase, layer: Layer, loss_base_units: int) -> None:
    asset = ledger.settlement_asset().code
    outbox.move(
        effect_id=derive("apply", case.id, layer.id),
        target=outbox.target_of(case.cell_id, ChainTarget.Kind.RETENTION, asset),
        cell_id=case.cell_id,
        kind=Kind.APPLY,
        source=RETENTION_ACCOUNT[Layer.Kind(layer.kind)],
        destination=AccountKind.FLOAT,
        amount_base_units=loss_base_units,
        memo=f"{layer.get_kind_display()} pays its part of default {case.id}",
        case=str(case.id),
        evidence=evidence_of(case),
    )


def _pay_costs(case: DefaultCase) -> None:
    """Costs go to their payee: the intermediary keeps nothing of a default (X5)."""
    if not case.costs_base_units:
        return
    asset = ledger.settlement_asset().code
    outbox.move(
        effect_id=derive("costs", case.id),
        target=outbox.target_of(case.cell_id, ChainTarget.Kind.HOUSE, asset),
        cell_id=case.cell_id,
        kind=Kind.DISPOSE,
        source=AccountKind.FLOAT,
        destination=AccountKind.COSTS,
        amount_base_units=case.costs_base_units,
        memo=f"costs of close-out {case.id}",
        account="costs",
        case=str(case.id),
    )


def _book_our_part(case: DefaultCase) -> None:
    """X: what the intermediary's own choices added falls on its equity (D4)."""
    if not case.added_by_us_base_units:
        return
    asset = ledger.settlement_asset().code
    ledger.post(
        entry_id=derive("added_by_us", case.id),
        cell_id=case.cell_id,
        kind="added_by_us",
        memo=f"added by our own choices to default {case.id}",
        lines=[
            Line(AccountKind.EQUITY, asset, -case.added_by_us_base_units),
            Line(AccountKind.LOSS, asset, case.added_by_us_base_units),
        ],
    )


def _release(case: DefaultCase) -> None:
    """End the notice on every vault, but where its client has ended it by paying the claim, and lock nothing in any of
    them any more: what is left there is the client's."""
    noticed = {row.target_id for row in notices(case)} - ports.cures_on_chain(case.id).keys()
    for vault in vaults(case.cell_id):
        if vault.id in noticed:
            outbox.instruct(target=vault, cell_id=case.cell_id, kind=Kind.RELEASE_NOTICE, case=str(case.id))
        if required_in_force(vault):
            outbox.instruct(target=vault, cell_id=case.cell_id, kind=Kind.REQUIRE, case=str(case.id))
        give_back_suspense(case, vault)


def _return_surplus(case: DefaultCase, surplus_base_units: int) -> None:
    if surplus_base_units:
        memo = f"surplus of close-out {case.id}"
        credit_client(
            case, source=AccountKind.HOUSE, amount_base_units=surplus_base_units, cause="close_out", memo=memo
        )


def _latest_valuation() -> Valuation:
    found = Valuation.objects.filter(as_of__lte=clock.now()).first()
    if found is None:
        raise Refusal("no_valuation", "There is no official valuation yet.")
    return found
