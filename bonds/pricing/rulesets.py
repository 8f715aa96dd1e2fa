"""The parameters of pricing in one versioned value: the official measure, the level of the market it was calibrated in,
and the measures that are disclosed beside it, with the hash that stands beside each price.

The standard one is in code, as calibrated by `manage.py calibrate_pricing` on the 327 usable issues of 2018-2023; a
later one is a stored calibration that two people decided on (`bonds.marking.rulesets`). A mark keeps the name of its
own, whatever is in force later. Pure; the choice is argued in docs/adr/0013.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from functools import cached_property
from types import MappingProxyType
from typing import Any

from bonds.pricing.measures import (
    OFFICIAL,
    DeviationLoad,
    FearedWang,
    LaneLoad,
    LinearLoad,
    PhysicalMeasure,
    PricingMeasure,
    WangTransform,
)
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import BadInput

# Of the standard deviation of distress a year: an assumption, half of what a broad stock market has paid for a year's
# deviation over a long time. No public price of crypto credit says what it is, so it is in no official price.
BETA_LOAD = 0.25
PARAMETERS_MAX = 10.0  # beyond it no load means anything: a lambda of ten makes every loss certain


@dataclass(frozen=True)
class Disclosed:
    """One measure of the panel: what it is called, and the measure."""

    label: str
    measure: PricingMeasure


@dataclass(frozen=True, kw_only=True)
class PricingRuleset:
    """`market_price_of_risk` lambda, `unmodelled` c and `fading` p of the official measure; `levels` added to
    lambda in the months (2024-01) that they name, zero in every other. `wang` (lambda, k), `lane` (scale, a, b),
    `deviation` (multiple) and `linear` (floor, multiple) are refits shown beside it. `market_price_of_beta` is the
    stated load on the distress factor, shown beside too. `source` says what it was calibrated on."""

    name: str
    version: int
    market_price_of_risk: float
    unmodelled: float
    fading: float
    wang: tuple[float, float]
    lane: tuple[float, float, float]
    deviation: float
    linear: tuple[float, float]
    market_price_of_beta: float
    levels: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        numbers = [self.market_price_of_risk, self.fading, *self.wang, *self.lane, self.deviation, *self.linear]
        within = all(-PARAMETERS_MAX < one < PARAMETERS_MAX for one in [*numbers, *self.levels.values()])
        loads = (
            0 <= self.unmodelled < 1
            and self.fading >= 0
            and self.market_price_of_risk >= 0
            and self.market_price_of_beta >= 0
        )
        if not within or not loads or self.wang[1] <= 0:
            raise BadInput("pricing.parameters", "These are no parameters of pricing measures.", ruleset=self.label)

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name}-{self.version}"

    @cached_property  # every mark names it
    def hash(self) -> str:
        """SHA-256 of the canonical text, 64 hex digits."""
        return sha256_hex(canonical_json(self.body()))

    def official(self, as_of: date) -> FearedWang:
        """The measure of every mark, guidance and quotation of this day."""
        load = self.market_price_of_risk + self.level(as_of)
        return FearedWang(round(max(load, 0.0), 6), self.unmodelled, self.fading)

    def level(self, as_of: date) -> float:
        """What the market of this month adds to lambda; zero once nothing recent tells."""
        return self.levels.get(f"{as_of.year:04d}-{as_of.month:02d}", 0.0)

    def measure_name(self, as_of: date) -> str:
        """What a mark keeps: ruleset, the beginning of its hash, and the measure with its parameters."""
        return f"{self.label} {self.hash[:8]} {self.official(as_of).name}"

    def disclosed(self, as_of: date) -> tuple[Disclosed, ...]:
        """Official first, then physical, then published and refitted rivals."""
        return (
            Disclosed("official", self.official(as_of)),
            Disclosed("physical", PhysicalMeasure()),
            Disclosed("wang-published", WangTransform()),
            Disclosed("wang-refit", WangTransform(*self.wang)),
            Disclosed("lane-published", LaneLoad()),
            Disclosed("lane-refit", LaneLoad(*self.lane)),
            Disclosed("deviation", DeviationLoad(self.deviation)),
            Disclosed("linear", LinearLoad(*self.linear)),
        )

    def body(self) -> dict[str, Any]:
        """A JSON value without floats, which is what is hashed: numbers are their shortest exact decimal strings."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "PricingRuleset":
        """The ruleset of such a body. Refuses what is none by name."""
        try:
            return cls(
                name=str(body["name"]),
                version=int(body["version"]),
                source=str(body["source"]),
                levels=MappingProxyType({month: float(level) for month, level in body["levels"].items()}),
                **{one: float(body[one]) for one in ("market_price_of_risk", "unmodelled", "fading", "deviation")},
                market_price_of_beta=float(body["market_price_of_beta"]),
                wang=(float(body["wang"][0]), float(body["wang"][1])),
                lane=(float(body["lane"][0]), float(body["lane"][1]), float(body["lane"][2])),
                linear=(float(body["linear"][0]), float(body["linear"][1])),
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as problem:
            raise BadInput("pricing.ruleset", f"This is no pricing ruleset: {problem!r}") from problem


def of_calibration(found: Mapping[str, Any], version: int, market_price_of_beta: float) -> PricingRuleset:
    """The ruleset that a calibration (`Calibration.as_data`) says, rounded to four digits."""
    parameters = {one["name"]: [round(value, 4) for value in one["parameters"].values()] for one in found["measures"]}
    official, wang, lane, linear = (parameters[name] for name in ("feared-wang", "wang", "lane", "linear"))
    return PricingRuleset(
        name="standard",
        version=version,
        market_price_of_risk=official[0],
        unmodelled=official[1],
        fading=official[2],
        wang=(wang[0], wang[1]),
        lane=(lane[0], lane[1], lane[2]),
        deviation=parameters["deviation"][0],
        linear=(linear[0], linear[1]),
        market_price_of_beta=market_price_of_beta,
        levels=MappingProxyType({month: round(level, 4) for month, level in found["levels"].items()}),
        source="{rows} issues of {first_month} to {last_month}, file {file_sha256}".format(**found),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())}
    return value


# As `calibrate_pricing` says of the issues of November 2018 to December 2023 (docs/pricing.md): a market whose level
# died away in December 2024, a year after the last issue.
STANDARD = PricingRuleset(
    name="standard",
    version=2,
    market_price_of_risk=OFFICIAL.market_price_of_risk,
    unmodelled=OFFICIAL.unmodelled,
    fading=OFFICIAL.fading,
    wang=(0.2285, 4.1763),
    lane=(0.1271, 0.2523, 0.0413),
    deviation=0.3299,
    linear=(0.0359, 1.5504),
    market_price_of_beta=BETA_LOAD,
    levels=MappingProxyType(
        {
            "2024-01": 0.1326,
            "2024-02": 0.1270,
            "2024-03": 0.1198,
            "2024-04": 0.1104,
            "2024-05": 0.1012,
            "2024-06": 0.0865,
            "2024-07": 0.0766,
            "2024-08": 0.0615,
            "2024-09": 0.0496,
            "2024-10": 0.0389,
            "2024-11": 0.0298,
            "2024-12": 0.0172,
        }
    ),
    source="327 issues of 2018-11 to 2023-12",
)
