"""How many messages wait in each queue of the broker, Redis or RabbitMQ alike: asked passively, so nothing is made."""

import logging
from collections.abc import Iterable
from typing import Any

from kombu.exceptions import OperationalError

from intermediary.config.celery import app

logger = logging.getLogger(__name__)


def depths(queues: Iterable[str]) -> dict[str, int]:
    """By queue; empty when the broker does not answer. A queue that nobody has declared yet holds nothing."""
    with app.connection_for_read(connect_timeout=5) as connection:
        try:
            return {name: _depth(connection, name) for name in queues}
        except (OperationalError, *connection.connection_errors) as error:
            logger.warning("the broker does not say how much waits: %s", error)
            return {}


def _depth(connection: Any, name: str) -> int:
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(name, passive=True).message_count)
    except connection.channel_errors:
        return 0
