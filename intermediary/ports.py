"""What the intermediary asks of other parts, as it commits and for its pages. The composition root binds them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True)
class AdmissionResult:
    """The verdict of the admission test (D2) with all its numbers; amounts in settlement base units."""

    passed: bool
    stressed_loss_base_units: int
    resources_base_units: int
    binding_scenario: str
    data: dict[str, Any] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """The verdict as a plain JSON value, to be stored or shown."""
        return {
            "passed": self.passed,
            "stressed_loss_base_units": self.stressed_loss_base_units,
            "resources_base_units": self.resources_base_units,
            "binding_scenario": self.binding_scenario,
            "data": self.data,
        }


@dataclass(frozen=True)
class LayerSizes:
    """The layers that would stand behind a relationship, in settlement base units."""

    first_loss_base_units: int
    tail_base_units: int
    senior_base_units: int


@dataclass(frozen=True)
class PlannedTrade:
    """One side of a trade that is being considered: signed units of an instrument, at dollars a unit."""

    instrument_id: UUID
    quantity: Decimal
    price: Decimal


class RiskGate(Protocol):
    """The admission test at commit time; runs where the numbers live, inside the caller's transaction."""

    def check_trades(self, changes: Mapping[UUID, Sequence[PlannedTrade]]) -> dict[UUID, AdmissionResult]:
        """Each cell's verdict if these trades were booked at their prices. Headroom is checked too.

        Refuses `price_off_market`."""

    def check_line(self, cell_id: UUID, threshold_base_units: int, layers: LayerSizes) -> AdmissionResult:
        """The verdict on a cell's present book under a proposed line."""


_bound: dict[str, RiskGate] = {}


def bind_risk_gate(gate: RiskGate) -> None:
    """Called once by the composition root."""
    _bound["risk"] = gate


def risk_gate() -> RiskGate:
    """The bound gate; a process without one may not take on risk."""
    return _bound["risk"]


@dataclass(frozen=True)
class UncoveredRisk:
    """Live risk, over the coming year, that a relationship's loss exceeds all layers that can pay (D1).

    `probability` of any such loss; `expected_base_units` its mean over all outcomes; `layers_base_units` where it
    begins, beyond margin; in the market of the snapshot as of `as_of`.
    """

    probability: float
    expected_base_units: int
    layers_base_units: int
    as_of: datetime
    snapshot_id: str


class StressReport(Protocol):
    """The last stress report of one relationship (docs/stress.md), in the market as of `as_of`.

    Amounts are settlement base units, except in `body` where it says whole dollars; moves are percent."""

    @property
    def body(self) -> Mapping[str, Any]:
        """The report as stored: `heat` and `exposure` hold the map and the fan, in whole dollars."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The published scenarios, each with who bears it."""

    @property
    def worst(self) -> dict[str, Any]:
        """The scenario that leaves most after margin."""

    @property
    def nearest(self) -> Mapping[str, Any]:
        """Of each level the nearest move that passes it, None out of reach."""

    @property
    def axes(self) -> list[dict[str, Any]]:
        """Every axis and side with the crossing of each level."""

    @property
    def as_of(self) -> datetime:
        """Of the valuation it was measured at."""

    @property
    def snapshot_id(self) -> str:
        """Of the market it was measured in."""


StressReports = Callable[[UUID], StressReport | None]
_stress: dict[str, StressReports] = {}


def bind_stress_report(read: StressReports) -> None:
    """Called once by the composition root."""
    _stress["report"] = read


def stress_report(cell_id: UUID) -> StressReport | None:
    """A relationship's last stress report, for whoever may read it; None before the first."""
    return _stress["report"](cell_id)


UncoveredRisks = Callable[[], Mapping[UUID, UncoveredRisk]]
_reads: dict[str, UncoveredRisks] = {}


def bind_uncovered_risk(read: UncoveredRisks) -> None:
    """Called once by the composition root."""
    _reads["uncovered"] = read


def uncovered_risk() -> Mapping[UUID, UncoveredRisk]:
    """The live UNCOVERED risk of every performing relationship, by cell; open to everybody."""
    return _reads["uncovered"]()


@dataclass(frozen=True)
class LayerRisk:
    """Live risk of one layer over the coming year, in the market as of `as_of`, as shares of one: `expected_loss` its
    mean loss over its size, and the probabilities that it loses anything (`first_loss`) and all of it (`last_loss`)."""

    expected_loss: float
    first_loss: float
    last_loss: float
    as_of: datetime


LayerRisks = Callable[[UUID], Mapping[UUID, LayerRisk]]
_layers: dict[str, LayerRisks] = {}


def bind_layer_risks(read: LayerRisks) -> None:
    """Called once by the composition root."""
    _layers["risks"] = read


def layer_risks(cell_id: UUID) -> Mapping[UUID, LayerRisk]:
    """The live risk of the layers behind a relationship, by layer, for whoever may read it; none in default and before
    the first measure."""
    return _layers["risks"](cell_id)


