"""The demo's wallet on loopback HTTP: `POST /<log-in>` with one JSON-RPC request.

A wallet signs with what lies in it, so who may ask is checked before what is asked: the Host header must name this very
server (a foreign name that was pointed at the loopback is refused) and the Origin header must be the portal's, which a
browser sets and a page cannot. Bodies, time and the number of requests at once are limited. Threads of its own: a slow
or silent page holds up neither the automatic wallets nor other pages.
"""

import json
import logging
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from intermediary.canonical import read_json
from intermediary.config.demo.wallet_rpc import WalletRpc

logger = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
BODY_BYTES_MAX = 64 * 1024  # typed data of a whole agreement has some thousands
READ_SECONDS = 5.0  # a page on this machine sends its request at once
AT_ONCE_MAX = 32  # a handful of open pages, each with a few questions


class WalletServer(ThreadingHTTPServer):
    """Listens on the loopback only. `origins` are the portal's."""

    daemon_threads = True
    # A port in TIME_WAIT may be taken again; one that somebody listens on may not.
    allow_reuse_address = True

    def __init__(self, port: int, rpc: WalletRpc, origins: Set[str]) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.rpc, self.origins = rpc, origins
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}
        self._places = threading.BoundedSemaphore(AT_ONCE_MAX)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each request while there is a place; the others are hung up on."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away while it was answered is none of our business."""
        logger.info("a request ended early", exc_info=True)

    def process_request_thread(self, request: "socket | tuple[bytes, socket]", client_address: Any) -> None:
        """Gives the place back at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


@contextmanager
def serving(port: int, rpc: WalletRpc, origins: Set[str]) -> Iterator[WalletServer]:
    """Answer in the background for the length of the block. Port 0 is any free one. Raises OSError when it is taken."""
    with WalletServer(port, rpc, origins) as server:
        thread = threading.Thread(target=server.serve_forever, name="wallet-rpc", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Refused(Exception):
    """An HTTP status instead of an answer."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: WalletServer
    timeout = READ_SECONDS
    server_version, sys_version = "wallet", ""

    def do_OPTIONS(self) -> None:
        """A browser asks whether the page may ask."""
        self._within_limits(lambda: (HTTPStatus.NO_CONTENT, b""))

    def do_POST(self) -> None:
        """One request."""
        self._within_limits(self._answer)

    def do_GET(self) -> None:
        """Nothing is to be got here; any answer shows that the server is up."""
        self._within_limits(lambda: (HTTPStatus.METHOD_NOT_ALLOWED, b""))

    def _within_limits(self, work: Any) -> None:
        try:
            self._require_our_page()
            status, body = work()
        except _Refused as refused:
            status, body = refused.status, refused.status.phrase.encode()
        self.send_response(status)
        for name, value in self._headers(body):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _require_our_page(self) -> None:
        if self.headers.get("Host") not in self.server.hosts or self.headers.get("Origin") not in self.server.origins:
            raise _Refused(HTTPStatus.FORBIDDEN)
        if self.path.removeprefix("/") not in self.server.rpc.people:
            raise _Refused(HTTPStatus.NOT_FOUND)

    def _answer(self) -> tuple[HTTPStatus, bytes]:
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _Refused(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > BODY_BYTES_MAX:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            request = read_json(self.rfile.read(int(length)).decode())
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        return HTTPStatus.OK, json.dumps(self.server.rpc.answer(self.path.removeprefix("/"), request)).encode()

    def _headers(self, body: bytes) -> Iterator[tuple[str, str]]:
        yield "Content-Type", "application/json"
        yield "Content-Length", str(len(body))
        yield "Cache-Control", "no-store"
        yield "X-Content-Type-Options", "nosniff"
        yield "Vary", "Origin"
        origin = self.headers.get("Origin")
        if origin in self.server.origins:
            yield "Access-Control-Allow-Origin", str(origin)
            yield "Access-Control-Allow-Methods", "POST"
            yield "Access-Control-Allow-Headers", "content-type"
            yield "Access-Control-Max-Age", "600"

    def log_message(self, format: str, *args: Any) -> None:
        """Into the process's own log, where it is looked for when something is wrong."""
        logger.debug(format, *args)
