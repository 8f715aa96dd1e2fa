"""What an alarm is. The list of them is in `rules`."""

import re
from dataclasses import dataclass

from intermediary.config.operations.findings import Find
from intermediary.config.operations.rows import Alarm


@dataclass(frozen=True)
class Rule:
    """One alarm. `expr` says the same in Prometheus's language, over our metrics and with the limits filled in."""

    key: str
    title: str
    severity: Alarm.Severity
    stake: str
    first: str  # what to do first
    expr: str
    find: Find
    hold_seconds: float = 0.0  # what is gone sooner is no alarm

    @property
    def anchor(self) -> str:
        """Of its section in the runbook, whose heading is the title."""
        return slug(self.title)


def slug(heading: str) -> str:
    """A heading's anchor, as code hosts make them."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
