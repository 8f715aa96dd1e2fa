"""Live pages: one stream of server-sent events a page, one listening database connection a web process.

A message carries an id only (`cell:<uuid>`, `tick:<uuid>`, ...): the page fetches for itself and sees what its own
rights allow. Who may hear which cell is decided when the stream opens. A stream holds no database connection; the
listener's one connection has no rights beyond LISTEN.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from intermediary import queries
from intermediary.events import PAGES_CHANNEL
from intermediary.models import CommandRequest

logger = logging.getLogger(__name__)
PUBLIC_TOPICS = frozenset({"tick", "chain", "series"})
HEARTBEAT_S = 15.0  # proxies cut idle connections after 30 to 60 seconds
GATHER_S = 0.25  # a tick touches every relationship at once: its messages go out as one
AWAITED = "request"  # the one topic that a person sits and waits for: it is not gathered
RECONNECT_S = 1.0
MAX_STREAMS = 2_000  # a process's file descriptors; beyond it the browser is told to come back
BACKLOG = 1_000  # messages kept for a slow reader; what it misses is replaced by one "tick", which renews the page


@dataclass(frozen=True)
class Audience:
    """Whose messages a stream may carry besides the public ones."""

    everything: bool = False
    ids: frozenset[str] = frozenset()
    request: str = ""  # whose outcome this page waits for

    def hears(self, topic: str, key: str) -> bool:
        """Whether the message `topic:key` is for this stream."""
        return topic in PUBLIC_TOPICS or self.everything or key in self.ids


@dataclass(eq=False)
class Stream:
    """One open page."""

    audience: Audience
    waiting: asyncio.Queue[tuple[str, str]] = field(default_factory=lambda: asyncio.Queue(BACKLOG))

    def offer(self, topic: str, key: str) -> None:
        """Queue a message that this stream may hear."""
        if not self.audience.hears(topic, key):
            return
        if self.waiting.full():
            while not self.waiting.empty():
                self.waiting.get_nowait()
            topic, key = "tick", ""
        self.waiting.put_nowait((topic, key))

    async def gather(self) -> list[tuple[str, str]]:
        """The next messages, each once, in order; empty after a heartbeat's time without any."""
        try:
            first = await asyncio.wait_for(self.waiting.get(), HEARTBEAT_S)
        except TimeoutError:
            return []
        if first[0] != AWAITED:
            await asyncio.sleep(GATHER_S)
        found = {first: None}
        while not self.waiting.empty():
            found[self.waiting.get_nowait()] = None
        return list(found)


class Switchboard:
    """Listens once and tells every open stream of this process. Lives as long as somebody is connected."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self.listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def stream(self, audience: Audience) -> Iterator[Stream]:
        """A stream that hears from now on."""
        opened = Stream(audience)
        self.streams.add(opened)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._listen())
        try:
            yield opened
        finally:
            self.streams.discard(opened)
            if not self.streams and self._task is not None:
                self._task.cancel()
                self._task = None

    def tell(self, payload: str) -> None:
        """Hand one notification to all who may hear it."""
        topic, _, key = payload.partition(":")
        for stream in self.streams:
            stream.offer(topic, key)

    async def _listen(self) -> None:
        try:
            while True:
                try:
                    await self._listen_once()
                except psycopg.Error as error:
                    logger.warning("live pages lost the database and will listen again: %s", error)
                self.listening.clear()
                await asyncio.sleep(RECONNECT_S)
        finally:
            self.listening.clear()

    async def _listen_once(self) -> None:
        address = listening_address("bulkhead-live")
        async with await psycopg.AsyncConnection.connect(**address, autocommit=True) as listener:
            await listener.execute(f"LISTEN {PAGES_CHANNEL}")
            self.listening.set()
            self.tell("tick:")  # whatever was said while nobody listened
            async for notice in listener.notifies():
                self.tell(notice.payload)


_switchboards: WeakKeyDictionary[asyncio.AbstractEventLoop, Switchboard] = WeakKeyDictionary()


def switchboard() -> Switchboard:
    """The switchboard of the running event loop."""
    return _switchboards.setdefault(asyncio.get_running_loop(), Switchboard())


def listening_address(name: str) -> dict[str, Any]:
    """Of the database, for a connection of its own under this name, which says what it is for."""
    found = connections["default"].settings_dict
    return {
        "host": found["HOST"], "port": found["PORT"], "dbname": found["NAME"], "user": found["USER"],
        "password": found["PASSWORD"], "application_name": name,
    }  # fmt: skip


@require_GET
def live(request: HttpRequest) -> HttpResponseBase:
    """The stream of one page; `?request=<id>` adds the outcome of one of the reader's own requests."""
    if sum(len(board.streams) for board in _switchboards.values()) >= MAX_STREAMS:
        return HttpResponse(status=503, headers={"Retry-After": "5"})
    response = StreamingHttpResponse(messages(_audience(request)), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def _audience(request: HttpRequest) -> Audience:
    if not isinstance(request.user, User):
        return Audience()
    wanted = _own_request(request.user, request.GET.get("request", ""))
    if request.user.is_staff:
        return Audience(everything=True, request=wanted)
    ids = {str(one.id) for one in (*queries.cells_of(request.user), *queries.parties_of(request.user))}
    return Audience(ids=frozenset(ids | {wanted} if wanted else ids), request=wanted)


def _own_request(user: User, wanted: str) -> str:
    """The id of one of the reader's own requests; empty where it is none."""
    try:
        key = UUID(wanted)
    except ValueError:
        return ""
    return str(key) if CommandRequest.objects.filter(id=key, user_id=user.pk).exists() else ""


def _give_connection_back() -> None:
    """Runs in the request's own thread, where its connection lives."""
    connections["default"].close()


async def messages(audience: Audience) -> AsyncIterator[bytes]:
    """The text of a stream. The request's database connection is given back before the first wait.

    A page that waits for an outcome is told to look at once: it may have come before the page could hear of it.
    """
    await sync_to_async(_give_connection_back)()
    board = switchboard()
    with board.stream(audience) as stream:
        yield b"retry: 2000\n\n"
        if audience.request:
            with contextlib.suppress(TimeoutError):  # then it looks again by itself, as without a stream
                await asyncio.wait_for(board.listening.wait(), RECONNECT_S)
            stream.offer(AWAITED, audience.request)
        while True:
            found = await stream.gather()
            text = "".join(f"event: {topic}\ndata: {key}\n\n" for topic, key in found) or ": still here\n\n"
            yield text.encode()
