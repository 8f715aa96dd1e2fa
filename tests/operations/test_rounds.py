"""Two look rounds at once: one is done."""

from threading import Event, Thread

from django.db import connection, transaction
from django.test import override_settings

from intermediary.config.operations import evaluation
from intermediary.config.operations.rows import Alarm
from settlement.models import ReconciliationBreak
from tests.conftest import TestDatabase


@override_settings(CHAIN_RPC_URLS=[], OPERATIONS_PROCESSES=[])
def test_a_second_round_leaves_while_one_is_under_way(committing_db: TestDatabase) -> None:
    ReconciliationBreak.objects.create(kind="amount", place="vault", ledger_value="1", chain_value="2", first_block=1)
    holds, done = Event(), Event()

    def other_round() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [evaluation._LOCK])
            holds.set()
            done.wait(10)
        connection.close()

    thread = Thread(target=other_round)
    thread.start()
    try:
        assert holds.wait(10)
        assert evaluation.look_round({}) == -1
        assert not Alarm.objects.exists()
    finally:
        done.set()
        thread.join()
    assert evaluation.look_round({}) == 1
