"""A client cures by its vault's contract what the ledger has cured already, before the notice is withdrawn: the claim
that it paid goes back, and the withdrawal ends by itself."""

import pytest
from django.db import IntegrityError, transaction

from intermediary import defaults, ledger, recovery
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, DefaultCase, MarginState, Proposal
from settlement import decisions, poster, watcher
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import ChainLog, ReconciliationBreak
from settlement.transactor import Transactor
from tests.settlement.test_crashes import signers
from tests.settlement.test_default_and_series import approved, approved_notice, instruct
from tests.settlement.test_strays import SEIZED, STRANGERS, noticed, off, strange
from tests.settlement.world import (
    MILLION,
    Client,
    assert_reconciled,
    deposit,
    funded_client,
    held,
    move,
    pass_time,
    required_of,
)

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind


def noticed_case(who: Client, claim: int) -> DefaultCase:
    """Noticed on chain, and its shortfall delivered since."""
    noticed(who, claim)
    return required_of(who, MILLION)


def cure_in_ledger(case: DefaultCase) -> None:
    with transaction.atomic():
        assert defaults.cure(case_id=case.id).state == "CURED"


def cure_on_chain(chain: Chain, who: Client) -> None:
    """By the client's own key, mined but not final."""
    wallet = Transactor(chain, who.key, mine)
    wallet.call(who.vault.address, "MarginVault", "cure")
    wallet.wait()


def elsewhere(who: Client, amount: int) -> None:
    """Tokens of the house that face this relationship and are not of its default."""
    with transaction.atomic():
        lines = [Line(AccountKind.HOUSE, "USDC", amount), Line(AccountKind.FLOAT, "USDC", -amount)]
        ledger.post(entry_id=uuid7(), cell_id=who.cell.id, kind="test", memo="test", lines=lines)


def assert_given_back(chain: Chain, who: Client, *, margin: int, suspense: int) -> None:
    """Everything lies where it was, the withdrawal has ended, and nobody is asked anything."""
    for _ in range(2):
        settle_all()
    assert [held(who, kind) for kind in (*SEIZED, *STRANGERS)] == [margin, 0, suspense, 0]
    assert ChainLog.objects.get(name="Cured").applied
    assert not ChainInstruction.objects.filter(is_open=True).exists()
    assert not decisions.waiting().exists()
    assert not off()
    assert not ReconciliationBreak.objects.filter(resolved_block=None, kind="call").exists()
    assert not read(chain, who.vault.address, "MarginVault", "noticeLive")
    credits = ChainInstruction.objects.filter(kind=Kind.CREDIT, state="FINAL")
    assert credits.count() == (2 if suspense == 2 else 1)


def withdrawal() -> ChainInstruction:
    return ChainInstruction.objects.get(kind=Kind.RELEASE_NOTICE)


@pytest.mark.parametrize("first", ["ledger", "chain"])
def test_what_was_paid_for_a_cured_case_goes_back_and_the_withdrawal_ends(
    chain: Chain, who: Client, first: str
) -> None:
    case = noticed_case(who, 4 * MILLION)
    if first == "ledger":
        cure_in_ledger(case)
        cure_on_chain(chain, who)
    else:
        cure_on_chain(chain, who)
        cure_in_ledger(case)
    assert_given_back(chain, who, margin=5 * MILLION, suspense=0)
    assert withdrawal().state == "FAILED"
    assert case.events.filter(data__cured_on_chain=str(who.vault.id)).count() == 1
    assert_reconciled()


def test_of_a_late_cure_a_strangers_part_goes_back_to_the_stranger(chain: Chain, who: Client) -> None:
    case = noticed_case(who, 5 * MILLION + 1)
    cure_in_ledger(case)
    strange(chain, who.vault.address, 2)
    cure_on_chain(chain, who)
    assert_given_back(chain, who, margin=5 * MILLION, suspense=2)


