"""A snapshot is immutable, dated, exact, and the same content has the same name."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from intermediary.errors import BadInput, Refusal
from risk.market.quality import MarkQuality, MarkState, SourceSeen
from risk.market.snapshot import MarketSnapshot
from tests.risk.builders import MOMENT, snapshot


def test_an_unknown_underlying_is_refused_by_name() -> None:
    with pytest.raises(Refusal, match=r"market\.unknown_underlying"):
        snapshot().mark("LUNA")


def test_a_time_without_zone_is_refused() -> None:
    naive = datetime(2025, 10, 10, 20)  # noqa: DTZ001
    with pytest.raises(BadInput, match=r"market\.time_not_utc"):
        replace(snapshot(), as_of=naive)


def test_a_price_of_zero_is_refused() -> None:
    with pytest.raises(BadInput, match=r"market\.not_positive"):
        snapshot({"BTC": "0"})


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"as_of": 3}'])
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"market\.malformed_snapshot"):
        MarketSnapshot.from_json(text)


def test_it_survives_its_text_with_the_same_id() -> None:
    original = snapshot({"BTC": "108953.40"})
    again = MarketSnapshot.from_json(original.to_json())
    assert again == original
    assert again.id == original.id
    assert str(again.mark("BTC")) == "108953.40"


def test_any_changed_figure_changes_the_id() -> None:
    one = snapshot()
    assert one.id != snapshot({"XRP": "2.688"}).id
    assert one.id != replace(one, usdc_peg=Decimal("0.999")).id
    assert one.id != replace(one, as_of=MOMENT + timedelta(seconds=1)).id


def quality(state: MarkState = MarkState.DIVIDED) -> MarkQuality:
    seen = (SourceSeen("a", Decimal("95000.5"), 3, 10_000), SourceSeen("b", None, 400, 0, "stale"))
    return MarkQuality(state=state, uncertainty_bps=340, parameters="marks-1", sources=seen)


def test_it_carries_how_sure_each_mark_is_and_that_is_part_of_its_id() -> None:
    one = replace(snapshot(), qualities={"ETH": quality(MarkState.GOOD), "BTC": quality()})
    again = MarketSnapshot.from_json(one.to_json())
    assert again == one
    assert again.id == one.id != snapshot().id
    assert again.qualities["BTC"].left_out[0].left_out == "stale"
    assert list(again.doubtful) == ["BTC"]


def test_a_snapshot_without_qualities_keeps_the_text_it_had_before_there_were_any() -> None:
    assert "qualities" not in snapshot().to_json()
    assert snapshot().doubtful == {}


def test_a_quality_of_a_coin_without_mark_is_refused() -> None:
    with pytest.raises(BadInput, match=r"market\.quality_of_nothing"):
        replace(snapshot(), qualities={"LUNA": quality()})


def test_the_order_of_underlyings_is_not_part_of_the_id() -> None:
    one = snapshot()
    backwards = dict(reversed(list(one.underlyings.items())))
    assert replace(one, underlyings=backwards).id == one.id


def test_nothing_can_be_assigned() -> None:
    one = snapshot()
    with pytest.raises(FrozenInstanceError):
        one.as_of = MOMENT  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.underlyings["BTC"] = one.underlyings["ETH"]  # type: ignore[index]


def test_a_mark_grows_stale_at_its_age_limit_and_not_before() -> None:
    one = snapshot()
    limit = timedelta(seconds=one.age_limits_s["mark"])
    assert one.stale_fields(MOMENT + limit) == ()
    assert one.stale_fields(MOMENT + limit + timedelta(seconds=1)) == one.coins


def test_rates_are_linear_between_points_and_flat_outside() -> None:
    levels = {10: "0.04", 30: "0.02", 60: "0.02", 120: "0.02", 240: "0.02", 365: "0.01"}
    one = replace(snapshot(), rates=tuple((days, Decimal(rate)) for days, rate in levels.items()))
    assert one.rate(1) == 0.04
    assert one.rate(20) == pytest.approx(0.03)
    assert one.rate(400) == 0.01


def test_snapshots_feeds_and_rulesets_load_without_array_code() -> None:
    code = (
        "import json, sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from risk.market.feeds import open_feed; from risk.margin.ruleset import ruleset\n"
        "from risk.margin import admission, instruments\n"
        "open_feed(None).next_after(datetime(2025, 10, 10, 20, tzinfo=UTC)); ruleset('standard').hash\n"
        "print(json.dumps([m for m in ('numpy', 'scipy', 'numba', 'QuantLib', 'pyarrow') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_moments_are_utc() -> None:
    assert MarketSnapshot.from_json(snapshot().to_json()).as_of.utcoffset() == UTC.utcoffset(None)
