"""A surface is data: it survives its text, knows its age, and prices options where a snapshot carries it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from math import log, sqrt

import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput, Refusal
from risk.margin.instruments import Instrument
from risk.margin.requirement import Positions, RiskMatrices, requirements
from risk.margin.revaluation import resolve
from risk.margin.ruleset import ruleset
from risk.market.snapshot import MarketSnapshot
from risk.market.surface import SECONDS_A_YEAR, Smile, VolSurface
from risk.market.svi import Svi
from tests.risk.builders import EXPIRY, MOMENT, scenarios, snapshot

NEAR = Smile(MOMENT + timedelta(days=10), 95_000.0, Svi(0.002, 0.03, -0.2, 0.01, 0.06))
FAR = Smile(MOMENT + timedelta(days=40), 95_400.0, Svi(0.012, 0.06, -0.3, 0.02, 0.15))
SURFACE = VolSurface("BTC", MOMENT, (NEAR, FAR))


def with_surface(surface: VolSurface, at: timedelta = timedelta(0)) -> MarketSnapshot:
    """The builders' market, later by `at`, with a surface of bitcoin."""
    plain = snapshot()
    underlyings = dict(plain.underlyings)
    underlyings["BTC"] = replace(underlyings["BTC"], surface=surface)
    return replace(plain, underlyings=underlyings, as_of=MOMENT + at)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ((0.01, -0.1, 0.0, 0.0, 0.1), "surface.no_smile"),
        ((0.01, 0.1, 1.0, 0.0, 0.1), "surface.no_smile"),
        ((0.01, 0.1, 0.0, 0.0, 0.0), "surface.no_smile"),
        ((float("nan"), 0.1, 0.0, 0.0, 0.1), "surface.no_smile"),
        ((-0.02, 0.1, 0.0, 0.0, 0.1), "surface.negative_variance"),
    ],
)
def test_parameters_that_make_no_smile_are_refused(parameters: tuple[float, ...], code: str) -> None:
    with pytest.raises(BadInput, match=code):
        Svi(*parameters)


def test_smiles_out_of_order_or_already_expired_are_refused() -> None:
    with pytest.raises(BadInput, match=r"surface\.order"):
        VolSurface("BTC", MOMENT, (FAR, NEAR))
    with pytest.raises(BadInput, match=r"surface\.order"):
        VolSurface("BTC", FAR.expiry, (NEAR, FAR))
    with pytest.raises(BadInput, match=r"surface\.order"):
        VolSurface("BTC", MOMENT, ())


def test_a_snapshot_refuses_a_surface_that_is_stale_of_the_future_or_of_another_coin() -> None:
    day = timedelta(days=1)
    assert with_surface(SURFACE, day).underlyings["BTC"].surface == SURFACE
    with pytest.raises(BadInput, match=r"market\.stale_surface"):
        with_surface(SURFACE, day + timedelta(seconds=1))
    with pytest.raises(Refusal, match=r"surface\.from_the_future"):
        with_surface(SURFACE, -timedelta(seconds=1))
    with pytest.raises(BadInput, match=r"market\.wrong_surface"):
        with_surface(replace(SURFACE, underlying="ETH"))


def test_an_option_at_or_after_its_expiry_has_no_volatility() -> None:
    with pytest.raises(Refusal, match=r"surface\.expired"):
        SURFACE.vol(95_000.0, 95_000.0, MOMENT, MOMENT)
    with pytest.raises(Refusal, match=r"surface\.expired"):
        SURFACE.vol(95_000.0, 95_000.0, FAR.expiry + timedelta(days=1), FAR.expiry)


def test_it_survives_the_text_of_its_snapshot_with_the_same_id() -> None:
    original = with_surface(SURFACE)
    again = MarketSnapshot.from_json(original.to_json())
    assert again == original
    assert again.id == original.id
    surface = again.underlyings["BTC"].surface
    assert surface is not None
    assert surface.id == SURFACE.id


def test_a_snapshot_without_surface_keeps_the_id_it_had_before_there_were_any() -> None:
    assert '"surface"' not in snapshot().to_json()
    assert with_surface(SURFACE).id != snapshot().id


def test_the_smile_is_that_of_quantlib() -> None:
    years = 40 / 365
    svi = FAR.svi
    section = ql.SviSmileSection(years, FAR.forward, [svi.a, svi.b, svi.sigma, svi.rho, svi.m])
    for strike in (40_000.0, 80_000.0, 95_400.0, 120_000.0, 250_000.0):
        own = SURFACE.vol(strike, FAR.forward, FAR.expiry, MOMENT)
        assert own == pytest.approx(section.volatility(strike), rel=1e-12)


