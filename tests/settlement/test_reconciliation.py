"""Ledger and chain are compared at every final block, series by series, class by class, and from the first deposit."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from eth_utils.crypto import keccak

from intermediary import ledger, outbox
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement import reconcile, watcher
from settlement.bindings import read
from settlement.chain import Call, Chain, ChainRefused
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.models import ComparedVault, ReconciliationBreak, ReconciliationRun
from settlement.signer import demo_wallet
from settlement.vault_terms import predict_vaults
from settlement.watcher import step as watch
from tests.intermediary.builders import client_cell
from tests.settlement.test_crashes import die
from tests.settlement.test_default_and_series import issued_series
from tests.settlement.test_default_and_series import move as instruct_move
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    deposit,
    funded_client,
    give,
    grow,
    held,
    house_alone,
    registered,
    terms_of,
    transfer,
)

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind


def open_places() -> set[str]:
    return set(ReconciliationBreak.objects.filter(resolved_block=None).values_list("place", flat=True))


class Forgetful(Chain):
    """A node that has no state of blocks below some number any more."""

    forgotten = 0

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        if any(method == "eth_call" and int(asked[1], 16) < self.forgotten for method, asked in calls):
            raise ChainRefused("chain_refused", "eth_call: missing trie node")
        return super().batch(calls)


@pytest.mark.parametrize("at_once", [watcher.COMPARED_AT_EACH, 1])
def test_a_difference_that_one_final_block_had_is_seen_when_many_become_final_together(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(watcher, "COMPARED_AT_EACH", at_once)
    lines = [ledger.Line(AccountKind.OUTSIDE, "USDC", -3), ledger.Line(AccountKind.FIRST_LOSS, "USDC", 3)]
    with transaction.atomic():
        ledger.post(entry_id=uuid7(), cell_id=who.cell.id, kind="gift", memo="booked too early", lines=lines)
    deposit(chain, who, MILLION)
    differs_at = chain.head()
    mine(chain)
    grow(chain, who.targets["RETENTION"].address, 3)
    for _ in range(3):
        mine(chain)
    compared_at = watch(chain).finalized
    found = ReconciliationBreak.objects.get()
    assert (found.ledger_value, found.chain_value) == ("3", "0")
    assert found.first_block < differs_at < compared_at
    assert found.resolved_block == (compared_at if at_once == 1 else differs_at + 1)


def test_a_node_that_has_forgotten_some_blocks_is_asked_about_the_later_ones(chain: Chain, who: Client) -> None:
    before = watch(chain).finalized
    for _ in range(8):
        mine(chain)
    node = Forgetful(chain.url)
    node.forgotten = before + 3
    final = watch(node).finalized
    runs = ReconciliationRun.objects.filter(block_number__gt=before).order_by("block_number")
    assert final - before == 8
    assert list(runs.values_list("block_number", flat=True)) == list(range(before + 5, final + 1))


def test_every_final_block_is_compared_also_where_nothing_happened(chain: Chain, who: Client) -> None:
    """A balance changes without a log, and is back before anything else happens."""
    before = watch(chain).finalized
    place, held_before = balance_slot(who), held_by(chain, who)
    mine(chain)
    differs_at = chain.head()
    store(chain, place, held_before - 7)
    mine(chain)
    store(chain, place, held_before)
    for _ in range(4):
        mine(chain)
    final = watch(chain).finalized
    runs = ReconciliationRun.objects.filter(block_number__gt=before).order_by("block_number")
    assert list(runs.values_list("block_number", flat=True)) == list(range(before + 1, final + 1))
    assert {run.block_number for run in runs if run.breaks} == {differs_at}
    found = ReconciliationBreak.objects.get()
    assert (found.place, found.first_block, found.resolved_block) == (
        f"vault {who.vault.address}",
        differs_at,
        differs_at + 1,
    )
    assert int(found.ledger_value) - int(found.chain_value) == 7
    told = ComparedVault.objects.get(target=who.vault)
    assert told.ledger_base_units == told.chain_base_units == held_before
    assert_reconciled()


@pytest.mark.parametrize("meanwhile", [None, ("reconcile",), ("backfill", "--from-block=0")])
def test_blocks_that_a_watcher_booked_before_it_died_are_compared_by_the_next(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch, meanwhile: tuple[str, ...] | None
) -> None:
    """Whatever somebody compares by hand in between."""
    before = watch(chain).finalized
    deposit(chain, who, MILLION)
    for _ in range(2):
        mine(chain)
    monkeypatch.setattr(reconcile, "run_each", die)
    with pytest.raises(KeyboardInterrupt):
        watch(chain)
    monkeypatch.undo()
    if meanwhile is not None:
        call_command(*meanwhile, stdout=io.StringIO())
        assert ReconciliationRun.objects.filter(block_number__gt=before, by_hand=True).exists()
    mine(chain)
    final = watch(chain).finalized
    runs = ReconciliationRun.objects.filter(block_number__gt=before, by_hand=False).order_by("block_number")
    assert list(runs.values_list("block_number", "breaks")) == [(number, 0) for number in range(before + 1, final + 1)]


def balance_slot(who: Client) -> tuple[str, str]:
    """The token, and where in its storage the balance of this client's vault stands: the first mapping of an ERC-20."""
    place = keccak(bytes.fromhex(who.vault.address[2:]).rjust(32, b"\0") + bytes(32))
    return who.vault.asset.token_address, "0x" + place.hex()


