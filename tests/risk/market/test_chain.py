"""A chain is read whole, every quote left out is counted under its reason, and a wrong file is refused."""

from dataclasses import replace
from datetime import timedelta
from math import inf, isnan, nan, sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput
from risk.margin.kernels import black76
from risk.market.chain import STALE_AFTER, implied_vol, read_chain
from tests.risk.market.chains import FORWARD, NOW, SMILES, chain, changed, cleaned, write

ONE = {30: SMILES[30]}
OTM_CALL = next(at for at, quote in enumerate(chain(ONE)) if quote.is_call and quote.strike > FORWARD)


def left_out(**fields: object) -> dict[str, int]:
    """Reasons after one out-of-the-money call was altered, the ordinary one aside."""
    (expiry,) = cleaned(changed(chain(ONE), OTM_CALL, **fields))
    return {reason: count for reason, count in expiry.left_out.items() if reason != "in the money"}


def test_a_file_without_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "chain.csv", chain(ONE), ("timestamp", "currency", "strike"))
    with pytest.raises(BadInput, match=r"chain\.columns.*option_type, expiry_datetime, bid_price"):
        read_chain(path)


def test_a_file_with_many_unreadable_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "chain.csv", chain(ONE))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *(line.replace("call", "swap") for line in lines[1:9])]))
    with pytest.raises(BadInput, match=r"chain\.malformed"):
        read_chain(path)


def test_a_time_without_zone_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "chain.csv", chain(ONE))
    path.write_text(path.read_text().replace("+00:00", ""))
    with pytest.raises(BadInput, match=r"chain\.malformed"):
        read_chain(path)


def test_an_empty_chain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"chain\.malformed"):
        read_chain(write(tmp_path / "chain.csv", []))
    with pytest.raises(BadInput, match=r"chain\.empty"):
        cleaned([])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bid": nan}, "no bid"),
        ({"bid": 0.0}, "no bid"),
        ({"bid": -0.01}, "no bid"),
        ({"ask": nan}, "no ask"),
        ({"ask": inf}, "no ask"),
        ({"bid": 0.9, "ask": 0.1}, "crossed"),
        ({"ask": 40.0}, "no volatility"),
        ({"ask": 0.5}, "wide"),
        ({"quoted_at": NOW - STALE_AFTER - timedelta(seconds=1)}, "stale"),
        ({"quoted_at": NOW + timedelta(days=400)}, "stale"),
    ],
)
def test_a_quote_that_cannot_be_believed_is_left_out_for_its_reason(fields: dict[str, object], reason: str) -> None:
    assert left_out() == {}
    assert left_out(**fields) == {reason: 1}


def test_of_two_quotes_of_one_option_the_later_counts() -> None:
    quotes = chain(ONE)
    early = [replace(quotes[OTM_CALL], bid=0.2, ask=0.21, quoted_at=NOW - timedelta(seconds=40))]
    (expiry,) = cleaned([*quotes, *early])
    (plain,) = cleaned(quotes)
    assert expiry.left_out["superseded"] == 1
    assert expiry.quotes == plain.quotes


def test_one_spike_of_the_future_does_not_move_the_forward() -> None:
    (expiry,) = cleaned(changed(chain(ONE), OTM_CALL, forward=1000 * FORWARD))
    assert expiry.forward == FORWARD
    assert expiry.parity_gap == 0.0


def test_parity_brackets_the_forward_and_finds_one_of_another_market() -> None:
    (expiry,) = cleaned(chain(ONE))
    low, high = expiry.parity
    assert low < FORWARD < high
    assert high / low - 1 < 0.005
    elsewhere = [changed([quote], 0, forward=1.05 * FORWARD)[0] for quote in chain(ONE)]
    (other,) = cleaned(elsewhere)
    assert other.parity_gap > 0.04


def test_a_strike_off_parity_is_left_out_and_the_forward_stands() -> None:
    """A call near the forward at three times its price: selling it against put and future leaves money."""
    quotes = chain(ONE)
    index = next(at for at, quote in enumerate(quotes) if quote.is_call and quote.strike > 1.05 * FORWARD)
    dear = 3 * quotes[index].ask
    (expiry,) = cleaned(changed(quotes, index, bid=0.99 * dear, ask=dear))
    assert expiry.left_out["off parity"] == 2
    assert expiry.parity_gap == 0.0
    assert quotes[index].strike not in [quote.strike for quote in expiry.quotes]


def test_expired_options_are_not_looked_at() -> None:
    quotes = chain()
    late = [changed([quote], 0, quoted_at=NOW + timedelta(days=30))[0] for quote in quotes]
    assert [expiry.expiry for expiry in cleaned(late)] == [NOW + timedelta(days=90)]


def test_only_out_of_the_money_quotes_are_fitted_once_a_strike() -> None:
    for expiry in cleaned(chain()):
        assert all(quote.is_call == (quote.k >= 0) for quote in expiry.quotes)
        strikes = [quote.strike for quote in expiry.quotes]
        assert strikes == sorted(set(strikes))
        assert sum(expiry.left_out.values()) + len(strikes) == 66


@given(
    vol=st.floats(0.1, 2.0),
    days=st.floats(1.0, 400.0),
    deviations=st.floats(-3.0, 3.0),
    is_call=st.booleans(),
)
def test_black_76_gives_back_the_volatility_it_was_given(
    vol: float, days: float, deviations: float, is_call: bool
) -> None:
    """For options out of the money, where the price holds all digits of its volatility."""
    years = days / 365.0
    out = abs(deviations) if is_call else -abs(deviations)
    strike = FORWARD * 2.718281828459045 ** (out * vol * sqrt(years))
    price = black76(FORWARD, strike, vol * sqrt(years), 1.0, is_call)
    assert implied_vol(price, FORWARD, strike, years, is_call) == pytest.approx(vol, rel=1e-9)


def test_a_price_that_no_volatility_gives_has_none() -> None:
    assert isnan(implied_vol(1.1 * FORWARD, FORWARD, FORWARD, 0.1, True))
    assert isnan(implied_vol(-1.0, FORWARD, FORWARD, 0.1, True))


def test_time_runs_through_a_leap_day_in_days() -> None:
    assert [round(expiry.years * 365.0, 9) for expiry in cleaned(chain())] == [7.0, 30.0, 90.0]
