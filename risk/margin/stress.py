"""The published stress scenarios that apply to one relationship, as named shocks. Data and its meaning; no arrays.

A scenario moves every coin at once. Recorded ones come from price history (worst fall from a close to a low in the
window), the others are stated assumptions; each says which in `source`. The scenario of the two largest clients is
not here: it concerns the intermediary's liquidity, not one relationship's loss.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

STRESS_FILE = Path(__file__).parent / "data" / "stress.json"
FORECAST_MOVES = (Decimal("-0.05"), Decimal("-0.10"), Decimal("-0.20"))


@dataclass(frozen=True, kw_only=True)
class StressScenario:
    """One named shock.

    `returns` simple price return of each coin (absent: unmoved); `marks` absolute USD prices, which override returns;
    `vol_multiplier` of implied volatility; `premium` of perpetuals over spot, as a fraction of spot;
    `basis_annual` change of the forward basis; `peg` USD per USDC; `depth_factor` share of ordinary turnover left for
    the close-out; `slippage_bps` paid on every close-out at the stressed price, in place of the liquidity model when
    `uses_liquidity_model` is false; `fixed_cost_usd` costs of the close-out whatever its size.
    """

    name: str
    title: str
    source: str
    returns: Mapping[str, Decimal] = field(default_factory=dict)
    marks: Mapping[str, Decimal] = field(default_factory=dict)
    vol_multiplier: Decimal = Decimal(1)
    premium: Decimal = Decimal(0)
    basis_annual: Decimal = Decimal(0)
    peg: Decimal = Decimal(1)
    depth_factor: Decimal = Decimal(1)
    slippage_bps: int = 0
    uses_liquidity_model: bool = True
    fixed_cost_usd: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "returns", MappingProxyType(dict(self.returns)))
        object.__setattr__(self, "marks", MappingProxyType(dict(self.marks)))

    def stressed_mark(self, coin: str, mark: Decimal) -> Decimal:
        """USD price of `coin` in the scenario, before slippage, exact."""
        if coin in self.marks:
            return self.marks[coin]
        return mark * (1 + self.returns.get(coin, Decimal(0)))

    def body(self) -> dict[str, Any]:
        """Canonical content, part of the ruleset's hash."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "returns": dict(self.returns),
            "marks": dict(self.marks),
            "vol_multiplier": self.vol_multiplier,
            "premium": self.premium,
            "basis_annual": self.basis_annual,
            "peg": self.peg,
            "depth_factor": self.depth_factor,
            "slippage_bps": self.slippage_bps,
            "uses_liquidity_model": self.uses_liquidity_model,
            "fixed_cost_usd": self.fixed_cost_usd,
        }


@cache
def published_scenarios() -> tuple[StressScenario, ...]:
    """The scenarios of the standard ruleset, in their published order."""
    return tuple(_scenario(row) for row in json.loads(STRESS_FILE.read_text()))


def _scenario(row: dict[str, Any]) -> StressScenario:
    texts = {key: row[key] for key in ("name", "title", "source")}
    numbers = {key: Decimal(value) for key, value in row.items() if key not in texts and key != "returns"}
    returns = {coin: Decimal(value) for coin, value in row["returns"].items()}
    return StressScenario(**texts, returns=returns, **numbers)  # type: ignore[arg-type]
