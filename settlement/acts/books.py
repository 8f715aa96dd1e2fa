"""Acts about notes, their holders and their sale: what the books of the series do not bear out is refused by name.

Asked when one is proposed, when it is approved, and before each of its calls is sent, since days may lie between. The
books are another part's, so they are asked through a port of the intermediary.
"""

from collections.abc import Mapping
from typing import Any

from intermediary import ports
from settlement.acts.rows import ChainAct
from settlement.acts.steps import Step

Kind = ChainAct.Kind
KINDS = frozenset({Kind.SERIES, Kind.ELIGIBLE, Kind.ALLOT, Kind.CLOSE, Kind.PULL, Kind.REFUND, Kind.SUSPEND})


def refuse(kind: ChainAct.Kind, body: Mapping[str, Any]) -> None:
    """Refuses what the books refuse of such an act now; nothing of any other."""
    if kind in KINDS:
        ports.refuse_against_the_books(kind, body)


def refuse_step(kind: ChainAct.Kind, body: Mapping[str, Any], step: Step) -> None:
    """The same of one call that is about to be sent. Of allotments only those of this call count: those of earlier
    ones may be paid for by now."""
    if kind == Kind.ALLOT:
        tranche, accounts, units = step.arguments
        allotments: list[dict[str, str]] = [{} for _ in body["allotments"]]
        allotments[tranche] = dict(zip(accounts, map(str, units), strict=True))
        body = {**body, "allotments": allotments}
    refuse(kind, body)
