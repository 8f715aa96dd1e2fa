"""What importance sampling gains on the layers of the reference table, against plain simulation of the same model."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from bonds.loss.importance import DRAWS, CoveredLayer, sampled_layer_loss
from intermediary.config.benches import Figure
from risk.margin.layers import LossModel, layer_measures
from risk.margin.shortfall import NormalBodySeverity, default_probability, gap_scale

YEAR = 1.0
REFERENCE = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
EDGES = (0.05, 0.25, 0.60, 1.20)
PLAIN_DRAWS, SEED = 1_000_000, 7  # hits are rare: the plain variance is known to some percent


def figures(say: Callable[[str], object]) -> dict[str, Figure]:
    """`is_rel_se_max` and `is_variance_ratio_min`."""
    say(f"{DRAWS} draws a layer, and {PLAIN_DRAWS} plain ones")
    errors, ratios = [], []
    for attach, detach in pairwise(EDGES):
        layer = CoveredLayer(REFERENCE, attach, detach, principal=1.0)
        found = sampled_layer_loss(layer, YEAR, np.random.default_rng(SEED))
        errors.append(found.standard_error / layer_measures(REFERENCE, attach, detach, YEAR).el)
        ratios.append(plain_variance(layer) / (DRAWS * found.standard_error**2))
    return {
        "is_rel_se_max": Figure(
            max(errors), "share", f"the exact EL: standard error of {DRAWS} draws, worst of 3 layers"
        ),
        "is_variance_ratio_min": Figure(
            min(ratios),
            "x",
            f"variance of one of {PLAIN_DRAWS} plain draws over that of one of ours, worst of 3 layers",
        ),
    }


def plain_variance(layer: CoveredLayer) -> float:
    """Of one draw of the layer's loss as life draws it."""
    generator = np.random.default_rng(SEED)
    m = generator.standard_normal(PLAIN_DRAWS)
    defaults = generator.random(PLAIN_DRAWS) < default_probability(layer.model, m, YEAR)
    gap = gap_scale(layer.model, m) * layer.model.severity.quantile(1.0 - generator.random(PLAIN_DRAWS))
    return float((layer.share_lost(gap - layer.model.margin + layer.model.cost) * defaults).var())
