"""Contagion: who would be reached when a counterparty, the venue, a keeper of tokens or a peg fails.

The officer picks one failure; the page shows who loses what and by whose layer, the graph of the relationships, and
whether the statement the platform makes held in the computed numbers: no performing relationship is reached except by
its linked lots. Everything is computed from the last official valuation while the page is made.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from intermediary import queries
from intermediary.closeout_schedule import STANDARD_RULES
from intermediary.config.office import custody
from intermediary.config.office.contagion_graph import drawn
from intermediary.config.office.pages import STALE_AFTER_S, show
from intermediary.errors import Refusal
from intermediary.models import Asset, Layer
from risk.contagion import platform
from risk.contagion.capital import circular_capital, sources
from risk.contagion.concentration import Concentration, concentration
from risk.contagion.network import Holding
from risk.contagion.platform import OWN_MEANS, Facts
from risk.contagion_queries import HOUSE_CONTRACT, balances, facts

REHEDGE_BPS = STANDARD_RULES.spread_bps + STANDARD_RULES.impact_bps  # as a close-out slice that uses the whole depth
EVERY_VAULT, EVERY_RETENTION, EVERY_ESCROW = "Every vault", "Every retention", "Every escrow"
GROUPS = {EVERY_VAULT: "Vault of ", EVERY_RETENTION: "Retention of ", EVERY_ESCROW: "Escrow of "}
KINDS = (
    ("default", "A counterparty defaults"),
    ("venue", "The venue fails"),
    ("freeze", "A custodian freezes"),
    ("peg", "A token loses its peg"),
)
SHOWN_MAX = 12  # names of a concentration or a sentence
ROWS_MAX = 60  # rows of a table: what is smaller is summed in one more row, so that the page stays light


@dataclass(frozen=True)
class CountedSource:
    """A source of tokens and the balance sheets whose capital it is; settlement base units."""

    name: str
    leaned_on: list[tuple[str, int]]
    lies_there: int
    counted: int

    @property
    def counted_twice(self) -> bool:
        """More counts on it than lies there."""
        return self.counted > self.lies_there


class ScenarioForm(forms.Form):
    """One failure. Fields of other kinds are ignored."""

    kind = forms.ChoiceField(choices=KINDS, label="What fails")
    code = forms.ChoiceField(label="Counterparty", required=False)
    times = forms.ChoiceField(
        label="Loss",
        required=False,
        choices=(("1", "its worst published stress"), ("2", "twice its worst stress"), ("4", "four times it")),
    )  # fmt: skip
    place = forms.ChoiceField(label="Keeper of tokens", required=False)
    asset = forms.ChoiceField(label="Token", required=False)
    price = forms.DecimalField(label="Worth, of its peg", required=False, min_value=0, max_value=1, decimal_places=4)
    pays = forms.DecimalField(label="The venue's estate pays, %", required=False, min_value=0, max_value=100)
    at_venue = forms.DecimalField(
        label="Held there besides, USDC", required=False, min_value=0, max_value=10**12, decimal_places=2,
        help_text="Money at the venue that the ledger does not know.",
    )  # fmt: skip

    def __init__(self, known: Facts, data: Any) -> None:
        super().__init__(data, label_suffix="", auto_id="scenario-%s")
        places = sorted({token.place for token in known.tokens})
        choices = {
            "code": [(one.code, one.code) for one in known.relationships],
            "place": [(one, one) for one in (HOUSE_CONTRACT, *GROUPS, *(p for p in places if p != HOUSE_CONTRACT))],
            "asset": [(code, code) for code in Asset.objects.order_by("code").values_list("code", flat=True)],
        }
        for name, found in choices.items():
            self.fields[name].choices = found  # type: ignore[attr-defined]  # only choice fields are named above


def contagion(request: HttpRequest) -> HttpResponse:
    """The page."""
    try:
        known = facts()
    except Refusal as refused:
        return show(request, "contagion", "Contagion", refused=refused)
    form = ScenarioForm(known, _asked(request, known))
    found = _played(known, form.cleaned_data) if form.is_valid() and known.relationships else {}
    counted = counted_sources(known)
    triangle = custody.CustodyForm(known, custody.asked(request.GET.dict(), known))
    if triangle.is_valid():
        found |= custody.played(known, triangle.cleaned_data)
    return show(
        request,
        "contagion",
        "Contagion",
        status=200 if (form.is_valid() and triangle.is_valid()) or not known.relationships else 422,
        triangle=triangle,
        known=known,
        valuation=queries.latest_valuation(),
        stale_after_s=STALE_AFTER_S,
        form=form,
        kinds=KINDS,
        graph=drawn(known, found.get("default"), found.get("venue"), found.get("freeze")),
        sources=counted[:ROWS_MAX],
        sources_count=len(counted),
        twice=[one for one in counted if one.counted_twice],
        leaning=leaning(known),
        by_kind=_by_kind(known),
        by_place=_shares(concentration(_grouped(known.tokens), "place")),
        by_asset=_shares(concentration(known.tokens, "asset")),
        **found,
    )


def _asked(request: HttpRequest, known: Facts) -> dict[str, str]:
    """What the address asks for, over the start: the relationship with the largest loss defaults."""
    worst = max(known.relationships, key=lambda one: one.loss, default=None)
    start = {
        "kind": "default", "code": worst.code if worst else "", "times": "1", "place": HOUSE_CONTRACT, "asset": "USDC",
        "price": "0.90", "pays": "0", "at_venue": "0",
    }  # fmt: skip
    return {name: request.GET.get(name, value) for name, value in start.items()}


def _played(known: Facts, asked: dict[str, Any]) -> dict[str, Any]:
    """The one failure that was asked for, under its name."""
    kind = asked["kind"]
    if kind == "default":
        found = platform.default(known, asked["code"], int(asked["times"] or 1))
        rows = [(str(Layer.Kind(layer).label), int(paid), int(size)) for layer, paid, size in found.layer_losses]
        return {
            "default": found,
            "worst": next(one for one in known.relationships if one.code == asked["code"]),
            "layer_rows": rows,
            "total": int(found.total),
            "from_margin": int(found.from_margin),
            "net_loss": int(found.net_loss),
            "uncovered": _largest(found.uncovered),
            "uncovered_total": int(sum(found.uncovered.values()) + found.own),
            "own": int(found.own),
            "pooled": _largest({name: lost for name, lost in found.pooled.items() if lost})[:SHOWN_MAX],
            "pooled_count": sum(map(bool, found.pooled.values())),
            "pooled_total": int(sum(found.pooled.values())),
            "pooled_layers": int(found.pooled_layers),
            "pooled_unlinked": sum(bool(found.pooled[name]) for name in found.unlinked),
            "unlinked_total": int(sum(found.apart.lost_by(name) for name in found.unlinked if name in found.reached)),
        }
    if kind == "venue":
        extra = int((asked["at_venue"] or 0) * 10**6)
        whole = Facts(known.relationships, known.own_means, known.at_venue + extra, known.hedged, known.tokens)
        failure = platform.venue_fails(whole, Fraction(asked["pays"] or 0) / 100, REHEDGE_BPS)
        return {"venue": failure, "venue_rows": _whole(failure), "rehedge_bps": REHEDGE_BPS}
    if kind == "freeze":
        place = asked["place"]
        stopped = [
            one.place for one in known.tokens if one.place == place or one.place.startswith(GROUPS.get(place, "\n"))
        ]
        frozen = platform.freeze(known, stopped)
        return {
            "freeze": frozen,
            "place": place,
            "stopped": _largest(frozen.stopped),
            "stopped_total": int(sum(frozen.stopped.values())),
            "late": _largest(frozen.late),
            "late_total": int(sum(frozen.late.values())),
            "lost": _largest(frozen.lost),
            "bridge": int(frozen.bridge),
        }
    losses = platform.peg_breaks(known, asked["asset"], Fraction(asked["price"] if asked["price"] is not None else 1))
    return {
        "peg": True,
        "asset": asked["asset"],
        "price": asked["price"],
        "peg_rows": _largest(losses),
        "peg_total": int(sum(losses.values())),
        "peg_groups": _largest(_by_bearer(losses)),
    }


def _whole(failure: platform.VenueFailure) -> dict[str, int]:
    names = ("claim", "recovered", "rehedge", "loss", "from_own_means", "beyond_own_means")
    return {name: int(getattr(failure, name)) for name in names}


def _by_bearer(losses: dict[str, Fraction]) -> dict[str, Fraction]:
    """Losses by whose money it is."""
    found: dict[str, Fraction] = {}
    for owner, lost in losses.items():
        found[_bearer(owner)] = found.get(_bearer(owner), Fraction(0)) + lost
    return found


def _bearer(owner: str) -> str:
    """Whose money an owner's tokens are: counterparties' margin, the intermediary's retentions and means, the bonds."""
    if owner == OWN_MEANS or owner.startswith(("First loss", "Senior")):
        return "The intermediary: retentions and own means"
    if owner.startswith(("Tail", "Coupons")):
        return "Bond investors: tail and coupons"
    return "Counterparties: margin and what is on its way"


