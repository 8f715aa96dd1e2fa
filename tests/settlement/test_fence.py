"""What another database sent with our keys: seen in the node's pool, under a nonce of ours, or in blocks read back."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from intermediary import outbox
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement import approver, fence, lifting, poster, read_back, rebuild
from settlement.bindings import contract, read
from settlement.calls import FIRST_LOSS_LAYER
from settlement.chain import Chain
from settlement.cited import act_of, cited
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.messages import ref_of
from settlement.models import ChainSender, ChainTransaction, Fence, ReconciliationBreak
from settlement.signer import demo_signer
from settlement.transactor import Transactor
from tests.people import person
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, give, held, pass_time

pytestmark = pytest.mark.world(build=funded_client)
KEYS = ("poster", "operator")
DAY = 86_400
Kind = ChainInstruction.Kind


@pytest.fixture(autouse=True)
def empty_pool(chain: Chain) -> Iterator[None]:
    """What no block took stays in the node's pool, whatever state it is given: not for the next test."""
    yield
    chain.call("anvil_dropAllTransactions")


def fund(chain: Chain, who: Client, amount: int) -> ChainInstruction:
    """A retention to be funded out of the house, which can pay it."""
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    settle_all()
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=ChainInstruction.Kind.FUND,
            source=AccountKind.FLOAT,
            destination=AccountKind.FIRST_LOSS,
            amount_base_units=amount,
            memo="fund",
        )


def sent_elsewhere(chain: Chain, function: str, arguments: Sequence[Any]) -> str:
    """What a database that we know nothing of has the operator's key send to the house; no block has it yet."""
    house = ChainTarget.objects.get(kind="HOUSE").address
    return Transactor(chain, demo_signer("operator")).send(house, contract("House").encode(function, arguments))


def addresses() -> list[str]:
    return [demo_signer(role).address for role in KEYS]


def test_what_only_the_pool_knows_of_puts_the_fence_up(chain: Chain, who: Client) -> None:
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    assert not fence.check(chain, addresses())
    sent_elsewhere(chain, "fundRetention", (who.targets["RETENTION"].address, 0, MILLION, bytes(32)))
    assert fence.check(chain, addresses())
    assert demo_signer("operator").address in Fence.objects.get().reason


def test_the_chain_is_asked_again_when_a_fence_has_come_down(chain: Chain, who: Client) -> None:
    sentry = fence.Sentry(addresses())
    sentry.step(chain)
    fence.put_up("by hand")
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    sent_elsewhere(chain, "fundRetention", (who.targets["RETENTION"].address, 0, MILLION, bytes(32)))
    sentry.step(chain)
    assert Fence.objects.get().reason == "by hand"
    Fence.objects.update(lifted_at=timezone.now())
    sentry.step(chain)
    assert fence.is_up()
    assert poster.step(chain, signers()) == 0
    assert not ChainTransaction.objects.exists()


def waits_in_vain(chain: Chain, who: Client) -> ChainTransaction:
    """A funding that was sent, and that the node has lost."""
    fund(chain, who, 2 * MILLION)
    poster.step(chain, signers())
    sent = ChainTransaction.objects.get(sender=demo_signer("operator").address)
    chain.call("anvil_dropAllTransactions")
    return sent


def test_the_same_call_of_another_database_is_taken_as_ours(chain: Chain, who: Client) -> None:
    ours = waits_in_vain(chain, who)
    theirs = Transactor(chain, demo_signer("operator")).send(ours.to, bytes.fromhex(ours.data[2:]))
    assert theirs != ours.attempts.get().hash
    for _ in range(4):
        mine(chain)
    poster.step(chain, signers())
    settle_all()
    ours.refresh_from_db()
    assert (ours.state, ours.transaction_hash, ours.attempts.count()) == ("FINAL", theirs, 2)
    assert ChainTransaction.objects.filter(sender=ours.sender).count() == 1
    assert read(chain, who.targets["RETENTION"].address, "Retention", "held", FIRST_LOSS_LAYER) == 2 * MILLION
    assert held(who, AccountKind.FIRST_LOSS) == 2 * MILLION
    assert not fence.is_up()
    assert_reconciled()


