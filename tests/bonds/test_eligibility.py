"""Who may hold notes: applied for, decided by two, in the register; everybody else is refused by name."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction

from bonds.models import EligibilityApplication, EligibleWallet, Holding
from bonds.offering import eligibility
from intermediary import clock
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Affiliation, Cell, Party, Wallet
from tests.bonds import world
from tests.intermediary import builders
from tests.people import as_owner, member, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def north() -> User:
    builders.assets()
    Cell.objects.get_or_create(code="HOUSE", kind=Cell.Kind.HOUSE)
    return world.newcomer("north")


@pytest.fixture
def officers() -> tuple[User, User]:
    return person("maker", is_staff=True), person("checker", is_staff=True)


def wallet_of(user: User) -> Wallet:
    return Wallet.objects.get(party__members__user=user)


def applied(user: User, **changed: object) -> EligibilityApplication:
    wanted = {"address": wallet_of(user).address, "investor_class": "PROFESSIONAL", "documents": world.DOCUMENTS}
    return eligibility.apply(user=user, **(wanted | changed))  # type: ignore[arg-type]


def refusal_of(user: User, after: timedelta = timedelta()) -> str:
    """Why the person's wallet may not hold notes then; empty when it may."""
    try:
        eligibility.refuse_ineligible(world.party_of(user), wallet_of(user), clock.now() + after)
    except Refusal as refused:
        return refused.code
    return ""


def test_a_wallet_is_eligible_once_it_is_in_the_register_and_until_its_last_moment(
    north: User, officers: tuple[User, User]
) -> None:
    assert refusal_of(north) == "not_eligible"
    grant = world.granted(north)
    assert refusal_of(north) == "eligibility_not_entered"
    eligibility.entered(grant_id=grant.id, transaction_hash="0x1")
    eligibility.entered(grant_id=grant.id, transaction_hash="0x2")
    grant.refresh_from_db()
    assert grant.transaction_hash == "0x1", "recorded once"
    assert refusal_of(north) == ""
    assert refusal_of(north, timedelta(days=366)) == "eligibility_expired"
    assert EligibilityApplication.objects.get().state == "APPROVED"


