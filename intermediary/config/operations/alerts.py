"""The alarms once more for Prometheus, over our metrics: `docs/alerts.yml`, made from the list of rules.

They need neither beat nor a worker nor our notices, so they also see what our own evaluation cannot: that nobody
evaluates, and that nobody answers.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict

from intermediary.config.operations import rules
from intermediary.config.operations.limits import BATCH_GAS, Limits
from intermediary.config.operations.rules import RULES, RUNBOOK, Rule

HEAD = """# Made from the list of alarms by `manage.py operations --alerts`; a test holds that they agree.
groups:
  - name: bulkhead
    rules:
"""
# What only somebody outside can see.
OUTSIDE = (
    ("BulkheadAway", "up{job=~\"bulkhead.*\"} == 0", 60, "The web process does not answer",
     "Nobody can look, and pages are away. Money that moves goes on moving.",
     "Look at the web process and the database.",
     "nobody-evaluates-the-alarms"),
    ("BulkheadNobodyEvaluates", "bulkhead_alarms_evaluated_age_seconds > {round_seconds:.0f}", 0,
     "Nobody evaluates the alarms", "What is wrong now is told by nobody but this.",
     "Look at beat, the broker and the worker of the queue default.", "nobody-evaluates-the-alarms"),
)  # fmt: skip


def expression(rule: Rule, limits: Limits) -> str:
    """A rule in Prometheus's language with the limits filled in."""
    gas_wanted = limits.gas_batches * BATCH_GAS * 2
    return rule.expr.format(**asdict(limits), gas_wanted=gas_wanted)


def alert_name(key: str) -> str:
    """`nonce_stuck` is `BulkheadNonceStuck`."""
    return "Bulkhead" + "".join(word.capitalize() for word in key.split("_"))


def document() -> str:
    """The whole file, for the limits in force."""
    limits = rules.limits()
    parts = [HEAD]
    for name, expr, hold, title, stake, first, anchor in OUTSIDE:
        filled = expr.format(**asdict(limits)) if "{round" in expr else expr
        parts += _alert(name, filled, hold, "critical", title, f"{stake} First: {first}", anchor)
    for rule in RULES:
        said = f"{rule.stake} First: {rule.first}"
        expr = expression(rule, limits)
        name, severity = alert_name(rule.key), rule.severity.value.lower()
        parts += _alert(name, expr, rule.hold_seconds, severity, rule.title, said, rule.anchor)
    return "".join(parts)


def _alert(
    name: str, expr: str, hold_seconds: float, severity: str, title: str, said: str, anchor: str
) -> Iterator[str]:
    yield f"      - alert: {name}\n        expr: {json.dumps(expr)}\n        for: {hold_seconds:.0f}s\n"
    yield f"        labels:\n          severity: {severity}\n"
    yield f"        annotations:\n          summary: {json.dumps(title)}\n          description: {json.dumps(said)}\n"
    yield f"          runbook: {json.dumps(f'{RUNBOOK}#{anchor}')}\n"
