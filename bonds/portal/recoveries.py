"""What recoveries would give back to written-down classes: where the claim stands, and where its next dollars go.

Nobody here says how much will come: a claim on a defaulted client has no price, and a guess would be taken for one.
What is certain is the order. A recovery lowers the net loss N of its relationship by exactly its amount, and principal
follows N: senior bearers first, then the classes from the most senior down. So for each part of what is still claimed
the write-up of each class is exact arithmetic (`bonds.loss.tranches`). Reads only; loads no numeric library.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bonds.loss.tranches import changes_of_slice
from bonds.models import Series, Slice, SlicePart
from bonds.offering.terms import terms_from
from bonds.servicing import maturity, reserves
from intermediary import clock
from intermediary.queries import RecoveryCase, recovery_cases

SHARES = (25, 50, 75, 100)  # percent of what is still claimed


@dataclass(frozen=True)
class ClassRight:
    """One class in one slice, base units: what it lost in all, what was given back of it, what it gets back beyond that
    if each of `SHARES` of the claim still comes."""

    symbol: str
    written_down: int
    written_up: int
    gives_back: tuple[int, ...]

    @property
    def right(self) -> int:
        """Written down and not given back."""
        return self.written_down - self.written_up


@dataclass(frozen=True)
class Recovery:
    """One slice that was written down. `claimed`: N, still to be recovered; `received` so far; `ahead`: what comes back
    to bearers senior to the notes before these get anything. `ended` says why nothing more can come, if so."""

    slice: Slice
    claimed: int
    received: int
    receipts: int
    last_received_at: datetime | None
    ahead: int
    classes: tuple[ClassRight, ...]
    ended: str

    @property
    def rows(self) -> list[tuple[int, int, list[int]]]:
        """(percent of the claim, that amount, what each class gets back of it)."""
        backs = zip(*(one.gives_back for one in self.classes), strict=True)
        return [(share, self.claimed * share // 100, list(back)) for share, back in zip(SHARES, backs, strict=True)]


def recoveries_of(series: Series) -> list[Recovery]:
    """The slices of a series that were written down, in their order."""
    slices = list(series.slices.select_related("series").order_by("index"))
    cases = recovery_cases({item.cell_id for item in slices})
    start, end = reserves.risk_start(series), reserves.risk_end(series)
    of_risk_period = [one for one in cases if start <= one.noticed_at <= end]
    found = [_recovery(item, [one for one in of_risk_period if one.cell_id == item.cell_id]) for item in slices]
    return [one for one in found if one is not None]


def _recovery(item: Slice, cases: Sequence[RecoveryCase]) -> Recovery | None:
    parts = list(item.parts.select_related("slice", "tranche").order_by("attach_base_units"))
    if not any(part.written_down_base_units for part in parts):
        return None
    claimed = sum(one.net_loss_base_units for one in cases)
    return Recovery(
        slice=item,
        claimed=claimed,
        received=sum(one.recoveries_base_units for one in cases),
        receipts=sum(one.receipts for one in cases),
        last_received_at=max((one.last_received_at for one in cases if one.last_received_at), default=None),
        ahead=max(0, claimed - item.detach_base_units),
        classes=tuple(reversed(_rights(parts, claimed))),
        ended=_ended(item.series, cases),
    )


def _rights(parts: Sequence[SlicePart], claimed: int) -> list[ClassRight]:
    """Junior first."""
    states = [part.state for part in parts]
    changes = [changes_of_slice(states, claimed - claimed * share // 100) for share in SHARES]
    return [
        ClassRight(
            part.tranche.symbol,
            part.written_down_base_units,
            part.written_up_base_units,
            tuple(change[index].write_up_base_units for change in changes),
        )
        for index, part in enumerate(parts)
    ]


def _ended(series: Series, cases: Sequence[RecoveryCase]) -> str:
    if maturity.rights_ended(series, clock.now()):
        return f"The long stop of the terms, {terms_from(series.terms).long_stop:%-d %b %Y}, is past."
    if cases and all(one.is_closed for one in cases):
        return "The claim is closed: two officers wrote it off, or nothing of it is left."
    return ""
