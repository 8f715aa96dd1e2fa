"""Fits find the smiles they are shown, hold no arbitrage, and refuse what no smile can hold; gates on real quotes."""

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from intermediary.errors import Refusal
from risk.margin.kernels import black76
from risk.market import arbitrage
from risk.market.chain import CHAIN_FILE, read_chain, smile_quotes
from risk.market.smile_plots import smiles_plot
from risk.market.surface import Smile, VolSurface
from risk.market.surface_fit import INSIDE_SHARE_MIN, SurfaceFit, fit_surface, fit_surfaces
from risk.market.surface_report import report, run
from risk.market.svi import Svi
from risk.market.svi_fit import PENALTY_GRID, _Problem
from tests.risk.market.chains import FORWARD, NOW, SMILES, chain, changed, cleaned, expiry_quotes, write

# Axel Vogt's smile, the standard example of a butterfly arbitrage (Gatheral & Jacquier 2014, example 3.1).
VOGT = Svi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def surface(smiles: dict[int, Svi]) -> VolSurface:
    """A surface of known smiles by days."""
    return VolSurface(
        "BTC", NOW, tuple(Smile(NOW + timedelta(days=days), FORWARD, svi) for days, svi in smiles.items())
    )


def refusals(fit: SurfaceFit) -> dict[int, str]:
    """Codes of the refused expiries by days."""
    return {(item.expiry - NOW).days: fault.code for item, fault in fit.refused}


def test_a_surface_with_a_planted_butterfly_is_refused_with_where_and_how_much() -> None:
    with pytest.raises(Refusal, match=r"surface\.butterfly_arbitrage") as found:
        arbitrage.require_free(surface({365: VOGT}))
    assert found.value.data["value"] < -0.01
    assert 0.5 < found.value.data["log_moneyness"] < 1.2


def test_a_surface_with_a_planted_calendar_is_refused_with_where_and_how_much() -> None:
    high = replace(SMILES[30], a=SMILES[30].a + 0.04)
    with pytest.raises(Refusal, match=r"surface\.calendar_arbitrage") as found:
        arbitrage.require_free(surface({7: SMILES[7], 30: high, 90: SMILES[90]}))
    assert found.value.data["value"] < 0
    arbitrage.require_free(surface(SMILES))


def test_a_calendar_far_beyond_the_quotes_is_seen_by_the_wings() -> None:
    steep = Svi(0.0001, 0.13, -0.25, 0.0, 0.01)
    flat = Svi(0.5, 0.12, -0.25, 0.0, 0.01)
    assert not arbitrage.calendar(steep, flat).holds


def test_a_wing_steeper_than_lees_bound_is_a_butterfly() -> None:
    assert not arbitrage.butterfly(Svi(0.1, 1.9, 0.5, 0.0, 0.2)).holds


@given(
    b=st.floats(0.01, 0.4),
    rho=st.floats(-0.9, 0.9),
    m=st.floats(-0.2, 0.2),
    sigma=st.floats(0.05, 0.6),
    k=st.floats(-1, 1),
)
def test_the_density_is_that_of_prices(b: float, rho: float, m: float, sigma: float, k: float) -> None:
    """g(k) phi(d2) / sqrt(w) is the second derivative of undiscounted calls in strike times the strike."""
    svi = Svi(0.02, b, rho, m, sigma)
    w, slope, bend = svi.jet(k)
    step = 1e-4
    up, down = (svi.total_variance(k + sign * step) for sign in (1, -1))
    assert slope == pytest.approx((up - down) / (2 * step), abs=1e-6)
    assert bend == pytest.approx((up - 2 * w + down) / step**2, abs=1e-4)
    strike, bump = float(np.exp(k)), 1e-4
    calls = [
        black76(1.0, at, svi.total_variance(float(np.log(at))) ** 0.5, 1.0, True)
        for at in (strike - bump, strike, strike + bump)
    ]
    d2 = -k / np.sqrt(w) - np.sqrt(w) / 2
    implied = svi.density(k) * np.exp(-d2 * d2 / 2) / np.sqrt(2 * np.pi * w) / strike
    assert (calls[0] - 2 * calls[1] + calls[2]) / bump**2 == pytest.approx(implied, abs=2e-3, rel=2e-3)


