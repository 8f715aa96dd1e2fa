"""The loops of a tick, compiled: Black-76, sparse positions times the profit matrix, worst scenarios, averages.

Signatures are explicit and the machine code is cached on disk, so a worker never compiles while clients wait.
Kernels release the interpreter lock and use one thread: parallelism is between workers. They do not look at indices or
at numbers that are none: callers have. The numpy references live beside their callers (`revaluation`, `tails`) and
tests hold the two together. A kernel and what it calls stand in one file, because the cache watches that file alone.
"""

from risk.margin.kernels.again import TOGETHER, worst_among_kept
from risk.margin.kernels.averages import exponential_average
from risk.margin.kernels.compiling import compiled
from risk.margin.kernels.options import black76, option_gains, option_values
from risk.margin.kernels.products import copy_books, dense_shorts, grouped_losses, sparse_losses
from risk.margin.kernels.tilts import weighted_shortfalls
from risk.margin.kernels.worst import LANES, room, slices, worst_of_books, worst_of_losses

__all__ = [
    "LANES",
    "TOGETHER",
    "black76",
    "compiled",
    "copy_books",
    "dense_shorts",
    "exponential_average",
    "grouped_losses",
    "option_gains",
    "option_values",
    "room",
    "slices",
    "sparse_losses",
    "weighted_shortfalls",
    "worst_among_kept",
    "worst_of_books",
    "worst_of_losses",
]
