"""What tail-risk bonds promise of their speed: losses, prices, marks, books and coupons.

Each part is a file `bonds_*` of its own that gives its figures from `figures(say)`; what needs a world makes one. A new
part stands in PARTS here, its figures in `names.BONDS` and in docs/benchmarks.md.
"""

from collections.abc import Callable

from intermediary.config.benches import (
    Figure,
    bonds_book,
    bonds_coupon,
    bonds_loss,
    bonds_price,
    bonds_remark,
    bonds_sampling,
)

PARTS = (bonds_loss, bonds_sampling, bonds_price, bonds_remark, bonds_book, bonds_coupon)


def run(say: Callable[[str], object]) -> dict[str, Figure]:
    """The figures of every part."""
    found: dict[str, Figure] = {}
    for part in PARTS:
        for name, figure in part.figures(say).items():
            say(f"{name}: {figure.value:.6g} {figure.unit}")  # not lost should a later part fail
            found[name] = figure
    return found
