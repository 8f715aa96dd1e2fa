"""Celery: a task is only a wake-up; rows and their locks hold the truth, so there is no result backend (E8)."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "intermediary.config.settings")

app = Celery("bulkhead", include=["intermediary.config.wakeups"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,  # a worker killed in the middle leaves the task to another
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,  # a shard is seconds of work: hoarding them starves the other worker
    task_soft_time_limit=45,  # just under the statement timeout, so that the task can say what it was doing
    task_time_limit=60,
    task_default_queue="default",
    task_routes={"risk.*": {"queue": "risk"}, "bonds.*": {"queue": "bonds"}, "settlement.*": {"queue": "settlement"}},
    broker_connection_retry_on_startup=True,
    # Wake-ups that look for work in rows: a second is soon for a person and nothing for the database. An event or a
    # request that finds no worker free waits; the wake-up itself expires, so that they do not pile up.
    beat_schedule={
        name: {"task": name, "schedule": seconds, "options": {"expires": max(5, seconds / 2)}}
        for name, seconds in (
            ("default.deliver", 1.0),
            ("default.look_at_the_clock", 1.0),
            ("risk.run_requests", 1.0),
            ("default.look_round", 30.0),  # alarms: a person who is woken does not mind half a minute
            ("default.send_notices", 5.0),
            ("bonds.service", 60.0),  # coupons and maturities come by the day
            ("settlement.enter_eligible", 2.0),
            ("settlement.follow_sales", 2.0),
            ("settlement.follow_acts", 2.0),
            ("settlement.look_at_escrows", 15.0),  # a reader of the page does not mind a quarter of a minute
        )
    },
    # Celery would close the database after each task; `tasks` does, and keeps it where somebody waits for the next.
    CELERY_DB_REUSE_MAX=1_000,
    # An unacknowledged task is handed out again after this; above the hard limit, else it would run twice.
    broker_transport_options={"visibility_timeout": 120},
)
app.autodiscover_tasks()
