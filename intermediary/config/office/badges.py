"""Numbers beside the sidebar's entries: what waits for somebody."""

from bonds.models import EligibilityApplication
from intermediary.config.office import recoveries, stuck
from intermediary.config.operations.rows import Alarm
from intermediary.models import DefaultCase, MarginCall, Proposal
from settlement.models import ChainAct, ReconciliationBreak

OVER = (DefaultCase.State.CURED, DefaultCase.State.CLOSED)


def waiting() -> dict[str, int]:
    """Open alarms, proposals without a second person, calls to be met, live defaults, applications of investors,
    unbooked money, acts on chain under way, what is stuck, open breaks."""
    return {
        "open_alarms": Alarm.objects.filter(cleared_at=None).count(),
        "waiting_proposals": Proposal.objects.filter(state=Proposal.State.PROPOSED).count(),
        "open_calls": MarginCall.objects.filter(state__in=MarginCall.OPEN_STATES).count(),
        "live_defaults": DefaultCase.objects.exclude(state__in=OVER).count(),
        "open_applications": EligibilityApplication.objects.filter(state="APPLIED").count(),
        "unbooked_receipts": recoveries.unbooked().count(),
        "open_acts": ChainAct.objects.filter(state__in=ChainAct.UNFINISHED).count(),
        "stuck": stuck.count(),
        "open_breaks": ReconciliationBreak.objects.filter(resolved_block=None).count(),
    }
