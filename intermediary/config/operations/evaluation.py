"""One look round: ask node and broker, read the figures, and raise, hold, renew or clear alarms. Beat asks for one
every thirty seconds; while one is under way, a second leaves at once.

An alarm is raised once its condition has held for as long as its rule says, and cleared at the first round in which it
is gone. It is logged as an error when it is raised, and a notice is written for each place that wants one, in the same
transaction: a notice is sent for every alarm that is kept, and for no other.
"""

import json
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from intermediary import events
from intermediary.config.operations import node, rules
from intermediary.config.operations.collect import collect
from intermediary.config.operations.findings import Finding
from intermediary.config.operations.rows import Alarm, AlarmNotice, LookRound
from intermediary.config.operations.rules import Rule

logger = logging.getLogger(__name__)
QUEUES = ("risk", "bonds", "default", "settlement")
Key = tuple[str, str]  # rule, subject
_LOCK = 7_301_978  # any number of our own: one round at a time
Open = dict[Key, Alarm]
Found = dict[Key, tuple[Rule, Finding]]


def look_round(queues: Mapping[str, int]) -> int:
    """Evaluate every rule now; how many alarms are open. `queues` are the broker's depths, empty when it is silent.
    -1 when another round is under way."""
    began = time.monotonic()
    nodes = node.look_at_all()  # the network comes before the transaction
    with transaction.atomic(durable=True):
        if not _is_mine():
            return -1
        before = LookRound.objects.first()
        now = _now()
        _keep(now, queues, nodes)
        figures = collect()
        found: Found = {(rule.key, finding.subject[:120]): (rule, finding) for rule, finding in rules.find_all(figures)}
        held = _held(before, found, now)
        open_alarms = {(alarm.rule, alarm.subject): alarm for alarm in Alarm.objects.filter(cleared_at=None)}
        changed = _clear(open_alarms, found, now) + _raise_and_renew(open_alarms, found, held, now)
        LookRound.objects.update(held=_as_kept(held), seconds=time.monotonic() - began)
        if changed:
            events.notify(events.PAGES_CHANNEL, "alarm:")
        return Alarm.objects.filter(cleared_at=None).count()


def _is_mine() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def _keep(now: datetime, queues: Mapping[str, int], nodes: Mapping[str, Any]) -> None:
    kept = {"at": now, "seconds": 0.0, "queues": dict(queues), "node": dict(nodes)}
    LookRound.objects.update_or_create(only_row=True, defaults=kept)


def _held(before: LookRound | None, found: Found, now: datetime) -> dict[Key, datetime]:
    """Since when each of what was found has held. After a pause nothing is known to have held through it."""
    known: dict[Key, datetime] = {}
    if before is not None and now - before.at <= timedelta(seconds=rules.limits().round_seconds):
        known = {tuple(json.loads(key)): datetime.fromisoformat(since) for key, since in before.held.items()}
    return {key: known.get(key, now) for key in found}


def _as_kept(held: Mapping[Key, datetime]) -> dict[str, str]:
    return {json.dumps(key): since.isoformat() for key, since in held.items()}


def _clear(open_alarms: Open, found: Found, now: datetime) -> int:
    gone = [alarm for key, alarm in open_alarms.items() if key not in found]
    for alarm in gone:
        alarm.cleared_at = now
        alarm.save(update_fields=["cleared_at"])
        logger.warning("alarm cleared: %s, after %s", alarm, now - alarm.raised_at)
        _notify(alarm, AlarmNotice.What.CLEARED)
    return len(gone)


def _raise_and_renew(open_alarms: Open, found: Found, held: Mapping[Key, datetime], now: datetime) -> int:
    raised = 0
    for key, (rule, finding) in found.items():
        alarm = open_alarms.get(key)
        if alarm is not None:
            Alarm.objects.filter(id=alarm.id).update(said=finding.said[:300], severity=rule.severity)
        elif now - held[key] >= timedelta(seconds=rule.hold_seconds):
            alarm = Alarm.objects.create(
                rule=rule.key, subject=key[1], severity=rule.severity, said=finding.said[:300], raised_at=now
            )
            logger.error("alarm raised: %s %s: %s", rule.severity, alarm, finding.said)
            _notify(alarm, AlarmNotice.What.RAISED)
            raised += 1
    return raised


def _notify(alarm: Alarm, what: AlarmNotice.What) -> None:
    """A notice for each place that is configured now."""
    channels = []
    if settings.ALARM_WEBHOOK_URL:
        channels.append(AlarmNotice.Channel.WEBHOOK)
    if settings.ALARM_EMAIL_TO:
        channels.append(AlarmNotice.Channel.EMAIL)
    AlarmNotice.objects.bulk_create(AlarmNotice(alarm=alarm, what=what, channel=channel) for channel in channels)
