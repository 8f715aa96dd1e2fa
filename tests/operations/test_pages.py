"""What officers see of alarms, what they may write, and that the runbook is at hand."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from intermediary import access
from intermediary.config.operations.heartbeat import Reporter
from intermediary.config.operations.rows import Alarm, AlarmAcknowledgement, LookRound
from intermediary.config.tenancy import assume
from intermediary.models import AuditRecord
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import office_world

pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]


@pytest.fixture
def officer(as_role: RoleSwitch) -> Iterator[Client]:
    with as_role("web"), override_settings(DATABASE_ROLE="web", OPERATIONS_PROCESSES=["poster", "watcher"]):
        yield signed_in("officer.checker")


def signed_in(username: str) -> Client:
    client = Client()
    with transaction.atomic():
        assume("portal")
        access.show_person(username)
        client.force_login(User.objects.get(username=username))
    return client


def raised(rule: str = "beat_old", severity: str = "CRITICAL", **said: Any) -> Alarm:
    at = timezone.now() - timedelta(minutes=50)
    defaults: dict[str, Any] = {"subject": "house USDC", "said": "no batch and no beat for 26 h 0 min", "raised_at": at}
    return Alarm.objects.create(rule=rule, severity=severity, **(defaults | said))


@pytest.fixture
def looked(committing_db: TestDatabase) -> None:
    LookRound.objects.create(at=timezone.now(), seconds=0.12)


@pytest.fixture
def world(looked: None) -> Alarm:
    """Under the worker's login, as processes write it."""
    Reporter("poster")(0.2, ValueError("no key"))
    raised("suspense", "WARNING", subject="unknown_sender", said="vault of R-108, for 3 h 0 min")
    raised("gone_since", "WARNING", subject="", cleared_at=timezone.now(), said="of an older release")
    return raised()


def test_the_worst_comes_first_with_what_to_do_and_what_every_process_says(world: Alarm, officer: Client) -> None:
    text = officer.get(reverse("admin:alarms")).content.decode()
    for said in (
        "A house has not heard of us for a day", "no batch and no beat for 26 h", "For 50 min", "every vault is free",
        "/admin/runbook/#a-house-has-not-heard-of-us-for-a-day", "Fails", "ValueError: no key", "never", "Gone since",
        "2 of 2 open not read by anybody",
    ):  # fmt: skip
        assert said in text, said
    assert text.index("A house has not heard") < text.index("A deposit lies in suspense")
    assert "Nobody evaluates" not in text


def test_an_officer_says_that_it_is_read_and_nothing_changes_what_was_said(world: Alarm, officer: Client) -> None:
    url = reverse("admin:note_alarm", args=[world.id])
    assert officer.post(url, {"note": "ok"}).status_code == 422
    assert officer.post(url, {"note": "node restarted, beat is on its way"}).status_code == 302
    with transaction.atomic():
        assume("staff")
        assert "beat is on its way" in officer.get(reverse("admin:alarms")).content.decode()
        kept = AlarmAcknowledgement.objects.select_related("officer").get()
        assert (kept.officer.username, kept.note) == ("officer.checker", "node restarted, beat is on its way")
        assert AuditRecord.objects.filter(action="alarm.acknowledge", actor="officer.checker").exists()
        with pytest.raises(DatabaseError), transaction.atomic():
            AlarmAcknowledgement.objects.update(note="I was asleep")


def test_a_worker_cannot_say_that_an_officer_has_read_it(world: Alarm) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        AlarmAcknowledgement.objects.create(alarm=world, officer_id=1, note="all is well")


def test_what_is_over_is_not_read_any_more(world: Alarm, officer: Client, as_role: RoleSwitch) -> None:
    with as_role("worker"):
        Alarm.objects.filter(id=world.id).update(cleared_at=timezone.now())
    answer = officer.post(reverse("admin:note_alarm", args=[world.id]), {"note": "too late"})
    assert (answer.status_code, answer.json()["code"]) == (409, "alarm_is_over")


def test_the_desk_shows_what_is_critical_and_that_nobody_looks(
    world: Alarm, officer: Client, as_role: RoleSwitch
) -> None:
    desk = officer.get(reverse("admin:index")).content.decode()
    assert "A house has not heard of us for a day" in desk
    assert "A deposit lies in suspense" not in desk
    with as_role("worker"):
        Alarm.objects.filter(cleared_at=None).update(cleared_at=timezone.now())
        LookRound.objects.update(at=timezone.now() - timedelta(minutes=9))
    desk = officer.get(reverse("admin:index")).content.decode()
    assert "Nobody evaluates the alarms for 9 min" in desk
    assert "All is well" not in officer.get(reverse("admin:alarms")).content.decode()


@pytest.mark.usefixtures("looked")
def test_when_all_is_well_the_page_says_so(officer: Client) -> None:
    assert "All is well" in officer.get(reverse("admin:alarms")).content.decode()
    assert "Nobody evaluates" not in officer.get(reverse("admin:index")).content.decode()


def test_the_runbook_is_at_hand_and_nothing_else_of_the_disk(officer: Client) -> None:
    text = officer.get(reverse("admin:runbook")).content.decode()
    assert 'id="a-house-has-not-heard-of-us-for-a-day"' in text
    assert officer.get(reverse("admin:runbook_page", args=["architecture"])).status_code == 200
    assert officer.get(reverse("admin:runbook_page", args=["nothing-of-the-kind"])).status_code == 404
    assert officer.get("/admin/runbook/../README/").status_code == 404


def test_only_officers_see_any_of_it(world: Alarm, as_role: RoleSwitch) -> None:
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        client = signed_in("client.maker")
        assert client.get(reverse("admin:alarms")).status_code in (302, 404)
        assert client.post(reverse("admin:note_alarm", args=[world.id]), {"note": "it is me"}).status_code in (302, 404)
