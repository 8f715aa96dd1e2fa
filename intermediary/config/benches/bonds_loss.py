"""How long the loss of notes takes to compute: layers of one relationship exactly, and a basket of fifty."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

from bonds.loss.distribution import note_distribution
from bonds.loss.note_risk import Piece, note_risk
from intermediary.config.benches import Figure, bonds_models, machine
from risk.margin.layers import layer_measures
from risk.margin.ruleset import ruleset

EXACT_RUNS, BASKET_RUNS = 100, 9
BASKET = 50
LEVEL = 0.99
YEAR = 1.0


def figures(say: Callable[[str], object]) -> dict[str, Figure]:
    """Exact layers, then the basket."""
    machine.hold_blas_to_one_thread()
    say(f"loss models of {BASKET} relationships")
    return {
        "exact_3_layers_ms": Figure(
            exact_ms(), "ms", f"loss model from 2,000 scenarios, then EL, PFL, PLL of 3 layers; median of {EXACT_RUNS}"
        ),
        "basket_50_ms": Figure(
            basket_ms(),
            "ms",
            f"EL, PFL, PLL and distribution with VaR and ES 99% of one class over {BASKET} relationships; median of"
            f" {BASKET_RUNS}",
        ),
    }


def exact_ms() -> float:
    """Milliseconds from scenario losses to measures of three layers, a relationship after the other."""
    batch, rules = bonds_models.books(BASKET), ruleset(bonds_models.RULESET)

    def work(account: int) -> None:
        model = bonds_models.loss_model(batch, account, rules)
        for attach, detach in bonds_models.layers(model):
            layer_measures(model, attach, detach, YEAR)

    return statistics.median(_milliseconds(partial(work, run % BASKET)) for run in range(EXACT_RUNS))


def basket_ms() -> float:
    """Milliseconds of the risk of one class that holds the middle layer of every relationship."""
    models = bonds_models.loss_models(BASKET)

    def work() -> None:
        pieces = []
        for number, model in enumerate(models):
            attach, detach = bonds_models.layers(model)[1]
            pieces.append(Piece(UUID(int=number), detach - attach, attach, detach, model))
        note_risk(pieces)
        found = note_distribution(pieces)
        found.value_at_risk(LEVEL)
        found.expected_shortfall(LEVEL)

    return statistics.median(_milliseconds(work) for _ in range(BASKET_RUNS))


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)
