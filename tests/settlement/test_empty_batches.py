"""A number that a batch was signed for, and taken apart, is used up by a batch of nothing where nothing else is."""

from collections.abc import Callable

import pytest

from intermediary import audit, events
from intermediary.config.services import Services
from intermediary.models import ChainInstruction, ChainTarget
from settlement import decisions, fence, holding, packing, poster, rebuild, sender, signed
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.messages import batch_message
from settlement.models import Approval, Batch, ChainTransaction, SignedMovement, TransactionAttempt
from settlement.signer import demo_signer
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.conftest import TestDatabase
from tests.settlement.faults.processes import Platform, until
from tests.settlement.test_crashes import CHAIN_ID, die, signers, use_its_nonce
from tests.settlement.test_packed_ahead import packed, sign, two_batches
from tests.settlement.test_refused_calls import breaks, decide, go_on_refusing
from tests.settlement.test_restore import Backup
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)


def one_taken_out(chain: Chain, who: Client) -> ChainInstruction:
    """A movement of a signed batch that the chain went on refusing: two people want it to fail. Nothing else waits."""
    made = debit(who, MILLION)
    poster.step(chain, signers())
    sign()
    go_on_refusing(chain)
    decide(made, decisions.FAIL)
    return made


def turn(chain: Chain) -> None:
    """One round of all processes, whose blocks are final after it."""
    poster.step(chain, signers())
    sign()
    poster.step(chain, signers())
    for _ in range(3):
        mine(chain)
    watch(chain)


def state_of(*made: ChainInstruction) -> list[str]:
    return [ChainInstruction.objects.get(id=one.id).state for one in made]


def assert_head_agrees(chain: Chain, number: int) -> None:
    house = ChainTarget.objects.get(kind="HOUSE", asset="USDC")
    last = Batch.objects.get(house=house, number=number, state="FINAL")
    assert read(chain, house.address, "House", "batchId") == number
    assert "0x" + read(chain, house.address, "House", "head").hex() == last.head


def test_a_movement_of_a_quiet_house_can_fail_after_a_batch_of_nothing(chain: Chain, who: Client) -> None:
    made = one_taken_out(chain, who)
    turn(chain)
    turn(chain)
    assert packed() == [(1, "REFUSED", 1, True), (1, "FINAL", 0, True)]
    assert_head_agrees(chain, 1)
    for _ in range(3):
        turn(chain)
    assert len(packed()) == 2, "once"
    decide(made, decisions.FAIL)
    assert (state_of(made), held(who)) == (["FAILED"], 5 * MILLION)
    later = debit(who, 1)
    settle_all()
    assert (state_of(later), read(chain, who.vault.address, "MarginVault", "seq")) == (["FINAL"], 1)
    assert_head_agrees(chain, 2)
    assert_reconciled()


