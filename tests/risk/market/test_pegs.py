"""The price of USDC when nobody confirms one: the last stays for an hour, and what follows is said."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from intermediary.errors import Refusal
from risk.market.feeds.pegs import settlement_peg
from risk.market.mark_parameters import STANDARD
from risk.market.marks import Mark
from risk.market.quality import MarkQuality, MarkState, SourceSeen

START = datetime(2025, 10, 10, 20, tzinfo=UTC)
LATER, TOO_LATE = START + timedelta(minutes=59), START + timedelta(minutes=61)


def mark(price: str, state: MarkState, at: datetime = START) -> Mark:
    return Mark(
        Decimal(price), at, MarkQuality(state, 40, STANDARD.version, (SourceSeen("kraken", Decimal(price), 2, 10_000),))
    )


LAST = mark("1.0001", MarkState.GOOD)


def refused() -> Mark:
    raise Refusal("no_mark", "Nobody speaks.", left_out={"kraken": "stale"})


@pytest.mark.parametrize("state", [MarkState.SINGLE_SOURCE, MarkState.STALE])
def test_after_an_hour_a_price_that_jumped_and_that_nobody_confirms_is_no_market(state: MarkState) -> None:
    for price in ("0.8", "1.03"):
        jumped = mark(price, state, TOO_LATE)
        with pytest.raises(Refusal, match="no_mark") as told:
            settlement_peg(lambda jumped=jumped: jumped, LAST, TOO_LATE, STANDARD)  # type: ignore[misc]
        assert told.value.data == {"underlying": "USDC", "price": price, "last": "1.0001"}


def test_after_an_hour_without_any_price_there_is_no_market() -> None:
    with pytest.raises(Refusal, match="no_mark"):
        settlement_peg(refused, LAST, TOO_LATE, STANDARD)
    with pytest.raises(Refusal, match="no_mark"):
        settlement_peg(refused, None, START, STANDARD)


@pytest.mark.parametrize("state", [MarkState.SINGLE_SOURCE, MarkState.STALE, MarkState.DIVIDED])
def test_within_the_hour_the_last_one_stays_and_the_next_look_goes_on_from_it(state: MarkState) -> None:
    shown, kept = settlement_peg(lambda: mark("0.8", state, LATER), LAST, LATER, STANDARD)
    assert kept == LAST
    assert (shown.price, shown.observed_at, shown.quality.state) == (LAST.price, START, MarkState.STALE)
    assert shown.quality.uncertainty_bps > LAST.quality.uncertainty_bps
    assert [(seen.price_usd, seen.left_out) for seen in shown.quality.sources] == [(Decimal("0.8"), state.value)]
    shown, kept = settlement_peg(refused, LAST, LATER, STANDARD)
    assert (kept, shown.price, shown.quality.used) == (LAST, LAST.price, ())


def test_a_price_that_is_confirmed_or_the_first_or_close_or_of_a_divided_market_is_taken_as_it_is() -> None:
    for found, last, now in (
        (mark("0.8", MarkState.GOOD, LATER), LAST, LATER),
        (mark("0.8", MarkState.THIN, LATER), LAST, LATER),
        (mark("0.8", MarkState.SINGLE_SOURCE), None, START),
        (mark("0.99", MarkState.SINGLE_SOURCE, TOO_LATE), LAST, TOO_LATE),
        (mark("0.8", MarkState.DIVIDED, TOO_LATE), LAST, TOO_LATE),
    ):
        assert settlement_peg(lambda found=found: found, last, now, STANDARD) == (found, found)  # type: ignore[misc]
