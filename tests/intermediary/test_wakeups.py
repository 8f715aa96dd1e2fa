"""Who asks on a page waits for no schedule: the notice of the commit sends a worker, and the page hears the outcome."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import psycopg
import pytest
from celery import states
from django.db import connection
from pytest_django.fixtures import Settings

from intermediary.config import live, tasks, wakeups
from intermediary.config.celery import app
from intermediary.models import Cell, CommandRequest
from tests.broker import sending_to
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import faces_world
from tests.intermediary.test_live import MINE
from tests.intermediary.test_portal import signed_in
from tests.intermediary.test_what_if_page import PAGE, lines

pytestmark = pytest.mark.world(build=faces_world.build)


@pytest.fixture
def listening(committing_db: TestDatabase) -> Iterator[None]:
    """Beat's thread on this database, and a broker within this process."""
    heard = Thread(target=_until_cut)
    with sending_to("memory://"), psycopg.connect(committing_db.url_of("worker"), autocommit=True) as worker:
        heard.start()
        listeners = "FROM pg_stat_activity WHERE application_name = 'bulkhead-wakeups' AND query LIKE 'LISTEN%'"
        for _ in range(200):
            if worker.execute(f"SELECT 1 {listeners}").fetchone():
                break
            time.sleep(0.05)
        yield
        worker.execute(f"SELECT pg_terminate_backend(pid) {listeners}")
        heard.join(10)


def _until_cut() -> None:
    with suppress(psycopg.OperationalError):
        wakeups.listen()


def test_a_question_sends_a_worker_when_it_is_stored(
    listening: None, built_world: dict[str, Cell], as_role: RoleSwitch, settings: Settings
) -> None:
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        assert signed_in("client.basis").post(PAGE, lines(("BUY", "BTC-PERP", "1"))).status_code == 302
    with app.connection_for_read() as broker, broker.channel() as channel:
        queue = app.amqp.queues["risk"].bind(channel)
        for _ in range(100):
            if message := queue.get(no_ack=True):
                break
            time.sleep(0.05)
        assert message is not None
        assert message.headers["task"] == wakeups.TASK in app.conf.beat_schedule
        assert message.headers["expires"] is not None, "nobody needs it once the next one is here"
    with as_role("worker"):
        assert CommandRequest.objects.get().state == CommandRequest.State.PENDING


def test_a_page_that_waits_is_told_to_look_when_it_begins_to_listen(committing_db: TestDatabase) -> None:
    """Its outcome may have come between the page and its stream. What is awaited is not gathered either."""

    async def scenario() -> tuple[bytes, float]:
        messages = live.messages(live.Audience(ids=frozenset({MINE}), request=MINE))
        seen = b""
        while f"event: request\ndata: {MINE}".encode() not in seen:
            seen += await asyncio.wait_for(anext(messages), 10)
        board = live.switchboard()
        started = time.monotonic()
        board.tell(f"request:{MINE}")
        assert MINE.encode() in await asyncio.wait_for(anext(messages), 10)
        took = time.monotonic() - started
        await messages.aclose()  # type: ignore[attr-defined]
        return seen, took

    _, took = asyncio.run(scenario())
    assert took < live.GATHER_S


def test_a_worker_keeps_its_database_between_requests_only(committing_db: TestDatabase) -> None:
    """A session that ended with its task gives up what it claimed; one that was lost is replaced before it is used."""

    def session() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            found: int = cursor.fetchone()[0]
        return found

    first = session()
    tasks.leave(tasks.run_requests, state=states.SUCCESS)
    tasks.look_at_the_connection(tasks.run_requests)
    assert session() == first
    with psycopg.connect(committing_db.url_of("worker"), autocommit=True) as another:
        another.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    tasks.look_at_the_connection(tasks.run_requests)
    second = session()
    assert second != first
    for task, state in ((tasks.run_requests, states.FAILURE), (tasks.deliver, states.SUCCESS)):
        tasks.leave(task, state=state)
        assert connection.connection is None
        assert session() != second
