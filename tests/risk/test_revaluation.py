"""Instruments under shocks: Black-76 against QuantLib, linear contracts against their definitions."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput, Refusal
from risk.margin.instruments import Instrument
from risk.margin.kernels import black76
from risk.margin.revaluation import option_price, profit_matrix, resolve
from risk.margin.shocks import ShockSet, jump_shocks
from tests.risk.builders import EXPIRY, INDEX, INSTRUMENTS, MARKS, MOMENT, matrices, snapshot

COINS = tuple(sorted(MARKS))


def prices(ratio: float, vol: float = 1.0) -> ShockSet:
    """One shock of every coin."""
    return ShockSet.of_prices(COINS, np.full((1, len(COINS)), ratio), np.full((1, len(COINS)), vol))


def gains(ratio: float, vol: float = 1.0) -> dict[str, float]:
    """Gain of one unit of each instrument of the builders' table."""
    matrix = profit_matrix(matrices().table, prices(ratio, vol))
    return {item.id: float(matrix[row, 0]) for row, item in enumerate(INSTRUMENTS)}


def test_an_expired_instrument_is_refused() -> None:
    expired = Instrument(id="OLD", kind="future", underlying="BTC", expiry=MOMENT)
    with pytest.raises(Refusal, match=r"instrument\.expired"):
        resolve([expired], snapshot())


def test_an_instrument_without_market_is_refused() -> None:
    with pytest.raises(Refusal, match=r"market\.unknown_underlying"):
        resolve([Instrument(id="LUNA", kind="spot", underlying="LUNA")], snapshot())


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "swap"},
        {"kind": "option", "expiry": EXPIRY},
        {"kind": "option", "strike": Decimal(1)},
        {"kind": "option", "expiry": EXPIRY, "strike": Decimal(0)},
        {"kind": "spot", "expiry": EXPIRY},
        {"kind": "spot", "strike": Decimal(1)},
        {"kind": "spot", "inverse": True},
        {"kind": "future"},
    ],
)
def test_terms_that_make_no_instrument_are_refused(terms: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        Instrument(id="X", underlying="BTC", **terms)  # type: ignore[arg-type]


def test_shocks_of_other_coins_are_rejected() -> None:
    other = ShockSet.of_prices(("BTC",), np.ones((1, 1)))
    with pytest.raises(ValueError, match="the market has"):
        profit_matrix(matrices().table, other)


@given(
    forward=st.floats(100.0, 200_000.0),
    moneyness=st.floats(0.5, 2.0),
    deviation=st.floats(0.15, 2.0),
    discount=st.floats(0.5, 1.0),
    is_call=st.booleans(),
)
def test_black_76_agrees_with_quantlib(
    forward: float, moneyness: float, deviation: float, discount: float, is_call: bool
) -> None:
    strike = forward * moneyness
    kind = ql.Option.Call if is_call else ql.Option.Put
    expected = ql.blackFormula(kind, strike, forward, deviation, discount)
    # Two correct prices differ by rounding of N(d), which cancellation magnifies for options worth nearly nothing.
    slack = 1e-15 * forward
    assert black76(forward, strike, deviation, discount, is_call) == pytest.approx(expected, rel=1e-10, abs=slack)
    reference = float(option_price(forward, strike, deviation, discount, is_call))
    assert reference == pytest.approx(expected, rel=1e-10, abs=slack)


def test_at_zero_volatility_or_price_an_option_is_its_intrinsic_value() -> None:
    assert black76(120.0, 100.0, 0.0, 0.9, True) == pytest.approx(18.0)
    assert black76(120.0, 100.0, 0.0, 0.9, False) == 0.0
    assert black76(0.0, 100.0, 0.5, 0.9, False) == pytest.approx(90.0)


def test_linear_contracts_gain_what_they_say() -> None:
    fall = gains(0.8)
    assert fall["BTC"] == pytest.approx(-19_000.0)
    assert fall["BTC-PERP"] == pytest.approx(-19_000.0)
    forward = 95_000.0 * np.exp(0.04 * 30 / 365)
    assert fall["BTC-FUT"] == pytest.approx(-0.2 * forward)
    assert fall["USDC"] == 0.0


def test_an_inverse_contract_gains_coins_worth_their_new_price() -> None:
    coins = 1 / 95_000 - 1 / (95_000 * 1.25)
    assert gains(1.25)["BTC-INV"] == pytest.approx(coins * 95_000 * 1.25)
    assert gains(0.0)["BTC-INV"] == pytest.approx(-1.0)


def test_options_obey_parity_under_every_shock() -> None:
    """A call less a put of one strike is a discounted forward, so their gains differ by its gain."""
    strike = Decimal(90_000)
    pair = [
        Instrument(id="C", kind="option", underlying="BTC", expiry=EXPIRY, strike=strike),
        Instrument(id="P", kind="option", underlying="BTC", expiry=EXPIRY, strike=strike, is_call=False),
        Instrument(id="F", kind="future", underlying="BTC", expiry=EXPIRY),
    ]
    table = resolve(pair, snapshot())
    call, put, future = profit_matrix(table, jump_shocks(COINS, (-0.6, 0.2, 0.6), (-0.3, 0.0, 0.6)))
    assert call - put == pytest.approx(table.discount[0] * future, abs=1e-6)


def test_an_option_gains_from_volatility_and_a_put_from_a_fall() -> None:
    calm = gains(1.0)
    assert calm["BTC-CALL"] == pytest.approx(0.0, abs=1e-9)
    assert gains(1.0, 1.6)["BTC-CALL"] > 1_000.0
    assert gains(0.6)["BTC-PUT"] > 20_000.0
    assert gains(0.0)["BTC-PUT"] < 90_000.0


def test_the_peg_and_the_premium_reach_only_what_they_concern() -> None:
    count = len(COINS)
    shock = ShockSet(
        coins=COINS,
        price_ratio=np.ones((1, count)),
        vol_ratio=np.ones((1, count)),
        vol_term=np.zeros((1, count)),
        vol_skew=np.zeros((1, count)),
        premium=np.full((1, count), -0.05),
        basis_annual=np.array([0.12]),
        rate_level=np.zeros(1),
        rate_slope=np.zeros(1),
        peg=np.array([0.9]),
        peg_move=np.zeros(1),
    )
    rows = profit_matrix(matrices().table, shock)[:, 0]
    assert rows[INDEX["USDC"]] == pytest.approx(-0.1)
    assert rows[INDEX["BTC-PERP"]] == pytest.approx(-0.05 * 95_000)
    assert rows[INDEX["BTC"]] == 0.0
    assert rows[INDEX["BTC-FUT"]] > 0.0


def test_dollar_delta_is_the_slope_of_the_value() -> None:
    table = matrices().table
    step = 1e-5
    up, down = (profit_matrix(table, prices(1.0 + sign * step))[:, 0] for sign in (1, -1))
    assert table.delta_usd == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)


def test_time_is_counted_from_the_snapshot() -> None:
    later = Instrument(id="L", kind="future", underlying="BTC", expiry=MOMENT + timedelta(days=365))
    assert resolve([later], snapshot()).forward[0] == pytest.approx(95_000 * np.exp(0.04))
