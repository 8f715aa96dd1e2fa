"""Live streams: what is said reaches who may hear it, and a stream holds no database connection."""

import asyncio
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import transaction

from intermediary import events
from intermediary.config.live import Audience, Stream, Switchboard
from intermediary.config.supervisor.processes import choose_port
from intermediary.models import Cell
from tests.conftest import TestDatabase
from tests.intermediary import faces_world

CHECKOUT = Path(__file__).resolve().parents[2]
MINE, OTHERS = "11111111-1111-7111-8111-111111111111", "22222222-2222-7222-8222-222222222222"


def test_a_stream_hears_public_topics_and_its_own_cells_only() -> None:
    audience = Audience(ids=frozenset({MINE}))
    heard = [topic for topic in ("tick", "chain", "series") if audience.hears(topic, OTHERS)]
    assert heard == ["tick", "chain", "series"]
    assert audience.hears("cell", MINE)
    assert audience.hears("request", MINE)
    assert not audience.hears("cell", OTHERS)
    assert not audience.hears("request", OTHERS)
    assert Audience(everything=True).hears("cell", OTHERS)


def test_a_slow_reader_gets_one_renewal_for_all_it_missed() -> None:
    async def scenario() -> list[tuple[str, str]]:
        stream = Stream(Audience(everything=True))
        for number in range(stream.waiting.maxsize + 5):
            stream.offer("cell", str(number))
        return await stream.gather()

    assert asyncio.run(scenario())[0] == ("tick", "")


def test_a_notification_reaches_the_stream_through_one_listening_connection(committing_db: TestDatabase) -> None:
    async def scenario() -> list[tuple[str, str]]:
        board = Switchboard()
        with board.stream(Audience(ids=frozenset({MINE}))) as stream, board.stream(Audience()) as second:
            await asyncio.wait_for(board.listening.wait(), 10)
            await stream.gather()
            await asyncio.to_thread(say, committing_db, f"cell:{OTHERS}", f"cell:{MINE}", f"cell:{MINE}")
            assert listeners(committing_db) == 1
            await asyncio.sleep(0.5)
            assert [topic for topic, _ in drain(second)] == ["tick"], "the first word of a new listener, nothing else"
            return await stream.gather()

    assert asyncio.run(scenario()) == [("cell", MINE)]


def test_a_lost_database_connection_is_opened_again(committing_db: TestDatabase) -> None:
    async def scenario() -> None:
        board = Switchboard()
        with board.stream(Audience()) as stream:
            await asyncio.wait_for(board.listening.wait(), 10)
            await stream.gather()
            await asyncio.to_thread(cut_listeners, committing_db)
            assert await asyncio.wait_for(stream.gather(), 10) == [("tick", "")], "missed messages renew the page"

    asyncio.run(scenario())


@pytest.mark.world(build=faces_world.build)
def test_the_web_server_streams_a_clients_own_messages(
    committing_db: TestDatabase, built_world: dict[str, Cell]
) -> None:
    with web_server(committing_db) as port:
        cookie = signed_in(port, "client.basis")
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        stream.request("GET", "/live/", headers={"Cookie": cookie})
        answer = stream.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/event-stream"
        read_until(answer, "event: tick")
        with transaction.atomic():
            events.notify(events.PAGES_CHANNEL, f"cell:{built_world['R-102'].id}")
            events.notify(events.PAGES_CHANNEL, f"cell:{built_world['R-101'].id}")
        seen = read_until(answer, str(built_world["R-101"].id))
        assert str(built_world["R-102"].id) not in seen
        assert open_connections(committing_db) == {"bulkhead-live": 1}, "the stream gave its connection back"
        stream.close()


def say(database: TestDatabase, *payloads: str) -> None:
    with psycopg.connect(database.url_of("worker"), autocommit=True) as worker:
        for payload in payloads:
            worker.execute("SELECT pg_notify(%s, %s)", [events.PAGES_CHANNEL, payload])


def drain(stream: Stream) -> list[tuple[str, str]]:
    return [stream.waiting.get_nowait() for _ in range(stream.waiting.qsize())]


def open_connections(database: TestDatabase) -> dict[str, int]:
    """Connections of the web server by name."""
    with psycopg.connect(database.url_of("owner")) as owner:
        rows = owner.execute(
            "SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name IN ('bulkhead-live', 'bulkhead-web') GROUP BY 1"
        ).fetchall()
    return {str(name): int(count) for name, count in rows}


def listeners(database: TestDatabase) -> int:
    return open_connections(database).get("bulkhead-live", 0)


def cut_listeners(database: TestDatabase) -> None:
    with psycopg.connect(database.url_of("worker"), autocommit=True) as worker:
        worker.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bulkhead-live'"
        )


def read_until(answer: http.client.HTTPResponse, wanted: str) -> str:
    seen = ""
    while wanted not in seen:
        line = answer.readline().decode()
        assert line, f"the stream ended before {wanted}: {seen}"
        seen += line
    return seen


def signed_in(port: int, username: str) -> str:
    """The cookies of a person who signed in by password."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/sign-in/")
    answer = connection.getresponse()
    page = answer.read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token, page
    cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
    connection.request(
        "POST",
        "/sign-in/",
        body=f"username={username}&password=demo&csrfmiddlewaretoken={token[1]}",
        headers={"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
    )
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 302
    cookies = [value.split(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    return "; ".join(cookies)


@contextmanager
def web_server(database: TestDatabase) -> Iterator[int]:
    """A real web server on this database, under the web's own login."""
    port = choose_port()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_ROLE": "web",
        "DATABASE_URL": database.url_of("web"),
    }
    command = (
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers-kill-timeout", "2", "--log-level", "error", "intermediary.config.asgi:application"),
    )
    server = subprocess.Popen(command, env=environment, cwd=CHECKOUT)
    try:
        wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=15)


def wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/glossary/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            assert server.poll() is None, "the web server ended"
        time.sleep(0.1)
    pytest.fail("the web server did not answer in 30 seconds")
