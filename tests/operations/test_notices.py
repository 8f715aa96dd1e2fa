"""Notices leave signed and with an id that stays the same, are tried again in growing steps, and are given up aloud."""

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from intermediary.config.operations import notices
from intermediary.config.operations.rows import Alarm, AlarmNotice
from tests.transactions import around_all

SECRET = "whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlcg=="
SAID = "500 gwei"


class Receiver(HTTPServer):
    """Takes what is posted, and answers as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.taken: list[tuple[dict[str, str], str]] = []
        self.status = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alarms?team=night"


class _Take(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.taken.append((dict(self.headers.items()) | {"path": self.path}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(db: None, tmp_path: Path) -> Iterator[Receiver]:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    server = Receiver()
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with (
            override_settings(ALARM_WEBHOOK_URL=server.url, ALARM_WEBHOOK_SECRET_FILE=str(secret)),
            around_all(),
        ):
            yield server
            transaction.set_rollback(True)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def notice(channel: AlarmNotice.Channel = AlarmNotice.Channel.WEBHOOK, cleared: bool = False) -> AlarmNotice:
    now = timezone.now()
    alarm = Alarm.objects.create(
        rule="fee_cap", subject="poster on main", severity="CRITICAL", said=SAID, raised_at=now,
        cleared_at=now if cleared else None,
    )  # fmt: skip
    return AlarmNotice.objects.create(alarm=alarm, what="CLEARED" if cleared else "RAISED", channel=channel)


def due_again(one: AlarmNotice) -> None:
    AlarmNotice.objects.filter(id=one.id).update(next_try_at=timezone.now())


def test_the_receiver_can_tell_that_it_is_from_us_and_what_to_do(receiver: Receiver) -> None:
    one = notice()
    assert notices.send_waiting() == 1
    [(headers, body)] = receiver.taken
    assert headers["path"] == "/alarms?team=night"
    assert headers["webhook-id"] == str(one.id)
    signed = notices.signature(SECRET, str(one.id), headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == signed
    assert signed != notices.signature(SECRET, str(one.id), headers["webhook-timestamp"], body + " ")
    told = json.loads(body)
    assert (told["type"], told["rule"], told["said"]) == ("alarm.raised", "fee_cap", SAID)
    assert told["runbook"] == "docs/operations.md#a-transaction-waits-at-the-highest-fee-allowed"
    assert notices.send_waiting() == 0, "it is sent once"
    assert len(receiver.taken) == 1


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example that the specification gives."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    signed = notices.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_was_not_taken_comes_again_under_the_same_id_and_at_last_is_given_up(receiver: Receiver) -> None:
    one, receiver.status = notice(), 500
    waits = []
    for _ in range(len(notices.WAITS_SECONDS) + 1):
        assert notices.send_waiting() == 0
        kept = AlarmNotice.objects.get(id=one.id)
        waits.append(round((kept.next_try_at - timezone.now()).total_seconds()))
        assert notices.send_waiting() == 0, "it is not due yet"
        due_again(one)
    assert {headers["webhook-id"] for headers, _ in receiver.taken} == {str(one.id)}
    assert len(receiver.taken) == 10
    assert waits[:-1] == list(notices.WAITS_SECONDS)
    assert sum(notices.WAITS_SECONDS) > 75 * 3600
    kept = AlarmNotice.objects.get(id=one.id)
    assert (kept.state, kept.attempts, kept.error) == ("GIVEN_UP", 10, "the receiver answered 500")


def test_a_try_that_died_half_way_is_made_again_when_its_lease_is_over(receiver: Receiver) -> None:
    one = notice()
    AlarmNotice.objects.filter(id=one.id).update(attempts=1, next_try_at=timezone.now() + notices.LEASE)
    assert notices.send_waiting() == 0
    AlarmNotice.objects.filter(id=one.id).update(next_try_at=timezone.now() - timedelta(seconds=1))
    assert notices.send_waiting() == 1


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://127.0.0.1/x", "http://127.0.0.1:9/"])
def test_nothing_leaves_this_machine_in_the_clear_and_a_receiver_that_is_away_is_no_fault(
    receiver: Receiver, url: str
) -> None:
    one = notice()
    with override_settings(ALARM_WEBHOOK_URL=url):
        assert notices.send_waiting() == 0
    kept = AlarmNotice.objects.get(id=one.id)
    assert (kept.state, kept.attempts) == ("WAITING", 1)
    assert kept.error


def test_people_get_a_mail_that_says_what_to_do_first(receiver: Receiver) -> None:
    one = notice(AlarmNotice.Channel.EMAIL)
    cleared = notice(AlarmNotice.Channel.EMAIL, cleared=True)
    with override_settings(ALARM_EMAIL_TO=["night@example.org"], PUBLIC_URL="https://desk.example.org"):
        assert notices.send_waiting() == 2
    sent = {message.extra_headers["Message-ID"]: message for message in mail.outbox}
    raised = sent[f"<{one.id}@bulkhead>"]
    assert raised.subject == "[Bulkhead] CRITICAL: A transaction waits at the highest fee allowed"
    assert raised.to == ["night@example.org"]
    for part in (
        SAID,
        "First: Decide with a second person",
        "#a-transaction-waits-at-the-highest-fee-allowed",
        "https://desk.example.org/admin/alarms/",
    ):
        assert part in raised.body
    assert sent[f"<{cleared.id}@bulkhead>"].subject.startswith("[Bulkhead] cleared:")
