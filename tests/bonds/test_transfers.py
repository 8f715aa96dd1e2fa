"""Notes change hands: named refusals before, holdings that follow the chain after, whoever caused it."""

from itertools import count

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction

from bonds.models import Holding, NoteTransfer, Series, SeriesEvent
from bonds.offering import eligibility, stages
from bonds.servicing import due, transfers
from intermediary import clock, events
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Affiliation, AuditRecord, Cell, Event, Wallet
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary import builders
from tests.people import as_owner

pytestmark = pytest.mark.django_db
HELD = 2 * MILLION
_blocks = count(100)


@pytest.fixture
def cell() -> Cell:
    builders.assets()
    return world.covered_cell("R1")


@pytest.fixture
def people(cell: Cell) -> list[User]:
    return [world.investor(name) for name in "abc"]


@pytest.fixture
def series(cell: Cell, people: list[User]) -> Series:
    """Two million of one class with each of a, b and c."""
    return world.on_risk([cell], people)


def wallet_of(user: User) -> Wallet:
    return Wallet.objects.get(party__members__user=user)


def moved(series: Series, sender: str, receiver: str, units: int, *, log_index: int = 0, block: int = 0) -> Event:
    """What the watcher tells when a transfer is final."""
    block = block or next(_blocks)
    return events.emit(
        events.NOTE_TRANSFERRED,
        cell_id=None,
        note_id=str(world.only_tranche(series).note_id),
        sender=sender,
        receiver=receiver,
        units=str(units),
        transaction_hash=f"0x{block:064x}",
        log_index=log_index,
        block_number=block,
        block_time=clock.now().isoformat(),
    )


def held() -> dict[str, int]:
    return dict(Holding.objects.order_by("party__code").values_list("party__code", "units"))


def refusal(series: Series, user: User, receiver: str, units: int = MILLION) -> str:
    try:
        transfers.refuse_transfer(
            party=world.party_of(user),
            tranche_id=world.only_tranche(series).id,
            address=wallet_of(user).address,
            receiver=receiver,
            units=units,
            now=clock.now(),
        )
    except Refusal as refused:
        return refused.code
    return ""


def test_transfer_between_eligible_holders_is_let_through(series: Series, people: list[User]) -> None:
    a, b, _ = people
    assert refusal(series, a, wallet_of(b).address) == ""
    assert refusal(series, a, wallet_of(b).address.upper().replace("0X", "0x")) == "", "however it is written"


def test_what_the_chain_would_refuse_is_refused_by_name_before(series: Series, people: list[User], cell: Cell) -> None:
    a, b, c = people
    to_b = wallet_of(b).address
    assert refusal(series, a, to_b, HELD + 1) == "more_than_held"
    assert refusal(series, a, to_b, 0) == "units_not_positive"
    assert refusal(series, a, "0x123") == "not_an_address"
    assert refusal(series, a, world.address()) == "receiver_not_eligible"
    assert refusal(series, a, wallet_of(a).address) == "same_wallet"
    newcomer = world.newcomer("late")
    assert refusal(series, a, wallet_of(newcomer).address) == "receiver_not_eligible"
    world.granted(newcomer)
    assert refusal(series, a, wallet_of(newcomer).address) == "receiver_not_eligible", "not in the register yet"
    assert cell.party is not None
    Affiliation.objects.create(party=cell.party, affiliate=world.party_of(c))
    assert refusal(series, a, wallet_of(c).address) == "barred_from_series"
    assert held() == {"a": HELD, "b": HELD, "c": HELD}


def test_somebody_else_s_notes_are_nobody_s_to_send(series: Series, people: list[User]) -> None:
    a, b, _ = people
    with pytest.raises(NotAllowed):
        transfers.refuse_transfer(
            party=world.party_of(a),
            tranche_id=world.only_tranche(series).id,
            address=wallet_of(b).address,
            receiver=wallet_of(a).address,
            units=1,
            now=clock.now(),
        )