@pytest.mark.parametrize("penalty", [0.0, 100.0])
def test_fits_follow_the_slopes_of_their_residuals(penalty: float) -> None:
    """Against central differences, where all that may be violated is: density, wings, calendar, times between."""
    (item,) = cleaned(expiry_quotes(365, Svi(0.30, 0.13, -0.20, 0.0, 0.30)))
    problem = _Problem(item.quotes, item.years, VOGT)
    step = 1e-6 * np.eye(5)
    violated = []
    for x in ([0.5, 0.5, -0.4, 0.1, 0.5], [0.1, 3.0, 0.9, -0.6, 0.1], [0.1, 3.0, -0.9, -0.6, 0.1]):
        at = np.array(x)
        by_differences = [
            (problem.residuals(at + h, penalty) - problem.residuals(at - h, penalty)) / 2e-6 for h in step
        ]
        slopes = problem.slopes_of_residuals(at, penalty)
        assert slopes == pytest.approx(np.array(by_differences).T, rel=1e-5, abs=1e-5)
        violated.append(problem.residuals(at, penalty)[len(item.quotes) :] > 0)
    n = PENALTY_GRID.size
    conditions = np.split(np.any(violated, axis=0), np.cumsum([n, 1, n, 1, 1, n, n]))
    assert all(part.any() for part in conditions) or not penalty


def test_known_smiles_are_found_again() -> None:
    fit = fit_surface(cleaned(chain()))
    for smile, (days, svi) in zip(fit.surface.smiles, SMILES.items(), strict=True):
        k = np.linspace(-0.3, 0.3, 13)
        found, known = (np.sqrt(one.total_variance(k) / (days / 365)) for one in (smile.svi, svi))
        assert found == pytest.approx(known, abs=1e-4)
    assert all(not item.enforced for item in fit.fitted)
    assert report(fit)["inside_share"] == 1.0


def test_quotes_with_a_butterfly_are_refused_by_that_name() -> None:
    """A smile whose middle is a hump: no density that is positive everywhere gives such prices."""
    hump = chain({30: SMILES[30]})
    bent = []
    for quote in hump:
        k = np.log(quote.strike / FORWARD)
        vol = 0.6 + 0.25 * np.exp(-((k / 0.05) ** 2)) - 1.0 * abs(k)
        bid, ask = (
            black76(FORWARD, quote.strike, (vol + side) * (30 / 365) ** 0.5, 1.0, quote.is_call) / FORWARD
            for side in (-0.002, 0.002)
        )
        bent.append(replace(quote, bid=bid, ask=ask))
    with pytest.raises(Refusal, match=r"surface\.nothing_fitted") as found:
        fit_surface(cleaned(bent))
    assert set(found.value.data["refused"].values()) <= {"surface.butterfly_arbitrage", "surface.poor_fit"}


def test_quotes_of_vogts_smile_are_held_free_or_refused_and_never_taken_as_they_are() -> None:
    quotes = cleaned(expiry_quotes(365, VOGT, half_spread=0.0005))
    try:
        fit = fit_surface(quotes)
    except Refusal as refused:
        assert set(refused.data["refused"].values()) == {"surface.butterfly_arbitrage"}  # noqa: PT017
    else:
        assert fit.fitted[0].enforced == ("butterfly",)
        assert arbitrage.butterfly(fit.surface.smiles[0].svi).holds


