"""Numbers beside the sidebar's entries: what waits for somebody. Nothing is shown when nothing waits."""

from django.http import HttpRequest

from intermediary.config.office import recoveries
from intermediary.models import DefaultCase, MarginCall, Proposal
from settlement.models import ReconciliationBreak


def waiting_proposals(_request: HttpRequest) -> int | str:
    """Proposals that wait for a second person."""
    return Proposal.objects.filter(state=Proposal.State.PROPOSED).count() or ""


def open_calls(_request: HttpRequest) -> int | str:
    """Calls that are still to be met."""
    return MarginCall.objects.filter(state__in=MarginCall.OPEN_STATES).count() or ""


def live_defaults(_request: HttpRequest) -> int | str:
    """Defaults that are neither cured nor closed."""
    over = [DefaultCase.State.CURED, DefaultCase.State.CLOSED]
    return DefaultCase.objects.exclude(state__in=over).count() or ""


def unbooked_receipts(_request: HttpRequest) -> int | str:
    """Money that reached the house and is booked nowhere."""
    return len(recoveries.unbooked()) or ""


def open_breaks(_request: HttpRequest) -> int | str:
    """Disagreements of ledger and chain."""
    return ReconciliationBreak.objects.filter(resolved_block=None).count() or ""