def test_another_call_under_our_nonce_puts_the_fence_up_until_it_is_explained(chain: Chain, who: Client) -> None:
    ours = waits_in_vain(chain, who)
    sent_elsewhere(chain, "fundRetention", (who.targets["RETENTION"].address, 0, MILLION, b"\1" * 32))
    for _ in range(4):
        mine(chain)
    assert poster.step(chain, signers()) == 0
    ours.refresh_from_db()
    assert (ours.state, fence.is_up()) == ("DISPLACED", True)
    for _ in range(2):
        made = rebuild.rebuild(chain)
        assert (len(made.unexplained), made.is_lifted) == (1, False)
        assert poster.step(chain, signers()) == 0
    assert read(chain, who.targets["RETENTION"].address, "Retention", "held", FIRST_LOSS_LAYER) == MILLION
    assert ChainInstruction.objects.get(kind="FUND").state == "DRAFT"


def test_a_call_that_an_instruction_here_makes_is_read_back_as_its_own(chain: Chain, who: Client) -> None:
    waiting = fund(chain, who, 2 * MILLION)
    retention, evidence = who.targets["RETENTION"].address, bytes.fromhex(ref_of(waiting)[2:])
    sent_elsewhere(chain, "fundRetention", (retention, 0, 2 * MILLION, evidence))
    for _ in range(4):
        mine(chain)
    assert fence.check(chain, addresses())
    ChainSender.objects.filter(role="operator").update(address="0x" + "0f" * 20)  # the key is younger than the backup
    of_another_chain = {"chain": "other", "kind": "amount", "place": "elsewhere", "first_block": 1}
    ReconciliationBreak.objects.create(**of_another_chain, ledger_value="1", chain_value="2")
    made = rebuild.rebuild(chain)
    assert (made.calls, made.unexplained, made.differs, made.is_lifted) == (1, [], [], True)
    settle_all()
    waiting.refresh_from_db()
    assert waiting.state == "FINAL"
    on_chain = read(chain, retention, "Retention", "held", FIRST_LOSS_LAYER)
    assert on_chain == held(who, AccountKind.FIRST_LOSS) == 2 * MILLION


def test_a_call_is_cited_by_everything_it_says_and_by_one_instruction_only(chain: Chain, who: Client) -> None:
    waiting = fund(chain, who, 2 * MILLION)
    house, retention = ChainTarget.objects.get(kind="HOUSE").address, who.targets["RETENTION"].address
    evidence = bytes.fromhex(ref_of(waiting)[2:])

    def said(*arguments: Any) -> str:
        return "0x" + contract("House").encode("fundRetention", arguments).hex()

    assert cited(house, said(retention, 0, 2 * MILLION, evidence)) == waiting
    assert cited(retention, said(retention, 0, 2 * MILLION, evidence)) is None, "sent to another contract"
    assert cited(house, said(who.vault.address, 0, 2 * MILLION, evidence)) is None, "another target"
    assert cited(house, said(retention, 1, 2 * MILLION, evidence)) is None, "another layer"
    assert cited(house, said(retention, 0, MILLION, evidence)) is None, "another amount"
    assert cited(house, said(retention, 0, 2 * MILLION, bytes(32))) is None, "other evidence"
    beat = "0x" + contract("House").encode("beat").hex()
    assert (act_of(beat), cited(house, beat)) == (None, None)


def test_seizures_and_releases_are_cited_by_their_vault_unless_two_wait(chain: Chain, who: Client) -> None:
    house = ChainTarget.objects.get(kind="HOUSE").address

    def waits(kind: ChainInstruction.Kind) -> ChainInstruction:
        with transaction.atomic():
            return outbox.instruct(target=who.vault, cell_id=who.cell.id, kind=kind, amount_base_units=5, entry=None)

    def of(function: str, vault: str = who.vault.address) -> ChainInstruction | None:
        return cited(house, "0x" + contract("House").encode(function, (vault,)).hex())

    seize, release = waits(Kind.SEIZE), waits(Kind.RELEASE_NOTICE)
    assert (of("seize"), of("withdrawNotice"), of("determine")) == (seize, release, release)
    assert of("seize", who.targets["RETENTION"].address) is None
    waits(Kind.SEIZE)
    assert of("seize") is None