def test_an_expiry_that_contradicts_the_others_is_refused_and_the_others_stand() -> None:
    planted = dict(SMILES) | {30: replace(SMILES[30], a=SMILES[30].a + 0.06)}
    planted[14] = Svi(0.0012, 0.052, -0.15, 0.0, 0.09)
    planted[60] = Svi(0.0065, 0.105, -0.22, 0.0, 0.20)
    fit = fit_surface(cleaned(chain(dict(sorted(planted.items())))))
    assert refusals(fit) == {30: "surface.calendar_arbitrage"}
    assert [(smile.expiry - NOW).days for smile in fit.surface.smiles] == [7, 14, 60, 90]
    fault = fit.refused[0][1]
    assert fault.data["gain"] < -0.1
    assert fault.data["conflicts"] == 2


def test_a_small_calendar_arbitrage_is_held_off_and_said() -> None:
    """Total variance 3% lower a day later: less than spreads, so both keep a smile, and the later lies above."""
    low = replace(SMILES[7], a=SMILES[7].a * 0.97, b=SMILES[7].b * 0.97)
    fit = fit_surface(cleaned(chain({7: SMILES[7], 8: low}, half_spread=0.02)))
    assert [item.enforced for item in fit.fitted] == [("calendar",), ()]
    assert fit.fitted[0].fit.cost >= fit.fitted[0].free.cost
    early, late = (smile.svi for smile in fit.surface.smiles)
    assert arbitrage.calendar(early, late).holds


def test_one_absurd_quote_is_named_and_does_not_move_the_smile() -> None:
    quotes = chain({30: SMILES[30]})
    index = next(at for at, quote in enumerate(quotes) if quote.is_call and quote.strike > 1.4 * FORWARD)
    price = quotes[index].ask * 3
    spoiled = fit_surface(cleaned(changed(quotes, index, bid=price * 0.99, ask=price)))
    assert report(spoiled)["expiries"][0]["outliers"] == [quotes[index].strike]
    clean = fit_surface(cleaned(quotes))
    for k in (-0.2, 0.0, 0.1):
        vols = [fit.surface.vol_at(k, NOW + timedelta(days=30), NOW) for fit in (clean, spoiled)]
        assert vols[1] == pytest.approx(vols[0], abs=2e-4)


def test_an_expiry_without_both_sides_near_or_off_parity_is_refused_and_the_others_stand() -> None:
    calls_only = [quote for quote in expiry_quotes(7, SMILES[7]) if quote.is_call]
    tonight = expiry_quotes(1, SMILES[7], NOW - timedelta(minutes=1))
    tonight = [replace(quote, quoted_at=NOW) for quote in tonight]
    elsewhere = [replace(quote, forward=1.05 * FORWARD) for quote in expiry_quotes(30, SMILES[30])]
    fit = fit_surface(cleaned([*tonight, *calls_only, *elsewhere, *expiry_quotes(90, SMILES[90])]))
    assert refusals(fit) == {0: "surface.too_near", 7: "surface.too_few_quotes", 30: "surface.forward_off_parity"}
    assert [(smile.expiry - NOW).days for smile in fit.surface.smiles] == [90]


def test_an_underlying_that_cannot_be_fitted_leaves_the_others() -> None:
    ether = [replace(quote, underlying="ETH") for quote in chain() if quote.is_call]
    found = fit_surfaces(cleaned([*chain(), *ether]))
    assert isinstance(found["BTC"], SurfaceFit)
    refused = found["ETH"]
    assert isinstance(refused, Refusal)
    assert refused.code == "surface.nothing_fitted"


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_noise_is_quoted_no_surface_holds_arbitrage(seed: int) -> None:
    random = np.random.default_rng(seed)
    noisy = [
        replace(quote, bid=quote.bid * scale, ask=quote.ask * scale)
        for quote in chain()
        for scale in [float(np.exp(random.normal(0.0, 0.05)))]
    ]
    try:
        fit = fit_surface(cleaned(noisy))
    except Refusal as refused:
        assert refused.code == "surface.nothing_fitted"  # noqa: PT017
        return
    arbitrage.require_free(fit.surface)
    assert all(float(item.inside().mean()) >= INSIDE_SHARE_MIN for item in fit.fitted)


