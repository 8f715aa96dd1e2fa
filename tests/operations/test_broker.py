"""How much waits in a queue is asked of the broker, and a broker that is away says nothing."""

from intermediary.config.celery import app
from intermediary.config.operations import broker
from tests.broker import sending_to


def test_depths_of_queues_are_the_brokers(valkey_url: str) -> None:
    with sending_to(valkey_url):
        for _ in range(3):
            app.send_task("default.deliver", queue="only-of-this-test")
        assert broker.depths(["only-of-this-test", "nobody-declared-it"]) == {
            "only-of-this-test": 3,
            "nobody-declared-it": 0,
        }


def test_a_broker_that_is_away_says_nothing() -> None:
    with sending_to("redis://127.0.0.1:9/0"):
        assert broker.depths(["risk"]) == {}
