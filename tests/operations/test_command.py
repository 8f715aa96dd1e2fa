"""What an engineer types at night: it computes the alarms itself, and says by its exit whether somebody must act."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.test import override_settings

from intermediary.config.operations.heartbeat import Reporter
from settlement.models import ReconciliationBreak, SenderAlarm

pytestmark = pytest.mark.django_db


def said(*arguments: str) -> tuple[int, str]:
    out, status = StringIO(), 0
    try:
        call_command("operations", *arguments, stdout=out)
    except SystemExit as end:
        status = int(str(end.code))
    return status, out.getvalue()


@override_settings(OPERATIONS_PROCESSES=[])
def test_it_says_what_is_wrong_the_worst_first_and_what_to_do() -> None:
    assert said() == (0, "Nothing is known to be wrong.\nAlarms were evaluated never.\n")
    ReconciliationBreak.objects.create(
        kind="unknown_sender", place="suspense W", ledger_value="0", chain_value="5", first_block=1
    )
    status, text = said()
    assert (status, "A deposit lies in suspense" in text) == (0, True), "a warning wakes nobody"
    SenderAlarm.objects.create(kind="fee_cap", role="poster", chain="main", detail="500 gwei")
    Reporter("watcher")(0.1, ValueError("no"))
    status, text = said()
    assert status == 1
    assert text.index("CRITICAL") < text.index("WARNING")
    for part in ("500 gwei", "first: Decide with a second person", "docs/operations.md#a-transaction-waits", "watcher"):
        assert part in text


def test_it_prints_every_figure_and_the_alerts() -> None:
    assert "# TYPE bulkhead_outbox_instructions gauge" in said("--figures")[1]
    assert said("--alerts")[1].startswith("# Made from the list of alarms")