def _largest(amounts: dict[str, Fraction]) -> list[tuple[str, int]]:
    """Largest first; beyond the most rows of a table the rest in one."""
    found = sorted(((name, int(amount)) for name, amount in amounts.items()), key=lambda one: (-one[1], one[0]))
    rest = found[ROWS_MAX:]
    return found[:ROWS_MAX] + ([(f"{len(rest)} others", sum(amount for _, amount in rest))] if rest else [])


def counted_sources(known: Facts) -> list[CountedSource]:
    """Every source of tokens with the balance sheets that count on it as capital, worst first."""
    capital = [layer.holding(one.house) for one in known.relationships for layer in one.layers]
    capital += [Holding(one.code, one.margin, place=one.vault, source=one.vault) for one in known.relationships]
    found = [one for one in sources(capital, balances(known.tokens)) if one.leaned_on]
    rows = [
        CountedSource(
            one.name, [(owner, int(amount)) for owner, amount in one.leaned_on], int(one.lies_there), int(one.counted)
        )
        for one in found
    ]
    return sorted(rows, key=lambda row: (not row.counted_twice, row.name))


def leaning(known: Facts) -> dict[str, Any]:
    """Whose capital leans on whom, to its end: the ring if there is one, how many links were followed, and the chains
    by kind with their tokens."""
    claims = platform.capital_claims(known)
    chains: dict[tuple[str, str, str], int] = {}
    for one in known.tokens:
        (place,) = _grouped((one,))
        chain = (_bearer(one.owner), place.place, one.asset)
        chains[chain] = chains.get(chain, 0) + int(one.amount)
    rows = sorted(((*chain, amount) for chain, amount in chains.items()), key=lambda row: -row[3])
    if known.at_venue:
        rows.append((_bearer(OWN_MEANS), platform.VENUE, "its promise to pay", known.at_venue))
    return {"ring": circular_capital(claims), "links": len(claims), "chains": rows}