def held_by(chain: Chain, who: Client) -> int:
    return int(read(chain, who.vault.asset.token_address, "DemoUSDC", "balanceOf", who.vault.address))


def store(chain: Chain, place: tuple[str, str], amount: int) -> None:
    """In the state of the latest block."""
    chain.call("anvil_setStorageAt", *place, f"0x{amount:064x}")


def test_a_shortfall_of_one_series_does_not_hide_behind_another(chain: Chain, who: Client) -> None:
    short, long = (issued_series(chain, who, code) for code in ("A", "B"))
    assert_reconciled()
    pretend_final(who, short.escrow, Kind.COUPON, (AccountKind.FLOAT, AccountKind.COUPONS), tranche=1)
    with transaction.atomic():
        lines = [ledger.Line(AccountKind.OUTSIDE, "USDC", -7), ledger.Line(AccountKind.FLOAT, "USDC", 7)]
        ledger.post(entry_id=uuid7(), cell_id=who.cell.id, kind="made_up", memo="the same cash", lines=lines)
    grow(chain, long.escrow.address, 7)
    settle_all()
    assert open_places() == {"series A: cash", "series A: owed", "series B: cash"}


def test_principal_that_the_chain_does_not_know_of_is_a_break_though_the_cash_agrees(chain: Chain, who: Client) -> None:
    series = issued_series(chain, who)
    pretend_final(who, series.escrow, Kind.REPAY, (AccountKind.ESCROW, AccountKind.COUPONS), slice=0, tranche=1)
    settle_all()
    said = ("owed", "principal of slice 0", "principal of class 1", "redeemed of class 1")
    assert open_places() == {f"series S1: {what}" for what in said}


def pretend_final(
    who: Client, escrow: ChainTarget, kind: Kind, route: tuple[AccountKind, AccountKind], **arguments: int
) -> None:
    made = instruct_move(escrow, who, kind, route, 7, **arguments)
    ChainInstruction.objects.filter(id=made.id).update(state="BATCHED")
    with transaction.atomic():
        outbox.mark_final(made.id, transaction_hash="0x" + "00" * 32)


@pytest.mark.world(build=house_alone)
def test_a_deposit_to_the_predicted_address_counts_although_it_came_first(chain: Chain) -> None:
    cell, key = client_cell("W"), demo_wallet(0)
    vault = predict_vaults(chain=chain, terms=terms_of("W", key))["USDC"]
    fund_gas(chain, key.address)
    give(chain, key.address, 5 * MILLION)
    transfer(chain, key, vault, 5 * MILLION)
    settle_all()
    who = registered(chain, cell, key)
    assert who.vault.address == vault
    settle_all()
    assert held(who) == 5 * MILLION
    assert_reconciled()
