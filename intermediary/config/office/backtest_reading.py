"""The backtest's figures as an officer reads them: sentences with numbers, the worst of each, what is weak.

Reads the report body of `risk.backtest.report` (fields: docs/backtest.md) as plain JSON; computes no statistic and
loads no numeric library. Every sentence of weakness is made from the figures, except what no file of prices can test.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

Json = dict[str, Any]

TESTS = {
    "kupiec_rejected": (
        "Kupiec",
        "Is the number of losses beyond VaR {level}% what the level says? Two-sided: too few counts as wrong, too.",
    ),
    "christoffersen_rejected": (
        "Christoffersen",
        "Are losses beyond VaR {level}% also not in clusters? Conditional coverage, critical values simulated.",
    ),
    "pinball_ratio": (
        "Pinball loss",
        "Is VaR {level}% sharper than the plain yardstick (EWMA-filtered history)? Below 1 ours scores better.",
    ),
    "acerbi_szekely_rejected": (
        "Acerbi-Szekely Z2",
        "Are the losses beyond VaR {level}% as large as expected shortfall says? One-sided: larger is rejected.",
    ),
    "evt_residuals_rejected": (
        "EVT residuals",
        "Are losses beyond the threshold (about {level}%) spread as the fitted Pareto tail says? Anderson-Darling, "
        "two-sided.",
    ),
    "beyond_margin_rejected": (
        "Losses beyond margin",
        "Are there as many as the conditional model expects, day by day? Exact, two-sided.",
    ),
    "margin_series_outside_green": (
        "Traffic light",
        "Is base margin enough at 99.7%? Zones computed for each number of windows; no book may leave green.",
    ),
}
KINDS = {"single": "Single coin", "pair": "Hedged pair", "archetype": "Portfolio archetype", "option": "Option book"}
NOT_TESTED = (
    "Options on anything but BTC, other tenors than 30 days, the smile: what is recorded is one index a day.",
    "Cash and carry, for a verdict: spot and perpetual stand side by side for half a year of three coins.",
    "Windows begin at 00:00 UTC only, and prices are one venue's.",
    "Coins with a short history (DOGE, LINK, AVAX, HYPE): too few windows for any verdict.",
)
PLAIN = {"ewma": "EWMA-filtered history", "gjr": "GJR-GARCH", "unfiltered": "unfiltered history"}
BY_CHANCE = -1.96  # Diebold-Mariano above it: the advantage may be chance, at 5%


@dataclass(frozen=True)
class Verdict:
    """One claim of one stretch: what was asked, the figure, its limit, and the worst book behind it."""

    test: str
    level: str
    question: str
    figure: float
    limit: float
    holds: bool
    worst: str

    @property
    def is_ratio(self) -> bool:
        """A ratio, not a number of books."""
        return self.test == "Pinball loss"


@dataclass(frozen=True)
class BookRow:
    """One tested book of a stretch: the conditional model's row and the margin's row, as the figures hold them."""

    name: str
    kind: str
    conditional: Json
    margin: Json

    @property
    def at_99(self) -> Json:
        """Coverage of VaR 99%."""
        level: Json = self.conditional["levels"]["99"]
        return level

    @property
    def at_997(self) -> Json:
        """Coverage of VaR 99.7%."""
        level: Json = self.conditional["levels"]["99.7"]
        return level


@dataclass(frozen=True)
class ExceptionDay:
    """A loss beyond VaR 99%: the day (ISO, UTC) its 24 hours began, over the VaR and the margin known that morning."""

    day: str
    over_var: float
    over_margin: float

    @property
    def beyond_margin(self) -> bool:
        """Margin did not hold it."""
        return self.over_margin > 1


def exceptions(body: Json, book: str, stretch: Json) -> list[ExceptionDay]:
    """Every exception of a book in a stretch (its `conditional` part), oldest first."""
    return [
        ExceptionDay(day, over_var, over_margin)
        for day, over_var, over_margin in body["exceptions"].get(book, [])
        if stretch["first"] <= day <= stretch["last"]
    ]


def stretches(body: Json) -> list[str]:
    """Names of the stretches the figures hold, in their order."""
    return [part["stretch"] for part in body["conditional"]]


def part(body: Json, section: str, stretch: str) -> Json:
    """The `conditional` or `margin` section of one stretch."""
    found: Json = next(one for one in body[section] if one["stretch"] == stretch)
    return found


def books(body: Json, stretch: str) -> list[BookRow]:
    """Every tested book of a stretch, singles first, then pairs and archetypes."""
    of_margin = {row["book"]: row for row in part(body, "margin", stretch)["books"]}
    rows = [
        BookRow(row["book"], KINDS[row["kind"]], row, of_margin[row["book"]])
        for row in part(body, "conditional", stretch)["books"]
    ]
    order = list(KINDS.values())
    return sorted(rows, key=lambda row: order.index(row.kind))


def verdicts(body: Json, stretch: str) -> list[Verdict]:
    """Every claim of a stretch in words."""
    rows = books(body, stretch)
    found = []
    for row in body["verdicts"]:
        if row["stretch"] != stretch:
            continue
        claim, level = _claim(row["claim"])
        test, question = TESTS[claim]
        found.append(
            Verdict(
                test=test,
                level=f"{level}%",
                question=question.format(level=level),
                figure=row["figure"],
                limit=row["limit"],
                holds=row["holds"],
                worst=_worst(claim, level, rows),
            )
        )
    return found


def weaknesses(body: Json, stretch: str) -> list[str]:
    """What is not good about the model on a stretch, each with its number."""
    rows, margin = books(body, stretch), part(body, "margin", stretch)
    return [
        *_beyond_margin(rows, part(body, "conditional", stretch), margin),
        *_procyclicality(rows),
        _level(part(body, "conditional", stretch), margin),
        *_rejected(rows),
        *_not_sharper(body, stretch, rows),
    ]


def kinds(rows: list[BookRow]) -> list[Json]:
    """Coverage by kind of book: sums of exceptions and what was expected, and the margin's size."""
    found = []
    for kind in KINDS.values():
        of = [row for row in rows if row.kind == kind]
        if of:
            found.append(
                {
                    "kind": kind,
                    "books": len(of),
                    "windows": sum(row.conditional["windows"] for row in of),
                    "at_99": _sums([row.at_99 for row in of]),
                    "at_997": _sums([row.at_997 for row in of]),
                    "margin": _sums([row.margin for row in of]),
                    "green": sum(row.margin["zone"] == "green" for row in of),
                    "size": sum(row.margin["size_against_conditional"] for row in of) / len(of),
                }
            )
    return found


