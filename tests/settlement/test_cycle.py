"""Money from ledger to chain and back, on real contracts."""

from collections.abc import Callable

import pytest
from django.db import transaction

from intermediary import ledger, outbox
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, JournalEntry
from settlement import approver, chains, poster
from settlement.bindings import read
from settlement.calls import FIRST_LOSS_LAYER, SENIOR_LAYER
from settlement.chain import Chain
from settlement.cycle import settle_all, unfinished
from settlement.demo_chain import mine
from settlement.models import Batch, BatchMovement, Fence, HeldCall, HouseReceipt, ReconciliationBreak
from settlement.receipts import book_capital
from settlement.signer import demo_signer
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    client,
    debit,
    deposit,
    funded_client,
    give,
    grow,
    held,
    house_alone,
    move,
    pass_time,
)

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind
MARGIN, FLOAT = AccountKind.CLIENT_MARGIN, AccountKind.FLOAT


@pytest.mark.world(build=house_alone)
def test_deposit_is_credited_once_when_final_and_not_before(chain: Chain) -> None:
    who = client(chain, "W", 0)
    watch(chain)
    deposit(chain, who, 5 * MILLION)
    watch(chain)
    assert held(who) == 0
    settle_all()
    assert held(who) == 5 * MILLION
    settle_all()
    assert JournalEntry.objects.filter(cell=who.cell, kind="deposit").count() == 1
    assert_reconciled()


@pytest.mark.world(build=house_alone)
def test_deposit_of_an_unknown_sender_lies_in_suspense(chain: Chain) -> None:
    who = client(chain, "W", 0, proved=False)
    deposit(chain, who, 5 * MILLION)
    settle_all()
    assert (held(who), held(who, AccountKind.SUSPENSE)) == (0, 5 * MILLION)
    found = ReconciliationBreak.objects.get(resolved_block=None)
    assert (found.kind, found.owner) == ("unknown_sender", "onboarding")


def test_debit_and_credit_go_vault_to_house_to_vault_and_reconcile(chain: Chain, who: Client) -> None:
    loser, winner = who, client(chain, "M", 1)
    taken = move(loser, Kind.DEBIT, MARGIN, FLOAT, 2 * MILLION)
    assert (held(loser), held(loser, AccountKind.IN_TRANSIT)) == (3 * MILLION, 2 * MILLION)
    settle_all()
    paid = move(winner, Kind.CREDIT, FLOAT, MARGIN, 2 * MILLION)
    settle_all()
    token = winner.vault.asset.token_address
    on_chain = [read(chain, token, "DemoUSDC", "balanceOf", who.vault.address) for who in (loser, winner)]
    assert on_chain == [3 * MILLION, 2 * MILLION]
    assert [held(loser), held(winner)] == on_chain
    assert [ChainInstruction.objects.get(id=made.id).state for made in (taken, paid)] == ["FINAL", "FINAL"]
    hot, _, _ = read(chain, winner.vault.address, "MarginVault", "state")
    assert hot["required"] == MILLION
    assert_reconciled()
    assert unfinished() == 0


def test_many_movements_of_one_vault_keep_their_order_in_one_batch(who: Client) -> None:
    made = [move(who, Kind.DEBIT, MARGIN, FLOAT, amount) for amount in (1, 2, 3)]
    settle_all()
    movements = BatchMovement.objects.filter(instruction__in=made).order_by("instruction__seq")
    assert [movement.contract_seq for movement in movements] == [1, 2, 3]
    assert Batch.objects.count() == 1
    assert_reconciled()


@pytest.mark.world(build=house_alone)
def test_failed_movement_gives_tokens_back_and_its_number_is_used_again(chain: Chain) -> None:
    who = client(chain, "W", 0, debit_cap=2 * MILLION)
    deposit(chain, who, 5 * MILLION)
    settle_all()
    too_much = move(who, Kind.DEBIT, MARGIN, FLOAT, 3 * MILLION)
    behind_it = move(who, Kind.DEBIT, MARGIN, FLOAT, MILLION)
    settle_all()
    too_much.refresh_from_db()
    behind_it.refresh_from_db()
    assert (too_much.state, too_much.failure) == ("FAILED", "CapExceeded")
    assert behind_it.state == "FINAL"
    assert held(who) == 4 * MILLION
    outcomes = BatchMovement.objects.order_by("recorded_at", "position").values_list("contract_seq", "outcome")
    assert list(outcomes) == [(1, "FAILED"), (2, "AGAIN"), (1, "SETTLED")]
    assert_reconciled()


