"""Notices of alarms leave: as a signed POST to one URL, and as an e-mail to people. At least once, each with an id by
which whoever gets it twice knows it; tried ten times over three days, then given up, which is an alarm of its own.

The POST follows Standard Webhooks: `webhook-id` (the same at every try), `webhook-timestamp` (of this try) and
`webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` under the secret that both sides have.
Whoever receives it recomputes that and refuses a timestamp more than five minutes off. A status of 2xx means taken. It
goes by HTTPS; by HTTP to this machine only.
"""

import base64
import hashlib
import hmac
import http.client
import json
import logging
import smtplib
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from intermediary.config.operations.rows import AlarmNotice
from intermediary.config.operations.rules import BY_KEY, RUNBOOK

logger = logging.getLogger(__name__)
State, What, Channel = AlarmNotice.State, AlarmNotice.What, AlarmNotice.Channel
# Waits after each try: a blip, a restart, a night, a weekend; together 75 hours and a half.
WAITS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
TIMEOUT_SECONDS = 10.0  # a receiver that stores first and works later answers at once
LEASE = timedelta(seconds=60)  # the hard limit of a task: nobody else tries a notice meanwhile
AT_ONCE = 20  # a round of tries stays below that limit even when each takes its time
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NotTaken(Exception):
    """A notice did not arrive, or nobody knows whether it did."""


def send_waiting() -> int:
    """Try every notice that is due; how many were taken. The try is counted before anything leaves this machine."""
    due = AlarmNotice.objects.filter(state=State.WAITING, next_try_at__lte=timezone.now()).order_by("next_try_at")
    deadline = time.monotonic() + LEASE.total_seconds() / 2
    return sum(_try(notice_id) for notice_id in list(due.values_list("id", flat=True)[:AT_ONCE]) if _left(deadline))


def _left(deadline: float) -> bool:
    return time.monotonic() < deadline


def _try(notice_id: UUID) -> bool:
    with transaction.atomic(durable=True):
        waiting = AlarmNotice.objects.filter(id=notice_id, state=State.WAITING, next_try_at__lte=timezone.now())
        notice = waiting.select_for_update(skip_locked=True, of=("self",)).select_related("alarm").first()
        if notice is None:
            return False
        notice.attempts += 1
        notice.next_try_at = timezone.now() + LEASE
        notice.save(update_fields=["attempts", "next_try_at"])
    try:
        (_post if notice.channel == Channel.WEBHOOK else _mail)(notice)
    except (NotTaken, OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
        _put_off(notice, str(error) or type(error).__name__)
        return False
    AlarmNotice.objects.filter(id=notice.id).update(state=State.SENT, sent_at=timezone.now(), error="")
    return True


def _put_off(notice: AlarmNotice, error: str) -> None:
    logger.warning("notice %s of alarm %s was not taken: %s", notice.id, notice.alarm, error)
    if notice.attempts > len(WAITS_SECONDS):
        AlarmNotice.objects.filter(id=notice.id).update(state=State.GIVEN_UP, error=error[:200])
        return
    wait = timedelta(seconds=WAITS_SECONDS[notice.attempts - 1])
    AlarmNotice.objects.filter(id=notice.id).update(next_try_at=timezone.now() + wait, error=error[:200])


def message_of(notice: AlarmNotice) -> dict[str, object]:
    """What is told of an alarm, the same at every try."""
    alarm = notice.alarm
    rule = BY_KEY.get(alarm.rule)
    return {
        "type": f"alarm.{notice.what.lower()}",
        "id": str(alarm.id),
        "rule": alarm.rule,
        "subject": alarm.subject,
        "severity": alarm.severity,
        "title": rule.title if rule else alarm.rule,
        "said": alarm.said,
        "stake": rule.stake if rule else "",
        "first": rule.first if rule else "",
        "raised_at": alarm.raised_at.isoformat(),
        "cleared_at": alarm.cleared_at.isoformat() if alarm.cleared_at else None,
        "runbook": f"{RUNBOOK}#{rule.anchor}" if rule else RUNBOOK,
        "link": f"{settings.PUBLIC_URL}/admin/alarms/" if settings.PUBLIC_URL else "",
    }


def signature(secret: str, message_id: str, timestamp: str, body: str) -> str:
    """What `webhook-signature` says; a secret that begins with `whsec_` is base64, any other is taken as it is."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _post(notice: AlarmNotice) -> None:
    parts = urlsplit(settings.ALARM_WEBHOOK_URL)
    host = parts.hostname or ""
    if parts.scheme != "https" and host not in LOOPBACK:
        raise NotTaken("ALARM_WEBHOOK_URL is not https")
    secret = Path(settings.ALARM_WEBHOOK_SECRET_FILE).read_text().strip()
    body, timestamp = json.dumps(message_of(notice)), str(int(time.time()))
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, parts.port, timeout=TIMEOUT_SECONDS)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": str(notice.id),
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, str(notice.id), timestamp, body),
    }
    try:
        connection.request("POST", parts.path + (f"?{parts.query}" if parts.query else "") or "/", body, headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotTaken(f"the receiver answered {status}")


def _mail(notice: AlarmNotice) -> None:
    said = message_of(notice)
    cleared = notice.what == What.CLEARED
    subject = f"[Bulkhead] {'cleared' if cleared else said['severity']}: {said['title']}"
    lines = [
        f"{said['title']} {said['subject']}".strip(),
        str(said["said"]),
        "",
        f"Raised {said['raised_at']}" + (f", cleared {said['cleared_at']}" if cleared else ""),
        f"At stake: {said['stake']}",
        f"First: {said['first']}",
        f"Runbook: {said['runbook']}",
        str(said["link"]),
    ]
    headers = {"Message-ID": f"<{notice.id}@bulkhead>"}  # the same at every try: a mailbox shows it once
    EmailMessage(subject, "\n".join(lines), None, settings.ALARM_EMAIL_TO, headers=headers).send()
