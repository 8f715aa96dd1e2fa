"""What machines ask: /healthz, whether this process answers; /readyz, whether the platform can serve; /metrics.

They are answered before anything else of a request is looked at (host name, redirect to TLS, session, database role):
whoever asks uses an address inside the machine room, and must be told when the database is what is away. `/healthz`
asks nothing. `/readyz` gives each check by name, with its reason, and 503 when one fails. `/metrics` is for whoever
has the token of `METRICS_TOKEN_FILE`; without one it is told on the loopback of a demo or a test, and nowhere else.
"""

import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST

from intermediary.config.operations import rules
from intermediary.config.operations.collect import collect
from intermediary.config.operations.exposition import exposition
from intermediary.config.operations.figures import Figures
from intermediary.config.operations.findings import Finding, duration
from intermediary.config.operations.metrics import METRICS
from intermediary.config.tenancy import assume

Handler = Callable[[HttpRequest], HttpResponse]
LOOPBACK = ("127.0.0.1", "::1")
READY_SECONDS = 2.0  # an answer is kept so long: whoever asks more often gets the same, at no cost
# Rules whose findings mean that the platform does not serve; each is a check of /readyz.
CHECKS = {
    "watcher": "watcher_stands",
    "chain": "chain_stands",
    "node": "node_silent",
    "processes": "process_away",
    "finality": "finality_broken",
}


@dataclass(frozen=True)
class Check:
    """One thing that must hold for the platform to serve; the reason is empty while it does."""

    name: str
    reason: str = ""


class ProbesMiddleware:
    """The first of all: answers the three paths, and leaves every other request alone."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self._ready: tuple[float, JsonResponse] | None = None

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return JsonResponse({"status": "alive"})
        if request.path == "/readyz":
            return self._readiness()
        if request.path == "/metrics":
            return metrics(request)
        return self.get_response(request)

    def _readiness(self) -> JsonResponse:
        now = time.monotonic()
        if self._ready is None or now - self._ready[0] > READY_SECONDS:
            self._ready = now, readiness()
        return self._ready[1]


def readiness() -> JsonResponse:
    """200 when every check holds, else 503; each check with its reason."""
    checks = list(_checks())
    failed = [check for check in checks if check.reason]
    body = {
        "status": "unavailable" if failed else "ready",
        "checks": {check.name: {"ok": not check.reason, "reason": check.reason} for check in checks},
    }
    return JsonResponse(body, status=503 if failed else 200)


def metrics(request: HttpRequest) -> HttpResponse:
    """The figures for Prometheus; 404 for whoever may not know that there are any."""
    if not _may_scrape(request):
        return HttpResponse(status=404)
    try:
        with _as_officers():
            text = exposition(METRICS, collect())
    except DatabaseError:
        return HttpResponse("the database does not answer", status=503, content_type="text/plain")
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _may_scrape(request: HttpRequest) -> bool:
    token = _token()
    if token:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    forwarded = "X-Forwarded-For" in request.headers  # a proxy on this machine speaks for somebody else
    return settings.MODE != "production" and request.META.get("REMOTE_ADDR") in LOOPBACK and not forwarded


def _token() -> str:
    path = settings.METRICS_TOKEN_FILE
    return Path(path).read_text().strip() if path else ""


@contextmanager
def _as_officers() -> Iterator[None]:
    """A transaction of its own; under the web's login with the rights of officers, who read every table."""
    with transaction.atomic():
        if settings.DATABASE_ROLE == "web":
            assume("staff")
        yield


def _checks() -> Iterator[Check]:
    try:
        with _as_officers():
            figures = collect()
            waiting = _migrations_waiting()
    except DatabaseError as error:
        yield Check("database", str(error).strip().splitlines()[0][:200] or type(error).__name__)
        return
    yield Check("database")
    yield Check("migrations", f"{waiting} are not applied" if waiting else "")
    for name, rule in CHECKS.items():
        yield Check(name, _reason(rules.find(rule, figures)))
    yield Check("alarms", _not_evaluated(figures))


def _reason(found: list[Finding]) -> str:
    return "; ".join(f"{one.subject}: {one.said}" if one.subject else one.said for one in found)[:300]


def _not_evaluated(figures: Figures) -> str:
    limit = rules.limits().round_seconds
    if figures.round is None:
        return "they were never evaluated"
    return f"last evaluated {duration(figures.round.age_seconds)} ago" if figures.round.age_seconds > limit else ""


def _migrations_waiting() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
