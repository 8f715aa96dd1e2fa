"""The platform's own wake-ups: deliver events, carry out requests, look at the clock. Rows decide what is left."""

from typing import Any

from celery import shared_task
from celery.signals import task_postrun

from intermediary.config import clockwork, deliveries


@shared_task(name="default.deliver")
def deliver() -> None:
    """Hand waiting events to their consumers."""
    deliveries.deliver_pending()


@shared_task(name="default.look_at_the_clock")
def look_at_the_clock() -> None:
    """Everything that happens because time has passed."""
    clockwork.step()


@shared_task(name="risk.run_requests")
def run_requests() -> None:
    """Carry out what people asked for on pages; needs the risk gate, so it runs in a risk worker."""
    from intermediary.config import bindings, requests

    bindings.bind_risk()
    requests.run_pending()


@task_postrun.connect
def keep_the_market(task: Any, **_: Any) -> None:
    """Who has renewed requirements keeps their market for the first what-if or trade after it."""
    if task.name == "risk.run_shard":
        from risk import official

        official.keep_up()
