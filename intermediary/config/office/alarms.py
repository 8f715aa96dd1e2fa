"""Alarms, the worst first: since when, what is at stake, what to do, who has read it; and how each process does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from intermediary.config.office.pages import show
from intermediary.config.operations import rules
from intermediary.config.operations.acknowledging import acknowledge
from intermediary.config.operations.findings import duration
from intermediary.config.operations.rows import Alarm, AlarmNotice, LookRound, ProcessReport
from intermediary.config.operations.rules import BY_KEY, Rule

SHOWN = 50  # of those that are over


class NoteForm(forms.Form):
    """What is being done about an alarm."""

    note = forms.CharField(label="What you are doing about it", min_length=4, max_length=500)

    def __init__(self, alarm_id: UUID, data: Any = None) -> None:
        super().__init__(data, auto_id=f"{alarm_id}-%s", label_suffix="")


@dataclass(frozen=True)
class Shown:
    """One alarm as it is shown."""

    alarm: Alarm
    rule: Rule | None  # None: of a release that knew another list
    age: str  # since it was raised, or how long it lasted
    form: forms.Form | None = None

    @property
    def place(self) -> int:
        """Of its rule in the list."""
        return rules.RULES.index(self.rule) if self.rule else len(rules.RULES)

    @property
    def title(self) -> str:
        return self.rule.title if self.rule else self.alarm.rule.replace("_", " ").capitalize()


@dataclass(frozen=True)
class ShownProcess:
    """One process as it is shown; `report` is None for one that must run and has never said that it does."""

    name: str
    report: ProcessReport | None
    seen: str
    lived: str
    is_away: bool

    @property
    def rss_mb(self) -> float | None:
        """Memory that it holds, megabytes."""
        return self.report.rss_bytes / 1e6 if self.report else None

    @property
    def peak_mb(self) -> float | None:
        """The most it has ever held, megabytes."""
        return self.report.peak_rss_bytes / 1e6 if self.report else None


def alarms(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request)


@require_POST
def note(request: HttpRequest, alarm_id: UUID) -> HttpResponse:
    """Write down that the officer has read an alarm."""
    form = NoteForm(alarm_id, request.POST)
    if not form.is_valid():
        return _page(request, {alarm_id: form}, status=422)
    assert isinstance(request.user, User), "the site lets officers in only"
    acknowledge(officer=request.user, alarm_id=alarm_id, note=form.cleaned_data["note"])
    return redirect("admin:alarms")


def open_critical() -> list[Shown]:
    """What somebody must know of now, oldest first; for other pages."""
    return _shown(Alarm.objects.filter(cleared_at=None, severity=Alarm.Severity.CRITICAL).order_by("raised_at"))


def silence() -> str:
    """Since when nobody has evaluated the alarms, in words, when that is too long ago; empty while somebody does."""
    last = LookRound.objects.first()
    if last is None:
        return "ever"
    seconds = (timezone.now() - last.at).total_seconds()
    return duration(seconds) if seconds > rules.limits().round_seconds else ""


def _page(request: HttpRequest, filled_in: dict[UUID, forms.Form] | None = None, status: int = 200) -> HttpResponse:
    open_ones = Alarm.objects.filter(cleared_at=None)
    shown = _shown(open_ones.prefetch_related("acknowledgements__officer"), filled_in or {})
    shown.sort(key=lambda one: (one.alarm.severity, one.alarm.raised_at, one.place))  # causes stand before effects
    critical = sum(one.alarm.severity == Alarm.Severity.CRITICAL for one in shown)
    over = Alarm.objects.exclude(cleared_at=None).order_by("-cleared_at").prefetch_related("acknowledgements__officer")
    return show(
        request,
        "alarms",
        "Alarms",
        status=status,
        open=shown,
        critical=critical,
        warnings=len(shown) - critical,
        unread=sum(not one.alarm.acknowledgements.all() for one in shown),
        over=_shown(over[:SHOWN]),
        last=LookRound.objects.first(),
        silence=silence(),
        processes=_processes(),
        waiting=AlarmNotice.objects.filter(state=AlarmNotice.State.WAITING).count(),
    )


def _shown(found: Any, filled_in: dict[UUID, forms.Form] | None = None) -> list[Shown]:
    now = timezone.now()
    return [
        Shown(
            alarm=alarm,
            rule=BY_KEY.get(alarm.rule),
            age=_span(alarm.raised_at, alarm.cleared_at or now),
            form=None if filled_in is None else filled_in.get(alarm.id) or NoteForm(alarm.id),
        )
        for alarm in found
    ]


def _processes() -> Sequence[ShownProcess]:
    now, limit = timezone.now(), rules.limits().process_seconds
    reports = {report.name: report for report in ProcessReport.objects.order_by("name")}
    shown = []
    for name in dict.fromkeys((*settings.OPERATIONS_PROCESSES, *reports)):
        report = reports.get(name)
        if report is None:
            shown.append(ShownProcess(name, None, "", "", is_away=True))
            continue
        is_away = (now - report.seen_at).total_seconds() > limit
        seen, lived = _span(report.seen_at, now), _span(report.started_at, report.seen_at)
        shown.append(ShownProcess(name, report, seen, lived, is_away))
    return shown


def _span(start: datetime, end: datetime) -> str:
    return duration(max((end - start).total_seconds(), 0.0))
