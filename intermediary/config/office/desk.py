"""The desk: the live book, its totals, the state of feed and chain."""

from django.http import HttpRequest, HttpResponse

from intermediary import queries
from intermediary.config import status
from intermediary.config.models import Replay
from intermediary.config.office import alarms
from intermediary.config.office.book import book
from intermediary.config.office.pages import STALE_AFTER_S, show
from intermediary.config.office.stress import stale_after_s
from intermediary.models import ChainInstruction, ClockStop
from risk.models import Tick
from risk.stress_queries import measured_at
from settlement.models import ReconciliationBreak


def desk(request: HttpRequest) -> HttpResponse:
    """Every relationship on one page, most urgent first."""
    found = book()
    return show(
        request,
        "desk",
        "Desk",
        book=found,
        totals=found.totals,
        valuation=queries.latest_valuation(),
        tick=Tick.objects.first(),
        chains=status.chain_facts(),
        breaks=ReconciliationBreak.objects.filter(resolved_block=None).count(),
        moving=ChainInstruction.objects.filter(is_open=True).count(),
        clock_stop=ClockStop.objects.filter(ended_at=None).order_by("-started_at").first(),
        replay=Replay.objects.first(),
        stale_after_s=STALE_AFTER_S,
        measured_at=measured_at(),
        measured_stale_after_s=stale_after_s(),
        alarms=alarms.open_critical(),
        silence=alarms.silence(),
    )
