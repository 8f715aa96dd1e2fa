"""The parameters of the margin model in one versioned value, with the hash that is stored beside each result.

Two results with the same snapshot, book, inputs and ruleset hash are the same result. What code holds fixed (the clamp
of a tail, the floor of a volatility) stands behind the version: a change of any figure is a new one, and tests keep the
figures of some books under each (tests/risk/test_version_figures.py). Pure standard library, so that the rulebook page
and the chain deployment can show and publish the hash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import BadInput
from risk.margin.stress import StressScenario, published_scenarios

MINUTES_A_DAY = 24 * 60
PERIOD_MARK = " over "  # between the name of a ruleset and the hours of a margin period


@dataclass(frozen=True, kw_only=True)
class LossModelParameters:
    """Of the loss beyond margin (`layers`): `rho` loading of default on distress, `severity_vol` of the gap on it,
    `tail_share` of scenarios that the Pareto tail replaces."""

    rho: float = 0.35
    severity_vol: float = 0.45
    tail_share: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Ruleset:
    """Parameters of scenarios, tails, add-ons, haircuts and admission. Design defaults unless a source is named."""

    name: str
    version: int
    stress: tuple[StressScenario, ...]
    admits_es: bool = True  # whether ES at `admission_quantile` over the MPOR is part of the admission test
    mpor_hours: float = 24.0  # floor of the margin period of risk: a day, since markets never close but people sleep
    mpor_by_terms: bool = False  # whether the period of a relationship follows from its signed times, above that floor
    decision_minutes: int = 60  # of that period: two officers find each other and notice a default
    # Whether a scenario values what expires at the end of the margin period, or as if it struck at once.
    time_passes: bool = False
    scenarios_recent: int = 1250  # about five years of trading days, the usual length of a margin look-back
    scenarios_stressed: int = 500  # a quarter of the total: EMIR RTS 153/2013 article 28(1)(b)
    scenarios_simulated: int = 250
    ewma_decay: float = 0.97
    # Of the four averages of realised covariance (`risk.market.realised`); none: the plain average above filters.
    filter_decays: tuple[float, ...] = ()
    seed: int = 7
    es_quantile: float = 0.99
    evt_quantile: float = 0.997
    admission_quantile: float = 0.995
    evt_exceedances: int = 100  # 5% of 2,000 scenarios: the tail on which the Pareto limit is fitted
    evt_shape_max: float = 0.5  # beyond it the variance is infinite and a fit of 100 points means nothing
    premium_vol: float = 0.0015  # daily standard deviation of perpetual premium, fraction of spot (assumption)
    premium_beta: float = 0.02  # premium falls by this share of the coin's own log return (assumption)
    basis_vol_annual: float = 0.02  # daily standard deviation of the annual forward basis (assumption)
    # Whether these draws are as large as their joint day is: recorded, premium and funding are twice as wild on days of
    # more than two deviations as on days of less than one (decision 11). Their variance stays.
    basis_by_day: bool = False
    # Premium and annual basis lost for each unit of log return that a coin, or the majors, fall beyond `crash_from`
    # daily deviations. Assumptions: on 10 October 2025 premium lost between 0 and 0.23 of it by the end of the day.
    crash_from: float = 2.0
    premium_crash_beta: float = 0.0
    basis_crash_beta: float = 0.0
    # Of the settlement token. Small moves of most days (assumption), and a break: how far, and in how many scenarios.
    peg_vol: float = 0.0
    peg_break: float = 0.0
    peg_breaks: int = 0
    # How much of the dollar curve's recorded or calibrated moves the scenarios take: 1 as they are, 0 none.
    rate_scale: float = 0.0
    # Whether what a coin's move leaves of a change of volatility is drawn from such rests on record, or is normal.
    vol_rest_recorded: bool = False
    # Of the volatility surface, whose skew and term nobody has recorded by the day: assumptions, said in decision 8.
    # Nearer expiries move more: a third more for each e-fold that an expiry is nearer than 30 days, near the square
    # root of time that desks weigh vega by.
    term_beta: float = 0.0
    term_vol: float = 0.0  # daily standard deviation of that slope by itself
    skew_beta: float = 0.0  # volatility gained for each deviation below the forward, by a fall of one daily deviation
    skew_vol: float = 0.0  # daily standard deviation of the slope of the smile by itself
    jump_moves: tuple[float, ...] = (-0.60, -0.40, -0.20, 0.20, 0.40, 0.60)
    jump_vol_moves: tuple[float, ...] = (-0.30, 0.0, 0.60)
    jump_majors_share: float = 0.35
    jump_peg: float = 0.90
    liquidity_eta: float = 1.0  # square-root impact coefficient, in daily volatilities
    liquidity_k: float = 1.65  # 95% one-sided normal quantile: how much of the run-down's own risk is charged
    liquidity_spread_bps: float = 5.0
    liquidity_participation: float = 0.10  # of ADV: larger orders are seen and traded against
    liquidity_days_in_mpor: float = 0.5  # run-down time that the margin period already holds: no double count
    # Whether turnover is that of the half day ahead, by the calibrated profile of a week, or a mean day's: a Saturday
    # night has half of that.
    liquidity_by_hour: bool = False
    # How far the client's own distress is from usual when wrong-way losses are taken, in its standard deviations; 0: no
    # add-on. One gives a book that is long the market, with normal losses, a factor of 1.22 on expected shortfall: what
    # own estimates of this effect have at least (alpha of 1.2, Regulation (EU) 575/2013 article 284(9)).
    wrong_way_distress: float = 0.0
    # The tail in which wrong-way losses are taken. Under normal losses the gain is the same in every tail; deep in it a
    # handful of scenarios carry the tilt, and 99% would rest on four.
    wrong_way_quantile: float = 0.95
    # Least effective number of them: as many as expected shortfall 99% itself rests on. The tilt stops where a book
    # that falls just as the market does would rest on fewer.
    wrong_way_least_scenarios: float = 20.0
    # Held beyond margin in calm markets, used up as they grow wild: EMIR RTS 153/2013 article 28(1)(a) asks for 0.25.
    buffer_share: float = 0.0
    haircut_bps: Mapping[str, int]  # least haircuts of assets
    haircut_other_bps: int = 2_500  # of an asset that is not named
    # How unsure a mark may be for new risk on its coin, one standard deviation: at half the band in which a price
    # counts as the market's (5%, rulebook 3.4), two of them fill the band, and it no longer tells a price from a gift.
    doubt_limit_bps: int = 250
    loss_model: LossModelParameters = LossModelParameters()
    # Of the ruleset that this one is with the margin period of some relationships in place of the floor: the period
    # follows from signed terms and is no parameter, so the ruleset is still the same.
    published_hash: str = ""

    @property
    def scenarios_total(self) -> int:
        """Number of joint scenarios."""
        return self.scenarios_recent + self.scenarios_stressed + self.scenarios_simulated

    def canonical_json(self) -> str:
        """The one text of the ruleset; floats appear as their shortest exact decimal string."""
        parameters = [item.name for item in fields(self) if item.name != "published_hash"]
        return canonical_json({name: _plain(getattr(self, name)) for name in parameters})

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical text, 64 hex digits."""
        return self.published_hash or sha256_hex(self.canonical_json())


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, StressScenario):
        return value.body()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}


