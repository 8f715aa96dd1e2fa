"""What machines ask: whether the process answers, whether the platform can serve and why not, and the figures."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from intermediary.config.operations import probes
from intermediary.config.operations.collect import collect
from intermediary.config.operations.heartbeat import Reporter
from intermediary.config.operations.metrics import METRICS
from intermediary.config.operations.rows import LookRound
from settlement import lookout
from settlement.models import Fence, ReconciliationBreak, SenderAlarm
from tests.conftest import RoleSwitch
from tests.intermediary import office_world

pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]
WEB = {"DATABASE_ROLE": "web"}
NAMES = ("watcher", "poster")


def ready() -> tuple[int, dict[str, Any]]:
    answer = probes.readiness()
    return answer.status_code, json.loads(answer.content)


def all_is_well() -> None:
    for name in NAMES:
        Reporter(name)(0.1)
    lookout.note(None)
    LookRound.objects.create(at=timezone.now(), seconds=0.1)


def test_the_process_says_that_it_answers_when_the_database_is_away() -> None:
    settings = connection.settings_dict
    port, settings["PORT"] = settings["PORT"], "1"
    connection.close()
    try:
        assert Client().get("/healthz").json() == {"status": "alive"}
        status, body = ready()
        assert (status, body["status"]) == (503, "unavailable")
        assert list(body["checks"]) == ["database"]
        assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 503
    finally:
        connection.close()
        settings["PORT"] = port


@override_settings(OPERATIONS_PROCESSES=list(NAMES), **WEB)
def test_ready_names_each_check_and_says_why_one_fails(as_role: RoleSwitch) -> None:
    with as_role("web"):
        status, body = ready()
    assert status == 503
    assert body["checks"]["processes"]["reason"] == "watcher: it has never reported; poster: it has never reported"
    assert body["checks"]["alarms"]["reason"] == "they were never evaluated"
    all_is_well()
    with as_role("web"):
        status, body = ready()
        assert (status, body["status"]) == (200, "ready"), body
        assert set(body["checks"]) == {"database", "migrations", "alarms", *probes.CHECKS}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE settlement_lookout SET seen_at = clock_timestamp() - interval '5 minutes'")
    with as_role("web"):
        status, body = ready()
    assert (status, body["checks"]["watcher"]["ok"]) == (503, False)
    assert "5 min ago" in body["checks"]["watcher"]["reason"]


@override_settings(OPERATIONS_PROCESSES=[], **WEB)
def test_ready_sees_a_migration_that_is_not_applied(as_role: RoleSwitch) -> None:
    with as_role("owner"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'config' AND name = '0006_operations'")
    with as_role("web"):
        assert ready()[1]["checks"]["migrations"]["reason"] == "1 are not applied"


@override_settings(**WEB)
def test_figures_are_for_who_has_the_token_and_on_the_loopback_of_a_demo(as_role: RoleSwitch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with as_role("web"):
        assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 200
        assert Client().get("/metrics", REMOTE_ADDR="10.0.0.9").status_code == 404
        assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="10.0.0.9").status_code == 404
        with override_settings(MODE="production"):
            assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 404
        with override_settings(METRICS_TOKEN_FILE=str(token)):
            assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 404
            assert Client().get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
            answer = Client().get("/metrics", headers={"Authorization": "Bearer s3cret"}, HTTP_HOST="10.0.0.7:8000")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")


@override_settings(**WEB)
def test_every_metric_is_told_with_help_and_what_is_wrong_shows(as_role: RoleSwitch) -> None:
    all_is_well()
    for sender in ("0xformer", "0xpresent"):  # one figure a role
        SenderAlarm.objects.create(kind="fee_cap", role="poster", chain="main", sender=sender, detail="500 gwei")
    ReconciliationBreak.objects.create(kind="amount", place="vault", ledger_value="1", chain_value="2", first_block=1)
    Fence.objects.create(reason="batches of house 0x01: 3 here, 5 on chain")
    with as_role("web"):
        body = Client().get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    told = {family.name: family for family in text_string_to_metric_families(body)}
    assert set(told) == {metric.name.removesuffix("_total") for metric in METRICS}
    assert all(family.documentation.endswith(".") for family in told.values())
    breaks = {sample.labels["kind"]: sample.value for sample in told["bulkhead_reconciliation_breaks"].samples}
    assert (breaks["amount"], breaks["unknown_sender"], breaks["head"]) == (1, 1, 0)
    [trouble] = told["bulkhead_sender_trouble_age_seconds"].samples
    assert trouble.labels == {"kind": "fee_cap", "chain": "main", "role": "poster"}
    assert [sample.labels for sample in told["bulkhead_fence_age_seconds"].samples] == [{"chain": "main"}]
    resident = {sample.labels["process"]: sample.value for sample in told["bulkhead_process_resident_bytes"].samples}
    assert set(resident) == set(NAMES)


def test_the_figures_cost_little() -> None:
    collect()
    began = time.perf_counter()
    for _ in range(5):
        collect()
    assert (time.perf_counter() - began) / 5 < 0.05
