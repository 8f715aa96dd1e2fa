"""Transfers of notes that rest on the platform and not on chain, or the other way round: what two officers are asked to
decide, and what an alarm tells of until they have.

A lapsed margin call suspends transfers on the platform at once (`bonds.servicing.suspension`). Who sends notes past the
platform is stopped by the note contract alone, which is an act of the enforcer under a delay of a day; so the act is
drafted here as soon as the call lapses, and another that lifts it as soon as the default is noticed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bonds.models import Series, SeriesEvent
from bonds.servicing.suspension import LONGEST
from bonds.servicing.transfers import suspended_until
from intermediary.models import Proposal
from settlement.acts.rows import ChainAct
from settlement.bindings import decode_event
from settlement.models import ChainLog

ON_CHAIN = (Series.State.ON_RISK, Series.State.EVENT_OPEN)


@dataclass(frozen=True)
class Due:
    """Transfers of this series are to rest on chain until then, in whole seconds; None: they are to go on. `proposed`:
    an officer has proposed it, and a second one is to decide."""

    series: str
    until: datetime | None
    proposed: bool

    @property
    def words(self) -> str:
        """What is to be decided."""
        what = f"rest until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else "go on again"
        return f"transfers are to {what}{', which waits for a second officer' if self.proposed else ''}"

    @property
    def moment(self) -> str:
        """As an act says it."""
        return str(int(self.until.timestamp())) if self.until else "0"


def due(now: datetime) -> list[Due]:
    """Of every series whose contracts say otherwise than the platform, and for which no act is under way."""
    live = Series.objects.filter(state__in=ON_CHAIN).exclude(escrow=None)
    told = SeriesEvent.objects.filter(series__in=live, kind=SeriesEvent.Kind.SUSPENDED, at__gt=now - LONGEST)
    found = live.filter(id__in=told.values("series_id"))
    listed = [_due(series, now) for series in found.order_by("code")]
    return [one for one in listed if one is not None]


def _due(series: Series, now: datetime) -> Due | None:
    until, shown = suspended_until(series, now), _on_chain(series)
    if until is not None:
        until = until.replace(microsecond=0)
    is_so = all(one >= until for one in shown) if until else all(one <= now for one in shown)
    if is_so or _names(series, ChainAct.objects.filter(state__in=ChainAct.UNFINISHED).values_list("body", flat=True)):
        return None
    waiting = Proposal.objects.filter(kind=Proposal.Kind.CHAIN_ACT, state=Proposal.State.PROPOSED)
    return Due(series.code, until, _names(series, waiting.values_list("body", flat=True)))


def _names(series: Series, bodies: Iterable[str]) -> bool:
    """Whether one of these acts suspends transfers of the series, or lets them go on."""
    return any('"act":"SUSPEND"' in body and f'"series":"{series.code}"' in body for body in bodies)


def _on_chain(series: Series) -> list[datetime]:
    """Until when each class rests by what its contract last told, the latest block included."""
    found = []
    for note in series.tranches.exclude(note_address="").values_list("note_address", flat=True):
        rows = ChainLog.objects.filter(address=note, name="TransfersSuspended", block__canonical=True)
        last = rows.order_by("-block__number", "-log_index").first()
        event = decode_event(last.topics, last.data) if last else None
        found.append(datetime.fromtimestamp(int(event.arguments["until"]) if event else 0, UTC))
    return found