HAIRCUT_BPS = MappingProxyType({"USDC": 50, "WBTC": 1_500, "WETH": 2_000})

# The path of the worked example: a fall from 95,000 to 78,000, sold 1.5% below, at costs of 171,500 USD.
WORKED_EXAMPLE_FALL = StressScenario(
    name="fall_95000_to_78000",
    title="BTC falls from 95,000 to 78,000",
    source="assumption: the path of the worked example",
    marks={"BTC": Decimal(78_000)},
    slippage_bps=150,
    uses_liquidity_model=False,
    fixed_cost_usd=Decimal(171_500),
)


# Half-lives of about 1, 3, 10 and 46 days. Chosen by the backtest on the years up to 2021, weighted equally.
REALISED_DECAYS = (0.5, 0.8, 0.93, 0.985)


def published_name(name: str) -> str:
    """The name of the ruleset itself, without a period."""
    return name.partition(PERIOD_MARK)[0]


def of_period(name: str, hours: int) -> str:
    """The name of a ruleset over a margin period of `hours`."""
    return f"{name}{PERIOD_MARK}{hours}"


NAMES = ("standard", "worked-example")


@cache
def ruleset(name: str) -> Ruleset:
    """The named ruleset: "standard", or "worked-example" whose only admission scenario is its own path; or one of them
    over the period of some relationships, by a name from `of_period`."""
    base, _, hours = name.partition(PERIOD_MARK)
    if hours:
        published = ruleset(base)
        return replace(published, mpor_hours=float(hours), published_hash=published.hash)
    if name == "standard":
        return Ruleset(
            name=name,
            version=6,
            stress=published_scenarios(),
            filter_decays=REALISED_DECAYS,
            mpor_by_terms=True,
            time_passes=True,
            liquidity_by_hour=True,
            rate_scale=1.0,
            basis_by_day=True,
            premium_crash_beta=0.10,
            basis_crash_beta=0.50,
            peg_vol=0.0005,
            peg_break=0.13,  # USDC at 0.87 on 11 March 2023, as the press reported; its one break in seven years
            peg_breaks=1,  # of 2,000 days, some six years
            wrong_way_distress=1.0,
            vol_rest_recorded=True,
            term_beta=0.3,
            term_vol=0.02,
            skew_beta=0.01,
            skew_vol=0.02,  # a 25-delta risk reversal moves by one point of volatility a day where it is 40%
            haircut_bps=HAIRCUT_BPS,
        )
    if name == "worked-example":
        return Ruleset(name=name, version=4, stress=(WORKED_EXAMPLE_FALL,), admits_es=False, haircut_bps=HAIRCUT_BPS)
    raise BadInput("risk.unknown_ruleset", f"there is no ruleset {name}", name=name)
