"""The desk: the live book, its totals, the state of feed and chain."""

from django.http import HttpRequest, HttpResponse

from intermediary import queries
from intermediary.config import status
from intermediary.config.models import Replay
from intermediary.config.office import alarms
from intermediary.config.office.book import book
from intermediary.config.office.pages import show
from intermediary.models import ChainInstruction, ClockStop
from risk.models import Tick
from settlement.models import ReconciliationBreak

State = ChainInstruction.State
STALE_AFTER_S = 3 * 3600  # three hourly valuations: from here on a price admits no new risk and closes nothing out


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
        moving=ChainInstruction.objects.exclude(state__in=[State.FINAL, State.FAILED]).count(),
        clock_stop=ClockStop.objects.filter(ended_at=None).order_by("-started_at").first(),
        replay=Replay.objects.first(),
        stale_after_s=STALE_AFTER_S,
        alarms=alarms.open_critical(),
        silence=alarms.silence(),
    )
