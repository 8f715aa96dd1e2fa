"""The admission test of many accounts at once: by arrays, the numbers that `admission.assess` finds for each alone.

Losses round up to base units and collateral down, exactly as `intermediary.money` rounds one float: a product of two
floats and what rounding took from it are both floats, so the ceiling of the exact product is known. Pure.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.margin.admission import tokens_for
from risk.margin.documents import texts
from risk.margin.requirement import RequirementBatch

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SPLIT = 2.0**27 + 1.0  # Veltkamp: halves of a float, whose products with a short factor are exact
LARGEST = 2.0**60  # base units; three of them add up inside 64 bits


def units_up(dollars: Floats, decimals: int = 6) -> Integers:
    """The smallest whole base units that are no less than each amount, exact; `decimals` at most 11.

    Raises ValueError on what is not finite, OverflowError beyond 2**60 base units.
    """
    if not np.isfinite(dollars).all():
        raise ValueError("a requirement must be finite")
    scale = float(10**decimals)
    product = dollars * scale
    if (np.abs(product) >= LARGEST).any():
        raise OverflowError("an amount is beyond 2**60 base units")
    swollen = SPLIT * dollars
    high = swollen - (swollen - dollars)
    lost = (high * scale - product) + (dollars - high) * scale  # exact product = product + lost (Dekker)
    up = np.ceil(product)
    return up.astype(np.int64) + np.where(up == product, np.ceil(lost), 0.0).astype(np.int64)


def units_down(dollars: Floats, decimals: int = 6) -> Integers:
    """The largest whole base units that are no more than each amount, exact."""
    return -units_up(-dollars, decimals)


@dataclass(frozen=True)
class Layers:
    """What stands behind each account beyond its margin, (A,) base units: as `admission.Resources`."""

    exposure: Integers
    first_loss: Integers
    tail: Integers
    senior_retention: Integers


@dataclass(frozen=True)
class Verdicts:
    """J scenarios judged for A accounts: `loss`, `cost`, `margin`, `net_loss`, `short_by` (A, J) base units."""

    scenarios: tuple[tuple[str, str, Decimal], ...]  # as RequirementBatch.scenarios
    layers: Layers
    loss: Integers
    cost: Integers
    margin: Integers
    net_loss: Integers
    short_by: Integers

    @cached_property
    def passed(self) -> list[bool]:
        """Whether each account fits its layers in every scenario."""
        fits: list[bool] = (self.short_by == 0).all(axis=1).tolist()
        return fits

    @cached_property
    def _binding(self) -> Integers:
        """(A,) the scenario with the largest net loss; of equals (none leaves one) the dearest."""
        leads = self.net_loss == self.net_loss.max(axis=1, keepdims=True)
        found: Integers = np.argmax(np.where(leads, self.loss + self.cost, np.iinfo(np.int64).min), axis=1)
        return found

    def repair(self, account: int) -> int:
        """Settlement tokens (base units) that, held as margin, would make every scenario fit; 0 when all do."""
        if self.passed[account]:
            return 0
        short: list[int] = self.short_by[account].tolist()
        return max(tokens_for(by, value) for by, (_, _, value) in zip(short, self.scenarios, strict=True))

    def as_data(self, account: int) -> dict[str, Any]:
        """The numbers of one decision, as `AdmissionDecision.as_data`."""
        found: dict[str, Any] = json.loads(self.documents[account])
        return found

    @cached_property
    def documents(self) -> list[str]:
        """The same of every account, as JSON."""
        binding = self._binding
        of_each, layers = (np.arange(binding.size), binding), self.layers
        words = np.array([(json.dumps(name), json.dumps(title)) for name, title, _ in self.scenarios])
        columns = {
            "passed": self.passed,
            "scenario": words[binding, 0],
            "scenario_title": words[binding, 1],
            "exposure": layers.exposure,
            "position_loss": self.loss[of_each],
            "close_out_cost": self.cost[of_each],
            "margin_value": self.margin[of_each],
            "net_loss": self.net_loss[of_each],
            "first_loss": layers.first_loss,
            "tail": layers.tail,
            "senior_retention": layers.senior_retention,
            "short_by": self.short_by[of_each],
            "repair": self.repairs,
        }
        pieces: list[Any] = []
        for name, column in columns.items():
            pieces += [f'{", " if pieces else "{"}"{name}": ', column]
        return texts([*pieces, "}"])

    @cached_property
    def repairs(self) -> list[int]:
        """`repair` of every account."""
        return [0 if passed else self.repair(account) for account, passed in enumerate(self.passed)]


def judge(batch: RequirementBatch, layers: Layers, decimals: int = 6) -> Verdicts:
    """Judge every scenario of the ruleset for every account. Raises ValueError on no scenario, or a layer below zero:
    silence is not a pass."""
    if not batch.scenarios:
        raise ValueError("an admission test needs at least one scenario")
    if any((part < 0).any() for part in (layers.first_loss, layers.tail, layers.senior_retention)):
        raise ValueError("a layer cannot be negative")
    loss, cost, margin = batch.stressed()
    up, more, down = units_up(loss, decimals), units_up(cost, decimals), units_down(margin, decimals)
    net_loss = np.maximum(0, layers.exposure[:, None] + up + more - down)
    means = (layers.first_loss + layers.tail + layers.senior_retention)[:, None]
    return Verdicts(batch.scenarios, layers, up, more, down, net_loss, np.maximum(0, net_loss - means))