def test_expired_holder_and_suspended_class_wait(series: Series, people: list[User]) -> None:
    a, b, _ = people
    maker, checker = (User.objects.get(username=name) for name in ("maker", "checker"))
    told = {"until": (clock.now() + eligibility.SOON).isoformat()}
    event = SeriesEvent.objects.create(series=series, kind="SUSPENDED", text="suspended", data=told)
    assert refusal(series, a, wallet_of(b).address) == "transfers_suspended"
    SeriesEvent.objects.create(series=series, kind="SUSPENDED", text="over", data=told | {"until": ""})
    assert refusal(series, a, wallet_of(b).address) == "", event.text
    asked = eligibility.propose_end(maker=maker, wallet_id=wallet_of(a).id, reason="sanctions list")
    eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    assert refusal(series, a, wallet_of(b).address) == "eligibility_expired"
    assert refusal(series, b, wallet_of(a).address) == "receiver_not_eligible"


def test_holdings_follow_each_transfer_once(series: Series, people: list[User]) -> None:
    a, b, c = (wallet_of(user).address for user in people)
    first = moved(series, a, b, MILLION)
    transfers.on_note_transferred(first)
    transfers.on_note_transferred(first)
    assert held() == {"a": MILLION, "b": 3 * MILLION, "c": HELD}
    same_block = [moved(series, b, c, 3 * MILLION, log_index=index, block=99) for index in (0, 0)]
    for event in same_block:
        transfers.on_note_transferred(event)
    assert held() == {"a": MILLION, "b": 0, "c": 5 * MILLION}
    assert NoteTransfer.objects.count() == 2
    assert transfers.misplaced() == []
    newcomer = world.investor("new")
    transfers.on_note_transferred(moved(series, c, wallet_of(newcomer).address, MILLION))
    assert held()["new"] == MILLION


def test_issue_is_kept_and_moves_no_holding(series: Series, people: list[User]) -> None:
    a = wallet_of(people[0]).address
    transfers.on_note_transferred(moved(series, transfers.NOBODY, a, HELD))
    assert held()["a"] == HELD
    assert NoteTransfer.objects.get().standing == "ISSUED"


def test_units_at_an_address_of_nobody_are_looked_for_and_come_back(series: Series, people: list[User]) -> None:
    a, b, stranger = wallet_of(people[0]).address, wallet_of(people[1]).address, world.address()
    transfers.on_note_transferred(moved(series, a, stranger, MILLION))
    assert held()["a"] == MILLION
    found = transfers.misplaced()
    assert [(one.units, one.addresses) for one in found] == [(MILLION, (stranger,))]
    transfers.on_note_transferred(moved(series, stranger, b, MILLION))
    assert held()["b"] == 3 * MILLION
    assert transfers.misplaced() == []


