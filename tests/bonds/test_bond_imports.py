"""What faces use of the bonds must not bring the numeric stack into their process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "scipy", "numba", "QuantLib")


def test_principal_and_coupons_load_no_numeric_library() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, bonds.tranches, bonds.coupons; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()
    assert "bonds.tranches" in loaded
    assert not set(HEAVY) & set(loaded)
