"""What must hold at every final block of a run, whatever is under way: read off the tables, offenders named.

Each function is one invariant of the rulebook. They look at the money as it stands now: what has been instructed and is
not final yet stands in `in_transit`, so a check between two blocks sees it too. No entry can touch two cells (I3): that
is not looked for here, the tests of the ledger try to write one.
"""

from collections import defaultdict
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from bonds.models import SlicePart
from intermediary import collateral, ledger
from intermediary.allocation import RETENTION_ACCOUNT, split
from intermediary.config import replay
from intermediary.models import (
    Account,
    AccountKind,
    Asset,
    Cell,
    ChainInstruction,
    DefaultCase,
    Layer,
    LayerLoss,
    MarginState,
    RecoveryReceipt,
    UncoveredShare,
)
from settlement.models import ReconciliationBreak

DETERMINED = [DefaultCase.State.ALLOCATED, DefaultCase.State.RECOVERY, DefaultCase.State.CLOSED]


def check_at_a_block() -> None:
    """All that holds at each final block, also in the middle of a settlement."""
    isolation_i4_one_unit_of_capital_stands_in_one_place()
    isolation_i6_only_the_defaulter_is_stopped()
    conservation_c1_to_c3_layers_follow_from_the_loss()
    conservation_c4_write_ups_stay_below_write_downs()
    conservation_c5_entries_sum_to_zero_and_the_chain_agrees()
    conservation_c6_a_lot_is_owed_once()
    replay.expected_nets_to_zero()


def check_at_rest() -> None:
    """What holds when a bar has been worked through, and every posting ever written: balances are their sums (C5)."""
    conservation_c6_margin_is_what_lies_in_the_vaults()
    assert _rows("SELECT entry_id FROM intermediary_posting GROUP BY entry_id, asset_id"
                 " HAVING sum(amount_base_units) <> 0") == []  # fmt: skip
    off = _rows(
        "SELECT a.id FROM intermediary_account a LEFT JOIN intermediary_posting p ON p.account_id = a.id"
        " GROUP BY a.id HAVING a.balance_base_units <> coalesce(sum(p.amount_base_units), 0)"
    )
    assert off == [], "a balance is not the sum of its postings"


def isolation_i4_one_unit_of_capital_stands_in_one_place() -> None:
    """I4: each funded retention holds exactly what its layer has left, in its own account, and what was set aside for
    all relationships together was there to be set aside: the float is what remains, never below zero."""
    asset = ledger.settlement_asset().code
    coming = _on_their_way(asset)
    accounts = Account.objects.filter(asset_id=asset, kind__in=RETENTION_ACCOUNT.values())
    held = {(account.cell_id, account.kind): account.balance_base_units for account in accounts}
    for layer in Layer.objects.filter(funded=True, kind__in=list(RETENTION_ACCOUNT)):
        account = RETENTION_ACCOUNT[Layer.Kind(layer.kind)]
        stands = held.get((layer.cell_id, account.value), 0) + coming[layer.cell_id, account.value]
        assert stands == layer.size_base_units - layer.loss_base_units, (
            f"{layer.kind} of {layer.cell_id} holds {stands}"
        )
    left = ledger.total([AccountKind.FLOAT], asset) + sum(
        amount for (_, account), amount in coming.items() if account == AccountKind.FLOAT.value
    )
    assert left >= 0, f"more capital is allocated than there is: {left}"


def isolation_i6_only_the_defaulter_is_stopped() -> None:
    """I6: no relationship without a default of its own is suspended."""
    in_default = DefaultCase.objects.values("cell")
    stopped = Cell.objects.filter(kind=Cell.Kind.CLIENT, state__in=[Cell.State.DEFAULTED, Cell.State.CLOSED])
    assert not stopped.exclude(id__in=in_default).exists(), "a performing client was stopped"