def _sums(rows: list[Json]) -> Json:
    return {name: sum(row[name] for row in rows) for name in ("exceptions", "expected")}


def _claim(claim: str) -> tuple[str, str]:
    """`kupiec_rejected_99.7` is the claim `kupiec_rejected` at 99.7%; the margin's is always at 99.7%."""
    name, _, level = claim.rpartition("_")
    return (name, level) if level.replace(".", "").isdigit() else (claim, "99.7")


def _worst(claim: str, level: str, rows: list[BookRow]) -> str:
    """The book nearest to, or furthest beyond, a rejection."""
    if claim == "margin_series_outside_green":
        row = max(rows, key=lambda one: one.margin["exceptions"] / one.margin["yellow_from"])
        return f"{row.name}: {row.margin['exceptions']} beyond margin, yellow from {row.margin['yellow_from']}"
    if claim == "acerbi_szekely_rejected":
        row = min(rows, key=lambda one: float(one.conditional["shortfall_99"]["p"]))
        test = row.conditional["shortfall_99"]
        return f"{row.name}: Z2 {_signed(test['z2'])}, critical {_signed(test['critical'])}"
    if claim in ("evt_residuals_rejected", "beyond_margin_rejected"):
        return _worst_tail(claim, rows)
    of = {row.name: row.conditional["levels"][level] for row in rows}
    if claim == "pinball_ratio":
        name = max(of, key=lambda one: float(of[one]["against"]["ewma"]["pinball_ratio"]))
        return f"{name}: {of[name]['against']['ewma']['pinball_ratio']:.3f}"
    test = claim.partition("_")[0]
    name = min(of, key=lambda one: float(of[one][f"{test}_p"]))
    low, high = of[name]["accepted"]
    beside = f"{of[name]['exceptions']} exceptions, accepted {low} to {high}" if test == "kupiec" else "clustered"
    return f"{name}: p = {of[name][f'{test}_p']:.3f}, {beside}"


def _worst_tail(claim: str, rows: list[BookRow]) -> str:
    of_tail = claim == "evt_residuals_rejected"
    test = {row.name: row.conditional["tail" if of_tail else "beyond_margin"] for row in rows}
    name = min(test, key=lambda one: float(test[one]["p"]))
    row = test[name]
    if of_tail:
        return f"{name}: p = {row['p']:.3f}, mean residual {row['mean_residual']:.2f}, 1 if right"
    low, high = row["accepted"]
    return (
        f"{name}: p = {row['p']:.3f}, {row['observed']} where {row['expected']:.1f} expected, {low} to {high} accepted"
    )