def _by_kind(known: Facts) -> list[tuple[str, str, int, float, float]]:
    """Venues, custodians, tokens: the largest of each, its amount, its share of all that is the platform's and its
    clients', and the concentration of its kind."""
    whole = sum(int(one.amount) for one in known.tokens) + known.at_venue
    kinds = [
        ("Venues", concentration([Holding(OWN_MEANS, known.at_venue, place=platform.VENUE)], "place")),
        ("Custodians: each contract its own", concentration(known.tokens, "place")),
        ("Stablecoins and other tokens", concentration(known.tokens, "asset")),
    ]
    return [
        (name, of.largest or "none", amount, amount / whole if whole else 0.0, float(of.hhi))
        for name, of in kinds
        for amount in [int(of.amounts[0][1]) if of.total else 0]
    ]


def _grouped(tokens: tuple[Holding, ...]) -> list[Holding]:
    """Contracts by kind: one vault is like another."""
    kinds = {prefix: name for name, prefix in GROUPS.items()}
    return [
        Holding(one.owner, one.amount, one.asset, next((kinds[p] for p in kinds if one.place.startswith(p)), one.place))
        for one in tokens
    ]


def _shares(found: Concentration) -> dict[str, Any]:
    return {
        "rows": [
            (name, int(amount), float(amount / found.total))
            for name, amount in found.amounts[:SHOWN_MAX]
            if found.total
        ],
        "hhi": float(found.hhi),
        "largest": found.largest,
        "largest_share": float(found.shares[0][1]) if found.shares else 0.0,
    }
