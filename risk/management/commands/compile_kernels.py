"""`manage.py compile_kernels`: compile the numeric kernels once, at installation, so that no worker does it later.

Needs no service. Importing the module compiles every signature and leaves the machine code in numba's cache beside the
source; a second run only loads it.
"""

from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Compile and cache."""

    help = "Compile the numeric kernels and keep the machine code in the cache."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Import the kernels and say how long that took."""
        started = perf_counter()
        from risk.margin import kernels

        kernels.black76(100.0, 100.0, 0.2, 1.0, True)
        self.stdout.write(f"numeric kernels ready in {perf_counter() - started:.1f} s")
