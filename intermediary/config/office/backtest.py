"""The backtest of the standard ruleset as officers read it: the verdict first, then what was wrong, when, how much.

The figures stand beside the code (risk/backtest/data) and hold nobody's prices. Of the days they name the exceptions,
each as a multiple of the margin of its day, and those are drawn; every day is, where `manage.py backtest --out` wrote a
report of the same ruleset on this machine.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from intermediary.config.office import backtest_reading as reading
from intermediary.config.office.pages import show
from intermediary.models import MarginState

COUNTS_THAT_COUNT = "held out"  # the years the model had never seen
ALL = "all"  # which every report has
BLOCK = 5  # days: a line of seven years takes the highest of each block, so that peaks stay and the page is light
DIGITS = 2  # of a percentage


@lru_cache(maxsize=1)
def _text() -> str:
    path = Path(apps.get_app_config("risk").path) / "backtest" / "data" / "standard.json"
    return path.read_text()


@lru_cache(maxsize=1)
def figures() -> dict[str, Any]:
    """The report body of the standard ruleset."""
    body: dict[str, Any] = json.loads(_text())
    return body


def backtest(request: HttpRequest) -> HttpResponse:
    """The page: `?stretch=` one of the figures' stretches, `?book=` whose days are drawn."""
    body = figures()
    names = reading.stretches(body)
    asked = request.GET.get("stretch", COUNTS_THAT_COUNT)
    stretch = asked if asked in names else ALL
    rows = reading.books(body, stretch)
    book = next((row for row in rows if row.name == request.GET.get("book")), rows[0])
    found = reading.verdicts(body, stretch)
    conditional = reading.part(body, "conditional", stretch)
    exceptions = reading.exceptions(body, book.name, conditional)
    return show(
        request,
        "backtest",
        "Backtest",
        body=body,
        names=names,
        stretch=stretch,
        verdicts=found,
        holding=sum(one.holds for one in found),
        failing=[one for one in found if not one.holds],
        conditional=conditional,
        margin=reading.part(body, "margin", stretch),
        kinds=reading.kinds(rows),
        rows=rows,
        worst=max(rows, key=lambda row: float(row.margin["worst_loss_over_margin"])),
        weak=reading.weaknesses(body, stretch),
        not_tested=reading.NOT_TESTED,
        basis=body["basis"]["books"],
        tail=_tail_chart(book.conditional["tail"]),
        coverage=_coverage_chart(rows),
        book=book,
        exceptions=exceptions,
        days=_days_chart(book.name, body["ruleset"]["hash"], conditional),
        marked=_marked_chart(exceptions, conditional),
        backtest_directory=settings.VAR_DIR / "backtest",
        other_in_force=_other_in_force(body["ruleset"]["hash"]),
    )


def download(request: HttpRequest) -> HttpResponse:
    """The figures as they are kept."""
    return HttpResponse(
        _text(),
        content_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="bulkhead-backtest-standard.json"'},
    )


def _other_in_force(judged_hash: str) -> str:
    """The ruleset of the last requirements when it is not the one that was judged, else empty."""
    newest = MarginState.objects.order_by("-valuation__as_of").values_list("ruleset_hash", flat=True).first()
    return newest if newest and newest != judged_hash else ""


def _coverage_chart(rows: list[reading.BookRow]) -> dict[str, Any]:
    """Exceptions at 99% of each book against the range of counts that a right model would have."""
    return {
        "kind": "ranges",
        "unit": "losses beyond VaR 99%",
        "range_name": "accepted at 5%",
        "categories": [row.name for row in rows],
        "ranges": [row.at_99["accepted"] for row in rows],
        "dots": [
            {"value": row.at_99["exceptions"], "tone": "bad" if row.at_99["kupiec_rejected"] else "accent"}
            for row in rows
        ],
    }


