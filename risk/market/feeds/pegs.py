"""The price of the coin that everything is settled in, which takes more to move than that of any other.

At 0.80 all margin in USDC counts for a fifth less and everybody is called; so a price that one exchange says alone,
several say differently, or nobody has renewed, moves nothing: the last one that was confirmed stays, in doubt by name,
and new risk waits. A fall that two exchanges show together goes through at once. Standard library only.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from math import log

from intermediary.errors import Refusal
from risk.market.mark_parameters import MarkParameters
from risk.market.marks import Mark, aged
from risk.market.quality import MarkQuality, MarkState

logger = logging.getLogger(__name__)

SETTLEMENT_COIN = "USDC"
TETHER = "USDT"
CONFIRMED = (MarkState.GOOD, MarkState.THIN)
# After an hour without a confirmed price an unconfirmed one is taken, openly, where fresh sources only disagree, or
# where it is no further off the last than a mark in doubt may be (`doubt_limit_bps`).
STEP_MAX = 0.025


def settlement_peg(
    ask: Callable[[], Mark], last: Mark | None, now: datetime, parameters: MarkParameters
) -> tuple[Mark, Mark]:
    """USD per USDC at `now` with how sure it is, and the mark to go on from; `last` is that of the look before.

    `ask` makes the mark of now, or refuses. Refuses `no_mark`, as there is no market without a price: where there is
    neither one now nor a last one of this hour, or after it only one that nobody confirms and that jumped.
    """
    try:
        found = ask()
    except Refusal as refusal:
        if last is None or not is_young(last, now, parameters):
            raise
        logger.warning("%s: %s", refusal.code, refusal.message)
        old = aged(last, now, refusal.data.get("left_out", {}), parameters)
        return replace(last, quality=replace(old, state=MarkState.STALE)), last
    if last is None or found.quality.state in CONFIRMED:
        return found, found
    if is_young(last, now, parameters):
        logger.warning("%s stays at %s: %s", SETTLEMENT_COIN, last.price, found.quality.state)
        return replace(last, quality=_unconfirmed(found.quality, aged(last, now, {}, parameters))), last
    divided = found.quality.state is MarkState.DIVIDED
    if not divided and abs(log(float(found.price) / float(last.price))) > STEP_MAX:
        raise Refusal(
            "no_mark",
            f"There is no mark of {SETTLEMENT_COIN}: nobody confirms {found.price}.",
            underlying=SETTLEMENT_COIN,
            price=str(found.price),
            last=str(last.price),
        )
    return found, found


def is_young(peg: Mark, now: datetime, parameters: MarkParameters) -> bool:
    """Whether a stablecoin's mark may still be gone by at `now`."""
    return (now - peg.observed_at).total_seconds() <= parameters.peg_age_limit_s


def _unconfirmed(found: MarkQuality, old: MarkQuality) -> MarkQuality:
    """That of the last mark, with who said what now: each is left out for what all of them together lack."""
    sources = tuple(replace(one, share_bps=0, left_out=one.left_out or found.state.value) for one in found.sources)
    most_bps = max(old.uncertainty_bps, found.uncertainty_bps)
    return replace(old, state=MarkState.STALE, uncertainty_bps=most_bps, sources=sources)
