"""What faces use of the bonds must not bring the numeric stack into their process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "scipy", "numba", "QuantLib")


def test_principal_and_coupons_load_no_numeric_library() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, bonds.loss.tranches, bonds.pricing.coupons; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert "bonds.loss.tranches" in loaded
    assert not set(HEAVY) & set(loaded)


def test_pages_servicing_and_orders_load_no_numeric_library() -> None:
    program = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        " import bonds.portal.pages, bonds.servicing.write_downs, bonds.portal.requests, bonds.offering.stages;"
        " import bonds.offering.orders, bonds.tasks; print(*sys.modules)"
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ran.stdout.split())
    assert "bonds.portal.pages" in loaded
    assert not set(HEAVY) & loaded