def test_between_expiries_total_variance_is_linear_in_time() -> None:
    k = -0.1
    middle = MOMENT + timedelta(days=25)
    expected = (NEAR.svi.total_variance(k) + FAR.svi.total_variance(k)) / 2
    assert SURFACE.vol_at(k, middle, MOMENT) == pytest.approx(sqrt(expected * 365 / 25), rel=1e-12)


def test_outside_the_expiries_the_volatility_of_a_moneyness_stays() -> None:
    early, late = (SURFACE.vol_at(0.2, smile.expiry, MOMENT) for smile in (NEAR, FAR))
    assert SURFACE.vol_at(0.2, MOMENT + timedelta(hours=1), MOMENT) == pytest.approx(early, rel=1e-12)
    assert SURFACE.vol_at(0.2, MOMENT + timedelta(days=400), MOMENT) == pytest.approx(late, rel=1e-12)


@given(k=st.floats(-1.5, 1.5), hours=st.floats(0.0, 9 * 24.0))
def test_time_passing_leaves_the_volatility_of_each_smile(k: float, hours: float) -> None:
    later = MOMENT + timedelta(hours=hours)
    for smile in SURFACE.smiles:
        now, then = (SURFACE.vol_at(k, smile.expiry, moment) for moment in (MOMENT, later))
        assert then == pytest.approx(now, rel=1e-9)


@given(k=st.floats(-2.0, 2.0), share=st.floats(0.01, 1.0))
def test_a_smile_that_shrinks_stays_free_of_butterflies(k: float, share: float) -> None:
    """g is concave in the share, and at least 0 at both ends."""
    assert FAR.svi.density(k) > 0
    assert FAR.svi.density(k, share) > 0


def test_options_take_the_volatility_of_the_surface_and_all_else_does_not() -> None:
    strikes = (Decimal(60_000), Decimal(95_000), Decimal(140_000))
    options = [
        Instrument(id=f"C{strike}", kind="option", underlying="BTC", expiry=EXPIRY, strike=strike) for strike in strikes
    ]
    others = [
        Instrument(id="BTC", kind="spot", underlying="BTC"),
        Instrument(id="E", kind="option", underlying="ETH", expiry=EXPIRY, strike=Decimal(4_000)),
    ]
    flat, smiling = (resolve([*options, *others], market) for market in (snapshot(), with_surface(SURFACE)))
    assert len(set(flat.vol[:3])) == 1
    expected = [
        SURFACE.vol_at(log(float(strike) / smiling.forward[row]), EXPIRY, MOMENT) for row, strike in enumerate(strikes)
    ]
    assert list(smiling.vol[:3]) == pytest.approx(expected, rel=1e-12)
    assert list(smiling.vol[3:]) == list(flat.vol[3:])
    assert list(smiling.forward) == list(flat.forward)


def test_a_smile_asks_more_margin_of_whoever_is_short_the_wing() -> None:
    """Sold far puts are worth more under a smile and lose more in every fall; at the money little changes."""
    rules, drawn = ruleset("standard"), scenarios("standard")
    far = Instrument(id="P", kind="option", underlying="BTC", expiry=EXPIRY, strike=Decimal(60_000), is_call=False)
    short = Positions.from_rows([[(0, -1.0)]])
    level = SURFACE.vol_at(0.0, EXPIRY, MOMENT)
    calm = snapshot()
    coins = dict(calm.underlyings) | {"BTC": replace(calm.underlyings["BTC"], atm_vol=Decimal(f"{level:.6f}"))}
    flat = RiskMatrices.build(replace(calm, underlyings=coins), rules, drawn, [far])
    smiling = RiskMatrices.build(with_surface(SURFACE), rules, drawn, [far])
    assert smiling.table.vol[0] > 1.2 * flat.table.vol[0]
    im_flat, im_smiling = (float(requirements(each, short).total[0]) for each in (flat, smiling))
    assert im_smiling > 1.02 * im_flat


def test_years_are_those_of_the_revaluation() -> None:
    table = resolve([Instrument(id="F", kind="future", underlying="BTC", expiry=FAR.expiry)], snapshot())
    assert table.years[0] == (FAR.expiry - MOMENT).total_seconds() / SECONDS_A_YEAR
