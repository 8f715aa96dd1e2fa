"""Every kind of break, made to happen on a real chain; each goes away with its cause."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from intermediary.errors import Refusal
from intermediary.models import AccountKind, Asset, ChainInstruction, ChainTarget
from intermediary.typed_data import digest_of
from settlement import approver, poster, reconcile
from settlement.bindings import read
from settlement.breaks import ComparedVault, ReconciliationBreak, ReconciliationReport
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.messages import batch_message, movement_of, ref_of
from settlement.models import BatchMovement, ChainBlock
from settlement.signer import demo_signer, demo_wallet
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    debit,
    funded_client,
    give,
    grow,
    move,
    pass_time,
    transfer,
)

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind
# Compiled by solc 0.8.30 with the optimizer from FeeToken.sol beside it.
FEE_TOKEN = (Path(__file__).parent / "tokens" / "FeeToken.hex").read_text().replace("\n", "")


def open_breaks() -> dict[tuple[str, str], tuple[str, str]]:
    """(kind, place) -> (ledger, chain)."""
    rows = ReconciliationBreak.objects.filter(resolved_block=None)
    return {(row.kind, row.place): (row.ledger_value, row.chain_value) for row in rows}


def kinds_open() -> set[str]:
    return {kind for kind, _ in open_breaks()}


def house() -> ChainTarget:
    return ChainTarget.objects.get(kind="HOUSE")


def post_behind_our_back(chain: Chain, *movements: dict[str, Any]) -> None:
    """A batch that both keys signed and the ledger knows nothing of: the poster's and approver's keys were taken."""
    number = read(chain, house().address, "House", "batchId") + 1
    chain_id, statement = int(chain.call("eth_chainId"), 16), "0x" + bytes(32).hex()
    message = batch_message(house().address, chain_id, number, statement, movements)
    key = demo_signer("approver")
    listed = [(*list(row.values())[:-1], bytes.fromhex(row["ref"].removeprefix("0x"))) for row in movements]
    signature = key.sign_digest(digest_of(message))
    thief = Transactor(chain, demo_signer("poster"), mine)
    thief.call(house().address, "House", "postBatch", number, bytes(32), listed, key.address, signature)
    thief.wait()


def watch_to_the_end(chain: Chain) -> None:
    for _ in range(3):
        mine(chain)
    watch(chain)


def test_every_kind_has_an_owner_and_a_first_act() -> None:
    assert set(ReconciliationBreak.DUTIES) == set(ReconciliationBreak.Kind)
    assert all(owner and act.endswith(".") for owner, act in ReconciliationBreak.DUTIES.values())


def test_a_movement_nobody_instructed_is_missing_in_the_ledger(chain: Chain, who: Client) -> None:
    stolen = {
        "vault": who.vault.address,
        "kind": 2,
        "seq": 1,
        "amount": MILLION,
        "required": 0,
        "ref": "0x" + "77" * 32,
    }
    post_behind_our_back(chain, stolen)
    watch_to_the_end(chain)
    found = open_breaks()
    vault, theirs = f"vault {who.vault.address}", f"house {house().address}"
    assert found["missing_in_ledger", vault] == ("0", "1")
    assert found["missing_in_ledger", f"{theirs}: batches"] == ("0", "1")
    assert found["amount", vault] == (str(5 * MILLION), str(4 * MILLION))
    assert found["amount", "house USDC"] == ("0", str(MILLION))
    assert {("head", theirs)} < set(found)
    assert [kind for kind, place in found if place.startswith("Moved")] == ["missing_in_ledger"]
    assert "duplicate" not in kinds_open()


def test_a_movement_that_settled_and_comes_again_is_a_duplicate(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    settle_all()
    assert_reconciled()
    made.refresh_from_db()
    post_behind_our_back(chain, movement_of(made, ref_of(made), who.vault.address, 2))
    watch_to_the_end(chain)
    assert any(kind == "duplicate" and place.startswith("Moved 0x") for kind, place in open_breaks())


def test_what_the_ledger_calls_final_and_the_chain_never_saw_is_missing_there(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    signers = {role: demo_signer(role) for role in ("poster", "operator")}
    poster.step(chain, signers)
    approver.step(demo_signer("approver"), int(chain.call("eth_chainId"), 16))
    BatchMovement.objects.filter(instruction=made).update(outcome="SETTLED")  # as a lying node would have us
    watch_to_the_end(chain)
    assert open_breaks() == {("missing_on_chain", f"vault {who.vault.address}"): ("1", "0")}


def test_a_token_that_keeps_a_fee_is_named_and_the_break_keeps_its_name(chain: Chain, who: Client) -> None:
    debit(who, 2 * MILLION)
    settle_all()
    chain.call("anvil_setCode", Asset.objects.get(code="USDC").token_address, FEE_TOKEN)
    credit = move(who, Kind.CREDIT, AccountKind.FLOAT, AccountKind.CLIENT_MARGIN, MILLION)
    settle_all()
    place, fee = f"vault {who.vault.address}", MILLION // 100
    assert ChainInstruction.objects.get(id=credit.id).state == "FINAL"
    assert open_breaks() == {("fee_on_transfer", place): (str(4 * MILLION), str(4 * MILLION - fee))}
    watch_to_the_end(chain)
    assert set(open_breaks()) == {("fee_on_transfer", place)}
    debit(who, MILLION)
    settle_all()
    assert open_breaks()["fee_on_transfer", "house USDC"] == (str(2 * MILLION), str(2 * MILLION - fee))


@pytest.mark.parametrize(("amount", "kind"), [(100, "dust"), (101, "amount")])
def test_less_than_any_payment_is_dust_and_still_a_break(chain: Chain, who: Client, amount: int, kind: str) -> None:
    retention = who.targets["RETENTION"].address
    grow(chain, retention, amount)
    watch_to_the_end(chain)
    assert open_breaks() == {(kind, f"retention {retention}"): ("0", str(amount))}


def test_a_deposit_of_a_stranger_is_named_until_somebody_decides(chain: Chain, who: Client) -> None:
    stranger = demo_wallet(9)
    fund_gas(chain, stranger.address)
    give(chain, stranger.address, 7)
    transfer(chain, stranger, who.vault.address, 7)
    settle_all()
    assert open_breaks() == {("unknown_sender", f"suspense {who.cell.id} USDC"): ("0", "7")}


def test_a_final_block_that_the_chain_drops_is_a_break_and_stops_what_leaves(chain: Chain, who: Client) -> None:
    for _ in range(2):  # more blocks than the reorganisation takes, or it would take the chain's snapshot with it
        watch_to_the_end(chain)
    ours = ChainBlock.objects.filter(finalized=True).latest("number")
    chain.call("anvil_reorg", 5, [])
    with pytest.raises(Refusal, match="finality_broken"):
        watch(chain)
    theirs = chain.block(ours.number)
    assert theirs is not None
    assert open_breaks() == {("reorg", f"final block {ours.number}"): (ours.hash, theirs["hash"])}
    debit(who, MILLION)
    signers = {role: demo_signer(role) for role in ("poster", "operator")}
    poster.step(chain, signers)
    approver.step(demo_signer("approver"), int(chain.call("eth_chainId"), 16))
    assert poster.step(chain, signers) == 0
    reconcile.compare_witnesses(chain, [], ours)  # as when blocks become final after it again
    assert open_breaks() == {}
    assert poster.step(chain, signers) == 1
    mine(chain)  # or it would wait for the next test's first block


def test_a_day_is_closed_by_one_report_that_stays(chain: Chain, who: Client) -> None:
    grow(chain, who.targets["RETENTION"].address, 5)
    watch_to_the_end(chain)
    assert not ReconciliationReport.objects.exists()
    day = ChainBlock.objects.latest("number").block_time.date()
    pass_time(chain, 24 * 3600)
    for _ in range(2):
        watch_to_the_end(chain)
    report = ReconciliationReport.objects.get()
    assert (report.day, report.block_time.date(), report.breaks) == (day, day + timedelta(days=1), 1)
    vaults = {
        "place": "Margin vault",
        "asset": "USDC",
        "compared": 1,
        "ledger": str(5 * MILLION),
        "chain": str(5 * MILLION),
    }
    assert vaults in report.body["totals"]
    assert {one["place"] for one in report.body["totals"]} > {"Retention", "house USDC", "escrows USDC"}
    (left,) = report.body["breaks"]
    assert (left["kind"], left["owner"], left["relationship"]) == ("dust", "settlement desk", "W")


def test_a_client_finds_both_sides_of_its_vault_and_where_they_were_compared(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    settle_all()
    row = ComparedVault.objects.get(target=who.vault)
    sides = (row.ledger_base_units, row.chain_base_units, row.ledger_seq, row.chain_seq)
    assert sides == (4 * MILLION, 4 * MILLION, 1, 1)
    moved_at = row.block_number
    watch_to_the_end(chain)
    row.refresh_from_db()
    assert row.block_number == moved_at
    assert ComparedVault.objects.get(target=who.targets["RETENTION"]).chain_seq is None