def test_drafts_signed_for_a_later_number_wait_for_nobody_else(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BATCH_LIMIT", 1)
    made = [debit(who, amount) for amount in (1, 2)]
    two_batches(chain)
    use_its_nonce(chain, ChainTransaction.objects.get())
    go_on_refusing(chain)
    decide(made[0], decisions.FAIL)
    for _ in range(4):
        turn(chain)
    said = [(1, "REFUSED", 1, True), (2, "REFUSED", 1, True), (1, "FINAL", 0, True), (2, "FINAL", 1, True)]
    assert packed() == said
    assert (state_of(*made), held(who)) == (["BATCHED", "FINAL"], 5 * MILLION - 3)
    decide(made[0], decisions.FAIL)
    settle_all()
    assert (state_of(*made), held(who)) == (["FAILED", "FINAL"], 5 * MILLION - 2)
    assert not Approval.objects.filter(refusal__isnull=False).exists()
    assert_head_agrees(chain, 2)
    assert_reconciled()


def test_whatever_can_go_under_the_number_goes_instead(chain: Chain, who: Client) -> None:
    one_taken_out(chain, who)
    debit(who, 1)
    turn(chain)
    turn(chain)
    assert packed() == [(1, "REFUSED", 1, True), (1, "FINAL", 1, True)]


def test_what_two_people_try_again_goes_under_the_next_number(chain: Chain, who: Client) -> None:
    """They decide while the batch of nothing is on its way: the same movement is signed again when that is final."""
    made = one_taken_out(chain, who)
    poster.step(chain, signers())
    decide(made, decisions.AGAIN)
    settle_all()
    assert packed() == [(1, "REFUSED", 1, True), (1, "FINAL", 0, True), (2, "FINAL", 1, True)]
    assert (state_of(made), held(who)) == (["FINAL"], 4 * MILLION)
    assert_reconciled()


def test_batch_of_nothing_waits_until_the_one_before_is_final(chain: Chain, who: Client) -> None:
    debit(who, 1)
    settle_all()
    debit(who, 2)
    poster.step(chain, signers())
    sign()
    poster.step(chain, signers())
    chain.call("evm_mine")
    made = debit(who, MILLION)
    poster.step(chain, signers())
    sign()
    go_on_refusing(chain)
    decide(made, decisions.FAIL)
    for _ in range(3):
        poster.step(chain, signers())
        sign()
    assert [number for number, *_ in packed()] == [1, 2, 3], "until then whatever comes may take the number"
    for _ in range(3):
        turn(chain)
    assert packed()[2:] == [(3, "REFUSED", 1, True), (3, "FINAL", 0, True)]
    assert_reconciled()


def asked_for(number: int) -> Approval:
    """A batch of nothing, as whoever holds the poster's login may ask for it."""
    house, nothing = ChainTarget.objects.get(kind="HOUSE", asset="USDC"), "0x" + "00" * 32
    body = batch_message(house.address, CHAIN_ID, number, nothing, [])
    approval = Approval.objects.create(kind=Approval.Kind.BATCH, body=body)
    Batch.objects.create(house=house, number=number, statement=nothing, leaves=[], approval=approval)
    return approval


def test_approver_signs_nothing_under_a_number_that_nobody_waits_for(chain: Chain, who: Client) -> None:
    approval = asked_for(1)
    sign()
    approval.refresh_from_db()
    assert (approval.signature, approval.refusal) == ("", {"batch": "nothing that was signed waits for this number"})
    poster.step(chain, signers())
    poster.step(chain, signers())
    assert packed() == [(1, "REFUSED", 0, False)]
    debit(who, 1)
    settle_all()
    assert packed()[1:] == [(1, "FINAL", 1, True)]


def test_approver_signs_no_number_ahead_for_nothing_and_none_that_is_taken(chain: Chain, who: Client) -> None:
    one_taken_out(chain, who)
    ahead = asked_for(2)
    sign()
    ahead.refresh_from_db()
    assert (ahead.signature, ahead.refusal) == ("", None)
    Batch.objects.filter(approval=ahead).update(state="REFUSED")
    turn(chain)
    turn(chain)
    assert_head_agrees(chain, 1)
    house = ChainTarget.objects.get(kind="HOUSE", asset="USDC")
    with pytest.raises(signed.NotYet):
        signed.off_nothing(house.address, 1)


def test_movement_that_a_thief_posts_after_all_moves_once(chain: Chain, who: Client) -> None:
    """The signature that was given is out: whoever posts it is faster than the batch of nothing, which then is none."""
    made = one_taken_out(chain, who)
    poster.step(chain, signers())
    sign()
    stolen = Batch.objects.get(state="REFUSED")
    call = poster._batch_call(stolen)
    Transactor(chain, demo_signer("poster"), mine).send(call.to, call.data)
    for _ in range(4):
        turn(chain)
    assert ("head" in breaks(), fence.is_up()) == (True, True)
    assert (state_of(made), read(chain, who.vault.address, "MarginVault", "seq")) == (["BATCHED"], 1)
    with pytest.raises(Exception, match="still_postable"):
        decide(made, decisions.FAIL)
    assert rebuild.rebuild(chain).is_lifted
    decide(made, decisions.FAIL)
    settle_all()
    assert (state_of(made), held(who)) == (["FAILED"], 4 * MILLION)
    assert_head_agrees(chain, 1)
    assert_reconciled()


def test_batch_of_nothing_that_the_chain_goes_on_refusing_is_asked_for_anew(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The approver's key was changed: nobody could take that batch apart, since no movement of it is to be decided."""
    made = one_taken_out(chain, who)
    poster.step(chain, signers())
    sign()
    go_on_refusing(chain)
    for _ in range(3):
        mine(chain)
        watch(chain)
    assert "call" in breaks(), "it is shown"
    assert len(packed()) == 2
    monkeypatch.setattr(holding, "REFUSALS_OF_NOTHING", holding.REFUSALS_BEFORE_BREAK + 2)
    go_on_refusing(chain)
    assert packed()[1:] == [(1, "REFUSED", 0, True), (1, "PACKED", 0, False)]
    turn(chain)
    turn(chain)
    assert packed()[2:] == [(1, "FINAL", 0, True)]
    decide(made, decisions.FAIL)
    assert_reconciled()


def test_batch_of_nothing_is_read_back_into_an_older_backup(
    chain: Chain, who: Client, postgres: Services, committing_db: TestDatabase
) -> None:
    made = one_taken_out(chain, who)
    backup = Backup(postgres, committing_db)
    turn(chain)
    turn(chain)
    assert_head_agrees(chain, 1)
    backup.restore()
    assert fence.check(chain)
    read_back = rebuild.rebuild(chain)
    assert (read_back.batches, read_back.booked_anew, read_back.is_lifted) == (1, 0, True)
    assert packed() == [(1, "REFUSED", 1, True), (1, "FINAL", 0, True)]
    decide(made, decisions.FAIL)
    settle_all()
    assert (state_of(made), held(who)) == (["FAILED"], 5 * MILLION)
    assert_reconciled()


@pytest.mark.parametrize(
    ("module", "name"),
    [(events, "notify"), (audit, "record"), (signed, "record"), (sender, "send"), (packing, "head_after")],
)
def test_batch_of_nothing_goes_out_once_wherever_a_process_dies(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    made = one_taken_out(chain, who)

    def until_death(step: Callable[[], object]) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(module, name, lambda *args, **named: die())
            try:
                step()
            except KeyboardInterrupt:
                return

    for step in (lambda: poster.step(chain, signers()), sign, lambda: poster.step(chain, signers())):
        until_death(step)
        step()
    for _ in range(2):
        turn(chain)
    assert packed() == [(1, "REFUSED", 1, True), (1, "FINAL", 0, True)]
    sent = ChainTransaction.objects.get()
    assert (sent.state, sent.attempts.count(), SignedMovement.objects.count()) == ("FINAL", 1, 1)
    decide(made, decisions.FAIL)
    assert_head_agrees(chain, 1)
    assert held(who) == 5 * MILLION
    assert_reconciled()


@pytest.mark.deep
def test_processes_under_their_own_logins_send_it_though_the_poster_is_killed_before_it_leaves(
    chain: Chain, who: Client, platform: Platform
) -> None:
    made = one_taken_out(chain, who)
    gate = platform.proxy.hold("eth_sendRawTransaction", client="poster")
    platform.start("poster", "approver")
    until(gate.reached.is_set, "the poster sends", said=platform.said)
    platform.kill("poster")
    gate.lose()
    stored = TransactionAttempt.objects.get()
    platform.start("poster", "watcher")

    def is_used_up() -> bool:
        mine(chain)
        return Batch.objects.filter(number=1, state="FINAL", movements=None).exists()

    until(is_used_up, "the number used up", said=platform.said)
    platform.stop()
    assert TransactionAttempt.objects.get().raw == stored.raw, "the same bytes"
    decide(made, decisions.FAIL)
    settle_all()
    assert (state_of(made), held(who)) == (["FAILED"], 5 * MILLION)
    assert_reconciled()
