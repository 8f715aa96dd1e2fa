"""Wake-ups of the risk engine: open a tick, run a shard, renew live risk and stress. Rows decide what is left.

The numeric stack loads inside the tasks, because workers of other queues read this file too. A worker that serves the
risk queue loads it when it starts, so that the first tick does not wait for it.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from uuid import UUID

from celery import Task, current_app, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_process_init
from django.conf import settings
from django.db import DatabaseError, connections

logger = logging.getLogger(__name__)
OLDEST_AFTER = 1_000  # collections of the middle generation before one of everything
# Layers or stress of everybody: each took 7 s of processor time for 2,000 relationships on a busy machine. A worker
# that is still at it is cut off before the broker hands the task out again, at 120 s.
MEASURING = {"soft_time_limit": 95, "time_limit": 110}
TURN_S = 1
SHARDS = 2  # one for each worker process of a two-core machine; the results do not depend on it


@shared_task(name="risk.open_tick", autoretry_for=(SoftTimeLimitExceeded,), max_retries=3, default_retry_delay=1)
def open_tick(snapshot_id: str, only_moved: bool = False) -> None:
    """Value the market officially and hand out the shards of the relationships; repeated, those that are not done. Then
    say where the scenarios come from."""
    from risk import engine, scenario_source

    tick = engine.open_tick(snapshot_id, SHARDS, only_moved=only_moved, cycle=settings.VARIATION_CYCLE)
    left = list(tick.shards.filter(done_at=None))
    if tick.coins is not None and len(left) == 1 and left[0].of == 1:
        engine.run_shard(tick.id, left[0].number)  # the market is at hand here
    else:
        for shard in left:
            run_shard.delay(str(tick.id), shard.number)
    scenario_source.note(tick.id)


@shared_task(name="risk.run_shard", autoretry_for=(SoftTimeLimitExceeded,), max_retries=3, default_retry_delay=1)
def run_shard(tick_id: str, number: int) -> None:
    """Renew the requirements of one part of the relationships."""
    from risk import engine

    engine.run_shard(UUID(tick_id), number)


@shared_task(name="risk.renew_layers", bind=True, max_retries=None, **MEASURING)
def renew_layers(self: Task, tick_id: str) -> None:
    """Renew expected loss and attachment probability of every layer, and the model's haircuts."""
    from risk import live_layers, published_haircuts

    with measuring(self):
        live_layers.renew(UUID(tick_id))
        published_haircuts.renew(UUID(tick_id))


@shared_task(name="risk.renew_stress", bind=True, max_retries=None, **MEASURING)
def renew_stress(self: Task, tick_id: str) -> None:
    """Renew the stress reports of every relationship and of the intermediary."""
    from risk import stress_reports

    with measuring(self):
        stress_reports.renew(UUID(tick_id))


@contextmanager
def measuring(task: Task) -> Iterator[None]:
    """What measures everybody takes turns, so that a worker is left for ticks; who finds another at it comes again."""
    from intermediary.alone import alone_on

    with alone_on("measuring everybody") as alone:
        if not alone:
            raise task.retry(countdown=TURN_S)
        yield


@worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Load numpy, the compiled kernels and the day's scenarios into a worker process of the risk queue.

    Beside its start, in a thread: the process says that it is up at once, and a task that comes early waits for what
    it needs and no longer.
    """
    if "risk" in current_app.amqp.queues.consume_from:
        # A worker keeps some million objects from tick to tick, and what the collector looks for is young: it walks
        # through all of them rarely.
        gc.set_threshold(*gc.get_threshold()[:2], OLDEST_AFTER)
        Thread(target=_load, name="warm-up", daemon=True).start()


def _load() -> None:
    from risk import engine

    try:
        engine.warm_up()
    except DatabaseError as error:
        logger.info("scenarios are left to the first tick: %s", error)
    finally:
        connections.close_all()  # this thread's own
        gc.freeze()  # what is loaded now stays: the collector need not walk through it in the middle of a tick
