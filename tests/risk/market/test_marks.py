"""A mark follows the deep venues, a thin one cannot move it, and what is not known shows as uncertainty."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.canonical import sha256_hex
from intermediary.errors import BadInput, Refusal
from risk.market.mark_parameters import STANDARD
from risk.market.marks import PERPETUAL, Mark, Quote, mark_of, weighted_median
from risk.market.quality import MarkQuality, MarkState

NOW = datetime(2025, 10, 10, 21, 20, tzinfo=UTC)
DEEP, THIN = 100e6, 0.5e6


def quote(source: str, price: str, turnover: float = DEEP, age_s: float = 1.0, **changes: object) -> Quote:
    """A quote of a source with this turnover in USD a day, of a coin that costs about 100."""
    made = Quote(source=source, price=Decimal(price), at=NOW - timedelta(seconds=age_s), volume=turnover / 100.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def mark(*quotes: Quote, **options: object) -> Mark:
    return mark_of("AVAX", quotes, NOW, **options)  # type: ignore[arg-type]


def reasons(found: Mark) -> dict[str, str]:
    return {seen.source: seen.left_out for seen in found.quality.left_out}


CALM = (quote("a", "100.0"), quote("b", "100.1"), quote("c", "99.9"))


# Refusals first.


def test_no_usable_source_is_refused_with_the_reason_for_each() -> None:
    with pytest.raises(Refusal, match="no_mark") as refused:
        mark(quote("a", "0"), quote("b", "100", age_s=600), quote("c", "NaN"))
    assert refused.value.data["left_out"] == {"a": "no price", "b": "stale", "c": "no price"}
    assert refused.value.data["underlying"] == "AVAX"


def test_nothing_heard_at_all_is_refused() -> None:
    with pytest.raises(Refusal, match="no_mark"):
        mark()


def test_two_sources_a_factor_apart_are_refused_because_nobody_can_tell_who_is_wrong() -> None:
    with pytest.raises(Refusal, match="no_mark") as refused:
        mark(quote("a", "100"), quote("b", "100000"))
    assert set(refused.value.data["left_out"].values()) == {"absurd price"}


def test_a_deep_source_a_factor_away_from_all_others_is_refused_rather_than_followed() -> None:
    with pytest.raises(Refusal, match="no_mark"):
        mark(quote("a", "100000", turnover=1e12), quote("b", "100"), quote("c", "100"))


def test_a_single_source_that_jumps_is_not_believed_while_nothing_confirms_it() -> None:
    with pytest.raises(Refusal, match="no_mark") as refused:
        mark(quote("a", "60"), last=Decimal(100))
    assert refused.value.data["left_out"] == {"a": "unconfirmed move"}


def test_one_source_may_not_speak_twice() -> None:
    with pytest.raises(BadInput, match=r"market\.source_twice"):
        mark(quote("a", "100"), quote("a", "101"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (quote("bad", "-1"), "no price"),
        (quote("bad", "Infinity"), "no price"),
        (quote("bad", "1e-400"), "no price"),
        (quote("bad", "100000"), "absurd price"),
        (quote("bad", "0.1"), "absurd price"),
        (quote("bad", "100", age_s=181), "stale"),
        (quote("bad", "100", age_s=-6), "time in the future"),
        (quote("bad", "100", bid=Decimal(101), ask=Decimal(99)), "crossed book"),
        (quote("bad", "100", bid=Decimal("NaN"), ask=Decimal(99)), "crossed book"),
        (quote("bad", "100", turnover=0.0), "no volume"),
        (quote("bad", "100", turnover=float("nan")), "no volume"),
        (quote("bad", "100", turnover=float("inf")), "no volume"),
        (quote("bad", "100", currency="USDT"), "no price of USDT"),
    ],
)
def test_bad_input_is_left_out_by_name_and_makes_the_mark_less_sure(bad: Quote, reason: str) -> None:
    calm, found = mark(*CALM), mark(*CALM, bad)
    assert reasons(found) == {"bad": reason}
    assert found.price == calm.price
    assert found.quality.uncertainty_bps > calm.quality.uncertainty_bps


# The mark.


def test_three_fresh_sources_close_together_give_a_good_mark() -> None:
    found = mark(*CALM)
    assert found.price == Decimal("100.0")
    assert found.quality.state is MarkState.GOOD
    assert 5 <= found.quality.uncertainty_bps <= 20
    assert sum(seen.share_bps for seen in found.quality.used) == pytest.approx(10_000, abs=2)


def test_a_thin_venue_that_prints_60_percent_off_does_not_move_the_mark() -> None:
    found = mark(*CALM, quote("thin", "40", turnover=THIN))
    assert found.price == mark(*CALM).price
    assert reasons(found) == {"thin": "outlier"}
    assert found.quality.uncertainty_bps > mark(*CALM).quality.uncertainty_bps


def test_a_crash_on_the_deep_venues_goes_through_at_once_whatever_its_size() -> None:
    crashed = (quote("a", "40.0"), quote("b", "40.1"), quote("c", "39.9"), quote("late", "100", turnover=THIN))
    found = mark(*crashed, last=Decimal(100))
    assert found.price == Decimal("40.0")
    assert reasons(found) == {"late": "outlier"}


def test_of_two_sources_far_apart_none_is_left_out() -> None:
    found = mark(quote("a", "20"), quote("b", "14", turnover=THIN))
    assert found.price == Decimal(20)
    assert found.quality.left_out == ()


def test_a_second_spot_venue_needs_a_third_of_the_first_to_carry_the_median_with_a_perpetual_at_its_side() -> None:
    def with_second(share: float) -> Decimal:
        second = quote("second", "10.1", turnover=share * DEEP)
        return mark(quote("deep", "20"), second, quote("perpetual", "10", turnover=100 * DEEP, kind=PERPETUAL)).price

    assert with_second(0.30) == Decimal(20)
    assert with_second(0.40) == Decimal("10.1")


def test_two_large_camps_leave_nobody_out_and_say_how_far_they_are_apart() -> None:
    found = mark(quote("a", "20", turnover=60e6), quote("b", "10", turnover=50e6), quote("c", "20.1", turnover=THIN))
    assert found.price == Decimal(20)
    assert found.quality.left_out == ()
    assert found.quality.state is MarkState.DIVIDED
    assert found.quality.uncertainty_bps > 3_000


def test_old_votes_are_stale_however_far_apart_and_fresh_ones_divided() -> None:
    def apart(age_s: float) -> Mark:
        return mark(quote("a", "100", age_s=age_s), quote("b", "102", age_s=age_s + 30), quote("c", "104", age_s=age_s))

    assert apart(0).quality.state is MarkState.DIVIDED
    assert apart(100).quality.state is MarkState.STALE
    assert apart(100).quality.uncertainty_bps > apart(0).quality.uncertainty_bps > STANDARD.divided_bps


def test_a_perpetual_of_the_same_turnover_is_outvoted_by_spot() -> None:
    found = mark(quote("spot", "20"), quote("perpetual", "10", kind=PERPETUAL))
    assert found.price == Decimal(20)


def test_a_deeper_perpetual_does_not_outvote_spot_but_outvotes_a_spot_market_that_is_none() -> None:
    perpetual = quote("perpetual", "10", turnover=1e9, kind=PERPETUAL)
    assert mark(quote("spot", "20", turnover=50e6), perpetual).price == Decimal(20)
    assert mark(quote("spot", "20", turnover=1e5), perpetual).price == Decimal(10)


def test_several_venues_outvote_one_that_is_a_little_larger_than_all_of_them() -> None:
    found = mark(quote("large", "80", turnover=4.0e8), *(quote(name, "100") for name in "abc"))
    assert found.price == Decimal(100)


def in_dollars(one: Quote) -> Quote:
    """The quote with dollars where coins belong: the volume of a coin that costs 95,000 is so many times too large."""
    return replace(one, volume=one.volume * 95_000)


@pytest.mark.parametrize("off", ["90", "97", "103", "110"])
def test_a_volume_in_the_wrong_unit_does_not_carry_the_mark_of_four_venues_and_the_doubt_shows(off: str) -> None:
    wrong = in_dollars(quote("wrong", off))
    found = mark(*CALM, wrong)
    assert Decimal("99.9") <= found.price <= Decimal("100.1")
    assert found.quality.state is MarkState.DIVIDED
    assert found.quality.uncertainty_bps > abs(float(off) - 100) * 50
    assert max(seen.share_bps for seen in found.quality.sources) <= 5_000
    two = mark(*CALM[:2], wrong)
    assert Decimal("100.0") <= two.price <= Decimal("100.1"), "two others are enough"


def test_a_volume_in_the_wrong_unit_at_a_venue_that_agrees_costs_nothing() -> None:
    found = mark(*CALM[:2], in_dollars(CALM[2]))
    assert found.quality.state is MarkState.GOOD
    assert found.quality.uncertainty_bps <= 20


def test_where_one_alone_could_contradict_it_a_wrong_volume_is_followed_and_said_to_be_divided() -> None:
    for others in (CALM[:1], (CALM[0], replace(CALM[1], kind=PERPETUAL)), (CALM[0], quote("thin", "100.1", THIN))):
        found = mark(*others, in_dollars(quote("wrong", "95")))
        assert found.price == Decimal(95)
        assert found.quality.state is MarkState.DIVIDED
        assert found.quality.uncertainty_bps > 250


def test_an_outlier_that_is_left_out_gives_no_votes_to_a_wrong_volume() -> None:
    far = quote("far", "103", turnover=DEEP / 20)
    found = mark(quote("a", "100"), far, in_dollars(quote("wrong", "99")))
    assert reasons(found) == {"far": "outlier"}
    assert found.price == Decimal(100), "whose price most of them stood by"


def test_old_votes_and_thin_ones_do_not_take_half_of_the_votes_from_the_deep_venue() -> None:
    crashed = quote("deep", "80")
    assert mark(crashed, quote("a", "100", age_s=120), quote("b", "100", age_s=120)).price == Decimal(80)
    assert mark(crashed, *(quote(name, "100", turnover=THIN) for name in "abc")).price == Decimal(80)


def test_old_quotes_count_less() -> None:
    assert mark(quote("a", "100", age_s=150), quote("b", "101")).price == Decimal(101)


def test_one_source_is_said_to_be_one_and_far_less_sure() -> None:
    found = mark(quote("a", "100"), last=Decimal(99))
    assert found.quality.state is MarkState.SINGLE_SOURCE
    assert found.quality.uncertainty_bps >= 250


def test_two_sources_are_thin_and_so_is_a_coin_that_hardly_trades() -> None:
    assert mark(*CALM[:2]).quality.state is MarkState.THIN
    assert mark(*(replace(one, volume=1e3) for one in CALM)).quality.state is MarkState.THIN


def test_quotes_of_two_minutes_ago_are_stale_and_of_three_gone() -> None:
    old = [replace(one, at=NOW - timedelta(seconds=120)) for one in CALM]
    assert mark(*old).quality.state is MarkState.STALE
    gone = [replace(one, at=NOW - timedelta(seconds=STANDARD.quote_age_limit_s + 1)) for one in CALM]
    with pytest.raises(Refusal, match="no_mark"):
        mark(*gone)


def test_the_mark_is_as_old_as_its_youngest_vote() -> None:
    assert mark(*CALM, quote("d", "100", age_s=30)).observed_at == NOW - timedelta(seconds=1)


def test_a_stablecoin_below_par_brings_its_quotes_to_dollars_and_its_own_doubt() -> None:
    peg = mark_of("USDT", [quote("a", "0.96"), quote("b", "0.961"), quote("c", "0.959")], NOW)
    in_tether = [replace(one, price=one.price / Decimal("0.96"), currency="USDT") for one in CALM]
    found = mark(*in_tether, pegs={"USDT": peg})
    assert float(found.price) == pytest.approx(100.0)
    assert found.quality.uncertainty_bps > mark(*CALM).quality.uncertainty_bps
    late = Mark(peg.price, NOW - timedelta(seconds=STANDARD.peg_age_limit_s + 1), peg.quality)
    with pytest.raises(Refusal, match="no_mark"):
        mark(*in_tether, pegs={"USDT": late})


def test_quality_survives_its_json() -> None:
    quality = mark(*CALM, quote("bad", "NaN"), quote("thin", "40", turnover=THIN)).quality
    assert MarkQuality.from_body(quality.body()) == quality


def test_a_changed_figure_of_the_rules_is_a_new_version() -> None:
    figures = ",".join(f"{item.name}={getattr(STANDARD, item.name)}" for item in fields(STANDARD))
    assert (STANDARD.version, sha256_hex(figures)[:16]) == ("marks-4", "e41d8c3bf70c665c")


# Properties.

prices = st.floats(0.01, 1e5).map(lambda value: Decimal(f"{value:.6g}"))
quotes = st.lists(
    st.tuples(prices, st.floats(1e4, 1e9), st.floats(0.0, 300.0)), min_size=1, max_size=7
).map(lambda rows: [quote(f"s{i}", str(p), turnover=v, age_s=age) for i, (p, v, age) in enumerate(rows)])  # fmt: skip


def _mark_or_refusal(given_quotes: list[Quote]) -> object:
    try:
        return mark(*given_quotes)
    except Refusal as refusal:
        return refusal.data


@given(quotes, st.randoms())
def test_the_order_of_quotes_is_no_matter_and_the_mark_lies_among_them(
    given_quotes: list[Quote], random: object
) -> None:
    shuffled = list(given_quotes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found, again = _mark_or_refusal(given_quotes), _mark_or_refusal(shuffled)
    assert found == again
    if not isinstance(found, Mark):
        return
    used = [seen.price_usd for seen in found.quality.used if seen.price_usd is not None]
    assert min(used) <= found.price <= max(used)
    assert len(found.quality.sources) == len(given_quotes)
    assert found.quality.uncertainty_bps >= 5


@given(quotes, st.sampled_from([2, 4]))
def test_a_market_twice_as_dear_has_twice_the_mark_and_the_same_doubt(given_quotes: list[Quote], times: int) -> None:
    dearer = [replace(one, price=one.price * times) for one in given_quotes]
    try:
        found = mark(*given_quotes)
    except Refusal:
        return
    again = mark(*dearer)
    assert again.price == found.price * times
    assert abs(again.quality.uncertainty_bps - found.quality.uncertainty_bps) <= 1


@given(st.lists(st.tuples(prices, st.floats(0.1, 10.0)), min_size=3, max_size=9), prices)
def test_less_than_half_of_the_votes_cannot_leave_the_range_of_the_others(
    rows: list[tuple[Decimal, float]], attack: Decimal
) -> None:
    honest = sorted(rows)
    weight = 0.99 * sum(weight for _, weight in honest)
    attacked = sorted([*honest, (attack, weight)])
    found = weighted_median([price for price, _ in attacked], [weight for _, weight in attacked])
    assert honest[0][0] <= found <= honest[-1][0]


@given(
    st.lists(st.tuples(st.floats(60, 160), st.floats(2e6, 1e10), st.floats(0.0, 60.0)), min_size=2, max_size=5),
    st.tuples(st.floats(60, 160), st.floats(1e5, 1e16)),
)
def test_no_volume_takes_the_mark_out_of_the_range_of_two_fresh_spot_markets(
    rows: list[tuple[float, float, float]], wrong: tuple[float, float]
) -> None:
    others = [quote(f"s{i}", f"{price:.4f}", turnover, age_s) for i, (price, turnover, age_s) in enumerate(rows)]
    found = mark(*others, quote("wrong", f"{wrong[0]:.4f}", wrong[1]))
    used = [one.price for one in others]
    assert min(used) <= found.price <= max(used)


def _median_by_definition(values: Sequence[Decimal], weights: Sequence[float]) -> float:
    return min(sum(w * abs(float(v) - float(p)) for v, w in zip(values, weights, strict=True)) for p in values)


@given(st.lists(st.tuples(prices, st.floats(0.1, 10.0)), min_size=1, max_size=9))
def test_the_weighted_median_minimises_weighted_absolute_distance(rows: list[tuple[Decimal, float]]) -> None:
    values, weights = zip(*sorted(rows), strict=True)
    found = float(weighted_median(values, weights))
    cost = sum(w * abs(float(v) - found) for v, w in zip(values, weights, strict=True))
    assert cost == pytest.approx(_median_by_definition(values, weights), rel=1e-9, abs=1e-9)
