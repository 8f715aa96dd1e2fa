"""What happens because time has passed: deadlines lapse, cure periods end, close-outs go on, challenge periods end.

Run every second by beat, and once a bar by a replay's feed. Every step finds its own work in rows and is harmless when
repeated or run twice at once. A refusal here means "not yet" and is tried again. Decisions that need two people are
not made here; in the demo `demo.desk` plays them.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from django.db import transaction

from bonds.offering import drafts, sale
from bonds.servicing import write_downs
from intermediary import (
    approvals,
    clock,
    closeout,
    credit,
    defaults,
    early_termination,
    onboarding,
    paid_back,
    recovery,
)
from intermediary.closeout_schedule import DepthQuote
from intermediary.config import sight
from intermediary.config.demo import desk, world
from intermediary.config.models import Replay
from intermediary.errors import Refusal
from intermediary.models import Asset, DefaultCase, Valuation
from risk.margin.ruleset import ruleset
from risk.market.snapshot import MarketSnapshot
from risk.models import Snapshot
from risk.unsure import unsure_coins

logger = logging.getLogger(__name__)
State = DefaultCase.State
Work = Callable[[], object]


def step(cast: world.Cast = world.DEMO) -> None:
    """Do whatever is due now. One step that fails does not keep the others from their work."""
    for work in _due_work(cast):
        try:
            with transaction.atomic(durable=True):
                work()
        except Refusal as refusal:
            logger.info("not yet: %s", refusal)
        except Exception:
            logger.exception("clockwork step failed and will be tried again")


def _due_work(cast: world.Cast) -> Iterator[Work]:
    now = clock.now()
    yield sight.stop_clocks_unless_seen  # before anything may lapse
    yield sight.lapse_due
    yield partial(credit.expire_lines, now)
    yield partial(approvals.lapse_due, now)
    yield drafts.reopen_lapsed
    yield from _defaults_due()
    yield from sale.due(now)
    yield partial(write_downs.due, now)
    if Replay.objects.filter(autopilot=True).exists():
        yield from desk.decisions(cast)


def _defaults_due() -> Iterator[Work]:
    for case in defaults.due_steps(clock.now()):
        yield partial(_cure_or_terminate, case.id)
    valuation = Valuation.objects.first()
    for case in DefaultCase.objects.filter(state__in=[State.ETD_SET, State.REPLACING]):
        yield partial(early_termination.seize, case_id=case.id)
        if valuation is not None:
            yield partial(_close_out, case, valuation)
    for cure in recovery.cures_due():
        yield partial(recovery.receive_cure, cure)
    for failed in paid_back.due(clock.now()):
        yield partial(paid_back.pay_again, failed)


def _cure_or_terminate(case_id: UUID) -> None:
    if defaults.cure_shortfall_base_units(case_id) == 0:
        defaults.cure(case_id=case_id)
    else:
        defaults.set_early_termination(case_id=case_id)


def _close_out(case: DefaultCase, valuation: Valuation) -> None:
    market = MarketSnapshot.from_json(Snapshot.objects.get(id=valuation.snapshot_id).body)
    limit_bps = ruleset(onboarding.current_terms(case.cell_id).ruleset).doubt_limit_bps
    unsure = unsure_coins(market, limit_bps, clock.now())
    positions = closeout.remaining_positions(case.id)
    depth = {
        position.instrument_id: DepthQuote(market.underlyings[position.instrument.underlying].depth_usd)
        for position in positions
        if position.instrument.underlying in market.underlyings
    }
    closeout.replace(case_id=case.id, valuation_id=valuation.id, depth=depth, unsure=unsure)
    tokens = Asset.objects.filter(priced_as__in=market.coins)
    token_depth = {token.code: DepthQuote(market.underlyings[token.priced_as].depth_usd) for token in tokens}
    closeout.dispose_collateral(case_id=case.id, valuation_id=valuation.id, depth=token_depth, unsure=unsure)