def _tail_chart(tail: dict[str, Any]) -> dict[str, Any] | None:
    """Quantiles of a book's tail residuals against the model's: on the line the tail is right; None without any."""
    if not tail["quantiles"]:
        return None
    points = [[round(value, DIGITS) for value in pair] for pair in tail["quantiles"]]
    top = max(value for pair in points for value in pair)
    dots = {"name": "Seen", "tone": "bad" if tail["rejected"] else "accent", "filled": True, "points": points}
    return {
        "kind": "lines",
        "unit": "residual, scale of the tail",
        "x": "value",
        "xName": "quantile of the model",
        "scale": False,
        "series": [{"name": "A right tail", "tone": "ok", "points": [[0, 0], [top, top]]}],
        "dots": [dots],
    }


def _days_chart(book: str, ruleset_hash: str, stretch: dict[str, Any]) -> dict[str, Any] | None:
    """A book's losses and forecasts day by day with every exception marked; None without a report of this ruleset."""
    directory = settings.VAR_DIR / "backtest"
    report, series = directory / "report.json", directory / "series" / f"{_slug(book)}.json"
    if not report.is_file() or not series.is_file() or _judged(report, report.stat().st_mtime_ns) != ruleset_hash:
        return None
    days = json.loads(series.read_text())
    at = [row for row, day in enumerate(days["days"]) if stretch["first"] <= day <= stretch["last"]]
    return {
        "kind": "lines",
        "unit": "% of gross notional",
        "scale": False,
        "series": [
            {"name": "Loss", "tone": "quiet", "quiet": True, "points": _points(days, "loss", _peaks(days, "loss", at))},
            {"name": "VaR 99%", "tone": "accent", "points": _points(days, "var_99", _peaks(days, "var_99", at))},
            {"name": "Margin", "tone": "ok", "points": _points(days, "margin", _peaks(days, "margin", at))},
        ],
        "dots": _exceptions(days, at),
    }


def _marked_chart(exceptions: list[reading.ExceptionDay], stretch: dict[str, Any]) -> dict[str, Any] | None:
    """Every exception as a multiple of the margin of its day, under the line where margin ends; None without any."""
    if not exceptions:
        return None
    ends = (stretch["first"], stretch["last"])
    return {
        "kind": "lines",
        "unit": "times the margin of the day",
        "scale": False,
        "series": [{"name": "Margin of the day", "tone": "ok", "points": [[day, 1] for day in ends]}],
        "dots": [
            {
                "name": name,
                "tone": tone,
                "filled": beyond,
                "points": [[one.day, one.over_margin] for one in exceptions if one.beyond_margin == beyond],
            }
            for name, tone, beyond in (("Beyond VaR 99%", "wait", False), ("Beyond margin", "bad", True))
        ],
    }


def _peaks(days: dict[str, Any], name: str, at: list[int]) -> list[int]:
    """The row of the highest value in each block of days."""
    blocks = [at[begin : begin + BLOCK] for begin in range(0, len(at), BLOCK)]
    return [max(block, key=lambda row: float(days[name][row])) for block in blocks]


def _points(days: dict[str, Any], name: str, at: list[int]) -> list[list[Any]]:
    return [[days["days"][row], round(100 * days[name][row], DIGITS)] for row in at]


def _exceptions(days: dict[str, Any], at: list[int]) -> list[dict[str, Any]]:
    """Losses beyond VaR 99% as rings, beyond margin as filled dots."""
    beyond = [row for row in at if days["loss"][row] > days["var_99"][row]]
    over = {row for row in beyond if days["loss"][row] > days["margin"][row]}
    return [
        {
            "name": "Beyond VaR 99%",
            "tone": "wait",
            "points": _points(days, "loss", [r for r in beyond if r not in over]),
        },
        {"name": "Beyond margin", "tone": "bad", "filled": True, "points": _points(days, "loss", sorted(over))},
    ]


@lru_cache(maxsize=1)
def _judged(report: Path, written_ns: int) -> str:
    """Hash of the ruleset that a written report judged; the time of writing makes a newer report be read anew."""
    return str(json.loads(report.read_text())["ruleset"]["hash"])


def _slug(book: str) -> str:
    """A book's file name, as the report's writer makes it."""
    return re.sub(r"[^a-z0-9]+", "-", book.lower()).strip("-")