def conservation_c1_to_c3_layers_follow_from_the_loss() -> None:
    """C1: layers and UNCOVERED sum to N. C2: a layer loses at most its size. C3: from the first loss up, none begins
    before the one below is full. A relationship that lost nothing has no loss on any layer."""
    cases = {case.cell_id: case for case in DefaultCase.objects.filter(state__in=DETERMINED)}
    stacks: dict[UUID, list[Layer]] = defaultdict(list)
    for layer in Layer.objects.order_by("attach_base_units"):
        stacks[layer.cell_id].append(layer)
    for cell_id, stack in stacks.items():
        case = cases.get(cell_id)
        loss, uncovered = (case.loss_base_units, case.uncovered_base_units) if case else (0, 0)
        assert sum(layer.loss_base_units for layer in stack) + uncovered == loss
        assert all(0 <= layer.loss_base_units <= layer.size_base_units for layer in stack)
        for lower, upper in pairwise(stack):
            assert upper.loss_base_units == 0 or lower.loss_base_units == lower.size_base_units
        assert [own for _, own in split(stack, loss).layers] == [layer.loss_base_units for layer in stack]


def conservation_c4_write_ups_stay_below_write_downs() -> None:
    """C4, for every layer and every note, at each moment of their histories."""
    standing: dict[UUID, int] = defaultdict(int)
    for change in LayerLoss.objects.order_by("id"):
        assert change.loss_before_base_units == standing[change.layer_id]
        standing[change.layer_id] = change.loss_after_base_units
        assert change.loss_after_base_units >= 0
    for part in SlicePart.objects.all():
        assert 0 <= part.written_up_base_units <= part.written_down_base_units
    assert not RecoveryReceipt.objects.exclude(
        net_loss_after_base_units=F("net_loss_before_base_units") - F("amount_base_units")
    ).exists()


def conservation_c5_entries_sum_to_zero_and_the_chain_agrees() -> None:
    """C5: over all accounts every asset sums to zero, and the reconciliation of this block found no difference."""
    off = _rows("SELECT asset_id FROM intermediary_account GROUP BY asset_id HAVING sum(balance_base_units) <> 0")
    assert off == [], "the books do not balance"
    assert not ReconciliationBreak.objects.exists(), list(ReconciliationBreak.objects.values())


def conservation_c6_a_lot_is_owed_once() -> None:
    """C6: claims of linked lots are at most what those lots were not paid, and never more than is uncovered. That every
    token in a contract stands in exactly one account is the reconciliation's to say (C5)."""
    asset = ledger.settlement_asset().code
    for case in DefaultCase.objects.filter(state__in=DETERMINED):
        claims = -ledger.balance(case.cell_id, AccountKind.UNCOVERED_CLAIMS, asset)
        shares = list(UncoveredShare.objects.filter(case=case))
        assert 0 <= claims <= case.uncovered_base_units
        assert claims <= sum(share.amount_base_units for share in shares)
        assert all(share.amount_base_units <= share.unpaid_gain_base_units for share in shares)


def conservation_c6_margin_is_what_lies_in_the_vaults() -> None:
    """C6, where nothing is under way: a client's margin counts for at most what its own vaults hold, at the mark."""
    assets = {asset.code: asset for asset in Asset.objects.all()}
    states = list(MarginState.objects.exclude(cell__state=Cell.State.DEFAULTED).select_related("valuation"))
    held, settlement = collateral.counted([state.cell_id for state in states]), ledger.settlement_asset()
    for state in states:
        worth = sum(
            collateral.value_after_haircut(
                amount, assets[code], collateral.price_of(assets[code], state.valuation), 0, settlement
            )
            for code, amount in held.get(state.cell_id, {}).items()
        )
        assert state.held_base_units <= worth, f"{state.cell_id} is credited with more than its vaults hold"


def _on_their_way(asset: str) -> dict[tuple[UUID, str], int]:
    """(cell, account) -> base units instructed towards that account and not final."""
    found: dict[tuple[UUID, str], int] = defaultdict(int)
    for row in ChainInstruction.objects.filter(
        state__in=ChainInstruction.UNFINISHED, entry__isnull=False, target__asset_id=asset
    ):
        found[row.cell_id, row.arguments["destination"]] += row.amount_base_units
    return found


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
