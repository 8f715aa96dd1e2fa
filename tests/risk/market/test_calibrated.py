"""What `manage.py calibrate` writes is versioned, complete, and what the recording gives."""

import json
from datetime import date
from io import StringIO
from math import exp
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from risk.market import arbitrage
from risk.market.calibrate import calibrate_surfaces
from risk.market.chain import CHAIN_FILE
from risk.market.parameters import PARAMETERS_FILE, SURFACES_FILE, load_parameters, load_surfaces, version_of
from risk.market.published_rates import rates_of
from risk.market.surface import VolSurface
from tests.risk.market.chains import chain, write

MONEYNESS = (-0.5, -0.2, 0.0, 0.2, 0.5)


def test_a_history_that_is_not_there_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"calibrate\.no_history.*fetch_history"):
        call_command("calibrate", "--history", str(tmp_path), "--out", str(tmp_path / "out"), stdout=StringIO())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", [PARAMETERS_FILE, SURFACES_FILE], ids=lambda file: str(file.name))
def test_kept_figures_carry_the_hash_of_their_content_as_version(file: Path) -> None:
    body = json.loads(file.read_text())
    assert body["version"] == version_of(body)
    assert version_of(body | {"another": 1}) != body["version"]


def test_kept_surfaces_hold_no_arbitrage_and_agree_with_their_anchors() -> None:
    surfaces = load_surfaces()
    assert sorted(surfaces) == ["BTC", "ETH"]
    for coin, kept in surfaces.items():
        assert kept.surface.underlying == coin
        arbitrage.require_free(kept.surface)
        assert [anchor.days for anchor in kept.anchors] == [7, 30, 90, 180, 365]
        for anchor in kept.anchors:
            at_money = kept.surface.total_variance(0.0, anchor.days / 365, kept.surface.as_of)
            assert anchor.atm_vol == pytest.approx((at_money * 365 / anchor.days) ** 0.5, abs=1e-6)
        assert kept.anchors[-1].extrapolated
        assert not kept.anchors[1].extrapolated


def test_surfaces_of_a_chain_are_versioned_by_their_content(tmp_path: Path) -> None:
    first = calibrate_surfaces(write(tmp_path / "one.csv", chain()))
    again = calibrate_surfaces(write(tmp_path / "two.csv", chain()))
    other = calibrate_surfaces(write(tmp_path / "other.csv", chain(half_spread=0.006)))
    assert first["version"] == again["version"] == version_of(first)
    assert other["version"] != first["version"]


@pytest.mark.deep  # what the command writes below holds them too
def test_kept_surfaces_are_those_of_the_recorded_chain(market_history_dir: Path) -> None:
    """By volatility, not by parameter: near the quotes quite different parameters draw the same smile."""
    computed = calibrate_surfaces(market_history_dir / CHAIN_FILE)
    committed = json.loads(SURFACES_FILE.read_text())
    assert computed["chain_sha256"] == committed["chain_sha256"]
    for coin, kept in load_surfaces().items():
        found = VolSurface.from_body(computed["underlyings"][coin]["surface"])
        for smile in kept.surface.smiles:
            reach = kept.surface.vol_at(0.0, smile.expiry, kept.surface.as_of)
            for k in (moneyness * reach for moneyness in MONEYNESS):
                vols = [surface.vol_at(k, smile.expiry, surface.as_of) for surface in (kept.surface, found)]
                assert vols[1] == pytest.approx(vols[0], abs=2e-3)


def test_kept_rates_are_zero_rates_of_the_curve(market_history_dir: Path) -> None:
    kept = load_parameters()
    curve = rates_of(market_history_dir, kept.calibrated_to).curve()
    assert curve.as_of == date(2025, 10, 9)
    for days, rate in kept.rates:
        day = date.fromordinal(curve.as_of.toordinal() + days)
        assert exp(-float(rate) * days / 365) == pytest.approx(curve.factor(day), abs=2e-6)


def test_the_command_writes_both_files_as_they_are_kept(market_history_dir: Path, tmp_path: Path) -> None:
    printed = StringIO()
    call_command("calibrate", "--history", str(market_history_dir), "--out", str(tmp_path), stdout=printed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parameters.json", "surfaces.json"]
    written = json.loads((tmp_path / "parameters.json").read_text())
    assert written["version"] == version_of(written)
    assert written["version"] in printed.getvalue()
    assert written["rates"] == json.loads(PARAMETERS_FILE.read_text())["rates"]