def test_a_withdrawal_that_was_on_its_way_reverts_and_ends_too(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = noticed_case(who, 4 * MILLION)
    cure_in_ledger(case)
    cure_on_chain(chain, who)
    with monkeypatch.context() as patched:  # it passed its trial before the cure was in a block
        patched.setattr(poster, "_estimate", lambda *_: 300_000)
        poster.step(chain, signers())
    assert withdrawal().state == "BATCHED"
    assert_given_back(chain, who, margin=5 * MILLION, suspense=0)
    assert (withdrawal().state, withdrawal().transactions.get().state) == ("FAILED", "REVERTED")


def test_a_withdrawal_that_the_chain_refused_before_the_cure_was_final_needs_no_officer(
    chain: Chain, who: Client
) -> None:
    case = noticed_case(who, 4 * MILLION)
    cure_in_ledger(case)
    cure_on_chain(chain, who)
    poster.step(chain, signers())
    assert withdrawal().held.given_up
    assert_given_back(chain, who, margin=5 * MILLION, suspense=0)


def test_the_withdrawal_alone_ends_a_notice_that_nobody_cures_on_chain(chain: Chain, who: Client) -> None:
    cure_in_ledger(noticed_case(who, 4 * MILLION))
    settle_all()
    assert withdrawal().state == "FINAL"
    assert not ChainInstruction.objects.filter(kind=Kind.CREDIT).exists()


def test_a_claim_paid_before_the_ledgers_cure_stays_with_the_house_until_then(chain: Chain, who: Client) -> None:
    case = noticed_case(who, 4 * MILLION)
    cure_on_chain(chain, who)
    settle_all()
    assert held(who, AccountKind.HOUSE) == 4 * MILLION
    cure_in_ledger(case)
    assert_given_back(chain, who, margin=5 * MILLION, suspense=0)
    assert not ChainInstruction.objects.filter(kind=Kind.RELEASE_NOTICE).exists()


def test_what_is_paid_for_an_earlier_case_is_no_cure_of_the_next(chain: Chain, who: Client) -> None:
    first = noticed_case(who, 4 * MILLION)
    cure_in_ledger(first)
    cure_on_chain(chain, who)
    second = DefaultCase.objects.get(notice=approved_notice(who))
    MarginState.objects.update(exposure_base_units=9 * MILLION)
    assert_given_back(chain, who, margin=5 * MILLION, suspense=0)
    assert defaults.cure_shortfall_base_units(second.id) == 4 * MILLION


@pytest.mark.parametrize("where", ["booking", "ending"])
def test_a_watcher_that_dies_on_the_way_gives_back_once(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    case = noticed_case(who, 4 * MILLION)
    cure_in_ledger(case)
    cure_on_chain(chain, who)
    for _ in range(3):
        mine(chain)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        module, name = (ChainLog, "save") if where == "booking" else (watcher, "end_withdrawals")
        patched.setattr(module, name, die)
        with pytest.raises(KeyboardInterrupt):
            watcher.step(chain)
    deposit(chain, who, 1)  # the world goes on
    assert_given_back(chain, who, margin=5 * MILLION + 1, suspense=0)


@pytest.mark.parametrize("paid", [False, True])
def test_what_else_lies_with_the_house_is_no_part_of_a_cure(chain: Chain, who: Client, paid: bool) -> None:
    """After a restore the account may be below zero until officers have allocated it (`rebuild`)."""
    case = noticed_case(who, 4 * MILLION)
    elsewhere(who, -223)
    if paid:
        cure_on_chain(chain, who)
        settle_all()
    MarginState.objects.update(exposure_base_units=5 * MILLION)
    assert defaults.cure_shortfall_base_units(case.id) == 0
    cure_in_ledger(case)
    for _ in range(2):
        settle_all()
    assert [held(who, kind) for kind in SEIZED] == [5 * MILLION, -223]
    kinds = ChainInstruction.objects.filter(arguments__case=str(case.id)).exclude(kind=Kind.NOTICE)
    assert list(kinds.values_list("kind", "state")) == [("CREDIT" if paid else "RELEASE_NOTICE", "FINAL")]
    assert not read(chain, who.vault.address, "MarginVault", "noticeLive")


def test_what_was_left_with_the_house_is_not_taken_for_a_cure(chain: Chain, who: Client) -> None:
    case = noticed_case(who, 4 * MILLION)
    elsewhere(who, MILLION)
    MarginState.objects.update(exposure_base_units=6 * MILLION)
    assert defaults.cure_shortfall_base_units(case.id) == MILLION
    MarginState.objects.update(exposure_base_units=5 * MILLION)
    cure_in_ledger(case)
    settle_all()
    assert withdrawal().state == "FINAL"
    assert held(who, AccountKind.HOUSE) == MILLION


@pytest.mark.parametrize("amount", [0, -1])
def test_no_movement_of_nothing_or_less_is_instructed(who: Client, amount: int) -> None:
    with pytest.raises(Refusal, match="nothing_to_move"):
        move(who, Kind.CREDIT, AccountKind.HOUSE, AccountKind.CLIENT_MARGIN, amount)
    assert not ChainInstruction.objects.filter(kind=Kind.CREDIT).exists()


@pytest.mark.parametrize("amount", [0, -1])
def test_the_database_takes_no_movement_of_nothing_or_less(who: Client, amount: int) -> None:
    entry = move(who, Kind.CREDIT, AccountKind.FLOAT, AccountKind.CLIENT_MARGIN, 5).entry
    with pytest.raises(IntegrityError, match="instruction_moves_forward"):
        instruct(who.vault, who, Kind.CREDIT, amount, entry=entry)


def test_a_cure_after_the_loss_was_determined_is_to_be_recovered_and_the_withdrawal_ends(
    chain: Chain, who: Client
) -> None:
    case = noticed_case(who, 4 * MILLION)
    pass_time(chain, who.terms.cure_minutes * 60)
    settle_all()
    with transaction.atomic():
        case.determination = approved(who, Proposal.Kind.LOSS_DETERMINATION, net_loss_base_units=0)
        for state in ("ETD_SET", "REPLACING", "DETERMINED", "ALLOCATED"):
            case.state = state
            case.save()
        instruct(who.vault, who, Kind.RELEASE_NOTICE, case=str(case.id))
    cure_on_chain(chain, who)
    for _ in range(2):
        settle_all()
    assert (withdrawal().state, held(who, AccountKind.HOUSE)) == ("FAILED", 4 * MILLION)
    assert not decisions.waiting().exists()
    assert [event.data["to_recover"] for event in recovery.cures_due()] == [str(4 * MILLION)]
    assert_reconciled()
