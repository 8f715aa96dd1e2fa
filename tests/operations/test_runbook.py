"""The runbook is whole and true: every alarm has its section, and what it names exists."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.test import override_settings

from intermediary.config.operations import alerts, checks, rules
from intermediary.config.operations.limits import Limits
from intermediary.config.operations.metrics import METRICS
from intermediary.config.supervisor.table import process_table

DOCS = Path(settings.BASE_DIR) / "docs"
TEXT = (DOCS / "operations.md").read_text()
ALERTS = (DOCS / "alerts.yml").read_text()
PARTS = ("**Means**", "**At stake**", "**Look**", "**Do**", "**Do not**", "**Ends**")
HEADINGS = re.findall(r"^#{1,3} (.+)$", TEXT, re.MULTILINE)
SOURCES = [path for folder in ("intermediary", "settlement", "risk") for path in Path(folder).rglob("*.py")]


def section(title: str) -> str:
    found = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the runbook says nothing of: {title}"
    return found[1]


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.key)
def test_every_alarm_says_what_it_means_what_to_do_and_what_not(rule: rules.Rule) -> None:
    said = section(rule.title)
    assert f"`{rule.key}`, {rule.severity}" in said
    assert [part for part in PARTS if part not in said] == []
    assert rule.stake in said


def test_every_link_leads_to_a_heading_or_a_file() -> None:
    anchors = {rules.slug(heading.replace("`", "")) for heading in HEADINGS}
    assert len(anchors) == len(HEADINGS), "no two headings share an anchor"
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert (DOCS / target.partition("#")[0]).exists(), target
    for rule in rules.RULES:
        assert rule.anchor in anchors


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", TEXT))
    assert {"operations", "reconcile", "migrate", "check"} <= named
    assert named <= set(get_commands())


def test_every_variable_that_it_names_is_read_somewhere() -> None:
    read = "".join(path.read_text() for path in SOURCES)
    for name in set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)[=`]", TEXT)):
        plain = name.removesuffix("_FILE")
        pieces = [name, plain]
        pieces += [re.sub(r"_(POSTER|OPERATOR|APPROVER)_", f"_{{{key}.upper()}}_", name) for key in ("role", "name")]
        assert any(piece in read for piece in pieces), name


def test_every_process_is_in_the_table_and_must_report() -> None:
    rows = process_table(web_host="127.0.0.1", web_port=8000, wallet_port=8100, mode="demo", beat_file="x")
    for row in rows:
        assert re.search(rf"^\| {row.name} \|", TEXT, re.MULTILINE), row.name
    code = "from django.conf import settings; print(','.join(settings.OPERATIONS_PROCESSES))"
    environment = {**os.environ, "BULKHEAD_MODE": "demo", "DJANGO_SETTINGS_MODULE": "intermediary.config.settings"}
    asked = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    silent = {"web", "beat", "wallet"}  # web and beat are seen from outside; the wallet is the demo's clients'
    assert set(asked.stdout.strip().split(",")) == {row.name for row in rows} - silent


def test_every_metric_is_in_the_table() -> None:
    for metric in METRICS:
        assert f"| `{metric.name}` | {', '.join(metric.labels) or '–'} | {metric.help} |" in TEXT


def test_the_alerts_for_prometheus_are_those_of_the_list() -> None:
    assert alerts.document() == ALERTS, "run manage.py operations --alerts"
    for rule in rules.RULES:
        assert f"- alert: {alerts.alert_name(rule.key)}\n" in ALERTS


def test_alerts_ask_for_metrics_and_labels_that_are_told() -> None:
    told = {metric.name: set(metric.labels) for metric in METRICS}
    for rule in rules.RULES:
        expression = alerts.expression(rule, Limits())
        names = re.findall(r"bulkhead_[a-z_]+", expression)
        assert names, rule.key
        assert set(names) <= set(told), rule.key
        for name, asked in re.findall(r"(bulkhead_[a-z_]+)\{([a-z_]+)", expression):
            assert asked in told[name], rule.key
        assert expression.count("{") == expression.count("}")
        assert "{{" not in expression, rule.key


WHOLE: dict[str, Any] = {
    "MODE": "production",
    "DATABASE_ROLE": "worker",
    "DATABASES": {"default": {"USER": "bulkhead_worker"}},
    "CELERY_BROKER_URL": "redis://10.0.0.5/0",
    "HOUSE_SIGNERS": ["0x01"],
    "ALLOWED_HOSTS": ["desk.example.org"],
    "PUBLIC_URL": "https://desk.example.org",
    "ALARM_EMAIL_TO": ["night@example.org"],
}


def test_a_whole_production_environment_gives_no_complaint_and_each_lack_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o400)
    whole = WHOLE | {"METRICS_TOKEN_FILE": str(token)}

    def complaints(**changed: Any) -> list[str | None]:
        with override_settings(**(whole | changed)):
            return [found.id for found in checks.production_is_whole(None)]

    assert complaints() == []
    lacks: tuple[tuple[dict[str, Any], str], ...] = (
        ({"MODE": "demo"}, "bulkhead.W001"),
        ({"DATABASE_ROLE": "web", "METRICS_TOKEN_FILE": ""}, "bulkhead.W002"),
        ({"ALARM_EMAIL_TO": []}, "bulkhead.W003"),
        ({"DATABASES": {"default": {"USER": ""}}}, "bulkhead.E001"),
        ({"CELERY_BROKER_URL": ""}, "bulkhead.E002"),
        ({"HOUSE_SIGNERS": []}, "bulkhead.E003"),
        ({"ALLOWED_HOSTS": ["*"]}, "bulkhead.E004"),
        ({"PUBLIC_URL": "http://desk.example.org"}, "bulkhead.E005"),
        ({"ALARM_WEBHOOK_URL": "http://a.example.org", "ALARM_WEBHOOK_SECRET_FILE": str(token)}, "bulkhead.E006"),
        ({"ALARM_WEBHOOK_URL": "https://a.example.org"}, "bulkhead.E007"),
        ({"METRICS_TOKEN_FILE": str(tmp_path / "gone")}, "bulkhead.E008"),
    )
    for changed, expected in lacks:
        assert complaints(**changed) == [expected]
    for name in ("SETTLEMENT_POSTER_KEYSTORE", "SETTLEMENT_POSTER_PASSWORD_FILE", "DATABASE_POSTER_URL_FILE"):
        monkeypatch.setenv(name, str(token))
    assert complaints() == []
    token.chmod(0o444)
    assert complaints() == ["bulkhead.E009"] * 4


def test_a_process_is_asked_for_what_it_needs_only() -> None:
    """Poster and approver send no mail, serve no page and reach no broker."""
    bare = WHOLE | {"CELERY_BROKER_URL": "", "HOUSE_SIGNERS": [], "ALLOWED_HOSTS": ["localhost"], "PUBLIC_URL": ""}
    asked = {"poster": [], "approver": [], "owner": [], "web": ["E003", "E004", "E005", "W002"]}
    for role, ids in asked.items():
        with override_settings(**(bare | {"DATABASE_ROLE": role, "ALARM_EMAIL_TO": []})):
            assert [found.id for found in checks.production_is_whole(None)] == [f"bulkhead.{one}" for one in ids]


@pytest.mark.parametrize("role", ["worker", "poster"])
def test_django_has_no_complaint_either(role: str, tmp_path: Path) -> None:
    """The whole of `manage.py check --deploy`, with secrets in files, as the runbook names them."""
    files = {
        "SECRET_KEY": "k3y-" * 15 + "of a test, long and odd enough",
        f"DATABASE_{role.upper()}_URL": f"postgresql://bulkhead_{role}:x@127.0.0.1:1/bulkhead",
        "CHAIN_RPC_URLS": "https://a.example.org/key\nhttps://b.example.com/key",
    }
    if role == "worker":
        files["BROKER_URL"] = "redis://127.0.0.1:1/0"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DATABASE_", "DJANGO_"))}
    for name, value in files.items():
        (tmp_path / name).write_text(value + "\n")
        (tmp_path / name).chmod(0o400)
        environment[f"{name}_FILE"] = str(tmp_path / name)
    environment |= {
        "BULKHEAD_MODE": "production",
        "DATABASE_ROLE": role,
        "CHAIN_ID": "1",
        "CHAIN_TOKENS": f"USDC=0x{'11' * 20}",
    }
    if role == "worker":
        environment |= {
            "ALLOWED_HOSTS": "desk.example.org",
            "HOUSE_SIGNERS": "0x01",
            "PUBLIC_URL": "https://desk.example.org",
            "ALARM_EMAIL_TO": "night@example.org",
        }
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=settings.BASE_DIR)
    assert found.returncode == 0, found.stderr