def test_payments_out_of_a_house_are_cited_by_who_is_paid(chain: Chain, who: Client) -> None:
    house = ChainTarget.objects.get(kind="HOUSE")

    def waits(account: str) -> ChainInstruction:
        with transaction.atomic():
            return outbox.instruct(
                target=house, cell_id=who.cell.id, kind=Kind.DISPOSE, amount_base_units=5, account=account
            )

    sale, costs = waits("market"), waits("costs")
    refs = {one: bytes.fromhex(ref_of(one)[2:]) for one in (sale, costs)}

    def of(function: str, *arguments: Any) -> ChainInstruction | None:
        return cited(house.address, "0x" + contract("House").encode(function, arguments).hex())

    assert of("dispose", 5, refs[sale]) == sale
    assert of("payTreasury", address_of("payee:costs"), 5, refs[costs]) == costs
    assert of("payTreasury", address_of("payee:market"), 5, refs[costs]) is None
    assert of("dispose", 5, refs[costs]) is None


def test_only_signs_of_life_pass_the_fence(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    fence.put_up("by hand")
    pass_time(chain, poster.BEAT_AFTER_SECONDS + 1)
    assert poster.step(chain, signers()) == 1
    beat = ChainTransaction.objects.get()
    assert beat.data == "0x" + contract("House").selector("beat").hex()
    for _ in range(4):
        mine(chain)
    assert poster.step(chain, signers()) == 0
    assert ChainInstruction.objects.get(kind="DEBIT").state == "DRAFT"


def test_two_people_lift_a_fence_that_an_unexplained_call_keeps_up(chain: Chain, who: Client) -> None:
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    settle_all()
    sent_elsewhere(chain, "setDisposalDesk", (demo_signer("costs").address,))
    call = (demo_signer("market").address, MILLION, b"\1" * 32)
    sent_elsewhere(chain, "payTreasury", call)
    for _ in range(4):
        mine(chain)
    assert fence.check(chain, addresses())
    made = rebuild.rebuild(chain)
    assert (len(made.unexplained), made.is_lifted) == (1, False)
    standing = Fence.objects.get()
    assert (standing.found["ahead"], standing.found["unexplained"]) == ([], made.unexplained)
    maker, checker = (person(f"{name} {uuid7()}", is_staff=True) for name in ("maker", "checker"))
    with transaction.atomic():
        proposal = lifting.propose(maker=maker, fence_id=standing.id, reason="paid to the market desk by hand")
        with pytest.raises(Refusal, match="maker_is_not_checker"):
            lifting.approve(checker=maker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="so be it")
    with transaction.atomic():
        lifting.approve(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="it is booked")
    assert not fence.check(chain, addresses())
    assert read_back.unexplained() == []


def test_a_house_is_kept_alive_behind_a_fence_while_a_restored_batch_is_in_flight(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    poster.step(chain, signers())  # in flight by these rows, and the node has lost it
    chain.call("anvil_dropAllTransactions")
    batch = ChainTransaction.objects.get(sender=demo_signer("poster").address)
    fence.put_up("restored")
    pass_time(chain, 2 * DAY)
    before = read(chain, ChainTarget.objects.get(kind="HOUSE").address, "House", "lastBeat")
    for _ in range(3):
        poster.step(chain, signers())
        mine(chain)
    batch.refresh_from_db()
    assert batch.state == "INCLUDED"  # the same bytes: nothing passes its nonce before
    assert read(chain, ChainTarget.objects.get(kind="HOUSE").address, "House", "lastBeat") > before
    pass_time(chain, 2 * DAY)
    poster.step(chain, signers())
    mine(chain)
    latest = chain.block("latest")
    assert latest is not None
    assert read(chain, ChainTarget.objects.get(kind="HOUSE").address, "House", "lastBeat") == int(
        latest["timestamp"], 16
    )