def _beyond_margin(rows: list[BookRow], conditional: Json, margin: Json) -> list[str]:
    expected = conditional["beyond_margin"]
    worst = sorted(rows, key=lambda row: -float(row.margin["worst_loss_over_margin"]))[:3]
    named = ", ".join(f"{row.name} {row.margin['worst_loss_over_margin']:.1f} times" for row in worst)
    return [
        f"Jumps that no past contains: the worst losses against the margin of their day are {named}. "
        f"Of {margin['exceptions']} losses beyond margin, the layers must take what the jump charge does not.",
        f"The conditional model expects {expected['expected']:.0f} losses beyond margin, together "
        f"{expected['expected_total_size']:.2f} times a book's notional; {expected['observed']} came, together "
        f"{expected['total_size']:.2f}.",
    ]


def _procyclicality(rows: list[BookRow]) -> list[str]:
    rises = [float(row.margin["procyclicality"]["rise_1d"]) for row in rows]
    worst = max(rows, key=lambda row: float(row.margin["procyclicality"]["rise_1d"]))
    peaks = median(float(row.margin["procyclicality"]["peak_to_trough"]) for row in rows)
    return [
        f"Procyclicality: in its worst case margin rises by {median(rises):.0%} within a day in the median book and by "
        f"{worst.margin['procyclicality']['rise_1d']:.0%} in the worst ({worst.name}); "
        f"peak over trough is {peaks:.1f} in the median."
    ]


def _level(conditional: Json, margin: Json) -> str:
    at = [
        f"{one['exceptions']} losses beyond VaR {level}% ({one['expected']:.0f} expected)"
        for level, one in conditional["levels"].items()
    ]
    side = "more" if margin["exceptions"] < margin["expected"] else "less"
    return (
        f"Margin holds {side} than its level says: {margin['exceptions']} losses beyond it where "
        f"{margin['expected']:.0f} are allowed; its size is {margin['size_against_conditional']:.2f} times the "
        f"conditional VaR 99.7%. The conditional model saw {' and '.join(at)}."
    )


def _rejected(rows: list[BookRow]) -> list[str]:
    found = []
    for row in rows:
        for level, at in row.conditional["levels"].items():
            for test in ("kupiec", "christoffersen"):
                if at[f"{test}_rejected"]:
                    low, high = at["accepted"]
                    found.append(
                        f"{row.name} is rejected by {test.title()} at {level}% (p = {at[f'{test}_p']:.3f}; "
                        f"{at['exceptions']} exceptions, accepted {low} to {high})."
                    )
        if row.conditional["shortfall_99"]["rejected"]:
            found.append(f"{row.name}: losses beyond VaR 99% are larger than its expected shortfall says.")
        if row.conditional["tail"]["rejected"]:
            tail = row.conditional["tail"]
            found.append(
                f"{row.name}: losses beyond the threshold are not spread as its tail says (p = {tail['p']:.3f}; "
                f"{tail['exceedances']} of {tail['expected']:.0f} expected, mean residual {tail['mean_residual']:.2f} "
                "instead of 1)."
            )
        if row.margin["zone"] != "green":
            found.append(
                f"{row.name} is {row.margin['zone']}: {row.margin['exceptions']} losses beyond margin, yellow from "
                f"{row.margin['yellow_from']}."
            )
    return found


def _not_sharper(body: Json, stretch: str, rows: list[BookRow]) -> list[str]:
    found = []
    duller = [
        (row.name, level, at["against"]["ewma"]["pinball_ratio"])
        for row in rows
        for level, at in row.conditional["levels"].items()
        if at["against"]["ewma"]["pinball_ratio"] > 1
    ]
    if duller:
        name, level, ratio = max(duller, key=lambda one: float(one[2]))
        found.append(
            f"The plain yardstick scores better in {len(duller)} of {2 * len(rows)} cases (book and level), "
            f"most for {name} at {level}%: by {ratio - 1:.1%}."
        )
    for level, at in part(body, "conditional", stretch)["levels"].items():
        for other, against in at["against"].items():
            if against["diebold_mariano"] > BY_CHANCE:
                found.append(
                    f"The advantage over {PLAIN[other]} at {level}% may be chance: "
                    f"Diebold-Mariano {_signed(against['diebold_mariano'])}, significant below −1.96."
                )
    return found


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
