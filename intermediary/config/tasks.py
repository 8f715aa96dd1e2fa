"""The platform's own wake-ups: deliver events, carry out requests, look at the clock. Rows decide what is left."""

from typing import Any

from celery import shared_task, states
from celery.signals import task_postrun, task_prerun
from django.db import connection, connections

from intermediary.config import clockwork, deliveries
from intermediary.config.operations.heartbeat import WorkerReporter

alive = WorkerReporter()


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


@shared_task(name="default.look_round")
def look_round() -> None:
    """Evaluate the alarms."""
    from intermediary.config.operations import broker, evaluation

    evaluation.look_round(broker.depths(evaluation.QUEUES))


@shared_task(name="default.send_notices")
def send_notices() -> None:
    """Send what is told of alarms."""
    from intermediary.config.operations import notices

    notices.send_waiting()


@shared_task(name="settlement.enter_eligible")
def enter_eligible() -> None:
    """Bring the register of holders on chain to what was approved."""
    from intermediary.config import note_register

    note_register.step_if_any()


@shared_task(name="settlement.follow_sales")
def follow_sales() -> None:
    """Bring sales of notes on chain to what was allocated, and book what was paid."""
    from intermediary.config import note_sale

    note_sale.step_all()


@shared_task(name="settlement.follow_acts")
def follow_acts() -> None:
    """In a demonstration, carry out what two officers decided on chain."""
    from intermediary.config.demo import acts

    acts.step_if_any()


@shared_task(name="settlement.look_at_escrows")
def look_at_escrows() -> None:
    """Keep what lies in the escrows of live series, where it changed, and once a day."""
    from intermediary.config import collateral

    collateral.look_if_any()


@task_prerun.connect
def look_at_the_connection(task: Any, **_: Any) -> None:
    """A connection that was kept may have been lost since."""
    alive.begins()
    if not task.request.is_eager and connection.connection is not None and not connection.is_usable():
        connection.close()


@task_postrun.connect
def leave(task: Any, state: str | None = None, **_: Any) -> None:
    """What a worker keeps between tasks: the market in which it has renewed requirements, for the first what-if or
    trade after it; and the database, with what was planned there, between requests, which come one at a time.

    Any other task closes its session, however it ended, and with it whatever it claimed there.
    """
    if task.request.is_eager:
        return
    alive.ended(task.request.hostname or "worker")
    try:
        if task.name == "risk.run_shard":
            from risk import official

            official.keep_up()
    finally:
        if task.name != run_requests.name or state != states.SUCCESS:
            connections.close_all()
