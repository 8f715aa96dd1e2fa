"""Liquidity and capital of the intermediary: what it may have to lay out and by when, against the money that is there
by then; and where its own capital stands, against what the published scenarios would take of it.

The figures come from the last stress report, the last requirements and the ledger; added up here and not modelled anew.
Winners are paid where a cycle ends (`VARIATION_CYCLE`; 0: at every valuation) whether or not losers pay, so the float
must carry whatever a loser's vault does not hold in the settlement token. Retentions stand for their own relationship
alone and are no liquidity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from bonds.models import Series
from intermediary import ledger, onboarding, queries
from intermediary.call_forecast import coin_margin, forecasts
from intermediary.config.office import contagion
from intermediary.config.office.pages import show
from intermediary.config.office.stress import stale_after_s
from intermediary.errors import Refusal
from intermediary.models import Account, AccountKind, CallIncrement, Cell, MarginCall, MarginState
from intermediary.terms import Terms
from risk.contagion_queries import facts
from risk.stress_queries import BookStress, RelationshipStress, book_stress

DOLLAR = 10**6  # settlement base units
SCALE = 1000
SPANS = (
    ("within 1 hour", timedelta(hours=1)),
    ("within 4 hours", timedelta(hours=4)),
    ("within 1 day", timedelta(days=1)),
)
PARTS = (
    ("unpaid", "Nobody pays"),
    ("falls", "Every coin falls"),
    ("scenarios", "Published scenarios"),
    ("coming", "Open calls"),
    ("times", "How long"),
    ("capital", "Own capital"),
    ("after", "After each scenario"),
    ("chains", "Chains of capital"),
)
WAITING = [*MarginCall.OPEN_STATES, MarginCall.State.LAPSED]
OWN = (
    (AccountKind.FLOAT, "Liquidity float", "House contract", "now", "f-part-1"),
    (AccountKind.FEES, "Fees", "House contract", "now; not counted as float", "f-part-2"),
    (AccountKind.INTEREST, "Interest", "House contract", "now; not counted as float", "f-part-3"),
    (
        AccountKind.FIRST_LOSS,
        "First loss retentions",
        "A contract of each relationship",
        "for its own loss",
        "f-part-4",
    ),
    (AccountKind.SENIOR_RETENTION, "Senior retentions", "A contract of each relationship", "for its own", "f-part-5"),
)


@dataclass(frozen=True)
class Need:
    """What one case asks of the float: `laid_out`, against `float_base_units`. `who`: relationships that it comes from;
    `called`: what their calls would ask for in it, where that is known. Settlement base units."""

    name: str
    laid_out: int
    float_base_units: int
    who: int
    called: int | None = None

    @property
    def left(self) -> int:
        """What the float has left; negative: short."""
        return self.float_base_units - self.laid_out

    @property
    def shares(self) -> list[tuple[str, float, float]]:
        """The float as a bar, its used part and what lies beyond it."""
        whole = max(self.float_base_units, self.laid_out) or 1
        used, beyond = min(self.laid_out, self.float_base_units), max(0, -self.left)
        start = SCALE * self.float_base_units / whole
        return [
            ("f-track", 0.0, float(SCALE)),
            ("f-margin", 0.0, SCALE * used / whole),
            ("f-bad", start, SCALE * beyond / whole),
        ]

    @property
    def words(self) -> str:
        """The bar for who does not see it."""
        if not self.float_base_units:
            return f"{self.name}: there is no float"
        return f"{self.name}: uses {self.laid_out / self.float_base_units:.0%} of the float"


def liquidity(request: HttpRequest) -> HttpResponse:
    """The page."""
    found = book_stress()
    means = _own_means()
    cash = means[AccountKind.FLOAT]
    vaults, states = _cash_in_vaults(), _states()
    terms = onboarding.terms_of_cells([state.cell_id for state in states])
    scenarios = (
        [Need(row["title"], row["prefinance"], cash, row["short"]) for row in found.house["rows"]] if found else []
    )
    unpaid = _unpaid(found.relationships, vaults, cash) if found else []
    falls = _falls(states, terms, vaults, cash)
    cycle = _cycle_minutes()
    return show(
        request,
        "liquidity",
        "Liquidity and capital",
        on_this_page=[part for part in PARTS if found or part[0] != "after"],
        found=found,
        stale_after_s=stale_after_s(),
        float_base_units=cash,
        worst=max((*scenarios, *unpaid, *falls), key=lambda one: one.laid_out, default=None),
        scenarios=sorted(scenarios, key=lambda one: -one.laid_out),
        unpaid=unpaid,
        falls=falls,
        coming=_coming(queries.platform_clock().now),
        times=_times(terms.values(), states, cycle),
        cycle_minutes=cycle,
        **_capital(means, found),
        **_once(),
    )


def _own_means() -> dict[AccountKind, int]:
    kinds = [kind for kind, *_ in OWN]
    rows = Account.objects.filter(kind__in=kinds, asset__is_settlement=True).values_list("kind", "balance_base_units")
    found = dict.fromkeys(kinds, 0)
    for kind, amount in rows:
        found[AccountKind(kind)] += amount
    return found


def _cash_in_vaults() -> dict[UUID, int]:
    """Of each relationship what its vault holds in the settlement token: this much of a loss can be debited at once."""
    rows = Account.objects.filter(
        kind=AccountKind.CLIENT_MARGIN, asset__is_settlement=True, cell__kind=Cell.Kind.CLIENT
    )
    return dict(rows.values_list("cell_id", "balance_base_units"))


def _states() -> list[MarginState]:
    rows = MarginState.objects.exclude(cell__state__in=[Cell.State.DEFAULTED, Cell.State.CLOSED])
    return list(rows.select_related("cell").order_by("cell__code"))


def _unpaid(measured: Sequence[RelationshipStress], vaults: dict[UUID, int], cash: int) -> list[Need]:
    """By days without a payment what the float would have laid out at the highest quantile of everybody at once."""
    if not measured:
        return []
    found = []
    for place, days in enumerate(measured[0].body["exposure"]["days"]):
        owed = {one.cell.id: one.body["exposure"]["owed"][place][-1] * DOLLAR for one in measured}
        gaps = [gap for cell_id, amount in owed.items() if (gap := amount - vaults.get(cell_id, 0)) > 0]
        found.append(Need(f"{days:g} day{'' if days == 1 else 's'}", sum(gaps), cash, len(gaps)))
    return found


def _falls(states: Sequence[MarginState], terms: dict[UUID, Terms], vaults: dict[UUID, int], cash: int) -> list[Need]:
    """By a fall of every coin what would be called, and what the float lays out until the calls are met."""
    by_move: dict[str, list[tuple[int, int]]] = {}
    coins = coin_margin(states, terms)
    for state in states:
        for one in forecasts(state, terms.get(state.cell_id), coins.get(state.cell_id, 0)):
            owed = max(0, state.exposure_base_units + one.loss_base_units)
            gap = max(0, owed - vaults.get(state.cell_id, 0))
            by_move.setdefault(one.move, []).append((one.call_base_units, gap))
    return [
        Need(
            f"Every coin {move}",
            sum(gap for _, gap in rows),
            cash,
            sum(1 for call, _ in rows if call),
            sum(call for call, _ in rows),
        )
        for move, rows in by_move.items()
    ]


def _coming(now: datetime) -> list[tuple[str, int, int]]:
    """What open calls bring by when: the span, the amount, how many relationships owe it. Spans do not overlap. Of a
    relationship with a call of each kind the larger counts: one deposit meets both."""
    rows = CallIncrement.objects.filter(
        call__direction="DELIVERY", call__state__in=WAITING, unmet_base_units__gt=0
    ).values_list("cell_id", "call__kind", "deliver_by", "unmet_base_units")
    by_cell: dict[UUID, dict[str, dict[str, int]]] = {}
    for cell_id, kind, deliver_by, unmet in rows:
        spans = by_cell.setdefault(cell_id, {}).setdefault(kind, {})
        name = _span(deliver_by - now)
        spans[name] = spans.get(name, 0) + unmet
    larger = [max(kinds.values(), key=lambda spans: sum(spans.values())) for kinds in by_cell.values()]
    names = ["overdue", *(name for name, _ in SPANS), "later"]
    return [
        (name, sum(spans.get(name, 0) for spans in larger), sum(1 for spans in larger if name in spans))
        for name in names
    ]


def _span(left: timedelta) -> str:
    if left < timedelta(0):
        return "overdue"
    return next((name for name, until in SPANS if left <= until), "later")


def _cycle_minutes() -> int:
    """Minutes from one payment of variation margin to the next, one at least; 0: it is paid at every valuation."""
    cycle: timedelta = settings.VARIATION_CYCLE
    return max(1, round(cycle / timedelta(minutes=1))) if cycle else 0


def _times(terms: Iterable[Terms], states: Sequence[MarginState], cycle: int) -> list[tuple[str, str, int, int]]:
    """How long each step takes until the float has its money back: what, why, least and most minutes over everybody.
    `cycle`: minutes between payments of variation margin, 0 where every valuation pays."""
    signed = list(terms)
    if not signed:
        return []

    def over(name: str) -> tuple[int, int]:
        values = [getattr(one, name) for one in signed]
        return min(values), max(values)

    periods = [60 * int(hours) for one in states if (hours := one.breakdown.get("margin_period_hours"))]
    challenges = [seconds // 60 for seconds in Series.objects.values_list("challenge_seconds", flat=True)]
    rows = [
        (
            "Payment",
            "losers are debited and winners paid, every",
            *((cycle, cycle) if cycle else over("valuation_minutes")),
        ),
        ("Call", "met by a deposit within", *over("deliver_minutes")),
        ("Grace", "then a default notice can follow, after", *over("grace_minutes")),
        ("Cure", "the notice can still be cured for", *over("cure_minutes")),
    ]
    if periods:
        rows.append(
            (
                "Margin period",
                "all of that and the run-down of the book, as margin counts it",
                min(periods),
                max(periods),
            )
        )
    if challenges:
        rows.append(
            ("Challenge", "a tail bond pays this long after its loss is noticed", min(challenges), max(challenges))
        )
    return rows


def _capital(means: dict[AccountKind, int], found: BookStress | None) -> dict[str, Any]:
    """Own capital by where it stands, as a bar and a table, and what each scenario takes of the retentions."""
    whole = sum(means.values())
    parts, left, bar = [], 0, []
    for kind, name, place, usable, tone in OWN:
        amount = means[kind]
        parts.append((name, place, usable, amount, amount / whole if whole else None, tone.removeprefix("f-")))
        bar.append((tone, SCALE * left / (whole or 1), SCALE * amount / (whole or 1)))
        left += amount
    rows = [
        (row["title"], row["first_loss"], row["senior"], whole - row["first_loss"] - row["senior"], row["uncovered"])
        for row in (found.house["rows"] if found else ())
    ]
    return {
        "capital": whole,
        "capital_parts": parts,
        "capital_bar": bar,
        "capital_words": ", ".join(f"{name} {amount // DOLLAR:,} USDC" for name, _, _, amount, *_ in parts),
        "capital_after": sorted(rows, key=lambda row: row[3]),
        "contributed": -ledger.total([AccountKind.EQUITY], ledger.settlement_asset().code) if whole else 0,
    }


def _once() -> dict[str, Any]:
    """Whether every dollar of capital stands once, and whose capital leans on whom; a reason where it is not known."""
    try:
        known = facts()
    except Refusal as refused:
        return {"refused": refused}
    counted = contagion.counted_sources(known)
    return {
        "known": known,
        "twice": [one for one in counted if one.counted_twice],
        "sources_count": len(counted),
        "leaning": contagion.leaning(known),
    }
