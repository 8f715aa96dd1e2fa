"""What servicing does because time has passed: coupons planned, spreads taken, coupons paid, series wound up.

Run once a minute by a bonds worker. Each step finds its own work in rows, is one transaction and harmless when
repeated; a refusal means "not yet" and is tried again. Planning needs the calendar and the models (numpy, QuantLib);
the rest loads nothing numeric.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from django.db import transaction

from bonds.models import Series
from bonds.servicing import coupons, early, maturity, recovered, transfers
from intermediary import clock
from intermediary.errors import Refusal

logger = logging.getLogger(__name__)
Work = Callable[[], object]


def step() -> int:
    """Do whatever is due now; how many steps were done. One that fails does not keep the others from their work."""
    from bonds.servicing import coupon_plan

    planned = sum(_do(partial(coupon_plan.plan, series_id)) for series_id in coupon_plan.unplanned())
    return planned + serve(clock.now())


def serve(now: datetime) -> int:
    """`step` for series whose coupons are planned."""
    return sum(_do(work) for work in _work(now))


def _work(now: datetime) -> Iterator[Work]:
    """Units of wallets that were linked since come first, so that their holders are paid; then coupons before
    principal: what is paid on the last day earned until then."""
    for tranche_id, wallet_id in transfers.to_take_in():
        yield partial(transfers.enter, tranche_id=tranche_id, wallet_id=wallet_id)
    for slice_id, number in coupons.charges_due(now):
        yield partial(coupons.charge, slice_id=slice_id, number=number)
    for run_id in coupons.payments_due(now):
        yield partial(coupons.pay, run_id)
    for run_id in early.unpaid_due(now):
        yield partial(early.unpaid, run_id)
    for slice_id in coupons.returns_due():
        yield partial(coupons.give_back, slice_id)
    for series_id in maturity.due(now):
        yield partial(maturity.review, series_id)
    for series_id in Series.objects.filter(state=Series.State.MATURED).values_list("id", flat=True):
        yield partial(maturity.wind_up, series_id)
    for cell_id in recovered.waiting():
        yield partial(recovered.sweep, cell_id)


def _do(work: Work) -> bool:
    try:
        with transaction.atomic(durable=True):
            work()
    except Refusal as refusal:
        logger.info("not yet: %s", refusal)
        return False
    except Exception:
        logger.exception("a step of servicing failed and will be tried again")
        return False
    return True
