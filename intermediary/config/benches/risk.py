"""All that the risk engine promises of its speed, in one run: arithmetic, what-if and ticks at scale.

Takes as long as its parts, of which `kernels` needs no database and is the quickest. Every wait for a worker or a tick
inside has its limit, so a run ends, with figures or with an error.
"""

import time
from collections.abc import Callable

from intermediary.config.benches import Figure, kernels, scale, what_if


def run(say: Callable[[str], object]) -> dict[str, Figure]:
    """The figures of the three, arithmetic first: its peak of memory is not that of the others."""
    figures: dict[str, Figure] = {}
    started = time.monotonic()
    for title, part in (("arithmetic", kernels.run), ("what-if", what_if.figures), ("ticks", scale.run)):
        say(f"{title}, from {time.monotonic() - started:.0f} s")
        found = part(say)
        for name, figure in found.items():
            say(f"{name}: {figure.value:.6g} {figure.unit}")  # not lost should a later part fail
        figures |= found
    return figures