@dataclass(frozen=True)
class ModelHaircut:
    """What the engine would take off a margin asset in the market as of `as_of`, basis points: the larger of `floor`
    and `shortfall`, plus `concentration`. Shown beside the signed haircut, which alone binds."""

    haircut_bps: int
    floor_bps: int
    shortfall_bps: int
    concentration_bps: int
    as_of: datetime


ModelHaircuts = Callable[[], Mapping[str, ModelHaircut]]
_haircuts: dict[str, ModelHaircuts] = {}


def bind_model_haircuts(read: ModelHaircuts) -> None:
    """Called once by the composition root."""
    _haircuts["model"] = read


def model_haircuts() -> Mapping[str, ModelHaircut]:
    """The model's haircut of each margin asset, by its code; open to everybody. None before the first tick."""
    return _haircuts["model"]()


@dataclass(frozen=True)
class MarkDoubt:
    """A mark that is less than good: why in a word or two, and by how much of its price it may be off."""

    state: str
    off_by: Decimal


MarkDoubts = Callable[[str], Mapping[str, MarkDoubt]]
_doubts: dict[str, MarkDoubts] = {}


def bind_mark_doubts(read: MarkDoubts) -> None:
    """Called once by the composition root."""
    _doubts["marks"] = read


def mark_doubts(snapshot_id: str) -> Mapping[str, MarkDoubt]:
    """The marks of a market that are less than good, by underlying; open to everybody."""
    return _doubts["marks"](snapshot_id)


UnsureMarks = Callable[[str, str, datetime], frozenset[str]]
_unsure: dict[str, UnsureMarks] = {}


def bind_unsure_marks(read: UnsureMarks) -> None:
    """Called once by the composition root."""
    _unsure["marks"] = read


def unsure_marks(snapshot_id: str, ruleset: str, now: datetime) -> frozenset[str]:
    """The underlyings of a market whose mark nobody may rely on now under this ruleset; open to everybody."""
    return _unsure["marks"](snapshot_id, ruleset, now)


OwnRefusals = Callable[[UUID], str | None]
_refusals: dict[str, OwnRefusals] = {}


def bind_own_refusal(read: OwnRefusals) -> None:
    """Called once by the composition root."""
    _refusals["own"] = read


def own_refusal(cell_id: UUID) -> str | None:
    """Why the requirement of a relationship of the person who asks was not renewed in the last market; None where it
    was, and for anybody else's."""
    return _refusals["own"](cell_id)


@dataclass(frozen=True)
class TailCost:
    """What the notes behind a relationship's tail cost it: `principal_base_units` outstanding in its slice, at the
    spread that cleared, or at the guidance while no book has. `annual_base_units` is the spread over 365 days, ACT/360,
    rounded up; rates are basis points a year, the mean over the classes by principal."""

    series_id: UUID
    series: str
    state: str
    issued: bool
    principal_base_units: int
    guidance_bps: Decimal | None
    spread_bps: Decimal | None
    annual_base_units: int


TailCosts = Callable[[UUID], Sequence[TailCost]]
_tails: dict[str, TailCosts] = {}


def bind_tail_costs(read: TailCosts) -> None:
    """Called once by the composition root."""
    _tails["costs"] = read


def tail_costs(cell_id: UUID) -> Sequence[TailCost]:
    """The published series that carry a relationship's tail or would, the newest first; open to everybody."""
    return _tails["costs"](cell_id)


SignedClaims = Callable[[Collection[UUID]], Collection[UUID]]
_claims: dict[str, SignedClaims] = {}


def bind_signed_claims(read: SignedClaims) -> None:
    """Called once by the composition root."""
    _claims["signed"] = read


def signed_claims(instruction_ids: Collection[UUID]) -> Collection[UUID]:
    """Those of these notices that the second key has signed, and that may be sent so; the answer stays so until the
    caller's transaction ends."""
    return _claims["signed"](instruction_ids)


CuresOnChain = Callable[[UUID], Mapping[UUID, int]]
_cures: dict[str, CuresOnChain] = {}


def bind_cures_on_chain(read: CuresOnChain) -> None:
    """Called once by the composition root."""
    _cures["paid"] = read


def cures_on_chain(case_id: UUID) -> Mapping[UUID, int]:
    """The vaults whose notice of this default its client has ended by paying the claim, with how much of its margin
    that took, base units of the vault's token; final and booked. The caller holds the cell's lock."""
    return _cures["paid"](case_id)


SaleRule = Callable[[str, Mapping[str, Any]], None]
_sales: dict[str, SaleRule] = {}


def bind_sale_rule(rule: SaleRule) -> None:
    """Called once by the composition root."""
    _sales["rule"] = rule


def refuse_against_the_books(act: str, body: Mapping[str, Any]) -> None:
    """Refuses an act on chain about notes, their holders or their sale, by its kind and body, that the books of the
    series do not bear out. Inside a transaction, whose locks on the series it takes."""
    _sales["rule"](act, body)