def test_units_that_came_before_the_wallet_was_proved_are_its_holder_s_to_send(
    series: Series, people: list[User]
) -> None:
    a, late = wallet_of(people[0]).address, world.address()
    for receiver, units in ((late, MILLION), (late, 3)):
        transfers.on_note_transferred(moved(series, a, receiver, units))
    transfers.on_note_transferred(moved(series, late, a, 3))
    world.investor("late", late)
    transfers.on_note_transferred(moved(series, a, late, MILLION // 2))
    assert held() == {"a": MILLION // 2, "b": HELD, "c": HELD, "late": 3 * MILLION // 2}
    assert transfers.misplaced() == []
    transfers.on_note_transferred(moved(series, late, a, 3 * MILLION // 2))
    assert held() == {"a": HELD, "b": HELD, "c": HELD, "late": 0}
    with pytest.raises(Refusal, match="fewer units"), transaction.atomic():
        transfers.on_note_transferred(moved(series, late, a, 1))


def test_units_sent_before_the_issue_are_with_their_receivers_from_it_on(cell: Cell, people: list[User]) -> None:
    series = world.deployed(world.series_terms([cell]))
    tranche, (a, b, _), late = world.only_tranche(series), (wallet_of(one).address for one in people), world.address()
    world.allocated(series, *(world.sealed(one, tranche, (400, 3 * MILLION)) for one in people[:2]))
    world.pay_all(series)
    world.book_escrow(series)
    for sender, receiver, units in ((a, b, 3 * MILLION), (b, late, MILLION), (b, transfers.NOBODY, 1)):
        transfers.on_note_transferred(moved(series, sender, receiver, units))
    assert held() == {}
    stages.issue(actor="desk", series_id=series.id)
    assert held() == {"a": 0, "b": 5 * MILLION}
    assert [one.units for one in transfers.misplaced()] == [MILLION]
    world.investor("late", late)
    transfers.on_note_transferred(moved(series, b, late, MILLION))
    assert held() == {"a": 0, "b": 4 * MILLION, "late": 2 * MILLION}


def test_units_of_a_wallet_enter_its_holding_when_it_is_linked(series: Series, people: list[User], cell: Cell) -> None:
    a, late, friend = wallet_of(people[0]).address, world.address(), world.address()
    transfers.on_note_transferred(moved(series, a, late, MILLION))
    transfers.on_note_transferred(moved(series, a, friend, MILLION // 2))
    due.serve(clock.now())
    assert [one.units for one in transfers.misplaced()] == [3 * MILLION // 2], "they are nobody's here"
    world.newcomer("late", late)
    barred = world.party_of(world.newcomer("friend", friend))
    assert cell.party is not None
    linked = Affiliation.objects.create(party=cell.party, affiliate=barred)
    for _ in range(2):
        due.serve(clock.now())
    assert held() == {"a": MILLION // 2, "b": HELD, "c": HELD, "late": MILLION}
    with as_owner():
        linked.delete()
    due.serve(clock.now())
    assert held()["friend"] == MILLION // 2
    assert transfers.misplaced() == []
    assert AuditRecord.objects.filter(action="note.taken_in").count() == 2


def test_units_of_a_wallet_proved_since_go_in_one_transfer(series: Series, people: list[User]) -> None:
    a, late = wallet_of(people[0]).address, world.address()
    transfers.on_note_transferred(moved(series, a, late, MILLION))
    world.investor("late", late)
    transfers.on_note_transferred(moved(series, late, a, MILLION // 4))
    assert held()["late"] == 3 * MILLION // 4
    assert transfers.misplaced() == []


def test_units_with_an_affiliate_are_in_no_holding_and_looked_for(
    series: Series, people: list[User], cell: Cell
) -> None:
    a, b = people[0], world.investor("friend")
    assert cell.party is not None
    Affiliation.objects.create(party=cell.party, affiliate=world.party_of(b))
    transfers.on_note_transferred(moved(series, wallet_of(a).address, wallet_of(b).address, MILLION))
    assert NoteTransfer.objects.get().standing == "BARRED"
    assert "friend" not in held()
    assert [one.units for one in transfers.misplaced()] == [MILLION]


def test_more_than_is_held_here_is_not_followed(series: Series, people: list[User]) -> None:
    a, b = (wallet_of(user).address for user in people[:2])
    with pytest.raises(Refusal, match="fewer units") as refused, transaction.atomic():
        transfers.on_note_transferred(moved(series, a, b, HELD + 1))
    assert refused.value.code == "transfer_before_its_cause"
    assert held() == {"a": HELD, "b": HELD, "c": HELD}
    assert not NoteTransfer.objects.exists()


def test_what_the_chain_said_is_never_changed(series: Series, people: list[User]) -> None:
    a, b = (wallet_of(user).address for user in people[:2])
    transfers.on_note_transferred(moved(series, a, b, MILLION))
    with pytest.raises(DatabaseError):
        NoteTransfer.objects.update(units=1)


def test_units_are_positive(series: Series, people: list[User]) -> None:
    a, b, _ = people
    with pytest.raises(BadInput):
        transfers.refuse_transfer(
            party=world.party_of(a), tranche_id=world.only_tranche(series).id, address=wallet_of(a).address,
            receiver=wallet_of(b).address, units=-1, now=clock.now(),
        )  # fmt: skip
