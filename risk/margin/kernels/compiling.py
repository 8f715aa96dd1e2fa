"""How a kernel is compiled: now, for stated types, with the machine code kept on disk."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core.codegen import get_host_cpu_features as untyped_features

F = TypeVar("F", bound=Callable[..., Any])
get_host_cpu_features: Callable[[], str] = untyped_features
config: Any = numba.config


def compiled(
    signatures: str | list[str], *, fastmath: frozenset[str] = frozenset(), inlined: bool = False
) -> Callable[[F], F]:
    """Compile now for `signatures`, or load what an earlier process compiled.

    `fastmath` names what the compiler may change about floating point: nothing unless a kernel says why it is harmless
    there. `inlined` puts the function into each of its callers, without which a loop around it is not vectorised.
    """

    def decorate(function: F) -> F:
        jit = numba.njit(
            signatures, cache=True, nogil=True, error_model="numpy", fastmath=set(fastmath), forceinline=inlined
        )
        return cast(F, jit(function))

    return decorate


def _use_the_widest_registers() -> None:
    """Of 512 bits where the processor has them. The compiler avoids them by default, because processors of 2017 slowed
    down for them; with them option revaluation takes two thirds of the time on a processor of 2023. What the
    environment asks for goes first. Numba reads this when it compiles for the first time, and names its cache by it."""
    features = get_host_cpu_features()
    if config.CPU_FEATURES is None and "+avx512f" in features.split(","):
        config.CPU_FEATURES = f"{features},-prefer-256-bit"


_use_the_widest_registers()