@pytest.mark.world(build=house_alone)
def test_what_follows_a_failed_movement_in_later_batches_comes_back_and_settles_in_order(chain: Chain) -> None:
    who = client(chain, "W", 0, debit_cap=2 * MILLION)
    deposit(chain, who, 5 * MILLION)
    settle_all()
    amounts = [3 * MILLION, *(MILLION // 4 + number for number in range(4))]
    made = []
    signers = {role: demo_signer(role) for role in ("poster", "operator")}
    for number in range(24):  # a batch and a block a round, and a block is final two later: several are on their way
        if number < len(amounts):
            made.append(move(who, Kind.DEBIT, MARGIN, FLOAT, amounts[number]))
        for step in (poster.step, poster.step):
            step(chain, signers)
            approver.step(demo_signer("approver"), chain.id())
        poster.step(chain, signers)
        mine(chain)
        watch(chain)
    assert [ChainInstruction.objects.get(id=one.id).state for one in made] == ["FAILED", *["FINAL"] * 4]
    settled = BatchMovement.objects.filter(outcome="SETTLED").order_by("contract_seq")
    numbers = list(settled.values_list("contract_seq", "instruction_id"))
    assert numbers == [(number, one.id) for number, one in enumerate(made[1:], 1)]
    assert_reconciled()


def test_withdrawal_reaches_the_payout_address(chain: Chain, who: Client) -> None:
    move(who, Kind.RETURN, MARGIN, AccountKind.OUTSIDE, MILLION)
    settle_all()
    assert read(chain, who.vault.asset.token_address, "DemoUSDC", "balanceOf", who.key.address) == MILLION
    assert_reconciled()


def test_capital_in_the_house_funds_a_retention(chain: Chain, who: Client) -> None:
    house = ChainTarget.objects.get(kind="HOUSE")
    give(chain, house.address, 10 * MILLION)
    settle_all()
    receipt = HouseReceipt.objects.get()
    assert_reconciled()
    with transaction.atomic():
        book_capital(actor="treasury", receipt_id=receipt.id)
    fund(who, AccountKind.FIRST_LOSS, 2 * MILLION)
    fund(who, AccountKind.SENIOR_RETENTION, 3 * MILLION)
    settle_all()
    retention = who.targets["RETENTION"].address
    on_chain = [read(chain, retention, "Retention", "held", layer) for layer in (FIRST_LOSS_LAYER, SENIOR_LAYER)]
    assert on_chain == [2 * MILLION, 3 * MILLION]
    assert on_chain == [held(who, AccountKind.FIRST_LOSS), held(who, AccountKind.SENIOR_RETENTION)]
    assert_reconciled()


def fund(who: Client, layer: AccountKind, amount: int) -> ChainInstruction:
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=Kind.FUND,
            source=FLOAT,
            destination=layer,
            amount_base_units=amount,
            memo="fund",
        )


def test_client_that_takes_free_margin_by_itself_is_booked(chain: Chain, who: Client) -> None:
    wallet = Transactor(chain, who.key, mine)
    wallet.call(who.vault.address, "MarginVault", "requestWithdraw", MILLION)
    wallet.wait()
    pass_time(chain, who.terms.answer_minutes * 60)
    wallet.call(who.vault.address, "MarginVault", "withdraw")
    wallet.wait()
    settle_all()
    assert held(who) == 4 * MILLION
    assert_reconciled()


def test_tokens_that_only_the_chain_knows_of_open_a_break_that_closes_when_booked(chain: Chain, who: Client) -> None:
    grow(chain, who.targets["RETENTION"].address, 3)
    settle_all()
    found = ReconciliationBreak.objects.get(resolved_block=None)
    assert (found.kind, found.ledger_value, found.chain_value) == ("dust", "0", "3")
    assert found.cell_id == who.cell.id
    with transaction.atomic():
        ledger.post(
            entry_id=uuid7(),
            cell_id=who.cell.id,
            kind="gift",
            memo="booked by an officer",
            lines=[
                ledger.Line(AccountKind.OUTSIDE, "USDC", -3),
                ledger.Line(AccountKind.FIRST_LOSS, "USDC", 3),
            ],
        )
    settle_all()
    assert_reconciled()


def test_house_without_a_batch_for_a_day_gets_a_sign_of_life(chain: Chain) -> None:
    house = ChainTarget.objects.get(kind="HOUSE").address
    before = read(chain, house, "House", "lastBeat")
    pass_time(chain, 25 * 3600)
    settle_all()
    assert read(chain, house, "House", "lastBeat") > before + 24 * 3600
    assert_reconciled()


def disagreement() -> None:
    kind = ReconciliationBreak.Kind.WITNESSES
    ReconciliationBreak.objects.create(
        kind=kind, place="block by another", ledger_value="a", chain_value="b", first_block=1
    )


def a_fence() -> None:
    Fence.objects.create(chain=chains.here(), reason="a backup of last week")


@pytest.mark.parametrize("stop", [disagreement, a_fence])
def test_while_nothing_may_leave_a_house_still_gets_its_signs_of_life(
    chain: Chain, who: Client, stop: Callable[[], None]
) -> None:
    waits = debit(who, MILLION)
    stop()
    house = ChainTarget.objects.get(kind="HOUSE").address
    pass_time(chain, 25 * 3600)
    before = read(chain, house, "House", "lastBeat")
    signers = {role: demo_signer(role) for role in ("poster", "operator")}
    for _ in range(3):
        poster.step(chain, signers)
        approver.step(demo_signer("approver"), chain.id())
        mine(chain)
    assert read(chain, house, "House", "lastBeat") > before + 24 * 3600
    assert read(chain, house, "House", "batchId") == 0
    assert ChainInstruction.objects.get(id=waits.id).state != "FINAL"


def test_call_that_waits_holds_up_no_other_cell_of_the_same_house(chain: Chain, who: Client) -> None:
    waits, goes = who, client(chain, "M", 1)
    house = ChainTarget.objects.get(kind="HOUSE")
    give(chain, house.address, MILLION)
    made = [pay_costs(who, house, amount) for who, amount in ((waits, 2 * MILLION), (goes, MILLION))]
    settle_all()
    assert [ChainInstruction.objects.get(id=one.id).state for one in made] == ["DRAFT", "FINAL"]
    assert HeldCall.objects.get().reason == "ERC20InsufficientBalance"


def pay_costs(who: Client, house: ChainTarget, amount: int) -> ChainInstruction:
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=house,
            cell_id=who.cell.id,
            kind=Kind.DISPOSE,
            source=FLOAT,
            destination=AccountKind.COSTS,
            amount_base_units=amount,
            memo="costs",
            account="costs",
        )
