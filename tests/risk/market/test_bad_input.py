"""Input that cannot be true, where one source speaks alone: a snapshot refuses it by name, and a feed of one recording
keeps the last mark of the coin, in doubt by name, while all other coins go on. Several exchanges: `test_live_feed`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from intermediary.errors import BadInput
from risk.market.feeds.base import Bar, CoinBar, SnapshotMaker
from risk.market.feeds.replay import _bar
from risk.market.quality import MarkState
from risk.market.snapshot import (
    AHEAD_LIMIT_S,
    BASIS_LIMITS,
    DEPTH_LIMITS,
    PEG_LIMITS,
    TURNOVER_LIMITS,
    VOL_LIMITS,
    MarketSnapshot,
)
from risk.unsure import is_doubted
from tests.risk.builders import MOMENT, snapshot

START = datetime(2025, 10, 10, 12, tzinfo=UTC)
NAN, INFINITE = Decimal("NaN"), Decimal("Infinity")


# What a snapshot refuses.


@pytest.mark.parametrize("field", ["mark", "adv_usd", "depth_usd", "atm_vol"])
@pytest.mark.parametrize(
    ("value", "code"),
    [(Decimal(0), "not_positive"), (Decimal(-95_000), "not_positive"), (NAN, "no_number"), (INFINITE, "no_number")],
)
def test_a_figure_that_is_no_price_is_refused_by_name(field: str, value: Decimal, code: str) -> None:
    with pytest.raises(BadInput, match=rf"market\.{code}"):
        replace(snapshot().underlyings["BTC"], **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["basis_annual", "funding_8h"])
@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_a_carry_that_is_no_number_is_refused_by_name(field: str, value: Decimal) -> None:
    with pytest.raises(BadInput, match=r"market\.no_number"):
        replace(snapshot().underlyings["BTC"], **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("peg", "code"), [("0", "not_positive"), ("-1", "not_positive"), ("NaN", "no_number")])
def test_a_peg_that_is_no_price_is_refused_by_name(peg: str, code: str) -> None:
    with pytest.raises(BadInput, match=rf"market\.{code}"):
        replace(snapshot(), usdc_peg=Decimal(peg))


@pytest.mark.parametrize(
    ("field", "kind", "limits", "absurd"),
    [
        ("atm_vol", "vol", VOL_LIMITS, ("50", "10.01", "0.0099")),  # 50% as 50
        ("basis_annual", "basis", BASIS_LIMITS, ("4", "2.01", "-2.01")),  # 4% as 4
        ("usdc_peg", "peg", PEG_LIMITS, ("1000", "2.01", "0.0998")),
        ("adv_usd", "turnover", TURNOVER_LIMITS, ("1000000000001", "9999")),
        ("depth_usd", "depth", DEPTH_LIMITS, ("10000000001", "0.5")),
    ],
)
def test_a_figure_that_no_market_shows_is_refused_by_name_with_its_limits(
    field: str, kind: str, limits: tuple[Decimal, Decimal], absurd: tuple[str, ...]
) -> None:
    calm = snapshot()
    item = calm if field == "usdc_peg" else calm.underlyings["BTC"]
    for limit in limits:
        replace(item, **{field: limit})  # type: ignore[arg-type]
    for value in absurd:
        with pytest.raises(BadInput, match=rf"market\.absurd_{kind}") as told:
            replace(item, **{field: Decimal(value)})  # type: ignore[arg-type]
        assert told.value.data == {"field": field, "value": value, "low": str(limits[0]), "high": str(limits[1])}


def test_a_smile_is_lost_only_where_there_is_none() -> None:
    assert replace(snapshot(), lost_smiles=("ETH", "BTC")).lost_smiles == ("BTC", "ETH")
    with pytest.raises(BadInput, match=r"market\.smile_not_lost"):
        replace(snapshot(), lost_smiles=("PEPE",))


def test_a_market_of_nothing_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"market\.empty"):
        replace(snapshot(), underlyings={})
    with pytest.raises(BadInput, match=r"market\.empty"):
        replace(snapshot(), rates=())


def test_a_mark_of_the_future_is_refused_by_name_beyond_what_clocks_differ_by() -> None:
    calm = snapshot()
    for ahead_s, refused in ((AHEAD_LIMIT_S, False), (AHEAD_LIMIT_S + 1, True), (3_600.0, True)):
        late = replace(calm.underlyings["BTC"], observed_at=MOMENT + timedelta(seconds=ahead_s))
        if not refused:
            replace(calm, underlyings={**calm.underlyings, "BTC": late})
            continue
        with pytest.raises(BadInput, match=r"market\.observed_in_the_future") as told:
            replace(calm, underlyings={**calm.underlyings, "BTC": late})
        assert told.value.data["underlying"] == "BTC"


@pytest.mark.parametrize("missing_days", [30, 91, 182, 365])
def test_a_curve_with_a_hole_is_refused_with_where_it_is(missing_days: int) -> None:
    rates = snapshot().rates
    tenors = [days for days, _ in rates]
    with pytest.raises(BadInput, match=r"market\.rates_hole") as told:
        replace(snapshot(), rates=tuple(row for row in rates if row[0] != missing_days))
    place = tenors.index(missing_days)
    assert (told.value.data["after_days"], told.value.data["before_days"]) == (tenors[place - 1], tenors[place + 1])


@pytest.mark.parametrize(
    "rates",
    [
        ((3650, "0.05"),),
        ((0, "0.04"), (30, "0.04"), (60, "0.04"), (120, "0.04"), (240, "0.04"), (480, "0.04")),
        ((32, "0.04"), (64, "0.04"), (128, "0.04"), (256, "0.04"), (512, "0.04")),
        ((1, "0.04"), (30, "0.04"), (60, "0.04"), (120, "0.04"), (240, "0.04"), (364, "0.04")),
    ],
)
def test_a_curve_that_does_not_cover_a_year_from_its_first_month_on_is_refused(
    rates: tuple[tuple[int, str], ...],
) -> None:
    with pytest.raises(BadInput, match=r"market\.rates_reach") as told:
        replace(snapshot(), rates=tuple((days, Decimal(rate)) for days, rate in rates))
    assert told.value.data == {"first_days": rates[0][0], "last_days": rates[-1][0]}


@pytest.mark.parametrize(
    ("rate", "code"),
    [("NaN", "no_number"), ("Infinity", "no_number"), ("4.19", "absurd_rate"), ("-0.2", "absurd_rate")],
)
def test_a_rate_that_is_none_is_refused_by_name(rate: str, code: str) -> None:
    with pytest.raises(BadInput, match=rf"market\.{code}"):
        replace(snapshot(), rates=((1, Decimal("0.04")), (30, Decimal(rate))))


def test_tenors_that_do_not_rise_are_refused_by_name() -> None:
    for tenors in ((30, 30), (30, 1)):
        with pytest.raises(BadInput, match=r"market\.rates_not_rising"):
            replace(snapshot(), rates=tuple((days, Decimal("0.04")) for days in tenors))


def test_a_stored_text_with_such_a_figure_is_refused_when_it_is_read() -> None:
    text = snapshot().to_json()
    for bad, code in (
        ("NaN", "no_number"), ("-1", "not_positive"), ("1000", "absurd_peg"), ("many", "malformed_snapshot"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=rf"market\.{code}"):
            MarketSnapshot.from_json(text.replace('"usdc_peg":"1"', f'"usdc_peg":"{bad}"'))


# What a feed of one source does.


def bar(minutes: int, close: str, low: float | None = None, high: float | None = None) -> Bar:
    """Bitcoin as given, ether always the same."""
    at = START + timedelta(minutes=minutes)
    price = float(close)
    given = CoinBar(Decimal(close), high if high is not None else price, low if low is not None else price, at)
    return Bar(at, {"BTC": given, "ETH": CoinBar(Decimal(4_016), 4_016.0, 4_016.0, at)})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bar(5, "0"), "no price"),
        (bar(5, "-95000"), "no price"),
        (bar(5, "NaN"), "no price"),
        (bar(5, "Infinity"), "no price"),
        (bar(5, "95000", low=0.0), "no price"),
        (bar(5, "95000", low=95_010.0, high=94_990.0), "crossed bar"),
        (bar(5, "475000", low=94_990.0, high=95_010.0), "close outside its bar"),
        (bar(5, "94989", low=94_990.0, high=95_010.0), "close outside its bar"),
        (bar(5, "95000000"), "absurd price"),
        (bar(5, "95"), "absurd price"),
        (bar(5, "95000", high=95_000_000.0), "absurd range"),
        (bar(5, "95000", low=95.0), "absurd range"),
    ],
)
def test_a_bar_that_cannot_be_true_leaves_the_last_mark_in_doubt_by_name(bad: Bar, reason: str) -> None:
    maker = SnapshotMaker("recording")
    maker.advance(bar(0, "95000"))
    calm = maker.snapshot(bar(0, "95000"))
    assert calm.qualities == {}
    maker.advance(bad)
    found = maker.snapshot(bad)
    assert found.mark("BTC") == 95_000
    assert found.underlyings["BTC"].observed_at == START, "and ages from its own time"
    assert found.underlyings["BTC"].atm_vol == calm.underlyings["BTC"].atm_vol, "nor does it move a volatility"
    quality = found.qualities["BTC"]
    assert (quality.state, [(seen.source, seen.left_out) for seen in quality.left_out]) == (
        MarkState.STALE, [("recording", reason)],
    )  # fmt: skip
    assert is_doubted(quality, 10_000)
    assert found.underlyings["ETH"].observed_at == bad.as_of, "others go on"
    assert set(found.qualities) == {"BTC"}
    after = bar(10, "94000")
    maker.advance(after)
    again = maker.snapshot(after)
    assert again.mark("BTC") == 94_000
    assert again.qualities == {}


def test_a_coin_whose_first_bar_cannot_be_true_is_not_in_the_market_yet() -> None:
    maker = SnapshotMaker("recording")
    maker.advance(bar(0, "NaN"))
    assert maker.coins_seen == ("ETH",)


def test_a_crash_of_nine_tenths_is_a_price() -> None:
    maker = SnapshotMaker("recording")
    maker.advance(bar(0, "95000"))
    crashed = bar(5, "9600")
    maker.advance(crashed)
    assert maker.snapshot(crashed).mark("BTC") == 9_600


def test_what_was_not_recorded_is_no_number() -> None:
    read = _bar('[1760097600, {"BTC": [null, 95010.5, NaN, 1760097600]}]')
    assert read.coins["BTC"].close.is_nan()
