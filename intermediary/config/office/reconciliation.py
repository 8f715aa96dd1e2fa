"""Ledger against chain for officers: what differs now, whose it is and what to do first; what differed before; the runs
and the report on each day. Reads only: a break goes away when its cause does.
"""

import csv
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from intermediary.config.office.pages import show
from settlement import chains
from settlement.breaks import ReconciliationBreak, ReconciliationReport, ReconciliationRun
from settlement.models import ChainBlock, Stray

Kind = ReconciliationBreak.Kind
RESOLVED_SHOWN = 100  # newest first; the CSV has all of them
RUNS_SHOWN, REPORTS_SHOWN = 10, 60  # what just happened, the table behind it has all; two months
STRAYS_SHOWN = 30  # newest first, likewise
COLUMNS = (
    *("kind", "place", "relationship", "asset", "ledger", "chain", "ledger_base_units", "chain_base_units"),
    *("owner", "action", "since_utc", "age_seconds", "first_block", "resolved_block"),
)


def reconciliation(request: HttpRequest) -> HttpResponse:
    """The page; `?kind=` and `?owner=` leave out the others."""
    found = _chosen(request)
    latest = [ReconciliationRun.everywhere.filter(chain=name).first() for name in chains.names()]
    return show(
        request,
        "reconciliation",
        "Reconciliation",
        open=[(row, _age(row)) for row in found.filter(resolved_block=None)],
        resolved=found.exclude(resolved_block=None)[:RESOLVED_SHOWN],
        heads=[(run, ChainBlock.everywhere.filter(hash=run.block_hash).first()) for run in latest if run],
        runs=ReconciliationRun.everywhere.all()[:RUNS_SHOWN],
        reports=ReconciliationReport.everywhere.all()[:REPORTS_SHOWN],
        strays=Stray.objects.select_related("target__asset", "target__cell").order_by("-id")[:STRAYS_SHOWN],
        kinds=Kind.choices,
        owners=sorted({owner for owner, _ in ReconciliationBreak.DUTIES.values()}),
        kind=request.GET.get("kind", ""),
        owner=request.GET.get("owner", ""),
    )


def breaks_csv(request: HttpRequest) -> HttpResponse:
    """Every break, open and resolved, of the same choice."""
    answer = HttpResponse(content_type="text/csv")
    answer["Content-Disposition"] = f'attachment; filename="breaks-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"'
    writer = csv.writer(answer)
    writer.writerow(COLUMNS)
    for row in _chosen(request):
        shown = (row.ledger_shown, row.chain_shown, row.ledger_value, row.chain_value)
        since = row.at.astimezone(UTC).isoformat()
        about = (row.kind, row.place, row.cell.code if row.cell else "", row.asset_id or "")
        age = int(_age(row).total_seconds()) if row.resolved_block is None else ""
        line = (*about, *shown, row.owner, row.action, since, age, row.first_block, row.resolved_block or "")
        writer.writerow([_harmless(value) for value in line])
    return answer


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula begins with a quote."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") else value


def _chosen(request: HttpRequest) -> QuerySet[ReconciliationBreak]:
    """Newest first; a choice that does not exist leaves nothing out."""
    found = ReconciliationBreak.objects.select_related("cell", "asset").order_by("-id")
    kind, owner = request.GET.get("kind", ""), request.GET.get("owner", "")
    if kind in Kind.values:
        found = found.filter(kind=kind)
    owned = [one for one, (desk, _) in ReconciliationBreak.DUTIES.items() if desk == owner]
    return found.filter(kind__in=owned) if owned else found


def _age(row: ReconciliationBreak) -> Any:
    return timezone.now() - row.recorded_at
