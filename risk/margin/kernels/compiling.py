"""How a kernel is compiled: now, for stated types, with the machine code kept on disk."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


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
