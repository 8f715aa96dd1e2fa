"""Another broker for a while. Celery keeps a pool of connections to the one that it sent to first."""

from collections.abc import Iterator
from contextlib import contextmanager

import kombu.pools

from intermediary.config.celery import app


@contextmanager
def sending_to(url: str) -> Iterator[None]:
    """What is sent while the block runs goes to this broker, and afterwards where it went before."""
    before = app.conf.broker_url
    _turn_to(url)
    try:
        yield
    finally:
        _turn_to(before)


def _turn_to(url: str) -> None:
    kombu.pools.reset()  # type: ignore[no-untyped-call]
    app.conf.broker_url = url
    app._pool = None
    app.amqp._producer_pool = None