def test_somebody_else_s_wallet_and_a_client_are_refused(north: User) -> None:
    south = world.investor("south")
    with pytest.raises(NotAllowed):
        eligibility.refuse_ineligible(world.party_of(north), wallet_of(south), clock.now())
    client = builders.client_cell("R1").party
    assert client is not None
    with pytest.raises(NotAllowed, match="investors"):
        eligibility.refuse_ineligible(client, wallet_of(south), clock.now())


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"documents": {"TAX": "1" * 64}}, "documents_missing"),
        ({"documents": world.DOCUMENTS | {"TAX": "not a hash"}}, "not_a_hash"),
        ({"documents": world.DOCUMENTS | {"OTHER": "4" * 64}}, "document_unknown"),
        ({"investor_class": "RETAIL"}, "investor_class_unknown"),
        ({"address": "0x" + "0" * 40}, "no_proved_wallet"),
    ],
)
def test_bad_application_is_refused_and_nothing_is_stored(north: User, changed: dict[str, object], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        applied(north, **changed)
    assert refused.value.code == code
    assert not EligibilityApplication.objects.exists()


def test_a_client_and_its_affiliate_are_never_entered(north: User, officers: tuple[User, User]) -> None:
    application = applied(north)
    maker, _ = officers
    until = clock.now() + timedelta(days=30)
    client = builders.client_cell("R1").party
    assert client is not None
    Affiliation.objects.create(party=client, affiliate=world.party_of(north))
    for attempt in (
        lambda: eligibility.propose(maker=maker, application_id=application.id, valid_until=until, reason="complete"),
        lambda: applied(north),
    ):
        with pytest.raises(Refusal) as refused:
            attempt()
        assert refused.value.code == "client_side_investor"


def test_affiliation_that_comes_between_the_two_officers_stops_the_second(
    north: User, officers: tuple[User, User]
) -> None:
    maker, checker = officers
    until = clock.now() + timedelta(days=30)
    asked = eligibility.propose(maker=maker, application_id=applied(north).id, valid_until=until, reason="complete")
    client = builders.client_cell("R1").party
    assert client is not None
    Affiliation.objects.create(party=world.party_of(north), affiliate=client)
    with pytest.raises(Refusal) as refused:
        eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    assert refused.value.code == "client_side_investor"
    assert not EligibleWallet.objects.exists()


def test_an_application_that_another_replaced_is_not_granted(north: User, officers: tuple[User, User]) -> None:
    maker, checker = officers
    application = applied(north)
    until = clock.now() + timedelta(days=30)
    asked = eligibility.propose(maker=maker, application_id=application.id, valid_until=until, reason="complete")
    applied(north, documents=world.DOCUMENTS | {"TAX": "9" * 64})
    with pytest.raises(Refusal, match="application_decided"), transaction.atomic():
        eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    assert not EligibleWallet.objects.exists()
    eligibility.reject(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="replaced")


def test_two_officers_who_are_not_the_investor_s_decide(north: User, officers: tuple[User, User]) -> None:
    maker, checker = officers
    application = applied(north)
    until = clock.now() + timedelta(days=30)
    theirs = person("theirs", is_staff=True)
    member(theirs, Party.objects.get(code="north"))

    def propose(by: User) -> object:
        return eligibility.propose(maker=by, application_id=application.id, valid_until=until, reason="complete")

    with pytest.raises(Refusal, match="takes no part"):
        propose(theirs)
    with pytest.raises(NotAllowed):
        propose(north)
    asked = eligibility.propose(maker=maker, application_id=application.id, valid_until=until, reason="complete")
    with pytest.raises(Refusal, match="second officer already"):
        propose(checker)
    for by, words in ((maker, "proposed"), (theirs, "takes no part")):
        with pytest.raises(Refusal, match=words), transaction.atomic():
            eligibility.approve(checker=by, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    made = eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    again = eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    assert made == again
    with pytest.raises(Refusal, match="answered already"):
        propose(maker)


def test_declined_application_keeps_the_reason_for_its_reader(north: User, officers: tuple[User, User]) -> None:
    maker, checker = officers
    until = clock.now() + timedelta(days=30)
    application = applied(north)
    asked = eligibility.propose(maker=maker, application_id=application.id, valid_until=until, reason="complete")
    eligibility.reject(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="The tax form is of 2019.")
    application.refresh_from_db()
    assert (application.state, application.answer) == ("DECLINED", "The tax form is of 2019.")
    assert refusal_of(north) == "not_eligible"


def test_eligibility_lies_ahead_and_within_two_years(north: User, officers: tuple[User, User]) -> None:
    application = applied(north)
    for days in (-1, 733):
        until = clock.now() + timedelta(days=days)
        with pytest.raises(BadInput) as refused:
            eligibility.propose(maker=officers[0], application_id=application.id, valid_until=until, reason="complete")
        assert refused.value.code == "eligibility_term"


def test_ended_early_by_two_it_is_over_at_once(north: User, officers: tuple[User, User]) -> None:
    maker, checker = officers
    eligibility.entered(grant_id=world.granted(north).id, transaction_hash="0x1")
    asked = eligibility.propose_end(maker=maker, wallet_id=wallet_of(north).id, reason="sanctions list")
    eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    assert refusal_of(north, timedelta(seconds=1)) == "eligibility_expired", "before the register shows it"
    assert [grant.valid_until <= clock.now() for grant in eligibility.to_enter()] == [True]
    with pytest.raises(Refusal, match="not eligible"):
        eligibility.propose_end(maker=maker, wallet_id=wallet_of(north).id, reason="again")


def test_a_later_grant_replaces_one_that_was_not_entered(north: User, officers: tuple[User, User]) -> None:
    first, second = world.granted(north), world.granted(north)
    assert eligibility.to_enter() == [second]
    first.refresh_from_db()
    assert first.state == "SUPERSEDED"


def test_holders_whose_eligibility_ends_are_watched(north: User, officers: tuple[User, User]) -> None:
    series = world.deployed(world.series_terms([world.covered_cell("R1")]))
    grant = world.granted(north, clock.now() + timedelta(days=20))
    assert eligibility.expiring(clock.now()) == [], "it holds nothing"
    Holding.objects.create(
        tranche=world.only_tranche(series), party=grant.party, wallet=grant.wallet, units=world.MILLION
    )
    assert eligibility.expiring(clock.now()) == [grant]
    world.granted(north)
    assert eligibility.expiring(clock.now()) == [], "renewed"


DATABASE = [
    (lambda grant: EligibleWallet.objects.update(valid_until=clock.now()), "eligibility_is_fixed"),
    (lambda grant: EligibilityApplication.objects.update(documents={}), "eligibility_is_fixed"),
    (lambda grant: EligibleWallet.objects.filter(id=grant.id).delete(), "append_only"),
    (lambda grant: _copy(grant, valid_until=grant.valid_until + timedelta(days=1)), "eligibility_was_approved"),
    (lambda grant: EligibilityApplication.objects.update(state="APPLIED"), "listed_transition"),
]


def _copy(grant: EligibleWallet, **changed: object) -> None:
    grant.pk, grant._state.adding = None, True
    for name, value in changed.items():
        setattr(grant, name, value)
    grant.id = EligibleWallet._meta.pk.get_default()
    grant.save()


@pytest.mark.parametrize(("attempt", "rule"), DATABASE)
def test_database_says_it_again(
    north: User, officers: tuple[User, User], attempt: Callable[[EligibleWallet], object], rule: str
) -> None:
    grant = world.granted(north)
    with pytest.raises(DatabaseError, match=rule), as_owner():
        attempt(grant)
