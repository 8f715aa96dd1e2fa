"""The replay's controls: pause and resume, pace, autopilot, a fresh world. They exist where a recording is replayed."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from intermediary import audit, clock, events
from intermediary.config.demo.world import CRASH_FROM
from intermediary.config.models import Replay
from intermediary.config.office.pages import show

State = Replay.State
PACE_MAX_S = 600  # ten minutes a bar: slower is a pause
PACES = ((Decimal(1), "fast"), (Decimal(3), "brisk"), (Decimal(8), "as shown"), (Decimal(30), "to read along"))
LOWEST_AT = datetime.fromisoformat("2025-10-10T21:20:00+00:00")  # the five-minute bar of the lowest prices


class PaceForm(forms.Form):
    """Seconds of real time between two bars, at least."""

    seconds_a_bar = forms.DecimalField(min_value=Decimal(0), max_value=PACE_MAX_S, max_digits=6, decimal_places=2)


def controls(request: HttpRequest) -> HttpResponse:
    """Where the replay stands, and its controls."""
    _only_where_replayed()
    replay = Replay.objects.first()
    if request.method == "POST" and replay is not None:
        return _change(request, replay)
    return show(
        request,
        "replay",
        "Replay",
        replay=replay,
        marks=timeline(replay, clock.now()) if replay else None,
        paces=PACES,
        crash_from=CRASH_FROM,
    )


def start_over(request: HttpRequest) -> HttpResponse:
    """Confirm, then ask the supervisor for a fresh world."""
    _only_where_replayed()
    if request.method != "POST":
        return show(request, "start_over", "Start over", replay=Replay.objects.first())
    _set(request, "start_over", fresh_world_wanted=True)
    messages.success(
        request, "A fresh world is being built. Everyone is signed out; the page answers again in a moment."
    )
    return redirect("admin:replay")


def timeline(replay: Replay, now: datetime) -> dict[str, float | None]:
    """Places on a line of 1000: the last bar, the clock, the crash from its start to its lowest prices."""
    span = (replay.ends_at - replay.started_at).total_seconds() or 1.0

    def place(moment: datetime) -> float | None:
        share = (moment - replay.started_at).total_seconds() / span
        return round(1000 * share, 2) if 0 <= share <= 1 else None

    return {
        "bar": place(replay.bar_at) or 0.0,
        "now": place(min(max(now, replay.started_at), replay.ends_at)),
        "crash": place(CRASH_FROM),
        "lowest": place(LOWEST_AT),
    }


def _only_where_replayed() -> None:
    if settings.MODE == "production":
        raise Http404


def _change(request: HttpRequest, replay: Replay) -> HttpResponse:
    wish = request.POST.get("wish", "")
    if wish == "pace":
        form = PaceForm(request.POST)
        if form.is_valid():
            _set(request, "pace", seconds_a_bar=form.cleaned_data["seconds_a_bar"])
        else:
            messages.error(request, f"A pace is between 0 and {PACE_MAX_S} seconds a bar; nothing was changed.")
    elif wish in ("pause", "resume") and replay.state != State.ENDED:
        _set(request, wish, state=State.PAUSED if wish == "pause" else State.RUNNING)
    elif wish in ("autopilot_on", "autopilot_off"):
        _set(request, wish, autopilot=wish == "autopilot_on")
    return redirect("admin:replay")


def _set(request: HttpRequest, act: str, **values: Any) -> None:
    """Only the columns that officers may change; the database refuses any other."""
    Replay.objects.update(**values)
    told = {name: str(value) for name, value in values.items()}
    audit.record(actor=request.user.get_username(), action=f"replay.{act}", subject="replay", **told)
    events.notify(events.PAGES_CHANNEL, "replay")