def test_the_last_smile_grown_in_proportion_is_free_as_long_as_is_said() -> None:
    known = surface(SMILES)
    years = arbitrage.free_until_years(known)
    share = years / (90 / 365)
    assert share > 1
    assert SMILES[90].density(arbitrage.GRID, share * 0.999).min() >= 0
    assert SMILES[90].density(arbitrage.GRID, share * 1.001).min() < 0


def test_the_same_chain_gives_the_same_surface() -> None:
    first, second = (fit_surface(cleaned(order)) for order in (chain(), chain()[::-1]))
    assert first.surface.id == second.surface.id


def test_the_picture_shows_every_expiry_and_marks_what_was_missed() -> None:
    fit = fit_surface(cleaned(chain()))
    drawn = smiles_plot(fit)
    root = ElementTree.fromstring(drawn)  # noqa: S314
    assert sum(node.tag.endswith("polyline") for node in root.iter()) == len(fit.fitted)
    assert "#dc2626" not in drawn


def test_the_command_reports_draws_and_fails_on_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "chain.csv", chain())
    printed = StringIO()
    call_command("fit_surface", str(file), "--json", "--out", str(tmp_path / "out"), stdout=printed)
    body = json.loads(printed.getvalue())
    assert body == json.loads((tmp_path / "out" / "surface.json").read_text())
    assert VolSurface.from_body(body["underlyings"]["BTC"]["surface"]).id == body["underlyings"]["BTC"]["id"]
    assert (tmp_path / "out" / "btc.svg").read_text().startswith("<svg")
    calls = write(tmp_path / "calls.csv", [quote for quote in chain() if quote.is_call])
    with pytest.raises(CommandError, match=r"surface\.nothing_fitted"):
        call_command("fit_surface", str(calls), stdout=StringIO())
    with pytest.raises(CommandError, match="no option chain"):
        call_command("fit_surface", str(tmp_path / "absent.csv"), stdout=StringIO())


@pytest.fixture(scope="module")
def recorded(market_history_dir: Path) -> dict[str, SurfaceFit]:
    """The fits of the recorded chain."""
    return run(market_history_dir / CHAIN_FILE)[1]


def test_of_the_recorded_chain_every_expiry_beyond_a_day_is_fitted(recorded: dict[str, SurfaceFit]) -> None:
    assert sorted(recorded) == ["BTC", "ETH"]
    for fit in recorded.values():
        assert len(fit.fitted) == 11
        assert [fault.code for _, fault in fit.refused] == ["surface.too_near"]
        arbitrage.require_free(fit.surface)


def test_the_recorded_chain_is_fitted_this_well_or_better(recorded: dict[str, SurfaceFit]) -> None:
    """Measured: 98.7% and 98.2% of quotes inside, errors 0.51 and 0.86 points, at worst 1.6 half-spreads."""
    for coin, error_limit in (("BTC", 0.56), ("ETH", 0.95)):
        body = report(recorded[coin])
        assert body["inside_share"] >= 0.978
        assert body["rmse_vol_points"] <= error_limit
        for row in body["expiries"]:
            assert row["inside_share"] >= 0.9, row["expiry"]
            assert row["weighted_rmse_vol_points"] <= 0.75, row["expiry"]
            assert abs(row["worst"]["error_vol_points"]) <= 1.75 * row["worst"]["half_spread_vol_points"], row["expiry"]


def test_the_recorded_forwards_are_those_of_parity(market_history_dir: Path) -> None:
    assert all(item.parity_gap == 0.0 for item in smile_quotes(read_chain(market_history_dir / CHAIN_FILE)))


def test_of_the_recorded_surface_total_variance_never_falls(recorded: dict[str, SurfaceFit]) -> None:
    for fit in recorded.values():
        years = np.linspace(0.003, 1.0, 40)
        for k in (-0.6, -0.2, 0.0, 0.2, 0.6):
            variance = [fit.surface.total_variance(k, float(at), fit.surface.as_of) for at in years]
            assert all(later >= earlier for earlier, later in pairwise(variance))
