"""Work that one session does at a time: a second worker that is asked for it leaves it, or comes again."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from celery.exceptions import Retry
from django.db import connections

from intermediary.alone import alone_on
from intermediary.models import Cell, MarginState
from risk import engine, tasks
from risk.models import StressReport
from tests.conftest import TestDatabase
from tests.risk.tick_world import market, mixed_world, tick

pytestmark = pytest.mark.world(build=mixed_world)


@contextmanager
def another_session_at(work: str) -> Iterator[None]:
    """Another session is at this work until the block ends."""
    begun, done = Event(), Event()

    def hold() -> None:
        with alone_on(work) as alone:
            assert alone
            begun.set()
            done.wait(60)
        connections.close_all()

    other = Thread(target=hold)
    other.start()
    assert begun.wait(60)
    try:
        yield
    finally:
        done.set()
        other.join()


def test_measures_of_everybody_take_turns(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> None:
    """So that a worker is left for ticks; what finds another at it comes again and is not lost."""
    measured = tick(market(10, "94900"))
    with another_session_at("measuring everybody"), pytest.raises(Retry):
        tasks.renew_stress.apply(args=[str(measured.id)], throw=True)
    assert not StressReport.objects.exists()
    tasks.renew_stress.apply(args=[str(measured.id)], throw=True)
    assert StressReport.objects.exists()


def test_a_shard_that_another_session_is_at_is_left_to_it(
    committing_db: TestDatabase, db: None, built_world: dict[str, Cell]
) -> None:
    opened = engine.open_tick(market(10, "94900"), 1)
    with another_session_at(f"shard {opened.id} 0"):
        engine.run_shard(opened.id, 0)
    assert not MarginState.objects.filter(valuation=opened.valuation).exists()
    engine.run_shard(opened.id, 0)
    assert MarginState.objects.filter(valuation=opened.valuation).exists()
