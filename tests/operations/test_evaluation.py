"""Alarms are raised when their condition has held, kept while it goes on, cleared when it is gone, and never lost."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.test import override_settings

from intermediary.config.operations import evaluation
from intermediary.config.operations.rows import Alarm, AlarmNotice, LookRound
from settlement.chain import Chain
from settlement.models import SenderAlarm
from tests.transactions import around_all

QUEUES = {"risk": 1}
SAID = "500 gwei"


@pytest.fixture(autouse=True)
def nobody_asks_a_node(db: None) -> Iterator[None]:
    """The world has no chain, which is an alarm after a minute: of no concern here."""
    with override_settings(CHAIN_RPC_URLS=[], OPERATIONS_PROCESSES=[]), around_all():
        yield
        transaction.set_rollback(True)


def fee_cap() -> SenderAlarm:
    return SenderAlarm.objects.create(kind="fee_cap", role="poster", chain="main", detail=SAID)


def seen() -> list[tuple[str, str, bool]]:
    return [
        (alarm.rule, alarm.subject, alarm.cleared_at is None) for alarm in Alarm.objects.order_by("raised_at", "rule")
    ]


def pause(seconds: float) -> None:
    """As if so much time had passed since the last round."""
    kept = LookRound.objects.get()
    earlier = timedelta(seconds=seconds)
    held = {key: (datetime.fromisoformat(since) - earlier).isoformat() for key, since in kept.held.items()}
    LookRound.objects.update(at=F("at") - timedelta(seconds=min(seconds, 30)), held=held)


def test_an_alarm_is_raised_once_renewed_while_it_holds_and_cleared_when_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = fee_cap()
    assert evaluation.look_round(QUEUES) == 1
    [raised] = Alarm.objects.all()
    assert (raised.rule, raised.subject, raised.severity) == ("fee_cap", "poster on main", "CRITICAL")
    assert [record.levelname for record in caplog.records if "alarm raised" in record.message] == ["ERROR"]
    SenderAlarm.objects.filter(id=trouble.id).update(detail="501 gwei")
    evaluation.look_round(QUEUES)
    [renewed] = Alarm.objects.all()
    assert (renewed.id, renewed.raised_at) == (raised.id, raised.raised_at)
    assert "501 gwei" in renewed.said
    SenderAlarm.objects.update(cleared_at=evaluation._now())
    assert evaluation.look_round(QUEUES) == 0
    fee_cap()
    evaluation.look_round(QUEUES)
    assert seen() == [("fee_cap", "poster on main", False), ("fee_cap", "poster on main", True)]


def test_what_is_gone_before_its_time_is_no_alarm_and_a_pause_counts_for_nothing() -> None:
    SenderAlarm.objects.create(kind="signer_away", role="approver", chain="main", detail="timed out")
    assert evaluation.look_round(QUEUES) == 0
    assert json.dumps(["signer_away", "approver on main"]) in LookRound.objects.get().held
    pause(61)
    LookRound.objects.update(at=F("at") - timedelta(hours=8))
    assert evaluation.look_round(QUEUES) == 0, "nobody looked for eight hours"
    pause(61)
    evaluation.look_round(QUEUES)
    assert ("signer_away", "approver on main", True) in seen()


def test_a_node_that_does_not_answer_is_told_and_holds_up_no_other_rule() -> None:
    fee_cap()
    with override_settings(CHAIN_RPC_URLS=["http://127.0.0.1:9"]):
        evaluation.look_round(QUEUES)
        pause(61)
        evaluation.look_round(QUEUES)
    assert [row[:2] for row in seen()] == [("fee_cap", "poster on main"), ("node_silent", "main")]
    assert LookRound.objects.get().queues == QUEUES


def test_what_the_node_says_is_kept(anvil_url: str) -> None:
    with override_settings(CHAIN_RPC_URLS=[anvil_url]):
        evaluation.look_round(QUEUES)
    said = LookRound.objects.get().node["main"]
    assert said["head"] == Chain(anvil_url).head()
    assert "problem" not in said


def test_a_notice_is_written_with_each_alarm_for_each_place_that_wants_one() -> None:
    trouble = fee_cap()
    with override_settings(ALARM_WEBHOOK_URL="https://example.org/", ALARM_EMAIL_TO=["night@example.org"]):
        evaluation.look_round(QUEUES)
        evaluation.look_round(QUEUES)
        SenderAlarm.objects.filter(id=trouble.id).update(cleared_at=evaluation._now())
        evaluation.look_round(QUEUES)
    rows = AlarmNotice.objects.values_list("what", "channel")
    assert sorted(rows) == [("CLEARED", "EMAIL"), ("CLEARED", "WEBHOOK"), ("RAISED", "EMAIL"), ("RAISED", "WEBHOOK")]


def test_an_alarm_cannot_be_deleted_reopened_or_made_about_something_else() -> None:
    fee_cap()
    evaluation.look_round(QUEUES)
    for statement in (
        "DELETE FROM config_alarm",
        "UPDATE config_alarm SET raised_at = raised_at - interval '1 day'",
        "UPDATE config_alarm SET subject = 'nobody'",
        "UPDATE config_alarmacknowledgement SET note = ''",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    Alarm.objects.update(cleared_at=evaluation._now())
    with pytest.raises(DatabaseError, match="what an alarm was stays"), transaction.atomic():
        Alarm.objects.update(cleared_at=None)
